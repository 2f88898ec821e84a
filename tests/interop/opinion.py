"""SPEC 9.2.7, 9.2.8 and 9.3.7: what a network in the loop is told, and what its answer means."""

import math

import numpy as np

from learner import Learner
from passes import clamp

F = np.float32


def whole(x):
    return np.rint(np.clip(x, F(-1023), F(1023)))


def log(x):
    return F(clamp(((int(F(x).view(np.uint32)) >> 21) - 508) * 8, -1023, 1023))


class Around:
    """What is around a point; `told` holds the learner's miss and the stencil's error of each neighbor."""

    def __init__(self, features, learned, spread, miss, told, level, axis):
        self.features, self.learned, self.told = features.astype(F), F(learned), told
        self.unit, self.wide, self.ratio = miss[0] + F(0.05), spread + F(0.1), miss[1] + F(0.05)
        self.level, self.axis = level, axis

    def logs(self):
        return [log(self.unit), log(self.wide), log(self.ratio / self.unit)]

    def learning(self):
        by_wide, by_unit = F(1) / self.wide, F(1) / self.unit
        x = np.zeros(48, F)
        x[:16] = self.features[:16] * by_wide
        for i, (own, error) in enumerate(self.told):
            x[16 + i], x[25 + i] = error * by_unit, own * by_unit
        x[34], x[35] = self.learned * by_wide, self.learned * by_unit
        x = np.clip(x, F(-8), F(8))
        x[36:39] = [a / F(128) for a in self.logs()]
        x[39 + self.level] = x[43 + self.axis] = 1
        return x


def octaves(y):
    return np.uint32((2032 + math.floor(clamp(float(y), -128.0, 96.0))) << 19).view(F)


def answer(y, miss):
    """How far the value lies from the stencil's prediction, and the scale of the expectation, in steps: of the learner."""
    unit = miss[0] + F(0.05)
    moved = np.clip(F(y[0]), F(-32768), F(32768)) * F(1 / 64) * unit
    return float(moved), unit * octaves(y[1])


class Stream:
    """SPEC 9.3.7: the learner of a raster stream."""

    def __init__(self, points):
        self.learner = Learner()
        self.misses = np.zeros((points, 2), F)

    def ask(self, i, back, T, near, slow, others, errors, places):
        """What it expects, and the scale of that; `near` are the counts of taps that count twice, and that count."""
        told = [self.misses[i - d] if d else np.zeros(2, F) for d in back]
        total = weights = F(0)
        for j in range(near[1]):
            weight = F(2 if j < near[0] else 1)
            total += weight * abs(told[j][0])
            weights += weight
        self.unit = total / weights + F(0.05)
        d = [F(t - slow) for t in T[:12]]
        wide = F(0)
        for a in d:
            wide += abs(a)
        wide = wide * F(0.125) + F(0.1)
        by_wide, by_unit = F(1) / wide, F(1) / self.unit
        x = np.zeros(48, F)
        x[:12] = np.array(d) * by_wide
        x[12:17] = [F(y - slow) * by_unit for y in others]
        x[17:35] = np.concatenate(told[:9]) * by_unit
        x[42 : 42 + len(places)] = [F(y - slow) * by_wide for y in places]
        x = np.clip(x, F(-8), F(8))
        x[35:40] = [log((F(m) + F(0.05)) * by_unit) / F(128) for m in errors]
        x[40], x[41] = log(self.unit) / F(128), log(wide) / F(128)
        y = self.learner.ask(x)
        self.expected = slow + float(np.clip(y[0], F(-512), F(512)) * self.unit)
        return self.expected, self.unit * octaves(y[1] * F(16))

    def tell(self, i, v, slow):
        self.misses[i] = [F(clamp(v - y, -1e6, 1e6)) for y in (slow, self.expected)]
        self.learner.tell(F(v - slow), self.unit)


class Neighbors:
    """SPEC 9.2.7: misses and codes of nine neighbors."""

    def __init__(self, misses, codes, inside):
        self.misses, self.codes = misses, codes
        m = [abs(e) for e in misses]
        beside = ((m[0] + m[1]) + (m[2] + m[3])) + (m[4] + m[5])
        total = F(2) * beside + F(3) * ((m[6] + m[7]) + m[8])
        self.unit = (total + F(0.001)) / (F(inside) + F(0.01)) + F(0.25)
        self.quiet = total < 2 and not any(codes)

    def inputs(self, d, level, axis):
        wide = (max(F(0), d.max()) - min(F(0), d.min())) * F(0.25) + F(0.1)
        by_wide, by_unit = F(128) / wide, F(128) / self.unit
        x = np.zeros(46, F)
        x[:16] = whole(d * by_wide)
        x[16] = whole((d[0] + d[1]) * F(0.5) * by_unit)
        for i, (e, c) in enumerate(zip(self.misses, self.codes)):
            x[17 + 2 * i], x[18 + 2 * i] = whole(e * by_unit), whole(F(c) * by_unit)
        x[35], x[36] = log(self.unit), log(wide)
        x[37 + level] = x[41 + axis] = 128
        return x

    def answer(self, y):
        shift = np.clip(F(y[0]), F(-1024), F(1024)) * F(1 / 64) * self.unit
        return float(shift), self.unit * octaves(y[1])
