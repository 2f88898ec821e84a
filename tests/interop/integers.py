"""SPEC 9.4.9: integers from their neighbors and from where they stood before."""

import prefix
from primitives import CaeError

THRESHOLDS = [1, 2, 3, 4, 6, 8, 12, 18, 28, 44, 70, 120, 220, 500, 1200]


def apart(a, b):
    """Distance modulo 2^16."""
    d = (a - b) % 65536
    return min(d, 65536 - d)


def median(a, b, c):
    return min(max(a + b - c, min(a, b)), max(a, b))


class Form:
    def __init__(self, cursor, n):
        code = cursor.u8()
        self.row, self.plane = cursor.varint(), cursor.varint()
        self.predictor, self.wide = code & 7, code >> 3
        if code > 16 or max(self.row, self.plane) > n or 1 in (self.row, self.plane):
            raise CaeError("form of neighbors")
        self.level = cursor.varint() if code == 16 else None
        if self.level is not None:
            if self.level > 65535:
                raise CaeError("level")
            return
        self.planes = code > 3
        if self.row == 0 and code or self.plane == 0 and self.planes:
            raise CaeError("form of neighbors")

    def look(self, q):
        """What is expected after the integers q, and the activity."""
        i = len(q)

        def back(d):
            return q[i - d] if 0 < d <= i else 0

        w = back(1)
        if self.level is not None:
            other = back(2) if self.row == 0 or i <= self.row else back(self.row)
            return self.level, apart(w, self.level) + apart(other, self.level)
        if self.row == 0 or i <= self.row:
            return w, apart(w, back(2))
        n, nw, ne = back(self.row), back(self.row + 1), back(self.row - 1)
        if self.planes and i <= self.row + self.plane:
            return median(w, n, nw), apart(w, nw) + apart(n, ne) + apart(n, nw)
        u, uw, un = back(self.plane), back(self.plane + 1), back(self.plane + self.row)
        expected = [
            w,
            n,
            median(w, n, nw),
            w + n - nw,
            u,
            median(w, u, uw),
            median(n, u, un),
            w + n - nw + u - uw - un + back(self.plane + self.row + 1),
        ][self.predictor]
        activity = apart(w, nw) + apart(n, ne)
        return expected, activity + (apart(w, uw) + apart(n, un) if self.wide else apart(n, nw))


class Literals:
    def __init__(self, form, starts, streams, ordinary):
        self.form = form
        self.thresholds = [t for b, t in enumerate(THRESHOLDS) if starts >> b & 1]
        self.streams = [iter(stream) for stream in streams]
        self.ordinary = ordinary

    def append(self, q, count):
        for i in range(len(q), len(q) + count):
            if not self.ordinary[i]:
                q.append(q[-1] if q else 0)
                continue
            expected, activity = self.form.look(q)
            stream = self.streams[sum(activity >= t for t in self.thresholds)]
            try:
                q.append((expected + next(stream)) % 65536)
            except StopIteration:
                raise CaeError("differences of a class") from None

    def end(self):
        if any(next(stream, None) is not None for stream in self.streams):
            raise CaeError("differences left over")


def image(number):
    return 2 * number if number >= 0 else -2 * number - 1


def number(slot, bits):
    """What a slot and the bits that follow it stand for."""
    if slot < 16:
        return slot
    if slot > 127:
        raise CaeError("slot")
    count = slot // 4 - 2
    return (4 + slot % 4 << count) + bits.bits(count)


def decode(cursor, n, ordinary):
    form = Form(cursor, n)
    starts = cursor.number("H")
    if starts >> 15 or starts.bit_count() > 7:
        raise CaeError("starts")
    bits = prefix.Bits(cursor.block())
    classes = starts.bit_count() + 1
    streams = prefix.decode_streams(cursor, classes + 3, 2 * n + 16)
    cursor.end()
    fields = [[image(v) for v in stream] for stream in streams[classes:]]
    if len({len(field) for field in fields}) > 1:
        raise CaeError("sequences")
    literals = Literals(form, starts, streams[:classes], ordinary)
    q, last = [], 1
    for slots in zip(*fields):
        run, length, distance = (number(slot, bits) for slot in slots)
        last = distance or last
        if len(q) + run + length > n:
            raise CaeError("sequence beyond the grid")
        literals.append(q, run)
        if length and last > len(q):
            raise CaeError("distance")
        for _ in range(length):
            q.append(q[-last])
    literals.append(q, n - len(q))
    literals.end()
    bits.end()
    return q
