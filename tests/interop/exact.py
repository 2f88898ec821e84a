"""SPEC 9.5: method exact."""

import math
import struct

import axes
import differences
import raster
from entropy import Arithmetic, Counters
from primitives import CaeError, Cursor

M64 = (1 << 64) - 1
HALF = 1 << 63


def image64(x):
    b = struct.unpack("<Q", struct.pack("<d", x))[0]
    return b ^ M64 if b >> 63 else b ^ HALF


def image32(x):
    b = to_bits32(x)
    return b ^ 0xFFFFFFFF if b >> 31 else b ^ (1 << 31)


def to_bits32(x):
    try:
        return struct.unpack("<I", struct.pack("<f", x))[0]
    except OverflowError:
        return 0xFF800000 if x < 0 else 0x7F800000


def to_single(x):
    return struct.unpack("<f", struct.pack("<I", to_bits32(x)))[0]


def from_image(v, width):
    """Bits of the number that has the image."""
    bits = 8 * width
    v &= (1 << bits) - 1
    half = 1 << (bits - 1)
    return v ^ half if v & half else v ^ ((1 << bits) - 1)


def significant(number, digits):
    """x of the forms 8 to 10 (SPEC 9.5.2)."""
    r = abs(number - HALF)
    if r == 0:
        return 0.0
    m = 10 ** (digits - 1)
    d = 9 * m
    q = float(m + (r - 1) % d)
    p = min((r - 1) // d, 44)
    x = q / float(10 ** (22 - p)) if p <= 22 else q * float(10 ** (p - 22))
    return -x if number < HALF else x


def image(number, form, rest):
    """What N stands for (SPEC 9.5.2)."""
    if form == 0:
        return number
    if form == 1:
        bits = from_image(number & 0xFFFFFFFF, 4)
        return image64(struct.unpack("<f", struct.pack("<I", bits))[0])
    n = float(number - HALF)
    if form >= 11:
        offset, step = rest
        x = offset + step * n
        kind = form - 10
    elif form >= 8:
        x = significant(number, rest)
        kind = form - 8
    else:
        x = n / float(10**rest) if form % 2 == 0 else n * float("1e-%d" % rest)
        kind = (form - 2) // 2
    return (image64, image32, lambda v: image64(to_single(v)))[kind](x)


def decode(payload, dims, ordinary, width):
    """Bits of the value of every point."""
    cursor = Cursor(payload)
    code = cursor.u8()
    form, by_differences = code & 15, code >> 4
    if form > 12 or by_differences > 1:
        raise CaeError(f"form {code}")
    rest = None
    if form >= 11:
        rest = cursor.number("d"), cursor.number("d")
        if not math.isfinite(rest[0]) or not 0 < rest[1] < math.inf:
            raise CaeError("offset or step")
    elif form >= 2:
        rest = cursor.u8()
        if not (rest <= 22 if form < 8 else 1 <= rest <= 15):
            raise CaeError(f"{rest} digits")
    zeros = cursor.u8()
    if zeros > 63:
        raise CaeError(f"{zeros} zeros")
    if by_differences:
        base = cursor.varint()
        u = differences.decode(cursor, len(ordinary), ordinary)
    else:
        base, u = parts(cursor, dims, ordinary, zeros)
    out = []
    for v, there in zip(u, ordinary):
        number = (base + (v << zeros)) & M64
        out.append(from_image(image(number, form, rest), width) if there else 0)
    return out


def parts(cursor, dims, ordinary, zeros):
    """The base, and u of every point (SPEC 9.5.3)."""
    c = cursor.u8()
    if c > 63 - zeros:
        raise CaeError(f"{c} lower bits")
    base = cursor.varint()
    gap_count = cursor.u8()
    if gap_count > 2:
        raise CaeError(f"{gap_count} gaps")
    gaps = [(cursor.varint(), cursor.varint()) for _ in range(gap_count)]
    if c:
        upper_bytes, lower_bytes = cursor.block(), cursor.rest()
    else:
        upper_bytes, lower_bytes = cursor.rest(), b""
    u = []
    for y in raster.decode(upper_bytes, dims, ordinary):
        y = min(max(math.floor(y), 0), M64)
        u.append((y << c) & M64)
    if c:
        u = decode_lower(lower_bytes, dims, ordinary, u, c)
    for g, length in gaps:
        u = [(v + length) & M64 if v > g else v for v in u]
    return base, u


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def decode_lower(data, dims, ordinary, u, c):
    """SPEC 9.5.3."""
    n = len(u)
    coder = Arithmetic(data)
    shape = axes.Axes(dims)
    b = min(max(n.bit_length(), 10), 20)
    tables = [{}, {}, {}]
    up = [signed(v >> c) if there else 0 for v, there in zip(u, ordinary)]
    counters = Counters(9 * 8 * 2)
    history = [0] * 9
    lower = [0] * n

    def at(j):
        return up[j] if 0 <= j < n else 0

    for i in range(n):
        if not ordinary[i]:
            continue
        pairs = [(at(i - d), at(i + d)) for d in (1, 2)]
        keys = [
            [up[i], at(i - 1), at(i - 2), at(i - 3)],
            [up[i], min(pairs[0]), max(pairs[0]), min(pairs[1]), max(pairs[1])],
            [up[i]],
        ]
        slots = [raster.slot_of(key, b) for key in keys]
        sources = [table.get(slot) for table, slot in zip(tables, slots)]
        sources += [i - back if back else None for back in shape.backs(i)[:6]]
        refused = None
        for j, source in enumerate(sources):
            if source is None or not ordinary[source] or up[source] != up[i]:
                continue
            if refused is not None and lower[source] == refused:
                continue
            k = (j * 8 + history[j]) * 2 + (refused is not None)
            bit = coder.bit(min(max(counters.p16(k), 1), 65535))
            counters.update(k, bit, 255)
            history[j] = (2 * history[j] + bit) % 8
            if bit:
                lower[i] = lower[source]
                break
            refused = lower[source]
        else:
            v = 0
            for _ in range(c):
                v = 2 * v + coder.bit(32768)
            lower[i] = v
        for table, slot in zip(tables, slots):
            table[slot] = i
    coder.end()
    return [a | b for a, b in zip(u, lower)]
