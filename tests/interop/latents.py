"""SPEC 7.3: latents and predictions."""

import math

import numpy as np

from contexts import LARGEST, IntegerModel
from entropy import Arithmetic
from exponents import is_marker
from primitives import CaeError, Cursor, bits, bunzip, planes


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
