"""SPEC 7: the paper's pipeline. Exponents, latents, bitmap, deltas; reconstruction."""

import math
import struct

import numpy as np

from entropy import Arithmetic, Counters, Mixer, squash, stretch
from primitives import CaeError, Cursor, bits, bunzip, planes, unzigzag

PLUS_ZERO = "+0"
MINUS_ZERO = "-0"
POWERS = [float("1e%d" % m) for m in range(301)]
LARGEST = 1 << 53


def scale(v, k):
    """SPEC 7.1: v * 10^k; overflow gives an infinity."""
    if k > 300:
        return (v * POWERS[k - 300]) * POWERS[300]
    if k >= 0:
        return v * POWERS[k]
    if k >= -300:
        return v / POWERS[-k]
    return (v / POWERS[-k - 300]) / POWERS[300]


class DecisionModel:
    """SPEC 7.7.2."""

    def __init__(self, nodes, sizes):
        self.nodes = nodes
        self.sizes = sizes
        self.tables = [(Counters(size * nodes), Counters(size * nodes)) for size in (*sizes, 1)]
        self.mixer = Mixer([0.15] * 8, nodes, 0.002, 0.02)

    def bit(self, coder, node, contexts):
        at = [c * self.nodes + node for c in (*contexts, 0)]
        inputs = []
        for (fast, slow), i in zip(self.tables, at):
            inputs += [stretch(fast.p16(i)), stretch(slow.p16(i))]
        bit = coder.bit(squash(self.mixer.mix(inputs, node)))
        self.mixer.update(bit)
        for (fast, slow), i in zip(self.tables, at):
            fast.update(i, bit, 30)
            slow.update(i, bit, 1023)
        return bit


class IntegerModel:
    """SPEC 7.7.3."""

    def __init__(self, sizes):
        self.decisions = DecisionModel(214, sizes)

    def decode(self, coder, contexts):
        def bit(node):
            return self.decisions.bit(coder, node, contexts)

        if bit(0):
            return 0
        negative = bit(1)
        length = 1
        while length <= 53 and bit(1 + length):
            length += 1
        v = 1
        node = 55 + 3 * (length - 2)
        for k in range(length - 1):
            if k == 0:
                b = bit(node)
            elif k == 1:
                b = bit(node + 1 + (v & 1))
            else:
                b = coder.bit(32768)
            v = 2 * v + b
        if v > LARGEST:
            raise CaeError("magnitude above 2^53")
        return -v if negative else v


class Neighbors:
    """SPEC 7.7.1: distances back in flat order, None where the distance does not exist."""

    def __init__(self, dims):
        extents = [d for d in dims if d > 1]
        x = extents[-1] if extents else 1
        row = x if len(extents) >= 2 else None
        plane = x * extents[-2] if len(extents) >= 3 else None
        both = row + plane if plane else None
        self.west, self.west_west = 1, 2
        self.north = row
        self.north_east = row - 1 if row else None
        self.north_west = row + 1 if row else None
        self.below = plane
        self.below_west = plane + 1 if plane else None
        self.below_north = both
        self.below_north_west = both + 1 if both else None


def neighbor(values, i, distance, absent):
    if distance is None or i < distance:
        return absent
    return values[i - distance]


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


def decode_exponents(data, dims, ordinary):
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


class Blocks:
    """SPEC 7.3.1: which block a point lies in, and where in it."""

    def __init__(self, dims, shape):
        n = math.prod(dims)
        if len(shape) == 1:
            dims = [n]
        if len(shape) > len(dims):
            raise CaeError("block has more axes than the frame")
        self.dims = dims
        self.block = [1] * (len(dims) - len(shape)) + list(shape)
        self.counts = [-(-d // b) for d, b in zip(dims, self.block)]
        self.count = math.prod(self.counts)
        self.size = math.prod(shape)
        if self.count > 1 and self.count * self.size > 64 * n:
            raise CaeError("model does not fit the frame")

    def place(self, i):
        block = inside = 0
        unit = 1
        across = 1
        for d, b, c in zip(reversed(self.dims), reversed(self.block), reversed(self.counts)):
            i, at = divmod(i, d)
            block += at // b * unit
            inside += at % b * across
            unit *= c
            across *= b
        return block, inside


def decode_latents(data, count, m):
    """SPEC 7.3.2: all latents, f32."""
    total = count * m
    cursor = Cursor(data)
    method = cursor.u8()
    if method in (0, 1):
        out = np.frombuffer(cursor.take(total * (4 - 2 * method)), ["<f4", "<f2"][method])
    elif method in (2, 3):
        width = 4 if method == 2 else 2
        raw = planes(bunzip(cursor.rest(), width * total), width)
        out = np.frombuffer(raw, "<f4" if width == 4 else "<f2")
    elif method in (4, 5):
        t = cursor.varint()
        if t not in (1, m):
            raise CaeError(f"{t} steps for {m} latents")
        pairs = [(cursor.number("f"), cursor.number("f")) for _ in range(t)]
        if not all(math.isfinite(o) and 0 < s < math.inf for o, s in pairs):
            raise CaeError("steps of latents")
        q = coded_latents(cursor, total, m) if method == 4 else zipped_latents(cursor, total)
        steps = (pairs[i % m] if t > 1 else pairs[0] for i in range(total))
        out = np.array([o + v * s for v, (o, s) in zip(q, steps)], np.float64)
    else:
        raise CaeError(f"latents of method {method}")
    cursor.end()
    with np.errstate(over="ignore"):
        out = out.astype(np.float32)
    if not np.isfinite(out).all():
        raise CaeError("latent that is not finite")
    return out.reshape(count, m)


def coded_latents(cursor, total, m):
    p = cursor.u8()
    if p > 1:
        raise CaeError("prediction of latents")
    coder = Arithmetic(cursor.rest())
    model = IntegerModel((256, 256, 256))
    e, q = [], []
    for i in range(total):
        j = i % m
        u = min(bits(e[i - m]), 15) if i >= m else 0
        v = min(bits(e[i - 1]), 15) if i else 0
        residual = model.decode(coder, (j % 256, 16 * min(j, 15) + u, 16 * v + u))
        e.append(abs(residual))
        q.append(residual + (q[i - m] if p and i >= m else 0))
        if abs(q[-1]) > LARGEST:
            raise CaeError("latent above 2^53")
    coder.end()
    return q


def zipped_latents(cursor, total):
    length = cursor.varint()
    if length > 8 * total:
        raise CaeError("too many bytes of latents")
    inner = Cursor(bunzip(cursor.rest(), length))
    q = [inner.signed() for _ in range(total)]
    inner.end()
    if any(abs(v) > LARGEST for v in q):
        raise CaeError("latent above 2^53")
    return q


def predict(data, dims, exponents, model):
    """SPEC 7.3: the prediction and the phase of every point."""
    n = len(exponents)
    if all(is_marker(k) for k in exponents):
        Cursor(data).end()
        return [0.0] * n, [0] * n
    if model is None:
        cursor = Cursor(data)
        value = cursor.number("f")
        cursor.end()
        if not math.isfinite(value):
            raise CaeError("prediction is not finite")
        return [value] * n, [0] * n
    blocks = Blocks(dims, model.block_shape)
    latents = decode_latents(data, blocks.count, model.latent_count)
    out = model.run(latents).reshape(blocks.count, blocks.size)
    places = [blocks.place(i) for i in range(n)]
    predictions = [float(out[b, inside]) for b, inside in places]
    predictions = [p if math.isfinite(p) else 0.0 for p in predictions]
    return predictions, [inside for _, inside in places]


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
    exponents = decode_exponents(cursor.block(), dims, ordinary)
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
