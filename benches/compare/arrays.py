"""Arrays in files, the bound that is asked of them, and the check that it was met."""

import math
import os
import re
from dataclasses import dataclass

import numpy as np

RAW_NAME = re.compile(r"(?:^|_)(\d+(?:x\d+)*)\.(f32|f64)$")

# The peers take magnitudes like these for data and lose the rest of the range to them; files that hold a single one
# hold it as "missing".
HUGE = 1e19


def find(paths):
    """Pairs of (name in the table, path): all arrays under each folder, or the files themselves.

    Names are relative to the folder that all have in common.
    """
    paths = [os.path.abspath(p) for p in paths]
    found = set()
    for top in paths:
        if os.path.isfile(top):
            found.add(top)
        elif os.path.isdir(top):
            inside = (os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names)
            found.update(p for p in inside if p.endswith(".npy") or RAW_NAME.search(os.path.basename(p)))
        else:
            raise FileNotFoundError(f"{top}: no such file or folder")
    base = os.path.commonpath([p if os.path.isdir(p) else os.path.dirname(p) for p in paths])
    return sorted((os.path.relpath(p, base).replace(os.sep, "/"), p) for p in found)


def fault(path):
    """Why the file cannot be compared, or None."""
    if path.endswith(".npy"):
        try:
            a = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as e:
            return str(e)
        if a.dtype.str not in ("<f4", "<f8"):
            return f"values of type {a.dtype.str}; <f4 and <f8 are compared"
        return None if a.size else "no values"
    shape, kind = RAW_NAME.search(os.path.basename(path)).groups()
    needed, size = math.prod(map(int, shape.split("x"))) * (4 if kind == "f32" else 8), os.path.getsize(path)
    return None if size == needed > 0 else f"has {size} bytes, its name needs {needed}"


def load(path):
    """The array in C order, float32 or float64, little-endian."""
    if path.endswith(".npy"):
        return np.ascontiguousarray(np.load(path, allow_pickle=False))
    shape, kind = RAW_NAME.search(os.path.basename(path)).groups()
    return np.fromfile(path, "<f4" if kind == "f32" else "<f8").reshape([int(n) for n in shape.split("x")])


@dataclass
class Problem:
    """One array and the largest error that is accepted."""

    values: np.ndarray
    mode: str
    bound: float
    # Which values count; the others are missing.
    valid: np.ndarray
    # The value that stands for missing, if one does.
    fill: float | None
    # Absolute error for the modes abs and rel.
    tolerance: float

    @classmethod
    def of(cls, values, mode, bound):
        finite = np.isfinite(values)
        huge = np.unique(values[finite & (np.abs(values) >= HUGE)])
        fill = float(huge[0]) if huge.size == 1 else None
        valid = finite if fill is None else finite & (values != huge[0])
        kept = values[valid].astype("f8")
        span = float(kept.max() - kept.min()) if kept.size else 0.0
        tolerance = {"abs": bound, "rel": bound * span, "pw": float("nan")}[mode]
        return cls(values, mode, bound, valid, fill, tolerance)

    def worst(self, decoded):
        """The largest error as a multiple of the bound."""
        x, y = self.values[self.valid].astype("f8"), decoded[self.valid].astype("f8")
        if x.size == 0:
            return 0.0
        error = np.abs(x - y)
        with np.errstate(divide="ignore", invalid="ignore"):
            over = error / (self.bound * np.abs(x)) if self.mode == "pw" else error / self.tolerance
        over[error == 0] = 0
        return float(over.max())

    def faults(self, decoded):
        """What `cae` promises and did not keep, in words; None if all is well. No rounding is forgiven."""
        if decoded.shape != self.values.shape or decoded.dtype != self.values.dtype:
            return f"decoded as {decoded.dtype}{decoded.shape}"
        bits = f"<u{self.values.dtype.itemsize}"
        exact = ~self.valid
        if self.mode == "pw":
            exact |= self.values == 0
        if not np.array_equal(self.values[exact].view(bits), decoded[exact].view(bits)):
            return "missing values or zeros changed"
        x, y = self.values[~exact].astype("f8"), decoded[~exact].astype("f8")
        limit = self.bound * np.abs(x) if self.mode == "pw" else self.tolerance
        # Written so that a NaN is a fault.
        bad = ~(np.abs(x - y) <= limit)
        return f"{int(bad.sum())} values miss the bound, the worst by {self.worst(decoded)}" if bad.any() else None
