"""SPEC 7.2: exponents."""

from contexts import DecisionModel, IntegerModel, Neighbors, neighbor
from entropy import Arithmetic
from primitives import CaeError, Cursor, bits, bunzip, unzigzag

PLUS_ZERO = "+0"
MINUS_ZERO = "-0"


def code_to_exponent(code, last):
    if code > 1322 or code < 0:
        raise CaeError(f"exponent code {code}")
    if code == 0:
        return PLUS_ZERO
    if code == 1:
        return MINUS_ZERO
    k = last + unzigzag(code - 2)
    if not -330 <= k <= 330:
        raise CaeError(f"exponent {k}")
    return k


def is_marker(k):
    return k is None or isinstance(k, str)


class Runs:
    """Collects the exponents of the ordinary points from runs."""

    def __init__(self, total):
        self.total = total
        self.last = 0
        self.out = []

    def full(self):
        return len(self.out) == self.total

    def add(self, code, length):
        k = code_to_exponent(code, self.last)
        if self.out and self.out[-1] == k:
            raise CaeError("run has the exponent of the run before it")
        if len(self.out) + length > self.total:
            raise CaeError("runs exceed the ordinary points")
        self.out += [k] * length
        if not is_marker(k):
            self.last = k


def raw_runs(data, total):
    cursor = Cursor(data)
    runs = Runs(total)
    while not runs.full():
        code = cursor.varint()
        runs.add(code, cursor.varint() + 1)
    cursor.end()
    return runs.out


def coded_runs(cursor, total):
    count = cursor.varint()
    if count > total:
        raise CaeError("more runs than points")
    coder = Arithmetic(cursor.rest())
    codes, lengths = IntegerModel((32, 16, 1)), IntegerModel((32, 64, 1))
    runs = Runs(total)
    c1 = l1 = l2 = 0
    for _ in range(count):
        code = codes.decode(coder, (c1, l1, 0))
        if not 0 <= code <= 1322:
            raise CaeError(f"exponent code {code}")
        c = min(code, 31)
        less = lengths.decode(coder, (c, 8 * l1 + l2, 0))
        if less < 0:
            raise CaeError("negative length of a run")
        runs.add(code, less + 1)
        c1, l2, l1 = c, l1, min(bits(less), 7)
    if not runs.full():
        raise CaeError("runs do not cover the ordinary points")
    coder.end()
    return runs.out


def coded_points(data, dims, ordinary):
    coder = Arithmetic(data)
    decisions, codes = DecisionModel(3, (256, 64, 1)), IntegerModel((32, 1, 1))
    near = Neighbors(dims)
    carried = []
    last = h = c1 = 0
    for i, there in enumerate(ordinary):
        if not there:
            carried.append(carried[-1] if carried else 0)
            continue
        west = neighbor(carried, i, near.west, 0)
        north = neighbor(carried, i, near.north, west)
        below = neighbor(carried, i, near.below, west)
        north_east = neighbor(carried, i, near.north_east, west)
        north_west = neighbor(carried, i, near.north_west, west)
        below_west = neighbor(carried, i, near.below_west, west)
        below_north = neighbor(carried, i, near.below_north, west)
        a = 0
        for equal in (
            north == west,
            below == west,
            north_east == west,
            north_west == west,
            north == below,
            north == north_west,
            below == below_west,
            north == below_north,
        ):
            a = 2 * a + equal
        contexts = (a, h % 64, 0)
        if decisions.bit(coder, 0, contexts):
            s = west
            h = 2 * h
        else:
            h = 2 * h + 1
            s = None
            if north != west and decisions.bit(coder, 1, contexts):
                s = north
            if s is None and below not in (west, north) and decisions.bit(coder, 2, contexts):
                s = below
            if s is None:
                code = codes.decode(coder, (c1, 0, 0))
                s = code_to_exponent(code, last)
                c1 = min(code, 31)
        if not is_marker(s):
            last = s
        carried.append(s)
    coder.end()
    return [s for s, there in zip(carried, ordinary) if there]


def decode(data, dims, ordinary):
    """SPEC 7.2: the exponent of every point, None where it has none."""
    total = sum(ordinary)
    cursor = Cursor(data)
    found = []
    if total:
        method = cursor.u8()
        if method == 0:
            found = raw_runs(cursor.rest(), total)
        elif method == 1:
            length = cursor.varint()
            if length > 12 * total:
                raise CaeError("too many bytes of runs")
            found = raw_runs(bunzip(cursor.rest(), length), total)
        elif method == 2:
            found = coded_runs(cursor, total)
        elif method == 3:
            found = coded_points(cursor.rest(), dims, ordinary)
        else:
            raise CaeError(f"exponents of method {method}")
    cursor.end()
    numbers = iter(found)
    return [next(numbers) if there else None for there in ordinary]
