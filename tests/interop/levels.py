"""SPEC 9.4.6, 9.4.7: the levels mode of method fast."""

import itertools
import math

import numpy as np

import prefix
from primitives import CaeError, unzigzag

THRESHOLDS = [1, 5, 11, 20, 30, 43, 60, 88, 130, 190, 290, 430, 700, 1200, 2400]
F = np.float32


def four_axes(dims):
    dims = [d for d in dims if d != 1]
    while len(dims) > 4:
        dims[:2] = [dims[0] * dims[1]]
    return [1] * (4 - len(dims)) + dims


class Level:
    def __init__(self, extents, halved):
        self.extents = extents
        self.halved = halved

    def passes(self):
        axes = [a for a in range(4) if self.halved[a]]
        sets = [s for n in range(1, len(axes) + 1) for s in itertools.combinations(axes, n)]
        return sorted(sets, key=lambda s: (len(s), sum(1 << a for a in s)))

    def along(self, a, odd):
        """Positions along an axis of the points of a pass."""
        return range(1 if odd else 0, self.extents[a], 2 if self.halved[a] else 1)


def levels_of(extents, starts):
    levels = []
    while math.prod(extents) > 1:
        due = [e > 1 and s <= len(levels) for e, s in zip(extents, starts)]
        if not any(due):
            due = [e > 1 for e in extents]
        levels.append(Level(extents, due))
        extents = [-(-e // 2) if d else e for e, d in zip(extents, due)]
    return levels


def complete(axes, free):
    """{axis: [near, far]} in 512ths from the free weights."""
    free = list(free)
    numbers = [256 - sum(free)] + free
    return {a: numbers[2 * i : 2 * i + 2] for i, a in enumerate(axes)}


class Header:
    def __init__(self, cursor, extents):
        nibbles = [cursor.u8() for _ in range(2)]
        self.levels = levels_of(extents, [n >> s & 15 for n in nibbles for s in (0, 4)])
        ratio, least = cursor.u8(), cursor.u8()
        if not (1 <= ratio <= 64 and 1 <= least <= 64):
            raise CaeError("ratio or least step")
        self.steps = [F(1)]
        for _ in self.levels:
            self.steps.append(max(self.steps[-1] * (F(ratio) / F(64)), F(least) / F(64)))
        count = cursor.u8()
        if count > len(self.levels):
            raise CaeError("levels with weights")
        self.weights = []
        for level in self.levels[:count]:
            passes = {}
            for axes in level.passes():
                numbers = [cursor.varint() for _ in range(2 * len(axes) - 1)]
                if any(z > 2048 for z in numbers):
                    raise CaeError("weight")
                passes[axes] = complete(axes, map(unzigzag, numbers))
            self.weights.append(passes)

    def of(self, number, axes):
        if self.weights:
            passes = self.weights[min(number, len(self.weights) - 1)]
            if axes in passes:
                return passes[axes]
        n = len(axes)
        pair = [288 // n, -(32 // n)]
        return complete(axes, (pair * n)[1:])


def spread(near, far, k, count):
    """Weights of even positions, counted in twos, along one of the axes 0 to 2."""
    weights = {k - 1: far, k: near, k + 1: near, k + 2: far}
    if count == 1:
        return {0: sum(weights.values())}
    last = count - 1
    for beyond in (k + 2, k + 1):
        if beyond > last:
            w, d = weights.pop(beyond), beyond - last
            weights[last] = weights.get(last, 0) + (d + 1) * w
            weights[last - 1] = weights.get(last - 1, 0) - d * w
    if k == 0:
        w = weights.pop(-1)
        weights[0] = weights.get(0, 0) + 2 * w
        weights[1] = weights.get(1, 0) - w
    return dict(sorted(weights.items()))


def beside(even, i):
    """Value i of an even part, which goes on in a straight line."""
    first, last = even[0], even[-1]
    second, other = (even[1], even[-2]) if len(even) > 1 else (first, last)
    if i == -1:
        return F(2) * first - second
    if i == len(even):
        return F(2) * last - other
    if i == len(even) + 1:
        return F(3) * last - F(2) * other
    return even[i]


class Codes:
    def __init__(self, cursor, points):
        starts = cursor.number("H")
        if starts >> 15 or starts.bit_count() > 7:
            raise CaeError("starts")
        self.thresholds = [t for b, t in enumerate(THRESHOLDS) if starts >> b & 1]
        self.streams = prefix.decode_streams(cursor, len(self.thresholds) + 1, points)
        cursor.end()
        self.taken = [0] * len(self.streams)

    def part(self, ordinary, sources):
        """The codes of a part of a row and the magnitudes of its blocks."""
        codes, magnitudes = [], []
        for first in range(0, len(ordinary), 8):
            b = first // 8
            block = [0] * min(8, len(ordinary) - first)
            if any(ordinary[first : first + 8]):
                total = sum(w * m[i] for m in sources for w, i in ((1, b - 1), (2, b), (1, b + 1)) if 0 <= i < len(m))
                activity = total * (1536 // len(sources)) // 256 if sources else 0
                kind = sum(activity >= t for t in self.thresholds)
                start = self.taken[kind]
                count = len(block)
                block = self.streams[kind][start : start + count]
                if len(block) < count:
                    raise CaeError("codes of a class")
                self.taken[kind] += count
            codes += block
            magnitudes.append(sum(min(abs(c), 128) for c in block))
        return codes, magnitudes

    def end(self):
        if any(taken != len(stream) for taken, stream in zip(self.taken, self.streams)):
            raise CaeError("codes left over")


def inherited(even, odd, blocks):
    at = lambda m, b: m[b] if b < len(m) else 0
    if odd is None:
        return [m // 2 for m in even]
    return [(at(even, b // 2) + at(odd, b // 2)) // 4 for b in range(blocks)]


def decode(cursor, dims, ordinary):
    """Values in steps, in the order of the grid."""
    extents = four_axes(dims)
    header = Header(cursor, extents)
    codes = Codes(cursor, len(ordinary))
    ordinary = np.array(ordinary, bool).reshape(extents)
    with np.errstate(all="ignore"):
        read, first = codes.part([bool(ordinary[0, 0, 0, 0])], [])
        values = np.full((1, 1, 1, 1), F(0) + header.steps[-1] * F(read[0]), F)
        # Magnitudes by position of the row on axes 0 to 2, of the even and the odd part.
        magnitudes = {(0, 0, 0): [first, None]}
        scale = [1] * 4
        for level in header.levels:
            scale = [s * 2 if h else s for s, h in zip(scale, level.halved)]
        for number in reversed(range(len(header.levels))):
            level = header.levels[number]
            scale = [s // 2 if h else s for s, h in zip(scale, level.halved)]
            mask = ordinary[tuple(slice(None, None, s) for s in scale)]
            values, magnitudes = finer(level, number, header, codes, values, magnitudes, mask)
    codes.end()
    return values.reshape(-1)


def finer(level, number, header, codes, coarse, old, mask):
    values = np.zeros(level.extents, F)
    doubled = [2 if h else 1 for h in level.halved]
    values[tuple(slice(None, None, d) for d in doubled)] = coarse
    even_points = len(level.along(3, False))
    magnitudes = {}
    for at, (even, odd) in old.items():
        row = tuple(i * d for i, d in zip(at, doubled))
        magnitudes[row] = [inherited(even, odd, -(-even_points // 8)), None]
    for axes in level.passes():
        weights = {a: w for a, w in header.of(number, axes).items() if w != [0, 0]}
        odd = int(3 in axes)
        for at in itertools.product(*(level.along(a, a in axes) for a in range(3))):
            xs = level.along(3, bool(odd))
            if not xs:
                continue
            sources = []
            for a in range(3):
                away = [2 if level.halved[a] else 1]
                steps = [-away[0]] + ([-1, 1] if a in axes else [])
                for step in steps:
                    other = at[:a] + (at[a] + step,) + at[a + 1 :]
                    if 0 <= other[a] < level.extents[a]:
                        sources.append(magnitudes[other][odd])
            if odd:
                sources.append(magnitudes[at][0])
            read, found = codes.part([bool(m) for m in mask[at][xs.start :: xs.step]], sources)
            magnitudes.setdefault(at, [None, None])[odd] = found
            for c, x in zip(read, xs):
                total = F(0)
                for a, (near, far) in weights.items():
                    if a == 3:
                        even = values[at][::2]
                        taps = [(w, beside(even, x // 2 + i)) for w, i in ((far, -1), (near, 0), (near, 1), (far, 2)) if w]
                    else:
                        evens = -(-level.extents[a] // 2)
                        taps = []
                        for i, w in spread(near, far, at[a] // 2, evens).items():
                            place = at[:a] + (2 * i,) + at[a + 1 :]
                            taps.append((w, values[place][x]))
                    for w, v in taps:
                        if w:
                            total = total + F(w) / F(512) * v
                values[at][x] = total + header.steps[number] * F(c)
    return values, magnitudes
