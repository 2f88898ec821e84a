"""SPEC 7: the paper's pipeline. Bitmap, deltas, reconstruction."""

import math

import numpy as np

import exponents as exponent_runs
from contexts import LARGEST, DecisionModel, IntegerModel, Neighbors, neighbor
from entropy import Arithmetic
from exponents import MINUS_ZERO, PLUS_ZERO, is_marker
from latents import predict
from primitives import CaeError, Cursor, bits, bunzip, planes

POWERS = [float("1e%d" % m) for m in range(301)]


def scale(v, k):
    """SPEC 7.1: v * 10^k; overflow gives an infinity."""
    if k > 300:
        return (v * POWERS[k - 300]) * POWERS[300]
    if k >= 0:
        return v * POWERS[k]
    if k >= -300:
        return v / POWERS[-k]
    return (v / POWERS[-k - 300]) / POWERS[300]


def decode_bitmap(data, dims, exponents, phase):
    """SPEC 7.4: whether a point carries a delta, False where it has no bit."""
    n = len(exponents)
    carries = [not is_marker(k) for k in exponents]
    count = sum(carries)
    cursor = Cursor(data)
    if count == 0:
        cursor.end()
        return [False] * n
    method = cursor.u8()
    size = -(-count // 8)
    if method in (0, 1):
        packed = cursor.take(size) if method == 0 else bunzip(cursor.rest(), size)
        flat = [packed[i // 8] >> (i % 8) & 1 for i in range(8 * size)]
        if any(flat[count:]):
            raise CaeError("bits beyond the bitmap")
        found = iter(flat)
        marked = [bool(next(found)) if there else False for there in carries]
    elif method == 2:
        marked = coded_bitmap(cursor.rest(), dims, exponents, phase)
    elif method in (3, 4):
        marked = [there and method == 4 for there in carries]
    else:
        raise CaeError(f"bitmap of method {method}")
    cursor.end()
    return marked


def coded_bitmap(data, dims, exponents, phase):
    n = len(exponents)
    coder = Arithmetic(data)
    model = DecisionModel(1, (1024, 256, 4096))
    near = Neighbors(dims)
    history = 0
    f = [0] * n
    for i, k in enumerate(exponents):
        if is_marker(k):
            continue
        around = 0
        for distance in (
            near.west,
            near.west_west,
            near.north,
            near.north_east,
            near.north_west,
            near.below,
        ):
            around = 2 * around + neighbor(f, i, distance, 0)
        around = 2 * around + (i > 0 and exponents[i - 1] != k)
        around = 2 * around + (i + 1 < n and exponents[i + 1] != k)
        f[i] = model.bit(coder, 0, (history, around, phase[i] % 4096))
        history = (2 * history + f[i]) % 1024
    coder.end()
    return [bool(b) for b in f]


EDGES = [0.01, 0.0125, 0.016, 0.02, 0.025, 0.032, 0.04, 0.05, 0.064, 0.08]
SUMS = [1.0]
for _j in range(1, 10):
    SUMS.append(SUMS[-1] + (EDGES[_j] - EDGES[_j - 1]) / EDGES[_j - 1])
DECADE = (SUMS[9] + (0.1 - EDGES[9]) / EDGES[9]) - SUMS[0]


def compress(v):
    """SPEC 7.5.1."""
    a = abs(v)
    if a < EDGES[0]:
        c = a / 0.01
    else:
        j = max(j for j in range(10) if EDGES[j] <= a)
        c = SUMS[j] + (a - EDGES[j]) / EDGES[j]
    return math.copysign(c, v)


def expand(c):
    a = abs(c)
    if a < SUMS[0]:
        v = a * 0.01
    else:
        j = max(j for j in range(10) if SUMS[j] <= a)
        v = EDGES[j] + (a - SUMS[j]) * EDGES[j]
    return math.copysign(v, c)


class Lattice:
    """Forms 3 and 4 of SPEC 7.5."""

    def __init__(self, cursor, coded, dims, exponents, marked, phase):
        self.unit, axes = cursor.u8(), cursor.u8()
        self.step = cursor.number("d")
        if self.unit > 3 or axes > 3 or not 0 < self.step < math.inf:
            raise CaeError("lattice head")
        decade = 0
        if self.unit == 3:
            decade = DECADE / self.step + 0.5
            if not decade < float((1 << 40) + 1):
                raise CaeError("decade above 2^40")
            decade = math.floor(decade)
        count = sum(marked)
        if coded:
            coder = Arithmetic(cursor.block())
            model = IntegerModel((216, 144, 256))
        else:
            length = cursor.varint()
            if length > 9 * count:
                raise CaeError("too many bytes of residuals")
            zipped = Cursor(bunzip(cursor.block(), length))
        near = Neighbors(dims)
        n = len(exponents)
        self.q = [0] * n
        levels, e = [], [0] * n
        carried = e1 = e2 = 0
        for i, k in enumerate(exponents):
            if not is_marker(k):
                carried = k
            base = decade * carried
            if marked[i]:
                if coded:
                    west, north, below = (
                        neighbor(e, i, d, 0) for d in (near.west, near.north, near.below)
                    )
                    around = min(bits(abs(west) + abs(north) + abs(below)), 23)
                    first = 9 * around + 3 * sign_class(west) + sign_class(north)
                    second = 12 * min(bits(abs(e1)), 11) + min(bits(abs(e2)), 11)
                    residual = model.decode(coder, (first, second, phase[i] % 256))
                else:
                    residual = zipped.signed()
                self.q[i] = residual + expected(levels, i, near, axes, base)
                if abs(self.q[i]) > LARGEST:
                    raise CaeError("delta above 2^53")
                e[i] = residual
                e1, e2 = residual, e1
            levels.append(self.q[i] + base)
        (coder if coded else zipped).end()

    def corrected(self, i, p, k):
        q = self.q[i]
        if self.unit == 0:
            return p + q * self.step
        if self.unit == 2:
            return p + scale(q * self.step, -k)
        return expand(compress(p) + q * self.step)


def sign_class(v):
    return 0 if v == 0 else 1 if v > 0 else 2


def expected(levels, i, near, axes, base):
    def at(distance):
        return neighbor(levels, i, distance, 0)

    if axes == 0:
        return 0
    if axes == 1:
        return at(near.west) - base
    flat = at(near.west) + at(near.north) - at(near.north_west)
    if axes == 2:
        return flat - base
    deep = at(near.below) - at(near.below_west) - at(near.below_north)
    return flat + deep + at(near.below_north_west) - base


def decode_patches(cursor, count, form, dtype):
    """Patched values by number of the marked point."""
    w = cursor.varint()
    if w > count or (form == 0 and w != count):
        raise CaeError(f"{w} patches of {count} marked points")
    if w == 0:
        return {}
    width = dtype.itemsize
    packing = cursor.u8()
    if packing == 0:
        inner = Cursor(cursor.rest())
    elif packing == 1:
        length = cursor.varint()
        if length > w * (10 + width):
            raise CaeError("too many bytes of patches")
        inner = Cursor(bunzip(cursor.rest(), length))
    else:
        raise CaeError(f"packing {packing}")
    at = -1
    numbers = []
    for _ in range(w):
        at += inner.varint() + 1
        if at >= count:
            raise CaeError("patch beyond the last marked point")
        numbers.append(at)
    values = np.frombuffer(planes(inner.take(w * width), width), dtype)
    inner.end()
    return dict(zip(numbers, values))


def decode(payload, dims, ordinary, dtype, model):
    """SPEC 7.6: the values of a frame at its ordinary points."""
    cursor = Cursor(payload)
    exponents = exponent_runs.decode(cursor.block(), dims, ordinary)
    predictions, phase = predict(cursor.block(), dims, exponents, model)
    marked = decode_bitmap(cursor.block(), dims, exponents, phase)
    count = sum(marked)
    form = lattice = deltas = None
    patched = {}
    if count:
        form = cursor.u8()
        if form == 1:
            deltas = np.frombuffer(cursor.take(2 * count), "<f2")
        elif form == 2:
            deltas = np.frombuffer(planes(bunzip(cursor.block(), 2 * count), 2), "<f2")
        elif form in (3, 4):
            lattice = Lattice(cursor, form == 3, dims, exponents, marked, phase)
        elif form != 0:
            raise CaeError(f"deltas of form {form}")
        if deltas is not None and not np.isfinite(deltas).all():
            raise CaeError("delta that is not finite")
        patched = decode_patches(cursor, count, form, dtype)
    cursor.end()

    out = np.zeros(len(exponents), np.float64)
    number = 0
    literal = {}
    for i, k in enumerate(exponents):
        if k is None or k == PLUS_ZERO:
            continue
        if k == MINUS_ZERO:
            out[i] = -0.0
            continue
        y = predictions[i]
        if marked[i]:
            if number in patched:
                literal[i] = patched[number]
            elif lattice:
                y = lattice.corrected(i, y, k)
            else:
                y += float(deltas[number])
            number += 1
        out[i] = scale(y, k)
    with np.errstate(over="ignore", invalid="ignore"):
        values = out.astype(dtype)
    for i, value in literal.items():
        values[i] = value
    return values
