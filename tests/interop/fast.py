"""SPEC 9.4: method fast."""

import itertools
import math

import numpy as np

import levels
import prefix
import snapped
from primitives import CaeError, Cursor, unzigzag

THRESHOLDS = [1, 5, 11, 20, 30, 43, 60, 88, 130, 190, 290, 430, 700, 1200, 2400]
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
        return itertools.product(*map(range, self.extents))

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
        second = F(second) / F(2048)
        first = F(2048 - int(second * F(2048)) - sum(weights)) / F(2048)
        self.one, self.two = [first], [second]
        for j in range(7):
            self.one.append(first * self.one[j] + self.two[j])
            self.two.append(second * self.one[j])
        self.weights = [F(w) / F(2048) for w in weights]

    def places(self, at, extents):
        """The position of the row that each way leads to."""
        out = []
        for steps, taps in self.ways:
            place = tuple(min(max(c + s, 0), e - 1) for c, s, e in zip(at, steps, extents))
            out.append((place, taps))
        return out


class Codes:
    """SPEC 9.4.4: the codes of each row."""

    def __init__(self, cursor, rows, ordinary):
        self.rows = rows
        self.ordinary = ordinary
        starts = cursor.number("H")
        if starts >> 15 or starts.bit_count() > 7:
            raise CaeError("starts")
        self.thresholds = [t for b, t in enumerate(THRESHOLDS) if starts >> b & 1]
        streams = prefix.decode_streams(cursor, len(self.thresholds) + 1, len(ordinary))
        cursor.end()
        self.streams = streams
        self.taken = [0] * len(streams)
        self.magnitudes = {}

    def activity(self, at, b, here):
        """Activity of block b; `here` are the magnitudes of the blocks of its row before it."""
        axes = axes_of(kind_of(at))
        if not axes:
            before = [0, 0] + here
            return 6 * (3 * before[-1] + before[-2])
        total = 0
        for axis in axes:
            back = list(at)
            back[axis] -= 1
            m = [0] + self.magnitudes[tuple(back)] + [0]
            total += m[b] + 2 * m[b + 1] + m[b + 2]
        return total * {1: 6, 2: 3, 3: 2}[len(axes)]

    def row(self, at):
        n = self.rows.n
        begin = self.rows.index(at) * n
        codes, here = [], []
        for first in range(0, n, 8):
            count = min(8, n - first)
            block = [0] * count
            if any(self.ordinary[begin + first : begin + first + count]):
                activity = self.activity(at, first // 8, here)
                kind = sum(activity >= t for t in self.thresholds)
                start = self.taken[kind]
                block = self.streams[kind][start : start + count]
                if len(block) < count:
                    raise CaeError("codes of a class")
                self.taken[kind] += count
            codes += block
            here.append(sum(min(abs(c), 128) for c in block))
        self.magnitudes[at] = here
        return codes

    def end(self):
        if any(taken != len(stream) for taken, stream in zip(self.taken, self.streams)):
            raise CaeError("codes left over")


def clamp(x, n):
    return min(max(x, 0), n - 1)


def decode(payload, dims, ordinary):
    n = math.prod(dims)
    cursor = Cursor(payload)
    mode = cursor.u8()
    if mode == 3:
        return snapped.decode(cursor, n, ordinary)
    base = cursor.number("d")
    if mode > 2 or not math.isfinite(base):
        raise CaeError("mode or base")
    if mode == 0:
        cursor.end()
        return [base] * n
    step = cursor.number("d")
    if not 0 < step < math.inf:
        raise CaeError("step")
    if mode == 2:
        return [base + step * float(v) for v in levels.decode(cursor, dims, ordinary)]
    rows = Rows(dims)
    stencils = {kind: Stencil(cursor, kind) for kind in rows.kinds()}
    reader = Codes(cursor, rows, ordinary)
    values, level = {}, {}
    with np.errstate(all="ignore"):
        for at in rows.order():
            codes = reader.row(at)
            reconstruct(at, codes, rows, stencils[kind_of(at)], ordinary, values, level)
        reader.end()
        out = [None] * rows.index((rows.extents[0], 0, 0))
        for at, row in values.items():
            out[rows.index(at)] = row
        return [base + step * float(v) for row in out for v in row]


def reconstruct(at, codes, rows, stencil, ordinary, values, level):
    """SPEC 9.4.3: the values of one row."""
    n = rows.n
    begin = rows.index(at) * n
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
    u = []
    for x in range(n):
        total = F(0)
        for weight, source, offset in taps:
            total = total + weight * source[clamp(x + offset, n)]
        u.append(total + F(codes[x]))
    one, two = stencil.one, stencil.two
    v1 = v2 = values[places[0][0]][0] if places else F(0)
    row = []
    for s in range(0, n, 8):
        step = u[s : s + 8]
        if all(ordinary[begin + s : begin + s + len(step)]):
            w = []
            for j, number in enumerate(step):
                for i in range(3):
                    inside = j % 4 > i
                    number = number + one[i] * (step[j - 1 - i] if inside else F(0))
                if j >= 4:
                    number = (number + two[j - 4] * w[2]) + one[j - 4] * w[3]
                w.append(number)
            new = [(w[j] + two[j] * v2) + one[j] * v1 for j in range(len(step))]
            row += new
            v2, v1 = ([v2, v1] + new)[-2:]
            continue
        for j, number in enumerate(step):
            v = (number + two[0] * v2) + one[0] * v1 if ordinary[begin + s + j] else v1
            row.append(v)
            v1, v2 = v, v1
    values[at] = row
