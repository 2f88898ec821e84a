"""SPEC 9.2.4 and 9.2.5: the small profile of method multilevel."""

import itertools
import math

import numpy as np

import opinion
from passes import HUGE, Quantizer, clamp, distance_of, interpolate, passes, rint
from residual import Residuals

F = np.float32
M32 = (1 << 32) - 1


class Stencil:
    """SPEC 9.2.4."""

    def __init__(self, taps):
        self.n = taps
        self.m = np.zeros((taps, taps))
        self.t = np.zeros(taps)
        self.w = np.zeros(32)
        self.gain, self.samples, self.next = 1.0, 0, 16

    def scale(self, factor):
        self.m *= factor
        self.t *= factor

    def descend(self):
        e = self.samples * self.gain
        self.scale(30 / e if e > 30 else 1 / self.gain)
        self.samples = min(self.samples, 16)
        self.next = self.samples + 16
        self.gain = 1.0

    def predict(self, x):
        s = np.zeros(4)
        for row in (x * self.w).reshape(8, 4):
            s = s + row
        return float((s[0] + s[2]) + (s[1] + s[3]))

    def learn(self, x, y, trust):
        u = x[: self.n] * (trust * self.gain)
        self.m += np.outer(u, x[: self.n])
        self.t += u * y
        self.gain = self.gain * (1 + 1 / 4096)
        self.samples += 1
        if self.samples >= self.next:
            self.next = self.samples + min(self.samples // 4, 128)
            if self.gain > 1 << 20:
                self.scale(1 / self.gain)
                self.gain = 1.0
            self.solve()

    def solve(self):
        n = self.n
        trace = 0.0
        for i in range(n):
            trace += float(self.m[i, i])
        ridge = (1 / 2048) * trace / n + 1e-6 * self.gain
        m, t = self.m.copy(), self.t.copy()
        inverse, z = [], []
        for i in range(n):
            m[i, i] = self.m[i, i] + ridge
        for j in range(n):
            s = float(m[j, j])
            if not 0 < s < math.inf:
                return
            inverse.append(1 / math.sqrt(s))
            column = m[j + 1 :, j] * inverse[j]
            m[j + 1 :, j] = column
            # The upper triangle is changed too and never read.
            m[j + 1 :, j + 1 :] -= np.outer(column, column)
            z.append(float(t[j]) * inverse[j])
            t[j + 1 :] -= column * z[j]
        v = [0.0] * n
        for i in range(n - 1, -1, -1):
            s = z[i]
            for k in range(i + 1, n):
                s -= float(m[k, i]) * v[k]
            v[i] = s * inverse[i]
        if all(abs(value) < 1e6 for value in v):
            self.w[:n] = v


def bin_of(x, c, n):
    if math.isnan(x):
        return n - 1
    bits = int(np.abs(F(x)).view(np.uint32))
    return min(n - 1, max(0, (bits >> 21) - 484) >> c)


def signed_bin(x, c, n):
    return 2 * bin_of(x, c, n) + (1 if x < 0 else 0)


def cap(k, m):
    return clamp(k, -m, m) + m


def hash4(s, a, b, c):
    h = ((s + 1) * 0x9E3779B1 & M32) ^ ((a & M32) * 0x85EBCA6B & M32)
    h = ((h ^ (h >> 16)) + b) * 0xC2B2AE35 & M32
    return ((h ^ (h >> 15)) + c) * 0x27D4EB2F & M32


class Small:
    """SPEC 9.2.5, and 9.2.8 where there is a learner."""

    def __init__(self, head, grid, arithmetic, learner=None):
        self.head, self.grid, self.learner = head, grid, learner
        self.asked = {}
        points = math.prod(grid.extents)
        row_bits = clamp(points.bit_length() - 5, 5, 10)
        self.residuals = Residuals(arithmetic, 10, (32, 40, 27), 3, 24, 64, row_bits)
        self.misses = [(F(0), F(0))] * points
        self.cells = {}
        self.stencils = {}
        self.fallback = head.first
        if grid.ordinary[0]:
            k = self.residuals.decode([M32] * 10, (0, 0, 0), [(F(0), F(1))] * 3, 0)
            origin = Quantizer(head.step, head.offset, head.snapped).point(head.first, k)
            grid.value[0] = self.fallback = origin
            grid.code[0] = clamp(k, -32767, 32767)

    def decode(self):
        for one in passes(self.head):
            taps = tuple(one.taps)
            if taps in self.stencils:
                self.stencils[taps].descend()
            else:
                self.stencils[taps] = Stencil(len(taps))
            self.stencil = self.stencils[taps]
            near = [t for t in one.taps if all(abs(d) != 3 for d in t)]
            near.sort(key=lambda delta: distance_of(self.head, delta))
            causal = one.causal(self.head.real[:-4:-1])
            for at in itertools.product(*one.points):
                if self.grid.ordinary[self.grid.index(at)]:
                    self.point(one, at, near[:16], causal)

    def point(self, one, at, near, causal):
        grid, inverse = self.grid, one.inverse
        places = [grid.neighbor(at, d, one.unit) for d in one.taps]
        values = grid.values(places)
        cubic = interpolate(values, self.fallback)
        x = np.zeros(32)
        for i, v in enumerate(values):
            if v is not None:
                feature = (v - cubic) * inverse
                if abs(feature) < 1e12:
                    x[i] = feature
        low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
        margin = (high - low) * 0.5
        learned = clamp(self.stencil.predict(x), low - margin, high + margin)

        near = [grid.neighbor(at, d, one.unit) for d in near]
        causal = [grid.neighbor(at, d, one.unit) for d in causal]
        miss = [F(0.001), F(0.001)]
        weight = F(0.01)
        factors = [F(2 if i < 6 else 1) for i in range(len(near))] + [F(3)] * len(causal)
        for i, f in zip(near + causal, factors):
            if i is not None:
                miss = [a + f * b for a, b in zip(miss, self.misses[i])]
                weight = weight + f
        own = F(0.001)
        for i, f in zip(near + causal, factors):
            if i is not None:
                own = own + f * self.asked.get(i, (F(0), F(0)))[0]
        miss = [a / weight for a in miss]
        trust = [float(F(1) / (a * a + F(0.0001))) for a in miss]
        shift = learned * (trust[0] / (trust[0] + trust[1]))
        spread = F(high - low) * F(0.25)
        best, scale = learned, None
        near_codes, past_codes = grid.codes(near), grid.codes(causal)
        quiet = miss[0] < 1 / 32 and not any(near_codes[:6] + past_codes)
        if self.learner and not quiet:
            told = [self.asked.get(i, (F(0), F(0))) for i in (near + [None] * 6)[:6] + causal]
            around = opinion.Around(x, learned, spread, miss, told, min(one.level, 3), one.kind // 4)
            moved, scale = opinion.answer(self.learner.ask(around), miss)
            best = clamp(learned + moved, low - margin, high + margin)
            own = own / weight
            third = float(F(1) / (own * own + F(0.0001)))
            shift = (learned * trust[0] + best * third) / (trust[0] + trust[1] + third)
        prediction = cubic + shift * one.quantizer.step
        if not abs(prediction) <= HUGE:
            prediction = self.fallback

        past_bin = bin_of(F(sum(map(abs, past_codes))) / F(32), 1, 24)
        miss_bin = bin_of(miss[0], 0, 40)
        ahead, back = F(best - shift), F(-shift)
        cell = (one.kind, miss_bin, bin_of(spread, 2, 12))
        mean, count = self.cells.get(cell, (F(1), F(1)))
        mean_bin = bin_of(mean if scale is None else scale * F(1.386), 0, 40)
        w, north, up = (past_codes + [0, 0])[:3]
        n = (near_codes + [0] * 6)[:6]

        def toward(i):
            if i is None:
                return 40
            if not grid.ordinary[i]:
                return 0
            return int(rint(clamp((grid.value[i] - prediction) * inverse, -20.0, 20.0))) & M32

        kl, kr, kw = toward(places[0]), toward(places[1]), toward(causal[0])
        kn = toward(causal[1]) if len(causal) > 1 else 41
        value = int(clamp(prediction * inverse * 0.125, -1e6, 1e6)) & M32
        digits = 0
        for code in n:
            digits = 3 * digits + cap(code, 1)
        contexts = [
            hash4(8, bin_of(spread, 0, 60), past_bin, 0),
            hash4(0, kl, kr, 0),
            hash4(3, cap(w, 4), cap(north, 4), cap(up, 2)),
            hash4(2, kw, kn, 0),
            hash4(6, signed_bin(ahead, 1, 20), signed_bin(back, 1, 20), 0),
            hash4(12, kl, kw, 0),
            hash4(13, kr, kw, cap(n[0], 1)),
            hash4(14, value, 0, 0),
            hash4(17, digits, 0, 0),
            hash4(18, kl * 64 + kr, kw, 0),
        ]
        selectors = (one.kind, mean_bin, 9 * cap(w, 1) + 3 * cap(north, 1) + cap(n[0], 1))
        experts = [
            (F(0), F(1.386) / (mean + F(0.02))),
            (ahead, F(1.386) / (miss[0] + F(0.05)) if scale is None else F(1) / scale),
            (back, F(1.386) / (miss[1] + F(0.05))),
        ]
        k = self.residuals.decode(contexts, selectors, experts, mean_bin)
        i = grid.index(at)
        grid.value[i] = self.fallback = one.quantizer.point(prediction, k)
        grid.code[i] = clamp(k, -32767, 32767)
        truth = (grid.value[i] - cubic) * inverse
        self.misses[i] = (F(min(abs(truth - learned), 1e6)), F(min(abs(truth), 1e6)))
        if self.learner:
            if not quiet:
                self.learner.tell(F(truth - learned), miss[0] + F(0.05))
            error = F(clamp(truth - learned, -1e6, 1e6))
            self.asked[i] = (F(min(abs(truth - best), 1e6)), error)
        after = count + F(1) if count < 60 else count
        shifted = mean + (F(min(abs(k), 10**6)) - mean) / (after + F(1))
        self.cells[cell] = (shifted, after)
        if quiet and abs(truth - learned) < 1 / 32:
            return
        noise = float(miss[0]) + 0.5
        self.stencil.learn(x, clamp(truth, -1e9, 1e9), 1 / (noise * noise))
