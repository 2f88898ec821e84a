"""SPEC 9.4: method fast."""

import math

import numpy as np

import rans
from primitives import CaeError, Cursor, unzigzag

THRESHOLDS = [1, 4, 8, 12, 18, 24, 36, 52, 76, 110, 160, 240, 480, 960]
F = np.float32


class Rows:
    """SPEC 9.4.2: three outer axes and rows of n points."""

    def __init__(self, dims):
        dims = [d for d in dims if d != 1]
        self.n = dims.pop() if dims else 1
        while self.n < 32 and dims:
            self.n *= dims.pop()
        while len(dims) > 3:
            dims[:2] = [dims[0] * dims[1]]
        self.extents = [1] * (3 - len(dims)) + dims

    def index(self, at):
        _, e1, e2 = self.extents
        return (at[0] * e1 + at[1]) * e2 + at[2]

    def order(self):
        e0, e1, e2 = self.extents
        for i0 in range(e0):
            for first in range(0, e1, 4):
                abreast = min(4, e1 - first)
                for front in range(e2 + 2 * (abreast - 1)):
                    for k in range(abreast):
                        if 0 <= front - 2 * k < e2:
                            yield (i0, first + k, front - 2 * k)

    def kinds(self):
        return sorted({kind_of(at) for at in self.order()})


def kind_of(at):
    return sum(1 << a for a in range(3) if at[a] > 0)


def axes_of(kind):
    return [a for a in (2, 1, 0) if kind >> a & 1]


def ways_of(kind):
    """SPEC 9.4.3: (displacement on the outer axes, taps along the row)."""

    def away(*steps):
        out = [0, 0, 0]
        for axis, step in steps:
            out[axis] = step
        return out

    axes = axes_of(kind)
    one, two = len(axes) == 1, len(axes) == 2
    ways = [(away((a, -1)), [0, -1, 1, -2, 2] if one else [0, -1, 1]) for a in axes]
    for i, a in enumerate(axes):
        for b in axes[i + 1 :]:
            ways.append((away((a, -1), (b, -1)), [0, -1, 1] if two else [0]))
            if two:
                ways.append((away((a, 1), (b, -1)), [0]))
    ways += [(away((a, -2)), [0]) for a in axes]
    return ways


class Stencil:
    """The weights of one kind of row."""

    def __init__(self, cursor, kind):
        self.ways = ways_of(kind)
        count = sum(len(taps) for _, taps in self.ways)
        stored = cursor.u8()
        if stored > 1:
            raise CaeError("weights neither default nor stored")
        if stored:
            numbers = [cursor.varint() for _ in range(count + 1)]
            if any(z > 16384 for z in numbers):
                raise CaeError("weight")
            second, *weights = map(unzigzag, numbers)
        else:
            second = 0
            weights = ([2048, -2048] + [0] * count)[:count]
        self.second = F(second) / F(2048)
        self.first = F(2048 - second - sum(weights)) / F(2048)
        self.weights = [F(w) / F(2048) for w in weights]

    def places(self, at, extents):
        """The position of the row that each way leads to."""
        out = []
        for steps, taps in self.ways:
            place = tuple(min(max(c + s, 0), e - 1) for c, s, e in zip(at, steps, extents))
            out.append((place, taps))
        return out


class Tokens:
    """SPEC 9.4.5: the codes of each row."""

    def __init__(self, cursor, rows, ordinary):
        self.rows = rows
        self.ordinary = ordinary
        layout = cursor.u8()
        self.sparse, self.paired, lanes = layout & 1, layout & 2, layout >> 2
        if lanes > 5:
            raise CaeError("lanes")
        starts = cursor.number("H")
        if starts >> 14 or starts.bit_count() > 7:
            raise CaeError("starts")
        self.thresholds = [t for b, t in enumerate(THRESHOLDS) if starts >> b & 1]
        self.k = len(self.thresholds)
        models = rans.decode_models(cursor.block(), self.k + (6 if self.sparse else 1))
        self.excess = cursor.block()
        self.excess_at = 0
        self.stream = rans.Stream(cursor.rest(), 1 << lanes, models)
        self.magnitudes = {}
        self.last_flag = 0

    def excess_bit(self):
        if self.excess_at >= 8 * len(self.excess):
            raise CaeError("excess ends early")
        byte = self.excess[self.excess_at // 8]
        self.excess_at += 1
        return byte >> ((self.excess_at - 1) % 8) & 1

    def excess_number(self, count):
        return sum(self.excess_bit() << b for b in range(count))

    def activities(self, at, count):
        """Activities of the tokens of a row, those up to a whole group included."""
        axes = axes_of(kind_of(at))
        if not axes:
            return [24] * (count + 8)
        out = [0] * (count + 8)
        for axis in axes:
            back = list(at)
            back[axis] -= 1
            m = [0] + self.magnitudes[tuple(back)] + [0] * 9
            for t in range(count + 8):
                out[t] += m[t] + 2 * m[t + 1] + m[t + 2]
        weight = {1: 6, 2: 3, 3: 2}[len(axes)]
        return [weight * a for a in out]

    def row(self, at):
        n = self.rows.n
        begin = self.rows.index(at) * n
        ordinary = self.ordinary[begin : begin + n]
        count = (n + 1) // 2 if self.paired else n
        free = [
            not any(ordinary[2 * t : 2 * t + 2] if self.paired else [ordinary[t]])
            for t in range(count)
        ]
        activity = self.activities(at, count)
        classes = [sum(a >= t for t in self.thresholds) for a in activity[:count]]
        classes = [rans.FREE if f else c for c, f in zip(classes, free)]
        if self.sparse:
            tokens = self.sparse_row(classes, free, activity)
        else:
            tokens = self.stream.batch(classes)
        images = self.images(tokens)
        magnitude = [min(255, (z >> 1) + (z & 1)) for z in images]
        if self.paired:
            magnitude = [min(255, sum(magnitude[2 * t : 2 * t + 2])) for t in range(count)]
        self.magnitudes[at] = magnitude
        if self.paired and n % 2 and images.pop():
            raise CaeError("half beyond the row")
        return [unzigzag(z) for z in images]

    def sparse_row(self, classes, free, activity):
        count = len(classes)
        none = all(free)
        kind = rans.FREE if none else self.k + 1 + self.last_flag % 2
        flag = self.stream.batch([kind])[0]
        if not none:
            self.last_flag = flag
        if flag == 0:
            return [0] * count
        kinds = []
        for first in range(0, count, 8):
            s = sum(activity[first : first + 8])
            kind = self.k + (3 if s == 0 else 4 if s < 96 else 5)
            kinds.append(rans.FREE if all(free[first : first + 8]) else kind)
        flags = self.stream.batch(kinds)
        there = [t for t in range(count) if flags[t // 8]]
        tokens = [0] * count
        for t, token in zip(there, self.stream.batch([classes[t] for t in there])):
            tokens[t] = token
        return tokens

    def images(self, tokens):
        out = []
        for token in tokens:
            if not self.paired:
                if token > 207:
                    raise CaeError("token above 207")
                if token >= 192:
                    e = token - 192
                    token = 191 + (1 << e) + self.excess_number(e)
                out.append(token)
            else:
                for half in (token & 15, token >> 4):
                    if half == 15:
                        d = 0
                        while not self.excess_bit():
                            d += 1
                            if d > 15:
                                raise CaeError("escape")
                        half = 15 + (1 << (d + 1)) - 2 + self.excess_number(d + 1)
                    out.append(half)
        if max(out, default=0) > 65535:
            raise CaeError("image above 65535")
        return out

    def end(self):
        self.stream.end()
        spare = 8 * len(self.excess) - self.excess_at
        if spare > 7 or self.excess_number(spare):
            raise CaeError("excess left over")


def clamp(x, n):
    return min(max(x, 0), n - 1)


def decode(payload, dims, ordinary):
    n = math.prod(dims)
    cursor = Cursor(payload)
    mode = cursor.u8()
    base = cursor.number("d")
    if mode > 1 or not math.isfinite(base):
        raise CaeError("mode or base")
    if mode == 0:
        cursor.end()
        return [base] * n
    step = cursor.number("d")
    if not 0 < step < math.inf:
        raise CaeError("step")
    rows = Rows(dims)
    stencils = {kind: Stencil(cursor, kind) for kind in rows.kinds()}
    tokens = Tokens(cursor, rows, ordinary)
    values, level = {}, {}
    with np.errstate(all="ignore"):
        for at in rows.order():
            codes = tokens.row(at)
            reconstruct(at, codes, rows, stencils[kind_of(at)], ordinary, values, level)
        tokens.end()
        out = [None] * rows.index((rows.extents[0], 0, 0))
        for at, row in values.items():
            out[rows.index(at)] = row
        return [base + step * float(v) for row in out for v in row]


def reconstruct(at, codes, rows, stencil, ordinary, values, level):
    """SPEC 9.4.3: the values of one row."""
    n = rows.n
    begin = rows.index(at) * n
    codes = [c if ordinary[begin + x] else 0 for x, c in enumerate(codes)]
    places = stencil.places(at, rows.extents)
    if not any(codes) and all(level[place] for place, _ in places):
        found = {values[place][0].tobytes() for place, _ in places} or {F(0).tobytes()}
        if len(found) == 1:
            values[at] = [np.frombuffer(found.pop(), F)[0]] * n
            level[at] = True
            return
    level[at] = False
    taps = []
    numbers = iter(stencil.weights)
    for place, offsets in places:
        for offset in offsets:
            weight = next(numbers)
            if weight != 0:
                taps.append((weight, values[place], offset))
    v1 = v2 = values[places[0][0]][0] if places else F(0)
    row = []
    for x in range(n):
        if ordinary[begin + x]:
            total = F(0)
            for weight, source, offset in taps:
                total = total + weight * source[clamp(x + offset, n)]
            v = ((total + stencil.second * v2) + stencil.first * v1) + F(codes[x])
        else:
            v = v1
        row.append(v)
        v1, v2 = v, v1
    values[at] = row
