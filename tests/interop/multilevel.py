"""SPEC 9.2: method multilevel."""

import math

import numpy as np

from balanced import Balanced
from entropy import Arithmetic
from learner import Learner
from passes import Grid, halvings
from primitives import CaeError, Cursor
from small import Small

F = np.float32
FACTORS = [
    [1, 1, 1, 1],
    [1, 0.8, 0.64, 0.5],
    [1, 0.75, 0.5, 0.375],
    [1, 0.625, 0.375, 0.25],
]


class Head:
    """SPEC 9.2.1."""

    def __init__(self, cursor, extents):
        self.extents = extents
        self.real = [a for a in range(5) if extents[a] > 1]
        flags = cursor.u8()
        self.snapped = flags & 1
        self.flat = flags & 8
        self.factors = FACTORS[flags >> 4 & 3]
        self.balanced = flags >> 7
        long_step = flags & 4
        self.step = (cursor if long_step else Cursor(b"\0" * 4 + cursor.take(4))).number("d")
        if not 0 < self.step < math.inf:
            raise CaeError("step")
        self.offset = 0.0
        if flags & 64:
            self.offset = cursor.number("d")
            if not self.snapped or self.offset == 0 or not math.isfinite(self.offset):
                raise CaeError("offset")
        origin = cursor.signed()
        if abs(origin) > 1 << 52:
            raise CaeError("origin")
        self.first = self.offset + origin * self.step
        self.distance = [0] * 5
        rounds = range(max(map(halvings, extents)))
        self.order = [a for h in rounds for a in (4, 3, 2, 1, 0) if halvings(extents[a]) > h]
        if flags & 2:
            if self.flat:
                raise CaeError("order of a flat frame")
            self.read_order(cursor)

    def read_order(self, cursor):
        default = self.order
        width = (len(self.real) - 1).bit_length()
        total = len(default) * width + 4 * len(self.real)
        packed = int.from_bytes(cursor.take(-(-total // 8)), "little")

        def number(count):
            nonlocal packed
            v = packed & ((1 << count) - 1)
            packed >>= count
            return v

        places = [number(width) for _ in default]
        if max(places, default=0) >= len(self.real):
            raise CaeError("axis in the order")
        self.order = [self.real[p] for p in places]
        for a in self.real:
            self.distance[a] = number(4)
        if packed or sorted(self.order) != sorted(default):
            raise CaeError("order")
        if self.order == default and not any(self.distance):
            raise CaeError("order is the default")


class Learning:
    """SPEC 9.2.8: a learner."""

    def __init__(self):
        self.learner = Learner()

    def ask(self, around):
        return self.learner.ask(around.learning()) * np.array([64, 16], F)

    def tell(self, miss, unit):
        self.learner.tell(miss, unit)


def decode(payload, dims, ordinary, network=None, learner=None):
    n = math.prod(dims)
    extents = [d for d in dims if d != 1]
    if len(extents) > 5:
        extents = [math.prod(extents[:-4]), *extents[-4:]]
    extents = [1] * (5 - len(extents)) + extents
    cursor = Cursor(payload)
    head = Head(cursor, extents)
    if head.flat or not head.real:
        cursor.end()
        return [head.first] * n
    arithmetic = Arithmetic(cursor.rest())
    grid = Grid(extents, ordinary)
    with np.errstate(all="ignore"):
        if head.balanced and learner or not head.balanced and network:
            raise CaeError("profile")
        if head.balanced:
            kernel = Balanced(head, grid, arithmetic, network)
        else:
            kernel = Small(head, grid, arithmetic, learner)
        kernel.decode()
    arithmetic.end()
    return grid.value
