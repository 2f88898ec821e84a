"""SPEC 9.3.3: least squares and tracks of method raster."""

import numpy as np


class LeastSquares:
    """SPEC 9.3.3."""

    def __init__(self, n, growth, most):
        self.n, self.growth, self.most = n, growth, most
        self.g = np.zeros((n, n))
        self.b = np.zeros(n)
        self.w = np.zeros(n)
        self.gain, self.pending, self.interval = 1.0, 0, 1

    def output(self, x):
        self.x = x
        lane = np.zeros(4)
        for row in (self.w * x).reshape(-1, 4):
            lane = lane + row
        return (lane[0] + lane[2]) + (lane[1] + lane[3])

    def learn(self, y, trust):
        f = self.gain * trust * self.x
        self.g += np.outer(f, self.x)
        self.b += f * y
        self.gain *= self.growth
        if self.gain > 1e12:
            self.g *= 1 / self.gain
            self.b *= 1 / self.gain
            self.gain = 1.0
        self.pending += 1
        if self.pending >= self.interval:
            self.pending = 0
            self.interval = min(self.interval + 1, self.most)
            self.solve()

    def solve(self):
        n = self.n
        f = self.g.copy()
        for i in range(n):
            f[i, i] += self.gain * 0.3 + f[i, i] * 1e-9
        for k in range(n):
            if not 0 < f[k, k] < 1.7976931348623157e308:
                return
            r = 1 / f[k, k]
            col = f[k + 1 :, k].copy()
            scaled = col * r
            f[k + 1 :, k] = scaled
            # The upper triangle is changed too and never read.
            f[k + 1 :, k + 1 :] -= np.outer(scaled, col)
        y = self.b.copy()
        for j in range(n):
            y[j + 1 :] -= f[j + 1 :, j] * y[j]
        y = y / f.diagonal()
        for i in range(n - 1, -1, -1):
            y[:i] -= f[i, :i] * y[i]
        if (np.abs(y) < 1e6).all():
            self.w = y


class Track:
    """How well a prediction has done lately."""

    def __init__(self, n):
        self.near = 0.0
        self.row = [0.0] * (n + 2)

    def mean(self, x):
        row = self.row
        return (((self.near + row[x]) + 0.75 * row[x + 1]) + 0.25 * row[x + 2]) * 0.2

    def learn(self, x, e):
        self.near = self.near * (2 / 3) + e
        self.row[x] = e
