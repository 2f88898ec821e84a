"""SPEC 9.2.7 and 9.2.8: what a network in the loop is told, and what its answer means."""

import math

import numpy as np

from passes import clamp

F = np.float32


def whole(x):
    return np.rint(np.clip(x, F(-1023), F(1023)))


def log(x):
    return F(clamp(((int(F(x).view(np.uint32)) >> 21) - 508) * 8, -1023, 1023))


class Around:
    """What is around a point; `told` holds the network's miss and the stencil's error of each neighbor."""

    def __init__(self, features, learned, spread, miss, told, level, axis):
        self.features, self.learned, self.told = features.astype(F), F(learned), told
        self.unit, self.wide, self.ratio = miss[0] + F(0.05), spread + F(0.1), miss[1] + F(0.05)
        self.level, self.axis = level, axis

    def logs(self):
        return [log(self.unit), log(self.wide), log(self.ratio / self.unit)]

    def trained(self):
        by_wide, by_unit = F(128) / self.wide, F(128) / self.unit
        x = np.zeros(55, F)
        x[:32] = whole(self.features * by_wide)
        x[32] = whole(self.learned * by_wide)
        for i, (_, error) in enumerate(self.told):
            x[33 + i] = whole(error * by_unit)
        x[42:45] = self.logs()
        x[45] = whole(self.learned * by_unit)
        x[46 + self.level] = x[50 + self.axis] = 128
        return x

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


def answer(y, miss):
    """How far the value lies from the stencil's prediction, and the scale of the expectation, in steps."""
    unit = miss[0] + F(0.05)
    moved = np.clip(F(y[0]), F(-32768), F(32768)) * F(1 / 64) * unit
    power = np.uint32((2032 + math.floor(clamp(float(y[1]), -128.0, 96.0))) << 19).view(F)
    return float(moved), unit * power
