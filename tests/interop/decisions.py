"""SPEC 9.3.6: the numbers of method raster, decision by decision."""

import numpy as np

from entropy import Arithmetic, Counters, Mixer, Refiner, squash, stretch, tail

F = np.float32
M32 = (1 << 32) - 1


def probability(value):
    """An expert's probability as 16 bits."""
    scaled = value * F(65536)
    if not scaled > 64:
        return 64
    return 65471 if scaled >= 65471 else int(scaled)


class Coder:
    """SPEC 9.3.6: one number, decision by decision."""

    def __init__(self, data, b):
        self.arithmetic = Arithmetic(data)
        self.row_bits = min(b - 3, 11)
        slots = 8 << self.row_bits
        self.slow = [Counters(slots) for _ in range(8)]
        self.fast = [Counters(slots) for _ in range(8)]
        weights = [F(0.5) / F(8)] * 16 + [F(0.1)] * 3 + [F(0.15)] * 12 + [F(0)]
        self.mixers = [Mixer(weights, 16 * n, 0.002, 0.02) for n in (64, 24, 64)]
        self.last = Mixer([F(1) / F(3)] * 3 + [F(0)] * 5, 16, 0.002, 0.01)
        self.refiners = [Refiner(384), Refiner(1024)]
        self.guess_counters = Counters(12 * 16 * 4 * 4 * 2)

    def part(self, q):
        rows = []
        for context in self.contexts:
            h = (context + q * 0x9E3779B1) * 0x85EBCA6B & M32
            h = (h ^ (h >> 15)) * 0x2C1B3C6D & M32
            rows.append(h >> (32 - self.row_bits))
        self.rows = rows

    def bit(self, node, kind, stage, experts, says):
        """`says(guess)` is what a guess that is alive says."""
        at = [8 * row + node for row in self.rows]
        inputs = []
        for slow, fast, i in zip(self.slow, self.fast, at):
            inputs += [stretch(slow.p16(i)), stretch(fast.p16(i))]
        inputs += [stretch(probability(p)) for p in experts]
        voices = {g: int(says(number)) for g, number in self.alive.items()}
        ones = sum(voices.values())
        used = {}
        for g in range(12):
            if g not in voices:
                inputs.append(F(0))
                continue
            one = voices[g]
            others = (ones if one else len(voices) - ones) - 1
            i = (((g * 16 + self.records[g]) * 4 + min(others, 3)) * 4 + stage) * 2 + one
            used[g] = i
            p = stretch(self.guess_counters.p16(i))
            inputs.append(p if one else -p)
        inputs.append(F(0.25))
        outputs = [m.mix(inputs, s * 16 + kind) for m, s in zip(self.mixers, self.selectors)]
        x = self.last.mix([*outputs, F(0.25)] + [F(0)] * 4, kind)
        p = squash(x)
        a = self.refiners[0].refine(x, self.selectors[1] * 16 + kind)
        b = self.refiners[1].refine(x, at[0] % 1024)
        if abs(x) < 7:
            p = limit16((2 * p + a + b) // 4)
        bit = self.arithmetic.bit(p)
        for slow, fast, i in zip(self.slow, self.fast, at):
            slow.update(i, bit, 400)
            fast.update(i, bit, 24)
        for g, i in used.items():
            self.guess_counters.update(i, voices[g] == bit, 255)
            if voices[g] != bit:
                del self.alive[g]
        for mixer in (*self.mixers, self.last):
            mixer.update(bit)
        for refiner in self.refiners:
            refiner.update(bit)
        return bit

    def decode(self, contexts, selectors, start, centers, scales, guesses, records):
        """A number, mirrored as its contexts are."""
        self.contexts, self.selectors = contexts, selectors
        self.alive, self.records = dict(guesses), records

        def above(x):
            return [tail((x - c) * v) for c, v in zip(centers, scales)]

        over = above(F(0.5))
        under = [tail((c - F(-0.5)) * v) for c, v in zip(centers, scales)]
        self.part(0)
        p = [(F(1) - b) - a for a, b in zip(over, under)]
        if self.bit(0, 0, 0, p, lambda g: g == 0):
            return 0
        negative = self.bit(1, 1, 1, [b / (b + a) for a, b in zip(over, under)], lambda g: g < 0)
        if negative:
            centers = [-c for c in centers]
        low = under if negative else over
        high = [F(0)] * 3

        def step(edge, node, kind, stage, says, first_way=False):
            nonlocal low, high
            middle = above(edge)
            if first_way:
                p = [m / a for m, a in zip(middle, low)]
            else:
                p = [(m - b) / (a - b) for m, a, b in zip(middle, low, high)]
            bit = self.bit(node, kind, stage, p, says)
            if bit:
                low = middle
            else:
                high = middle
            return bit

        def class_says(a):
            return lambda g: abs(g) >= 1 << a

        c = 0
        if start < 7:
            while c < 52:
                if c == 6:
                    self.part(64)
                node = 2 + c if c < 6 else min(c - 6, 7)
                kind = 2 + c if c < 6 else 8
                edge = F(2.0 ** (c + 1)) - F(0.5)
                if not step(edge, node, kind, 2, class_says(c + 1), True):
                    break
                c += 1
        else:
            self.part(64 + start)
            end, a = 53, start
            while end - c > 1:
                node = min(a - start, 3) if a >= start else min(3 + start - a, 7)
                kind = 13 + min(abs(a - start), 2)
                if step(F(2.0**a) - F(0.5), node, kind, 2, class_says(a)):
                    c = a
                    a += 1
                else:
                    end = a
                    a -= 1
        self.part(c)
        f = 1
        for done in range(c):
            left = c - done - 1
            if done >= 3 and not self.alive:
                f = 2 * f + self.arithmetic.bit(32768)
                continue
            node = (0, 1 + f % 2, 3 + f % 4, 7)[min(done, 3)]
            edge = F(float((2 * f + 1) << left)) - F(0.5)
            f = 2 * f + step(edge, node, 9 + min(done, 3), 3, lambda g: abs(g) >> left & 1)
        return -f if negative else f


def limit16(p):
    return min(max(p, 1), 65535)
