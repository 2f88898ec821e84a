"""SPEC 9.5.4: whole numbers by their differences."""

import prefix
from integers import image
from primitives import CaeError, unzigzag

M64 = (1 << 64) - 1
# What d[i-1], d[i-2] and d[i-3] count for.
BEFORE = [(0, 0, 0), (1, 0, 0), (2, -1, 0), (3, -3, 1)]


def decode(cursor, n, ordinary):
    """The numbers u; takes the rest of the cursor."""
    orders, row = cursor.u8(), cursor.varint()
    by_row, by_plane = orders & 4, orders & 8
    plane = cursor.varint() if by_plane else 0
    if orders > 15 or max(row, plane) > n or by_row and not row or by_plane and not plane:
        raise CaeError("orders of differences")
    count = cursor.u8()
    if count > 15:
        raise CaeError(f"{count} thresholds")
    thresholds = [cursor.u8() for _ in range(count)]
    if thresholds != sorted(thresholds):
        raise CaeError("thresholds descend")
    streams = [iter(stream) for stream in prefix.decode_streams(cursor, count + 1, n)]
    bits = prefix.Bits(cursor.rest())
    u, d, s = [], [], []

    def back(values, distance):
        return values[-distance] if distance <= len(values) else 0

    for i in range(n):
        p = (back(u, row) if by_row else 0) + (back(u, plane) if by_plane else 0)
        p -= back(u, row + plane) if by_row and by_plane else 0
        if not ordinary[i]:
            u.append(back(u, 1))
            d.append(u[-1] - p & M64)
            s.append(back(s, 1))
            continue
        activity = (back(s, 1) + back(s, row or 2)) // 2
        number = next(streams[sum(t <= activity for t in thresholds)], None)
        if number is None or image(number) > 255:
            raise CaeError("slot of a difference")
        slot = image(number)
        z = slot
        if slot > 15:
            k = slot // 4 - 2
            z = (4 + slot % 4 << k) + bits.bits(k)
        e = unzigzag(z) + sum(f * back(d, j) for j, f in enumerate(BEFORE[orders & 3], 1))
        d.append(e & M64)
        u.append(p + d[-1] & M64)
        s.append(slot)
    if any(next(stream, None) is not None for stream in streams):
        raise CaeError("differences left over")
    bits.end()
    return u
