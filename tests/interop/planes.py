"""SPEC 6.3 and 8.5: classes as bits, eight points coded at once."""

import prefix
from primitives import CaeError


def zigzag(number):
    return 2 * number if number >= 0 else -2 * number - 1


def decode(cursor, n, row, plane):
    """A bit for each of n points."""
    starts = cursor.u8()
    streams = prefix.decode_streams(cursor, starts.bit_count() + 1, (n + 7) // 8)
    streams = [iter(stream) for stream in streams]
    points = []

    def at(i):
        return points[i] if i >= 0 else 0

    for i in range(0, n, 8):
        if row == 0 or i < row:
            expected = [at(i - 1)] * 8
            opens = [at(k) != at(k - 1) for k in range(i - 8, i)]
        elif plane == 0 or i < plane:
            expected = [at(k - row) for k in range(i, i + 8)]
            opens = [len({at(k - row - 1), at(k - row), at(k - row + 1)}) > 1 for k in range(i, i + 8)]
        else:
            expected = [at(k - plane) for k in range(i, i + 8)]
            opens = [at(k - plane) != at(k - row) for k in range(i, i + 8)]
        of_class = (starts & (1 << sum(opens)) - 1).bit_count()
        image = zigzag(next(streams[of_class], 1 << 15))
        if image > 255:
            raise CaeError("image of a byte")
        points += [e ^ image >> j & 1 for j, e in enumerate(expected)]
    if any(points[n:]) or any(next(stream, None) is not None for stream in streams):
        raise CaeError("bits left over")
    return points[:n]


def image(cursor, n, count):
    """The classes of n points, of which there are `count`."""
    row, plane = cursor.varint(), cursor.varint()
    if any(0 < d < 9 or d > n for d in (row, plane)) or (plane and not row):
        raise CaeError("distance of rows or planes")
    classes = [0] * n
    for number in range((count - 1).bit_length()):
        for i, bit in enumerate(decode(cursor, n, row, plane)):
            classes[i] |= bit << number
    return classes
