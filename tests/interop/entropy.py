"""SPEC 8.1 and 8.2: arithmetic coder, counters, mixers, refiners.

Binary32 arithmetic is NumPy's, one rounding an operation, none fused.
"""

import bisect
import math

import numpy as np

from primitives import CaeError

F = np.float32
M = 2839
LIMIT = F(M) / F(256)


def _tables():
    t, upper = 1.0, []
    for _ in range(M + 1):
        upper.append(min(65535, int(65536 * (t / (1 + t)) + 0.5)))
        t = t * 1.0039138893383476
    squashed = [65536 - u for u in reversed(upper[1:])] + upper
    stretched = []
    for p in range(0, 65536, 16):
        x = bisect.bisect_left(squashed, p + 8) - M
        stretched.append(F(x) / F(256))
    a, tails = 1.007843097206448, []
    for _ in range(1280):
        tails.append(F(1 / (1 + a)))
        a = a * 1.0157477085866858
    return squashed, stretched, tails


SQUASH, STRETCH, TAIL = _tables()


def squash(x):
    return SQUASH[min(2 * M, int(x * F(256) + F(2839.5)))]


def stretch(p):
    return STRETCH[p >> 4]


def tail(z):
    """About 1 / (1 + e^z)."""
    if math.isnan(z):
        return TAIL[0]
    scaled = abs(z) * F(64)
    value = TAIL[1279 if scaled >= 1279 else int(scaled)]
    return value if z >= 0 else F(1) - value


class Arithmetic:
    """SPEC 8.1."""

    def __init__(self, data):
        self.data = data
        if data and data[-1] == 0:
            raise CaeError("coded bits end with a zero byte")
        self.low, self.high, self.at = 0, 0xFFFFFFFF, 4
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def bit(self, p1):
        low, high = self.low, self.high
        mid = low + ((high - low) * p1 >> 16)
        bit = int(self.code <= mid)
        if bit:
            high = mid
        else:
            low = mid + 1
        while not (low ^ high) >> 24:
            low = low << 8 & 0xFFFFFFFF
            high = (high << 8 & 0xFFFFFFFF) | 255
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.code = (self.code << 8 & 0xFFFFFFFF) | byte
            self.at += 1
        self.low, self.high = low, high
        return bit

    def end(self):
        if self.at < len(self.data):
            raise CaeError("coded bits left over")


RATES = [131072 // (2 * n + 3) for n in range(1024)]


class Counters:
    """SPEC 8.2.2; counters come to be where they are first used."""

    FRESH = (1 << 21, 0)

    def __init__(self, count):
        self.count = count
        self.state = {}

    def p16(self, i):
        assert 0 <= i < self.count
        return self.state.get(i, self.FRESH)[0] >> 6

    def update(self, i, bit, limit):
        p, n = self.state.get(i, self.FRESH)
        p += ((4194303 if bit else 0) - p) * RATES[n] >> 16
        self.state[i] = (p, n + 1 if n < limit else n)


USES = [F(16) / F(16 + n) for n in range(255)] + [F(0)]


class Mixer:
    """SPEC 8.2.3."""

    def __init__(self, weights, sets, rate, extra):
        self.weights = np.tile(np.array(weights, F), (sets, 1))
        self.uses = [0] * sets
        self.rate, self.extra = F(rate), F(extra)

    def mix(self, inputs, index):
        self.index = index
        self.inputs = np.array(inputs, F)
        products = (self.inputs * self.weights[index]).reshape(-1, 8)
        s = np.zeros(8, F)
        for row in products:
            s = s + row
        x = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
        x = min(max(x, -LIMIT), LIMIT)
        self.p = squash(x)
        return x

    def update(self, bit):
        err = F(65536 * bit - self.p) / F(65536)
        use = self.uses[self.index]
        d = err * (self.rate + self.extra * USES[use])
        self.uses[self.index] = min(use + 1, 255)
        self.weights[self.index] = self.weights[self.index] + self.inputs * d


class Refiner:
    """SPEC 8.2.3."""

    def __init__(self, contexts):
        self.fresh = [squash(F(i - 16) * F(0.5)) for i in range(33)]
        self.contexts = contexts
        self.cells = {}

    def refine(self, x, context):
        assert 0 <= context < self.contexts
        self.row = self.cells.setdefault(context, list(self.fresh))
        t = (min(max(x, F(-7.999)), F(7.999)) + F(8)) * F(2)
        i = int(t)
        f = t - F(i)
        self.moved = i + 1 if f >= F(0.5) else i
        a, b = F(self.row[i]), F(self.row[i + 1])
        return int(a + (b - a) * f)

    def update(self, bit):
        cell = self.row[self.moved]
        self.row[self.moved] = cell + (((65535 if bit else 0) - cell) >> 6)
