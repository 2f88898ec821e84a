"""SPEC 9.2.7: what a network in the loop is told, and what its answer means."""

import math

import numpy as np

from passes import clamp

F = np.float32


def whole(x):
    return np.rint(np.clip(x, F(-1023), F(1023)))


def log(x):
    return F(clamp(((int(F(x).view(np.uint32)) >> 21) - 508) * 8, -1023, 1023))


def inputs(features, learned, spread, miss, told, level, axis):
    unit, wide = miss[0] + F(0.05), spread + F(0.1)
    by_wide, by_unit = F(128) / wide, F(128) / unit
    x = np.zeros(55, F)
    x[:32] = whole(features.astype(F) * by_wide)
    x[32] = whole(F(learned) * by_wide)
    for i, error in enumerate(told):
        x[33 + i] = whole(error * by_unit)
    x[42:45] = log(unit), log(wide), log((miss[1] + F(0.05)) / unit)
    x[45] = whole(F(learned) * by_unit)
    x[46 + level] = x[50 + axis] = 128
    return x


def answer(y, miss):
    """How far the value lies from the stencil's prediction, and the scale of the expectation, in steps."""
    unit = miss[0] + F(0.05)
    moved = np.clip(F(y[0]), F(-32768), F(32768)) * F(1 / 64) * unit
    power = np.uint32((2032 + math.floor(clamp(float(y[1]), -128.0, 96.0))) << 19).view(F)
    return float(moved), unit * power
