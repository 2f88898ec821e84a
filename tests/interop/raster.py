"""SPEC 9.3: method raster."""

import math

import numpy as np

from axes import Axes
from decisions import Coder
from opinion import Stream
from prediction import LeastSquares, Track
from primitives import CaeError, Cursor, unzigzag

F = np.float32
M32, M64 = (1 << 32) - 1, (1 << 64) - 1
P = 0x9E3779B97F4A7C15


class Match:
    """SPEC 9.3.5, matches of one length."""

    def __init__(self, length, b):
        self.length, self.b = length, b
        self.table = {}
        self.hash = 0
        self.drop = pow(P, length, 1 << 64)
        self.next = None
        self.len = self.misses = 0

    def record(self):
        if self.misses == 0:
            return min((self.len.bit_length() + 1) // 2, 7)
        return 8 + self.misses % 8

    def learn(self, s):
        n = len(s)
        if self.next is not None:
            hit = s[self.next] == s[-1]
            self.misses = (2 * self.misses + (not hit)) % 256
            self.len = min(self.len + 1, 65535) if hit else self.len // 4
            self.next = None if self.misses.bit_count() >= 5 else self.next + 1
        self.hash = (self.hash * P + s[-1]) & M64
        if n > self.length:
            self.hash = (self.hash - self.drop * s[n - 1 - self.length]) & M64
        if n < self.length:
            return
        slot = ((self.hash ^ (self.hash >> 32)) * P & M64) >> (64 - self.b)
        q = self.table.get(slot, 0)
        if q and (self.next is None or self.misses & 1):
            most = min(4 * self.length, q)
            found = 0
            while found < most and s[q - 1 - found] == s[n - 1 - found]:
                found += 1
            if found >= self.length:
                self.next, self.len, self.misses = q, found, 0
        self.table[slot] = n


def slot_of(numbers, b):
    """The slot of a list of signed 64-bit numbers."""
    h = 0
    for number in numbers:
        h = (h ^ (number & M64)) * P & M64
        h ^= h >> 29
    return h >> (64 - b)


def limited(v, most):
    return min(max(v, -most), most)


FAR = 4 * 10**15


def nearest(y):
    return limited(math.floor(y + 0.5), FAR)


def lg(n):
    if n < 4:
        return n
    length = n.bit_length() - 1
    return 4 * length - 4 + ((n >> (length - 2)) & 3)


def sl(d):
    m = abs(d)
    if m >= 2:
        length = m.bit_length() - 1
        m = 2 * length + ((m >> (length - 1)) & 1)
    return m + (256 if d < 0 else 0)


def hash32(numbers):
    h = 0
    for number in numbers:
        h = (h << 7 | h >> 25) & M32
        h = (h ^ (number & M32)) * 0x9E3779B1 & M32
    return h


class Raster:
    def __init__(self, payload, dims, ordinary):
        self.ordinary = ordinary
        self.points = math.prod(dims)
        cursor = Cursor(payload)
        self.read_head(cursor, dims)
        self.b = min(max(self.points.bit_length(), 10), 20)
        self.coder = Coder(cursor.rest(), self.b)
        count = self.axes.count
        sizes = ([12, 16, 20, 28, 32], [4, 8, 12, 16, 20], [4, 4, 8, 8, 12])
        slow, fast, quick = (size[count - 1] for size in sizes)
        growth = (1.0005, 1.015, 1.05) if self.forgetful else (1.0001, 1.003, 1.02)
        self.means = count >= 3 and self.axes.n[-1] >= 6
        self.places = self.axes.stride[-1]
        self.sums = [0.0] * self.places
        self.slow = LeastSquares(slow + 4 * bool(self.copies) + 4 * self.means, growth[0], 64)
        self.fast = LeastSquares(fast, growth[1], 32)
        self.quick = LeastSquares(quick, growth[2], 8)
        self.tracks = [Track(self.axes.n[0]) for _ in range(4 + bool(self.copies) + bool(self.learns))]
        self.stream = Stream(self.points) if self.learns else None
        self.low = self.high = 0.0
        self.v = [0.0] * self.points
        self.error = [F(0)] * self.points
        self.k = [0] * self.points
        self.right = [0] * self.points
        self.sequence = []
        self.matches = {0: Match(3, self.b), 9: Match(24, self.b), 10: Match(100, self.b)}
        self.lookups = [{}, {}]
        self.recent = []
        axes = self.axes
        self.near_taps = (0, axes.tap(-2), 1, 2)
        self.corner = axes.tap(-1, -1)
        self.far_corner = axes.tap(-1, 0, -1)

    def read_head(self, cursor, dims):
        flags = cursor.u8()
        if flags >> 7 or (flags & 64 and not flags & 1):
            raise CaeError(f"raster flags {flags}")
        self.snapped, self.absolute = flags & 1, flags & 64
        memory = cursor.u8()
        if memory > 31:
            raise CaeError(f"memory {memory}")
        self.forgetful, self.flat_skipped, self.unsought = memory & 1, memory & 2, memory & 4
        self.by_place, self.learns = memory & 8, memory & 16
        if flags & 2:
            self.step = cursor.number("d")
        else:
            self.step = Cursor(b"\0" * 4 + cursor.take(4)).number("d")
        if not 0 < self.step < math.inf:
            raise CaeError("step")
        self.origin = cursor.number("d") if flags & 4 else 0.0
        if not math.isfinite(self.origin):
            raise CaeError("origin")
        self.phase = cursor.u8() if flags & 16 else 0
        if flags & 16 and not 1 <= self.phase <= 15:
            raise CaeError("phase")
        self.base = float(cursor.signed())
        rows = None
        if flags & 8:
            count = cursor.u8()
            if not 1 <= count <= 4:
                raise CaeError("row axes")
            rows = [cursor.varint() for _ in range(count)]
            if min(rows) < 2 or math.prod(rows) > self.points:
                raise CaeError("row extents")
        self.axes = Axes(dims, rows)
        self.copies = []
        if flags & 32:
            count = cursor.u8()
            if not 1 <= count <= 4:
                raise CaeError("copy count")
            self.copies = [self.read_copy(cursor) for _ in range(count)]

    def read_copy(self, cursor):
        out = []
        for _ in range(self.axes.count):
            byte = cursor.u8()
            if byte & 7 >= self.axes.count or byte >> 4:
                raise CaeError("axis of a copy")
            shift = cursor.varint()
            if shift > 1 << 33:
                raise CaeError("shift of a copy")
            out.append((byte & 7, -1 if byte & 8 else 1, unzigzag(shift)))
        return out

    def copied(self, i, c):
        """`copy` at a point, None without one."""
        for copy in self.copies:
            place = [shift + sign * c[axis] for axis, sign, shift in copy]
            if all(0 <= p < n for p, n in zip(place, self.axes.n)):
                source = sum(p * s for p, s in zip(place, self.axes.stride))
                if source < i:
                    return self.v[source]
        return None

    def decode(self):
        for i in range(self.points):
            back = self.axes.backs(i)
            step, place = divmod(i, self.places)
            if place == 0 and step:
                self.now = [total * (1 / step) for total in self.sums]
            if self.ordinary[i]:
                self.point(i, back)
            else:
                self.v[i] = self.v[i - back[0]] if back[0] else 0.0
                self.error[i] = self.error[i - back[0]] if back[0] else F(0)
            self.sums[place] += self.v[i]
        self.coder.arithmetic.end()
        base = self.base + self.phase / 16
        return [self.origin + (base + v) * self.step for v in self.v]

    def mean_inputs(self, i, back, m):
        """Means over the steps before, here and around."""
        step, place = divmod(i, self.places)
        if step == 0:
            return [0.0] * 4
        around = [0, back[0], back[1], back[self.corner]]
        return [self.now[place - d if d <= place else place] - m for d in around]

    def inputs(self, taps, m, copy, means):
        """Inputs of the three predictors."""
        x = np.array(taps) - m
        slow, fast, quick = np.concatenate([x, means]), x[: self.fast.n].copy(), x[: self.quick.n].copy()
        if self.copies:
            extra = 0.0 if copy is None else copy - m
            slow = np.concatenate([x, [extra, 0.0, 0.0, 0.0], means])
            fast[-1] = extra
            if self.quick.n == self.fast.n:
                quick[-1] = extra
        return slow, fast, quick

    def point(self, i, back):
        axes, v = self.axes, self.v
        count = axes.count
        c = axes.at(i)
        T = [v[i - d] if d else 0.0 for d in back]
        if count == 1:
            m, fixed = T[0], T[0]
            planar = 2 * T[0] - T[axes.tap(-2)]
        else:
            m = (T[0] + T[1]) * 0.5
            planar = (T[0] + T[1]) - T[self.corner]
            fixed = sorted([T[0], T[1], planar])[1]
        copy = self.copied(i, c)

        places = self.mean_inputs(i, back, m) if self.means else []

        predictors = (self.slow, self.fast, self.quick)
        found = []
        for predictor, x in zip(predictors, self.inputs(T, m, copy, places)):
            found.append(float(min(max(m + predictor.output(x), self.low), self.high)))
        slow, fast, quick = found
        predictions = [slow, fast, fixed, quick]
        if self.copies:
            predictions.append(fixed if copy is None else copy)
        means = [track.mean(c[0]) for track in self.tracks]
        total = weights = 0.0
        for mean, prediction in zip(means, predictions):
            M = mean * mean + 0.005
            weight = 1 / (M * M)
            total += weight * prediction
            weights += weight
        p = total / weights
        scale = None
        if self.stream:
            near = min(count + 4, len(back))
            others = [fast, quick, fixed, slow if copy is None else copy, p]
            known = [*means[:4], means[-1]]
            expected, scale = self.stream.ask(i, back, T, (count, near), slow, others, known, [y + m for y in places])
            predictions.append(float(min(max(expected, self.low), self.high)))
            M = means[-1] * means[-1] + 0.005
            weight = 1 / (M * M)
            p = (total + weight * predictions[-1]) / (weights + weight)
        center = float(math.floor(p + 0.5)) if self.snapped else p
        if self.absolute:
            center = 0.0

        total = weights = 0.0
        for j in range(min(count + 4, len(back))):
            if back[j]:
                weight = 2.0 if j < count else 1.0
                total += weight * float(self.error[i - back[j]])
                weights += weight
        spread = total / weights if weights else 0.0

        guesses, slots = self.guesses(center, T, planar, copy)
        lean = p - center if self.snapped else fixed - p
        errors = (spread, means[0], means[1])
        expected = [p, slow, fast]
        if self.stream:
            expected[2] = predictions[-1]
        k = self.number(i, back, T, expected, errors, scale, center, lean, guesses)
        self.k[i] = k
        v[i] = center + k
        self.error[i] = F(abs(v[i] - p))
        self.low, self.high = min(self.low, v[i]), max(self.high, v[i])
        for track, prediction in zip(self.tracks, predictions):
            track.learn(c[0], abs(v[i] - prediction))
        if self.stream:
            self.stream.tell(i, v[i], slow)
        if not (self.flat_skipped and spread < 1 / 64 and abs(v[i] - p) < 1 / 64):
            trust = 1 / ((spread + 0.3) * (spread + 0.3))
            for predictor in predictors:
                predictor.learn(v[i] - m, trust)
        self.right[i] = {g for g, number in guesses.items() if number == k}
        if v[i] in self.recent:
            self.recent.remove(v[i])
        self.recent = [v[i], *self.recent[:4]]
        if self.unsought:
            return
        self.sequence.append(int(v[i]) if self.snapped else k)
        for match in self.matches.values():
            match.learn(self.sequence)
        for lookup, slot in zip(self.lookups, slots):
            lookup[slot] = i

    def guesses(self, center, T, planar, copy):
        """SPEC 9.3.5, not mirrored; and the slots of the lookups."""
        count = self.axes.count

        def steps(y):
            return nearest(y - center)

        out = {}
        for g, match in self.matches.items():
            if match.next is not None:
                number = self.sequence[match.next]
                out[g] = steps(number) if self.snapped else number
        rounded = [math.floor(t + 0.5) for t in T[: count + 4]]
        slots = [slot_of(rounded, self.b), slot_of(rounded[: max(count, 2)], self.b)]
        for g, (lookup, slot) in enumerate(zip(self.lookups, slots), 1):
            if slot in lookup:
                out[g] = steps(self.v[lookup[slot]])
        out[3] = steps(T[0])
        if count >= 2:
            out[4] = steps(T[1])
        if count >= 3:
            out[5] = steps(T[2])
        if count >= 4:
            out[6] = steps(T[count - 1])
        if self.by_place:
            others = [r for r in self.recent if r not in T[: min(count, 2)]]
            out.update(zip((7, 8, 5, 6) if count <= 2 else (7, 8), map(steps, others)))
        else:
            out[7] = steps(planar)
            if count >= 3:
                out[8] = steps((T[2] + T[0]) - T[self.far_corner])
        if copy is not None:
            out[11] = steps(copy)
        return out, slots

    def number(self, i, back, T, predictions, errors, learned, center, lean, guesses):
        """SPEC 9.3.6; `predictions` are p, slow and fast, `errors` the spread and two mean errors. With a learner its prediction
        stands for fast, with `learned` as scale."""
        axes, count = self.axes, self.axes.count
        spread = errors[0]
        mirror = -1 if lean < 0 else 1

        def D(j):
            return mirror * nearest(T[j] - center)

        def E(j):
            return mirror * self.k[i - back[j]] if back[j] else 0

        records = {}
        for g in guesses:
            if g in self.matches:
                records[g] = self.matches[g].record()
                continue
            records[g] = 0
            for bit, j in enumerate(self.near_taps):
                if back[j] and self.ordinary[i - back[j]] and g in self.right[i - back[j]]:
                    records[g] |= 1 << bit

        scale = lg(int(64 * spread))
        coarse = scale // 2
        fraction = int(min(16 * abs(lean), 15))
        west = D(0)
        north = D(axes.tap(-2)) if count == 1 else D(1)
        plane = D(3) if count <= 2 else D(2)
        volume = D(4) if count <= 3 else D(count - 1)
        if self.by_place:
            column, row = axes.at(i)[:2] if count > 1 else (D(axes.tap(-2)), D(2))
            first = [[1, column], [2, row], [3, west], [4, west, D(1)]]
            last = [5, west, column]
        else:
            first = [
                [scale, fraction],
                [sl(E(0)), sl(E(1)), coarse // 2],
                [sl(mirror * guesses[7]), fraction // 2, coarse],
                [sl(E(2)), sl(E(count - 1)), coarse],
            ]
            last = [limited(E(j), 3) for j in range(4)] + [limited(E(4), 1)]
        contexts = [
            *first,
            [sl(west), sl(plane), fraction // 4],
            [west, north, D(self.corner), D(3)],
            [west, plane, north, volume],
            last,
        ]
        sixth = 11 if self.copies else 5
        silent = sum((guesses.get(g) == 0) << b for b, g in enumerate((0, 1, 3, 4, sixth, 7)))
        centers = [F(mirror * (y - center)) for y in predictions]
        scales = [F(1.4 / (s + 0.04)) for s in errors]
        if learned is not None:
            scales[2] = F(1) / learned
        start = min(int(0.75 * spread + 1).bit_length() - 1, 51)
        with np.errstate(all="ignore"):
            k = self.coder.decode(
                [hash32(list_) for list_ in contexts],
                (axes.at(i)[0] % 64 if self.by_place else 0, min(coarse, 23), silent),
                start,
                centers,
                scales,
                {g: mirror * number for g, number in guesses.items()},
                records,
            )
        return mirror * k


def decode(payload, dims, ordinary):
    return Raster(payload, dims, ordinary).decode()
