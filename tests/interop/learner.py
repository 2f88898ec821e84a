"""SPEC 9.6: a network that learns from the points already decoded."""

import numpy as np

F = np.float32


def total(terms):
    """Sums from 0, from left to right, of rows of terms."""
    sums = np.zeros(terms.shape[1], F)
    for row in terms:
        sums = sums + row
    return sums


def relu(a):
    return np.where(a > 0, a, F(0)).astype(F)


def limit(a, low, high):
    return max(F(low), min(F(high), a))


def exponential(z):
    t = limit(z, -60, 60) * F(1.44269504)
    f = t - np.floor(t)
    return np.ldexp(F(1), int(np.floor(t))).astype(F) * (F(1) + f * (F(0.6565) + F(0.3435) * f))


def below(z):
    e = exponential(z)
    return e / (F(1) + e)


class Learner:
    def __init__(self):
        self.seed = 1
        u = self.draw(56 * 32, 0.1625).reshape(56, 32)
        v = np.zeros((33, 16), F)
        v[:32] = self.draw(32 * 16, 0.4375).reshape(32, 16)
        w = np.zeros((2, 17), F)
        w[0, :16], w[1, :16] = self.draw(16, 0.0875), self.draw(16, 0.0875)
        w[1, 16] = -0.5
        self.weights = [u, v, w]
        self.slopes, self.means, self.squares = ([np.zeros_like(a) for a in self.weights] for _ in range(3))
        self.left = [F(1), F(1)]
        self.changes, self.points = F(0), 0

    def draw(self, count, width):
        numbers = []
        for _ in range(count):
            self.seed = (1664525 * self.seed + 1013904223) % 2**32
            numbers.append((F(self.seed // 256) * F(2**-23) - F(1)) * F(width))
        return np.array(numbers, F)

    def ask(self, inputs):
        u, v, w = self.weights
        self.x = np.append(inputs.astype(F), F(1))
        self.h = np.append(relu(total(self.x[:, None] * u)), F(1))
        self.k = np.append(relu(total(self.h[:, None] * v)), F(1))
        self.y = total((self.k * w).T)
        return self.y

    def tell(self, miss, unit):
        if not abs(miss) < F(1e6):
            return
        y = self.y
        b = limit(y[1], -8, 6)
        part = F(1) + (b - np.floor(b))
        scale = unit * F(2.0 ** float(np.floor(b))) * part
        off = miss - y[0] * unit
        far = -abs(off)
        upper = (far + F(0.5)) / scale
        a, c = below(upper), below((far - F(0.5)) / scale)
        outer = (F(1) - a) - c
        by_off = (-outer if off < 0 else outer) / scale
        inner = F(1)
        if not (scale > 256 or upper < -40):
            inner = F(0.5) * (a * (F(1) - a) + c * (F(1) - c)) / ((a - c) * scale)
        by_log = far / scale * outer + inner
        e = [limit(-(by_off * unit), -4, 4), limit(by_log / part, -4, 4) if b == y[1] else F(0)]

        u, v, w = self.weights
        dk = np.where(self.k[:16] > 0, e[0] * w[0, :16] + e[1] * w[1, :16], F(0)).astype(F)
        dh = np.where(self.h[:32] > 0, total((dk * v[:32]).T), F(0)).astype(F)
        grown = [self.x[:, None] * dh, self.h[:, None] * dk, np.array(e, F)[:, None] * self.k]
        self.slopes = [g + more for g, more in zip(self.slopes, grown)]
        self.points += 1
        if self.points % 2 == 0:
            self.change()

    def change(self):
        self.left = [self.left[0] * F(0.9), self.left[1] * F(0.999)]
        self.changes = self.changes + F(1)
        rate = (F(0.0002) + F(0.0012) * (F(16384) / (F(16384) + self.changes))) / (F(1) - self.left[0])
        whole = F(1) / (F(1) - self.left[1])
        for i, w in enumerate(self.weights):
            n = self.slopes[i] * F(0.5)
            self.slopes[i] = np.zeros_like(n)
            m = self.means[i] + (n - self.means[i]) * (F(1) - F(0.9))
            m = self.means[i] = np.where(abs(m) < F(1e-20), F(0), m).astype(F)
            s = self.squares[i] + (n * n - self.squares[i]) * (F(1) - F(0.999))
            s = self.squares[i] = np.maximum(s, F(1e-20))
            moved = w - (rate * m) / (np.sqrt(s * whole) + F(0.00001))
            self.weights[i] = np.clip(moved, F(-16), F(16))
