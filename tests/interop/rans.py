"""SPEC 8.4: interleaved rANS."""

from bisect import bisect_right

from entropy import Arithmetic
from primitives import CaeError, Cursor

FREE = 15


class Lengths:
    """Adaptive counters of the lengths of frequencies (SPEC 8.4.2)."""

    def __init__(self, coder):
        self.coder = coder
        self.p = [[1 << 21] * 16 for _ in range(13)]
        self.n = [[0] * 16 for _ in range(13)]

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


def even_bits(coder, count):
    v = 0
    for _ in range(count):
        v = 2 * v + coder.bit(32768)
    return v


def decode_models(data, count):
    """Cumulated frequencies of each model: start[0 .. 256]."""
    coder = Arithmetic(data)
    lengths = Lengths(coder)
    models = []
    for _ in range(count):
        last = even_bits(coder, 8)
        a = b = 11
        start = [0]
        for _ in range(last + 1):
            length = lengths.decode(min(12, (a + b + 1) // 2))
            if length > 12:
                raise CaeError("length of a frequency")
            frequency = (1 << length >> 1) + (even_bits(coder, length - 1) if length > 1 else 0)
            start.append(start[-1] + frequency)
            a, b = length, a
        if start[-1] != 2048:
            raise CaeError("frequencies do not sum to 2048")
        models.append(start)
    coder.end()
    return models


class Stream:
    """SPEC 8.4.1 and 8.4.3."""

    def __init__(self, data, lanes, models):
        cursor = Cursor(data)
        self.models = models
        self.states = [cursor.number("I") for _ in range(lanes)]
        if min(self.states) < 65536:
            raise CaeError("state below 65536")
        self.words = cursor
        if cursor.left() % 2:
            raise CaeError("half a word")

    def batch(self, classes):
        out = []
        lanes = len(self.states)
        for p, c in enumerate(classes):
            if c == FREE:
                out.append(0)
                continue
            start = self.models[c]
            x = self.states[p % lanes]
            slot = x % 2048
            symbol = bisect_right(start, slot) - 1
            x = (start[symbol + 1] - start[symbol]) * (x // 2048) + slot - start[symbol]
            if x < 65536:
                x = 65536 * x + self.words.number("H")
            self.states[p % lanes] = x
            out.append(symbol)
        return out

    def end(self):
        self.words.end()
        if any(x != 65536 for x in self.states):
            raise CaeError("states at the end")
