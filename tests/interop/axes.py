"""SPEC 9.3.2: axes and taps of method raster."""

import math

TAPS = [12, 16, 20, 28, 32]


def all_taps(axes):
    """The displacements in their order (SPEC 9.3.2)."""
    reach = 16 if axes == 1 else 3
    found = [()]
    for _ in range(axes):
        found = [t + (d,) for t in found for d in range(-reach, reach + 1)]
    found = [t for t in found if next((d for d in reversed(t) if d), 0) < 0]

    def key(t):
        wide = t + (0,) * (5 - axes)
        return (2 * sum(map(abs, t)) + sum(d * d for d in t), [-d for d in reversed(wide)])

    return sorted(found, key=key)[: TAPS[axes - 1]]


TAPS_OF = {a: all_taps(a) for a in range(1, 6)}


class Axes:
    """SPEC 9.3.2."""

    def __init__(self, dims, rows=None):
        points = math.prod(dims)
        if rows:
            self.n = [*rows, -(-points // math.prod(rows))]
        else:
            self.n = [d for d in reversed(dims) if d != 1] or [1]
            while len(self.n) > 5:
                last = self.n.pop()
                self.n[-1] *= last
        self.count = len(self.n)
        self.stride = [math.prod(self.n[:a]) for a in range(self.count)]
        self.taps = TAPS_OF[self.count]

    def at(self, i):
        return [i // s % n for s, n in zip(self.stride, self.n)]

    def tap(self, x=0, y=0, z=0):
        """j(x, y, z)."""
        wanted = (x, y, z)
        for j, t in enumerate(self.taps):
            if (t + (0, 0))[:3] == wanted and not any(t[3:]):
                return j
        return 0

    def backs(self, i):
        c = self.at(i)
        n0, c0 = self.n[0], c[0]
        up = next((self.stride[a] for a in range(1, self.count) if c[a] > 0), 0)
        out = []
        for t in self.taps:
            d = s = 0
            for a in range(1, self.count):
                if t[a] and 0 <= c[a] + t[a] < self.n[a]:
                    s = t[a]
                    d -= t[a] * self.stride[a]
            t0 = t[0]
            if s > 0 or (s == 0 and t0 >= 0):
                d, t0 = 0, -1
            if d == 0 and c0 == 0:
                out.append(up)
            else:
                out.append(d + c0 - min(max(c0 + t0, 0), n0 - 1))
        return out
