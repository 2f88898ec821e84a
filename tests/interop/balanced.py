"""SPEC 9.2.6: the balanced profile of method multilevel."""

import itertools
import math

import numpy as np

from entropy import Counters, Mixer, squash, stretch
from opinion import Neighbors
from passes import HUGE, Pass, clamp, halvings, interpolate, passes
from small import bin_of

F = np.float32
M32 = (1 << 32) - 1


def octave(m):
    if m < 4:
        return m
    t = m.bit_length() - 1
    return 2 * t + (m >> (t - 1) & 1)


def sign(k):
    return (k > 0) - (k < 0) + 1


ROWS = [1280, 375, 441, 441, 1323, 243, 1024]


class Balanced:
    """SPEC 9.2.6, and 9.2.7 where there is a network in the loop."""

    def __init__(self, head, grid, arithmetic, network=None):
        self.head, self.grid, self.arithmetic = head, grid, arithmetic
        self.network, self.asked = network, False
        self.misses = {}
        self.counters = [Counters(8 * rows) for rows in [*ROWS, 800]]
        self.mixer = Mixer([0.3] * 7 + [0.3 if network else 0.0], 32, 0.003, 0.02)
        self.silence = Counters(20 * 4)
        self.lengths = Counters(36 * 32)
        self.places = Counters(24 * 24 * 32)
        self.signs = Counters(27)
        self.tops = Counters(31 * 3)
        self.last = head.first

    def decode(self):
        origin = Pass(self.head, 0, 3, [1 << halvings(n) for n in self.head.extents])
        origin.points = [range(1)] * 5
        origin.size = 1
        for one in itertools.chain([origin], passes(self.head)):
            self.weights = None
            if one.size >= 2048 and len(one.taps) == 16 and self.arithmetic.bit(32768):
                self.weights = [(self.even(10) - 512) / 256 for _ in range(16)]
            self.taps = one.taps if self.weights else one.taps[:4]
            self.direct = self.direct_weights()
            self.causal = one.causal((4, 3, 2))
            self.around = one.taps[:16]
            self.asked = self.network is not None and one is not origin
            above = []
            for line in itertools.product(*one.points[:4]):
                above = self.line(one, line, above)

    def even(self, count):
        v = 0
        for _ in range(count):
            v = 2 * v + self.arithmetic.bit(32768)
        return v

    def direct_weights(self):
        rest = 1.0
        for w in self.weights or []:
            rest = rest - w
        out = list(self.weights or [0.0] * 4)
        for t, c in enumerate((0.5625, 0.5625, -0.0625, -0.0625)):
            out[t] = out[t] + c * rest
        return out

    def line(self, one, line, above):
        silent = []
        points = one.points[4]
        for place, begin in enumerate(range(0, len(points), 16)):
            before = silent[-1] if silent else 0
            upper = above[place] if above else 0
            at = 4 * one.kind + 2 * before + upper
            flag = self.arithmetic.bit(clamp(self.silence.p16(at), 1, 65535))
            self.silence.update(at, flag, 127)
            silent.append(flag)
            fallback = self.last
            for c in points[begin : begin + 16]:
                self.point(one, (*line, c), fallback, flag)
        return silent

    def point(self, one, at, fallback, flag):
        grid = self.grid
        i = grid.index(at)
        if not grid.ordinary[i]:
            return
        stencil = prediction = self.predict(one, at, fallback)
        self.scale = None
        if self.asked:
            prediction = self.ask(one, at, stencil)
        k = 0 if flag else self.correction(one, at, prediction)
        grid.value[i] = self.last = one.quantizer.point(prediction, k)
        grid.code[i] = clamp(k, -32767, 32767)
        self.misses[i] = F(clamp((grid.value[i] - stencil) * one.inverse, -1e6, 1e6))

    def ask(self, one, at, stencil):
        """The prediction; sets the scale."""
        grid = self.grid
        beside = [self.around[t] for t in (0, 1, 4, 5, 6, 7) if t < len(self.around)]
        places = [grid.neighbor(at, d, one.unit) for d in beside]
        places += [None] * (6 - len(beside)) + [grid.neighbor(at, d, one.unit) for d in self.causal]
        misses = [self.misses.get(i, F(0)) for i in places]
        codes = [0 if i is None else grid.code[i] for i in places]
        inside = sum(0 if i is None else 2 if n < 6 else 3 for n, i in enumerate(places))
        told = Neighbors(misses, codes, inside)
        if told.quiet:
            self.scale = F(1 / 64)
            return stencil
        d = np.zeros(16, F)
        for t, value in enumerate(grid.values([grid.neighbor(at, d, one.unit) for d in self.around])):
            if value is not None:
                feature = F((value - stencil) * one.inverse)
                if abs(feature) < F(1e12):
                    d[t] = feature
        level, axis = min(one.level, 3), one.kind // 4
        shift, self.scale = told.answer(self.network.run(told.inputs(d, level, axis)[None])[0])
        moved = stencil + shift * one.quantizer.step
        return moved if abs(moved) < HUGE else stencil

    def predict(self, one, at, fallback):
        places = [self.grid.neighbor(at, d, one.unit) for d in self.taps]
        values = self.grid.values(places)
        if None not in places:
            v = [math.nan if value is None else value for value in values]
            s = [d * u for d, u in zip(self.direct[:4], v)]
            for t in range(4, len(v)):
                s[t % 4] += self.direct[t] * v[t]
            p = (s[0] + s[2]) + (s[1] + s[3])
            if abs(p) < HUGE:
                return p
        p = interpolate(values, fallback)
        if self.weights:
            cubic, total = p, 0.0
            for w, v in zip(self.weights, values):
                if v is not None and abs(v - cubic) < HUGE:
                    total += w * (v - cubic)
            p = cubic + total
        return p if abs(p) < HUGE else fallback

    def plain(self, counters, i):
        bit = self.arithmetic.bit(clamp(counters.p16(i), 32, 65504))
        counters.update(i, bit, 31)
        return bit

    def exceeds(self, bits, place):
        one, other = 32 * self.loud + bits, 32 * place + bits
        p = (self.lengths.p16(one) + self.places.p16(other)) >> 1
        bit = self.arithmetic.bit(clamp(p, 32, 65504))
        self.lengths.update(one, bit, 31)
        self.places.update(other, bit, 31)
        return bit

    def mixed(self, node):
        at = [8 * row + node for row in self.rows]
        inputs = [stretch(c.p16(i)) for c, i in zip(self.counters, at)]
        inputs += [F(0.25)] * (8 - len(inputs))
        x = self.mixer.mix(inputs, 4 * node + self.loud // 2)
        bit = self.arithmetic.bit(squash(x))
        for c, i in zip(self.counters, at):
            c.update(i, bit, 127)
        self.mixer.update(bit)
        return bit

    def correction(self, one, at, prediction):
        grid, inverse = self.grid, one.inverse
        deltas = one.taps[:2] + self.causal
        places = [grid.neighbor(at, d, one.unit) for d in deltas]
        l, r, w, n, u = grid.codes(places)
        L, R, W_, N, U = map(abs, (l, r, w, n, u))
        sides, before = L + R, 2 * (W_ + N) + U

        def toward(i):
            if i is None:
                return 20
            if not grid.ordinary[i]:
                return 0
            return int(clamp((grid.value[i] - prediction) * inverse, -10.0, 9.0) + 10.5)

        kl, kr, kw, kn = (toward(i) for i in places[:4])
        signs = 9 * sign(l) + 3 * sign(r) + sign(w)
        self.loud = octave(sides + before)
        if self.scale is not None:
            self.loud = octave(int(min(self.scale * F(10), F(200000))))
        if self.loud >= 8:
            place = 24 * min(octave(sides), 23) + min(octave(before), 23)
            bits = (self.loud - 5) // 2
            if self.exceeds(bits, place):
                bits += 1
                while bits < 31 and self.exceeds(bits, place):
                    bits += 1
            else:
                while bits > 0 and not self.exceeds(bits - 1, place):
                    bits -= 1
            if bits == 0:
                return 0
            negative = self.plain(self.signs, signs)
            length = bits - 1
        else:
            value = int(clamp(prediction * inverse * 0.125, -1e6, 1e6))
            self.rows = [
                one.kind * 64 + min(octave(sides), 7) * 8 + min(octave(before), 7),
                ((min(W_, 4) * 5 + min(N, 4)) * 3 + min(U, 2)) * 5 + min(sides, 4),
                21 * kl + kr,
                21 * kw + kn,
                (21 * kl + kw) * 3 + min(sides, 2),
                (signs * 3 + sign(n)) * 3 + min(before, 2),
                (value * 0x9E3779B1 & M32) >> 22,
            ]
            if self.scale is not None:
                self.rows.append(40 * one.kind + bin_of(self.scale, 0, 40))
            if self.mixed(0):
                return 0
            negative = self.mixed(1)
            length = 0
            while length < 30:
                more = self.mixed(2 + length) if length < 6 else self.plain(self.lengths, length)
                if not more:
                    break
                length += 1
        k = 1
        for done in range(length):
            if done == 0:
                bit = self.plain(self.tops, 3 * length)
            elif done == 1:
                bit = self.plain(self.tops, 3 * length + 1 + (k & 1))
            else:
                bit = self.arithmetic.bit(32768)
            k = 2 * k + bit
        k = min(k, 1 << 30)
        return -k if negative else k
