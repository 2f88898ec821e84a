"""Results, one JSON object a line, so that a run can be continued and another's peers reused."""

import json
import math
import os

MODES = {"range": "rel", "pointwise": "pw"}
SZ3 = ("sz3", "sz3-lorenzo")
CAE = "cae-"

# SPERR oversteps the bound by up to 0.2 per cent, and the way back through the logarithm rounds. That is let pass in a
# peer's favor; one that misses the bound by more does not count as smaller.
PEER_SLACK = 1.01


def read(path):
    """The rows of a file; an incomplete last line, left by an interrupted run, is passed over."""
    rows = []
    with open(path) as f:
        for line in f:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            row["mode"] = MODES.get(row["mode"], row["mode"])
            rows.append(row)
    return rows


def append(path, row):
    with open(path, "a") as f:
        f.write(json.dumps(row) + "\n")


def key(row):
    return row["file"], row["mode"], row["bound"], row["peer"]


def latest(rows):
    """One row for each key, the last."""
    return list({key(r): r for r in rows}.values())


def group(file):
    """The folder that an array came in."""
    return os.path.dirname(file) or "."


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


class Case:
    """One array and bound: what each compressor made of it."""

    def __init__(self, file, mode, bound):
        self.file, self.mode, self.bound = file, mode, bound
        self.rows = {}

    def peers(self, names=None):
        """The peers that kept the bound."""
        ok = (r for p, r in self.rows.items() if not p.startswith(CAE) and (names is None or p in names))
        return [r for r in ok if "bytes" in r and r["worst"] <= PEER_SLACK]

    def best(self, names=None):
        """The smallest of them, or None."""
        return min(self.peers(names), key=lambda r: r["bytes"], default=None)

    def of(self, preset):
        """`cae`'s row, or None if it has none or failed."""
        row = self.rows.get(CAE + preset)
        return row if row and "bytes" in row else None


def cases(rows):
    """The cases, by mode, then the loosest bound first, then by file."""
    found = {}
    for r in latest(rows):
        at = r["file"], r["mode"], r["bound"]
        found.setdefault(at, Case(*at)).rows[r["peer"]] = r
    return sorted(found.values(), key=lambda c: (c.mode, -c.bound, c.file))


def presets(rows):
    """The presets of which there are rows."""
    have = {r["peer"] for r in rows}
    return [p for p in ("fast", "balanced", "small") if CAE + p in have]
