"""SPEC 6: one frame to its values."""

import math
import struct

import numpy as np

import classes
import exact
import fast
import multilevel
import planes
import raster
import sparse
from contexts import IntegerModel
from entropy import Arithmetic
from primitives import CaeError, Cursor, Unsupported, bits, crc32

METHODS = ["constant", "raw", "multilevel", "raster", "fast", "sparse", "exact", "network", "learner"]
DOMAINS = {0: (0,), 1: (0,), 2: (0, 1, 2, 3), 3: (0, 1, 2, 3), 4: (0, 1, 2, 3), 5: (0,), 6: (2,), 7: (0, 1, 2, 3), 8: (0, 1, 2, 3)}

COEFFICIENTS = [  # c_13 .. c_0 of 2^f
    1.3691488853904128e-12,
    2.5678435993488206e-11,
    4.4455382718708116e-10,
    7.054911620801123e-09,
    1.01780860092397e-07,
    1.321548679014431e-06,
    1.5252733804059841e-05,
    0.0001540353039338161,
    0.0013333558146428443,
    0.009618129107628477,
    0.05550410866482158,
    0.24022650695910072,
    0.6931471805599453,
    1.0,
]


def method(data):
    """Name of a frame's method."""
    code = data[8]
    if code >= len(METHODS):
        raise Unsupported(f"method {code}")
    return METHODS[code]


def exp2(r):
    """SPEC 6.4, logarithmic."""
    if math.isnan(r):
        return 1.0
    x = min(max(r, -1100.0), 1100.0)
    k = round(x)
    f = x - k
    p = 0.0
    for c in COEFFICIENTS:
        p = p * f + c
    a = k // 2
    return p * math.ldexp(1.0, a) * math.ldexp(1.0, k - a)


def from_order(r, width):
    """Bits of the value at position rint(r) of the order (SPEC 6.4)."""
    if isinstance(r, int):
        position = r
    elif math.isnan(r):
        position = 0
    elif math.isinf(r):
        position = (1 << 63) - 1 if r > 0 else -(1 << 63)
    else:
        position = min(max(round(r), -(1 << 63)), (1 << 63) - 1)
    position &= (1 << width) - 1
    half = 1 << (width - 1)
    if position < half:
        return position
    return half + (-1 - (position - (1 << width)))


def table(data, width):
    """SPEC 6.4.1: bits of the values of a table."""
    cursor = Cursor(data)
    shift = cursor.u8()
    count = cursor.varint()
    at = cursor.signed()
    if shift > 63 or not 1 <= count <= 65536:
        raise CaeError("table of values")
    arithmetic = Arithmetic(cursor.rest())
    model = IntegerModel((32, 1024, 1))
    half = 1 << (width - 1)
    values = []
    last = before = 0
    for i in range(count):
        if i:
            gap = model.decode(arithmetic, (last, 32 * last + before, 0))
            if gap < 0:
                raise CaeError("gap of a table")
            at += gap + 1
            before, last = last, min(bits(gap), 31)
        if not -half <= at << shift < half:
            raise CaeError("position of a table")
        values.append(from_order(at << shift, width))
    arithmetic.end()
    return values


def place(r, count):
    """SPEC 6.4: where a number points in a table."""
    if not r > 0:
        return 0
    return count - 1 if r >= count else min(round(r), count - 1)


class Classes:
    """SPEC 6.3."""

    def __init__(self, data, dims, dtype):
        n = math.prod(dims)
        width = dtype.itemsize
        cursor = Cursor(data)
        count = cursor.u8()
        if not 1 <= count <= 16:
            raise CaeError(f"{count} classes")
        kinds, literals = [], []
        for _ in range(count):
            kind = cursor.u8()
            if kind > 3:
                raise CaeError(f"class of kind {kind}")
            kinds.append(kind)
            literals.append(cursor.take(width) if kind == 2 else None)
        coded = cursor.block()
        if coded[:1] == b"\x80":
            inner = Cursor(coded[1:])
            image = planes.image(inner, n, count)
            inner.end()
        else:
            image = classes.decode(coded, dims, max(count, 2))
        if max(image, default=0) >= count:
            raise CaeError("class beyond the table")
        self.kind = [kinds[c] for c in image]
        self.fixed = {}
        for i, c in enumerate(image):
            if kinds[c] == 2:
                self.fixed[i] = literals[c]
            elif kinds[c] == 3:
                self.fixed[i] = cursor.take(width)
        cursor.end()
        assert len(image) == n


def patches(data, n, width):
    """SPEC 6.5: position and bytes of each patched point."""
    cursor = Cursor(data)
    at = -1
    while cursor.left():
        at += cursor.varint() + 1
        if at >= n:
            raise CaeError("patch beyond the last point")
        yield at, cursor.take(width)


def decode(data, dims, dtype, model):
    """The values of a frame, flat, in C order (SPEC 6.6)."""
    cursor = Cursor(data)
    crc = cursor.number("I")
    if crc != crc32(data[4:]):
        raise CaeError("frame is damaged")
    digest = cursor.number("I")
    code = cursor.u8()
    flags = cursor.u8()
    domain = flags & 3
    if code >= len(METHODS):
        raise Unsupported(f"method {code}")
    if flags >> 5:
        raise Unsupported(f"frame flags {flags}")
    if domain not in DOMAINS[code]:
        raise CaeError(f"method {code} with domain {domain}")
    n = math.prod(dims)
    width = dtype.itemsize
    guarded = flags & 16
    if guarded:
        guard = struct.unpack("<f", cursor.take(4))[0]
        if not 0 <= guard < math.inf:
            raise CaeError(f"guard {guard}")
        if METHODS[code] != "sparse":
            raise CaeError("guard of a frame that no model predicts")
    tabled = table(cursor.block(), 8 * width) if domain == 3 else None
    classed = Classes(cursor.block(), dims, dtype) if flags & 4 else None
    patched = cursor.block() if flags & 8 else b""
    payload = cursor.rest()
    kind = classed.kind if classed else [0] * n
    ordinary = [k <= 1 for k in kind]

    values = np.zeros(n, dtype)
    words = values.view(f"<u{width}")
    if METHODS[code] == "constant":
        if len(payload) != width:
            raise CaeError("constant of another length")
        words[:] = np.frombuffer(payload, words.dtype)[0]
    elif METHODS[code] == "raw":
        if len(payload) != width * sum(ordinary):
            raise CaeError("raw values of another length")
        words[np.array(ordinary, bool)] = np.frombuffer(payload, words.dtype)
    elif METHODS[code] == "sparse":
        decoder = None if model and model.in_loop else model
        values[:] = sparse.decode(payload, dims, ordinary, dtype, decoder)
    elif METHODS[code] == "exact":
        words[:] = exact.decode(payload, dims, ordinary, width)
    else:
        if METHODS[code] == "network":
            if not model or not model.in_loop:
                raise CaeError("no network in the loop")
            numbers = multilevel.decode(payload, dims, ordinary, network=model)
        elif METHODS[code] == "learner":
            numbers = multilevel.decode(payload, dims, ordinary, learner=multilevel.Learning())
        else:
            kernel = {"multilevel": multilevel, "raster": raster, "fast": fast}[METHODS[code]]
            numbers = kernel.decode(payload, dims, ordinary)
        if domain == 0:
            with np.errstate(over="ignore", invalid="ignore"):
                values[:] = np.array(numbers, np.float64)
        elif domain == 1:
            magnitudes = [-exp2(r) if k == 1 else exp2(r) for r, k in zip(numbers, kind)]
            with np.errstate(over="ignore"):
                values[:] = np.array(magnitudes, np.float64)
        elif domain == 2:
            words[:] = [from_order(r, 8 * width) for r in numbers]
        else:
            words[:] = [tabled[place(r, len(tabled))] for r in numbers]
    fixed = dict(classed.fixed) if classed else {}
    fixed.update(patches(patched, n, width))
    for i, value in fixed.items():
        words[i] = struct.unpack("<I" if width == 4 else "<Q", value)[0]
    if not guarded and crc32(values.tobytes()) != digest:
        raise CaeError("values have another digest")
    return values
