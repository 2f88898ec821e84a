"""SPEC 9.1, 9.2.2 and 9.2.3: quantizer, passes, neighbors, interpolation."""

import itertools
import math

W = [4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724]
HUGE = 1e300


def clamp(x, low, high):
    return min(max(x, low), high)


def rint(x):
    return (x + 6755399441055744.0) - 6755399441055744.0


def halvings(extent):
    return (extent - 1).bit_length() if extent else 0


class Quantizer:
    """SPEC 9.1."""

    def __init__(self, step, offset, snapped):
        self.step, self.offset, self.snapped = step, offset, snapped

    def point(self, p, k):
        if not self.snapped:
            return p + k * self.step
        place = rint(clamp((p - self.offset) / self.step, -1e15, 1e15))
        return self.offset + (place + k) * self.step


class Pass:
    """SPEC 9.2.2."""

    def __init__(self, head, axis, level, unit):
        self.axis, self.level, self.unit = axis, level, list(unit)
        step = head.step * head.factors[min(level, 3)]
        self.quantizer = Quantizer(step, head.offset, head.snapped)
        self.inverse = 1 / step
        self.kind = 4 * axis + min(level, 3)
        self.taps = taps_of(head, axis)[: 16 if head.balanced else 32]

        def along(a):
            if a == axis:
                return range(unit[a], head.extents[a], 2 * unit[a])
            return range(0, head.extents[a], unit[a])

        self.points = [along(a) for a in range(5)]
        self.size = math.prod(map(len, self.points))

    def causal(self, axes):
        """The delta -1 along each axis, or -2 if it is the axis of the pass."""
        return [along(b, -2 if b == self.axis else -1) for b in axes]


def passes(head):
    unit = [1 << halvings(n) for n in head.extents]
    for j in range(len(head.order) - 1, -1, -1):
        a = head.order[j]
        unit[a] //= 2
        yield Pass(head, a, j // len(head.real), unit)


def along(axis, step):
    return tuple(step if b == axis else 0 for b in range(5))


def distance_of(head, delta):
    return sum(W[head.distance[b]] * d * d for b, d in enumerate(delta))


def taps_of(head, axis):
    taps = [along(axis, d) for d in (-1, 1, -3, 3)]
    reach = [range(-2, 3) if b in head.real else (0,) for b in range(5)]
    others = []
    for delta in itertools.product(*reach):
        known = delta[axis] % 2 or next((d for d in delta if d), 0) < 0
        if known and 1 <= sum(map(abs, delta)) <= 4 and delta not in taps:
            others.append(delta)
    return taps + sorted(others, key=lambda delta: distance_of(head, delta))


class Grid:
    def __init__(self, extents, ordinary):
        self.extents = extents
        self.stride = [math.prod(extents[a + 1 :]) for a in range(5)]
        self.ordinary = ordinary
        n = math.prod(extents)
        self.value = [0.0] * n
        self.code = [0] * n

    def index(self, at):
        return sum(c * s for c, s in zip(at, self.stride))

    def neighbor(self, at, delta, unit):
        """Flat number, None outside the grid."""
        i = 0
        for c, d, u, n, s in zip(at, delta, unit, self.extents, self.stride):
            c += d * u
            if not 0 <= c < n:
                return None
            i += c * s
        return i

    def known(self, i):
        return i is not None and self.ordinary[i]

    def values(self, places):
        """Values of neighbors, None if unknown."""
        return [self.value[i] if self.known(i) else None for i in places]

    def codes(self, places):
        return [self.code[i] if self.known(i) else 0 for i in places]


def interpolate(values, fallback):
    """SPEC 9.2.3: the cubic expectation."""
    l, r, L, R = values[:4]
    if l is not None and r is not None:
        if L is not None and R is not None:
            return (l + r) * 0.5625 - (L + R) * 0.0625
        if L is not None:
            return (l * 0.75 + r * 0.375) - L * 0.125
        if R is not None:
            return (r * 0.75 + l * 0.375) - R * 0.125
        return (l + r) * 0.5
    for near, far in ((l, L), (r, R)):
        if near is not None:
            return near if far is None else near * 1.5 - far * 0.5
    total, count = 0.0, 0
    for v in values:
        if v is not None:
            total += v
            count += 1
    return total / count if count else fallback
