"""What tables, plots and findings ask of the rows."""

import math

from bench import read
from experiments import BOUNDS, PRESETS
from rows import PEER_SLACK

SZ3 = ("sz3", "sz3-lorenzo")
LATTICE = ("lattice-xz", "lattice-bz2")
PIPELINE = ("ours", "exact", "paper")


def mean(values):
    """Geometric; None without values."""
    values = [v for v in values if v is not None and v > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Results:
    def __init__(self, bench):
        self.rows, self.steps, self.folder = bench.rows, bench.steps, bench.folder
        self.bench = bench
        self.sets = sorted({key[1] for key in self.rows if key[0] in ("plan", "features")})
        self.peers = {}
        for file in ("peers", "peers-lengths"):
            for row in read(bench.folder / f"{file}.jsonl"):
                if "bytes" in row and row["worst"] <= PEER_SLACK:
                    name, values = row["file"].split("/")
                    self.peers[name, int(values.split("_")[-1].split(".")[0]), row["bound"], row["peer"]] = row
        self.count = {}
        for name, count, _, _ in self.peers:
            self.count[name] = max(count, self.count.get(name, 0))

    def of(self, kind):
        """Keys and rows of a kind, in the order of the keys."""
        found = [(key[1:], row) for key, row in self.rows.items() if key[0] == kind]
        return sorted(found, key=lambda kv: [(isinstance(v, str), v) for v in kv[0]])

    def train(self, name, way="ours"):
        return self.rows.get(("train", name, way))

    def error(self, name, way, key="judge_error"):
        row = self.train(name, way)
        return row and row[key]

    def peer_ratio(self, name, bound, names, count=None):
        """The best ratio of these peers, or None."""
        count = count or self.count.get(name)
        found = [self.peers.get((name, count, bound, p)) for p in names]
        return max((r["ratio"] for r in found if r), default=None)

    def plan_ratio(self, name, bound, preset="small"):
        return ratio(self.rows.get(("plan", name, preset, bound)))

    def archive(self, name, bound, way="ours"):
        """What the pipeline made; None also where its model was refused."""
        row = self.rows.get(("archive", name, way, bound))
        return None if row is None or "refused" in row else row

    def pipeline_ratio(self, name, bound, model=False, ways=PIPELINE):
        """The best ratio of the paper's pipeline over ways of training, with its model's bytes or without."""
        found = [ratio(self.archive(name, bound, way), model) for way in ways]
        return max((r for r in found if r), default=None)

    def cases(self):
        return [(name, bound) for bound in BOUNDS for name in self.sets]


def ratio(row, model=True):
    if row is None or "refused" in row:
        return None
    return row["input_bytes"] / (row["output_bytes"] - (0 if model else row["sections"].get("model", 0)))


def speeds(r):
    """Lines of name, MB/s to compress, MB/s to decompress: all sets and bounds together."""
    begin = r.rows.get(("start",), {"seconds": 0.0})["seconds"]
    ways = {"paper's pipeline": [r.archive(n, b) for n, b in r.cases()]}
    ways |= {f"cae {p}": [r.rows.get(("plan", n, p, b)) for n, b in r.cases()] for p in PRESETS}
    lines = []
    for way, rows in ways.items():
        rows = [row for row in rows if row]
        if rows:
            size = sum(row["input_bytes"] for row in rows) / 1e6
            took = [sum(max(row[key] - begin, 1e-4) for row in rows) for key in ("seconds", "decode_seconds")]
            lines.append([way, size / took[0], size / took[1]])
    for peer in ("sz3", "sz2", "zfp"):
        rows = [row for (n, count, _, p), row in r.peers.items() if p == peer and r.count.get(n) == count and row["enc"] and row["dec"]]
        if rows:
            # MB/s of each file, weighted as the others are: by bytes.
            size = [row["bytes"] * row["ratio"] / 1e6 for row in rows]
            lines.append([peer, *(sum(size) / sum(s / row[key] for s, row in zip(size, rows)) for key in ("enc", "dec"))])
    return lines
