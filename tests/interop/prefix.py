"""SPEC 8.4: prefix codes over runs of zeros."""

from entropy import Arithmetic
from primitives import CaeError, unzigzag

LONGEST = 11


class Lengths:
    """Adaptive counters of the lengths of codes (SPEC 8.4.3)."""

    def __init__(self, coder):
        self.coder = coder
        self.p = [[1 << 21] * 16 for _ in range(12)]
        self.n = [[0] * 16 for _ in range(12)]

    def decode(self, context):
        p, n = self.p[context], self.n[context]
        i = 1
        for _ in range(4):
            bit = self.coder.bit(max(1, p[i] // 64))
            target = 4194303 if bit else 0
            p[i] += (target - p[i]) * (131072 // (2 * n[i] + 3)) >> 16
            n[i] = min(n[i] + 1, 60)
            i = 2 * i + bit
        return i - 16


def decode_lengths(data, run_bits):
    """For each stream its codes: {(length, code): symbol}."""
    if not run_bits:
        if data:
            raise CaeError("lengths of no stream")
        return []
    coder = Arithmetic(data)
    lengths = Lengths(coder)
    tables = []
    for k in run_bits:
        last = 0
        for _ in range(8):
            last = 2 * last + coder.bit(32768)
        a = b = 6
        found = []
        for symbol in range(last + 1):
            length = lengths.decode((a + b + 1) // 2)
            if length > LONGEST:
                raise CaeError("length of a code")
            if length and symbol >> k == 0 and symbol > 12:
                raise CaeError("run of zeros")
            if length:
                found.append((length, symbol))
            a, b = length, a
        if sum(1 << (LONGEST - length) for length, _ in found) != 1 << LONGEST:
            raise CaeError("the code is not complete")
        table, code, before = {}, -1, 0
        for length, symbol in sorted(found):
            code = code + 1 << length - before if before else 0
            before = length
            table[length, code] = symbol
        tables.append(table)
    coder.end()
    return tables


class Bits:
    """The highest bit of each byte first."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def bits(self, count):
        v = 0
        for _ in range(count):
            if self.at >= 8 * len(self.data):
                raise CaeError("lane ends early")
            v = 2 * v + (self.data[self.at // 8] >> (7 - self.at % 8) & 1)
            self.at += 1
        return v

    def symbol(self, table):
        code = 0
        for length in range(1, LONGEST + 1):
            code = 2 * code + self.bits(1)
            if (length, code) in table:
                return table[length, code]
        raise CaeError("no such code")

    def end(self):
        spare = 8 * len(self.data) - self.at
        if spare > 7 or self.bits(spare):
            raise CaeError("lane left over")


def decode_lane(data, table, k, count):
    out = []
    bits = Bits(data)
    escape = (256 >> k) - (16 if k <= 2 else 1)
    while len(out) < count:
        symbol = bits.symbol(table)
        r, image = symbol % (1 << k), symbol >> k
        if image == 0:
            out += [0] * min(1 << (k + r), count - len(out))
            continue
        if image >= escape:
            e = image - escape if k <= 2 else bits.bits(4)
            image = escape + (1 << e) - 1 + bits.bits(e)
            if image > 65535:
                raise CaeError("image above 65535")
        out += [0] * r + [unzigzag(image)]
    if len(out) > count:
        raise CaeError("number beyond its lane")
    bits.end()
    return out


def decode_streams(cursor, streams, most):
    """The numbers of each stream (SPEC 8.4.1)."""
    counts = [cursor.varint() for _ in range(streams)]
    if sum(counts) > most:
        raise CaeError("too many numbers")
    forms = [cursor.u8() if count else 7 for count in counts]
    if any(form & 7 == 7 and form != 7 or form > 15 for form in forms):
        raise CaeError("form of a stream")
    tables = iter(decode_lengths(cursor.block(), [form & 7 for form in forms if form != 7]))
    lanes = [0 if form == 7 else 4 if form & 8 else 1 for form in forms]
    sizes = iter([cursor.varint() for _ in range(sum(lanes))])
    out = []
    for count, form, n in zip(counts, forms, lanes):
        if not n:
            out.append([0] * count)
            continue
        table = next(tables)
        part = -(-count // n)
        if -(-count // part) < n:
            raise CaeError("lanes of a short stream")
        numbers = []
        for first in range(0, count, part):
            data = cursor.take(next(sizes))
            numbers += decode_lane(data, table, form & 7, min(part, count - first))
        out.append(numbers)
    return out
