"""SPEC 8.3: class images."""

import math

from entropy import Arithmetic, Counters, Mixer, squash, stretch
from primitives import CaeError, Cursor

CODED, GROUPED, ROW = 0x10, 0x20, 0x40
M64 = (1 << 64) - 1


def decode(data, dims, alphabet):
    """The class of every point, flat."""
    n = math.prod(dims)
    if not data:
        return [0] * n
    cursor = Cursor(data)
    flags = cursor.u8()
    if not flags & CODED:
        if not 1 <= flags < alphabet:
            raise CaeError(f"class image of form {flags}")
        cursor.end()
        return [flags] * n
    if flags & ~(CODED | GROUPED | ROW):
        raise CaeError(f"class image with flags {flags}")
    if flags & ROW:
        row = cursor.varint()
        if not 2 <= row <= n:
            raise CaeError(f"row of {row} points")
        extents = [row, -(-n // row)]
    else:
        extents = [d for d in reversed(dims) if d != 1] or [1]
    image = Image(cursor.rest(), extents, n, alphabet, bool(flags & GROUPED))
    return image.decode()


class View:
    """A row seen from anywhere: all zeros if absent, its ends repeated outwards."""

    def __init__(self, cells, begin, length):
        self.cells, self.begin, self.length = cells, begin, length

    def __call__(self, x):
        if self.begin is None:
            return 0
        return self.cells[self.begin + min(max(x, 0), self.length - 1)]

    def span(self, begin, end):
        return [self(x) for x in range(begin, end)]


class Image:
    def __init__(self, data, extents, points, alphabet, grouped):
        self.coder = Arithmetic(data)
        self.extents, self.points = extents, points
        self.alphabet, self.grouped = alphabet, grouped
        self.stride = [math.prod(extents[:a]) for a in range(len(extents))]
        self.cells = [0] * points
        self.row_flags = Counters(128)
        self.history = [0] * 8
        self.group_flags = Counters(2112)
        self.group_mixer = Mixer([0.4] * 3 + [0.0] * 5, 4, 0.002, 0.02)
        self.counters = [Counters(65536) for _ in range(8)]
        self.mixer = Mixer([0.3] * 8, 256, 0.002, 0.02)

    def decode(self):
        for s in range(0, self.points, self.extents[0]):
            at = [s // t % n for t, n in zip(self.stride, self.extents)]
            self.width = min(self.extents[0], self.points - s)
            if not self.repeats(s, at):
                self.decode_row(s, at)
        self.coder.end()
        return self.cells

    def row(self, f):
        return self.cells[f : f + self.width]

    def repeats(self, s, at):
        refused = None
        for a in range(len(self.extents) - 1, 0, -1):
            if at[a] == 0:
                continue
            f = s - self.stride[a]
            if refused is not None and self.row(refused) == self.row(f):
                continue
            i = (a - 1) * 16 + self.history[a - 1]
            bit = self.coder.bit(max(1, self.row_flags.p16(i)))
            self.row_flags.update(i, bit, 1023)
            self.history[a - 1] = (2 * self.history[a - 1] + bit) % 16
            if bit:
                self.cells[s : s + self.width] = self.row(f)
                return True
            refused = f
        return False

    def views(self, s, at):
        """The rows of SPEC 8.3.3 but CURRENT, and the reference."""
        axes = len(self.extents)

        def coordinate(a):
            return at[a] if a < axes else 0

        above = s - self.stride[1] if coordinate(1) >= 1 else None
        above2 = s - 2 * self.stride[1] if coordinate(1) >= 2 else above
        out = {"ABOVE": above, "ABOVE2": above2}
        out["PLANE"] = plane = s - self.stride[2] if coordinate(2) >= 1 else None
        out["VOLUME"] = volume = s - self.stride[3] if coordinate(3) >= 1 else None
        below = axes > 1 and at[1] + 1 < self.extents[1]
        out["PLANE_ABOVE"] = plane
        if plane is not None and above is not None:
            out["PLANE_ABOVE"] = plane - self.stride[1]
        out["PLANE_BELOW"] = plane + self.stride[1] if plane is not None and below else plane
        out["VOLUME_BELOW"] = volume + self.stride[1] if volume is not None and below else volume
        outer = [a for a in range(4, axes) if at[a] >= 1]
        out["OUTER"] = s - self.stride[outer[-1]] if outer else None
        moved = [a for a in range(1, axes) if at[a] > 0]
        out["REFERENCE"] = s - self.stride[moved[-1]] if moved else None
        # A row before an incomplete last one is complete.
        return {name: View(self.cells, f, self.extents[0]) for name, f in out.items()}

    def decode_row(self, s, at):
        views = self.views(s, at)
        first = views["ABOVE"](0)
        step = 16 if self.grouped else self.width
        h = 0
        for x in range(0, self.width, step):
            e = min(x + step, self.width)
            if self.grouped:
                last = self.cells[s + x - 1] if x else first
                bit = self.group_flag(views, last, x, e, h)
                h = (2 * h + bit) % 8
                if bit:
                    reference = views["REFERENCE"]
                    there = reference.begin is not None
                    self.cells[s + x : s + e] = reference.span(x, e) if there else [last] * (e - x)
                    continue
            for y in range(x, e):
                self.cells[s + y] = self.decode_point(s, y, first, views)

    def group_flag(self, views, last, x, e, h):
        above, plane, volume = views["ABOVE"], views["PLANE"], views["VOLUME"]
        reference = views["REFERENCE"]
        expected = (reference if reference.begin is not None else above).span(x, e)
        facts = 0
        for b, true in enumerate(
            (
                set(expected) == {last},
                set(above.span(x - 1, e + 1)) == {last},
                above.span(x, e) == expected,
                set(plane.span(x - 1, e + 1)) == {last},
                volume.span(x, e) == expected,
                plane(x - 1) == last,
                views["PLANE_BELOW"].span(x, e) == plane.span(x, e),
            )
        ):
            facts |= true << b
        at = (facts + 128 * h, 1024 + facts % 32 + 32 * h, 2048 + facts % 8 + 8 * h)
        inputs = [stretch(self.group_flags.p16(i)) for i in at] + [0.0] * 5
        bit = self.coder.bit(squash(self.group_mixer.mix(inputs, h % 4)))
        self.group_mixer.update(bit)
        for i in at:
            self.group_flags.update(i, bit, 255)
        return bit

    def decode_point(self, s, x, first, views):
        W, WW, WWW = (self.cells[s + x - d] if x >= d else first for d in (1, 2, 3))
        above, above2 = views["ABOVE"], views["ABOVE2"]
        plane, volume = views["PLANE"], views["VOLUME"]
        NWW, NW, N, NE, NEE, N3 = above.span(x - 2, x + 4)
        NN, NNE = above2.span(x, x + 2)
        PW, P, PE, P3 = plane.span(x - 1, x + 3)
        PN, PS = views["PLANE_ABOVE"](x), views["PLANE_BELOW"](x)
        Q, QE, Q3 = volume.span(x, x + 3)
        QS, O = views["VOLUME_BELOW"](x), views["OUTER"](x)
        hashes = []
        for values in (
            (W, N, NW, NE),
            (W, WW, WWW, N, NW, NE, NEE, NN, NWW),
            (P, PE, PW, PN, PS, W, N),
            (Q, P, W, N, O, QE, QS),
            (P, Q, O, W, N, NE),
            (W, WW, N, NW, NE, NN, P, PE, PS, Q),
            (W, WW, N, NE, NEE, N3, NNE, P, P3, Q3),
            (W, P, Q),
        ):
            h = 0
            for v in values:
                h = 16 * h + v
            hashes.append(h * 0x9E3779B97F4A7C15 & M64)
        agree = sum(true << b for b, true in enumerate((W == N, W == P, N == NE, P == Q, W == WW)))
        b = (self.alphabet - 1).bit_length()
        node = 1
        for _ in range(b):
            at = [((h ^ node) * 0xD6E8FEB86659FD93 & M64) >> 48 for h in hashes]
            inputs = [stretch(c.p16(i)) for c, i in zip(self.counters, at)]
            bit = self.coder.bit(squash(self.mixer.mix(inputs, agree + 32 * (node % 8))))
            self.mixer.update(bit)
            for c, i in zip(self.counters, at):
                c.update(i, bit, 255)
            node = 2 * node + bit
        c = node - (1 << b)
        if c >= self.alphabet:
            raise CaeError("class beyond the alphabet")
        return c
