"""SPEC 8.2.4: residuals, coded in contexts with experts."""

import numpy as np

from entropy import Counters, Mixer, Refiner, squash, stretch, tail

F = np.float32
M32 = (1 << 32) - 1


def row_of(context, part, row_bits):
    h = (context + part * 0x9E3779B1) * 0x85EBCA6B & M32
    h = (h ^ (h >> 15)) * 0x2C1B3C6D & M32
    return h >> (32 - row_bits)


def expert_input(p):
    scaled = p * F(65536)
    if not scaled > 64:
        return stretch(64)
    return stretch(65471 if scaled >= 65471 else int(scaled))


class Residuals:
    def __init__(self, arithmetic, contexts, selectors, experts, inputs, refinements, row_bits):
        self.arithmetic = arithmetic
        self.row_bits = row_bits
        self.count = experts
        self.inputs = inputs
        slots = 8 << row_bits
        self.slow = [Counters(slots) for _ in range(contexts)]
        self.fast = [Counters(slots) for _ in range(contexts)]
        weights = [F(0.6) / F(contexts)] * (2 * contexts) + [F(0.25) / F(experts)] * experts
        weights += [F(0)] * (inputs - len(weights))
        self.mixers = [Mixer(weights, 16 * n, 0.002, 0.02) for n in selectors]
        weights = [F(1) / F(len(selectors))] * len(selectors)
        self.last = Mixer(weights + [F(0)] * (8 - len(weights)), 16, 0.0015, 0.01)
        weights = [F(0.3) / F(4)] * 8 + [F(0.4) / F(experts)] * experts
        self.light = Mixer(weights + [F(0)] * (16 - len(weights)), 16, 0.002, 0.02)
        self.refiners = [Refiner(16 * refinements), Refiner(1024)]

    def part(self, part):
        self.rows = [row_of(context, part, self.row_bits) for context in self.contexts]

    def counters(self, node, count):
        at = [8 * row + node for row in self.rows[:count]]
        inputs = []
        for slow, fast, i in zip(self.slow, self.fast, at):
            inputs += [stretch(slow.p16(i)), stretch(fast.p16(i))]
        return at, inputs

    def learn(self, at, bit):
        for slow, fast, i in zip(self.slow, self.fast, at):
            slow.update(i, bit, 400)
            fast.update(i, bit, 16)

    def bit(self, node, kind, experts):
        at, inputs = self.counters(node, len(self.rows))
        inputs += [expert_input(p) for p in experts] + [F(0.25)]
        inputs += [F(0)] * (self.inputs - len(inputs))
        outputs = [m.mix(inputs, 16 * s + kind) for m, s in zip(self.mixers, self.selectors)]
        outputs.append(F(0.25))
        x = self.last.mix(outputs + [F(0)] * (8 - len(outputs)), kind)
        a = self.refiners[0].refine(x, 16 * self.refinement + kind)
        b = self.refiners[1].refine(x, at[0] % 1024)
        bit = self.arithmetic.bit(min(max((2 * squash(x) + a + b) // 4, 1), 65535))
        self.learn(at, bit)
        for part in (*self.mixers, self.last, *self.refiners):
            part.update(bit)
        return bit

    def light_bit(self, node, kind, experts):
        at, inputs = self.counters(node, 4)
        inputs += [expert_input(p) for p in experts] + [F(0.25)]
        x = self.light.mix(inputs + [F(0)] * (16 - len(inputs)), kind)
        bit = self.arithmetic.bit(squash(x))
        self.learn(at, bit)
        self.light.update(bit)
        return bit

    def decode(self, contexts, selectors, experts, refinement):
        """A number; `experts` are pairs of a center and an inverse scale."""
        self.contexts, self.selectors, self.refinement = contexts, selectors, refinement
        centers, scales = zip(*experts)

        def above(x):
            return [tail((x - c) * v) for c, v in zip(centers, scales)]

        over = above(F(0.5))
        under = [tail((c - F(-0.5)) * v) for c, v in zip(centers, scales)]
        self.part(0)
        if self.bit(0, 0, [F(1) - b - a for a, b in zip(over, under)]):
            return 0
        negative = self.bit(1, 1, [b / (b + a) for a, b in zip(over, under)])
        if negative:
            centers = [-c for c in centers]
        low = under if negative else over
        high = [F(0)] * self.count
        size = 0
        while size < 30:
            following = above(F(2.0 ** (size + 1)) - F(0.5))
            p = [n / a for n, a in zip(following, low)]
            if size == 6:
                self.part(64)
            node = 2 + size if size < 6 else min(size - 6, 7)
            kind = 2 + size if size < 6 else 8
            mixed = F(0.03) <= p[0] <= F(1) - F(0.03)
            if not (self.bit if mixed else self.light_bit)(node, kind, p):
                high = following
                break
            low = following
            size += 1
        self.part(size)
        found = 1
        for done in range(size):
            left = size - done - 1
            middle = above(F(float((2 * found + 1) << left)) - F(0.5))
            p = [(m - b) / (a - b) for m, a, b in zip(middle, low, high)]
            node = (0, 1 + found % 2, 3 + found % 4, 7)[min(done, 3)]
            if self.light_bit(node, 9 + min(done, 3), p):
                low = middle
                found = 2 * found + 1
            else:
                high = middle
                found = 2 * found
        return -found if negative else found
