"""Tables from the rows of paper.py."""

from math import exp, log

BOUNDS = ("0.1", "0.01", "0.001")


def mean(values):
    """Geometric."""
    values = [v for v in values if v]
    return exp(sum(log(v) for v in values) / len(values)) if values else None


def percent(v):
    if v is None:
        return "-"
    return f"{100 * v:.2f} %" if v < 10 else f"{v:.1e}"


def number(v, digits=1):
    return "-" if v is None else f"{v:.{digits}f}"


def table(head, lines):
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(rows + ["| " + " | ".join(map(str, line)) + " |" for line in lines]) + "\n"


class Rows:
    def __init__(self, rows, peers):
        self.rows = rows
        self.sets = sorted({key[1] for key in rows if key[0] in ("train", "plan", "features")})
        self.peers = {}
        for row in peers:
            parts = row["file"].split("/")
            if row["mode"] == "pointwise" and parts[0] == "paper" and parts[-1].startswith("test_"):
                self.peers[parts[1], str(row["bound"]), row["peer"]] = row

    def train(self, name, way="ours"):
        return self.rows.get(("train", name, way))

    def error(self, name, way, side="judge_error"):
        row = self.train(name, way)
        return row and row[side]

    def archive(self, name, way, bound):
        row = self.train(name, way)
        return row and row["archives"][bound]

    def plan(self, name, preset, bound):
        return self.rows.get(("plan", name, preset, float(bound)))

    def peer(self, name, bound, *peers):
        found = [self.peers[name, bound, p]["ratio"] for p in peers if (name, bound, p) in self.peers]
        return max(found, default=None)


def ratio(archive, model=True):
    if archive is None:
        return None
    return archive["input_bytes"] / (archive["output_bytes"] - (0 if model else archive["sections"].get("model", 0)))


def accuracy(rows):
    head = ["set", "learned from", "judged on", "seconds", "paper's training, judged on", "not normalized, judged on"]
    lines = []
    for name in rows.sets:
        own = rows.train(name)
        if own:
            errors = [percent(own["train_error"]), percent(own["judge_error"]), number(own["seconds"])]
            lines.append([name, *errors, percent(rows.error(name, "paper")), percent(rows.error(name, "linear"))])
    return "## Accuracy (figures 3, 4, 14)\n\nMean point-wise relative error of the encoder's own latents.\n\n" + table(head, lines)


def sizes(rows):
    text = "## Ratios at point-wise bounds (figure 5)\n\n"
    for bound in BOUNDS:
        head = ["set", "paper's pipeline", "without the model", "cae balanced", "cae small", "SZ3", "SZ2", "ZFP"]
        lines, columns = [], []
        for name in rows.sets:
            model = rows.archive(name, "ours", bound)
            plans = [ratio(rows.plan(name, preset, bound)) for preset in ("balanced", "small")]
            peers = [rows.peer(name, bound, "sz3", "sz3-lorenzo"), rows.peer(name, bound, "sz2"), rows.peer(name, bound, "zfp")]
            columns.append([ratio(model), ratio(model, False), *plans, *peers])
            lines.append([name, *map(number, columns[-1])])
        lines.append(["geometric mean of those measured", *(number(mean(c)) for c in zip(*columns))])
        text += f"At {bound}:\n\n" + table(head, lines) + "\n"
    return text


def losses(rows):
    head = ["set", "bound", "mae", "mse", "bound 0.1", "bound 0.01", "paper's training"]
    ways = ("ours", "mse", "bound 0.1", "bound 0.01", "paper")
    lines, columns = [], {bound: [] for bound in BOUNDS}
    for name in rows.sets:
        for bound in BOUNDS:
            archives = [rows.archive(name, way, bound) for way in ways]
            if all(archives):
                sizes = [a["output_bytes"] - a["sections"].get("model", 0) for a in archives]
                columns[bound].append(sizes)
                lines.append([name, bound, *sizes])
    for bound in BOUNDS:
        if columns[bound]:
            lines.append(["geometric mean", bound, *(number(mean(c), 0) for c in zip(*columns[bound]))])
    return "## Bytes by loss, the model left out\n\n" + table(head, lines) if lines else ""


def features(rows):
    head = ["set", "CV", "CV normalized", "rule", "pays at 0.01", "byte entropy", "coreset", "serial correlation", "error"]
    lines = []
    for name in rows.sets:
        f = rows.rows.get(("features", name))
        if not f:
            continue
        model, plan = ratio(rows.archive(name, "ours", "0.01"), False), ratio(rows.plan(name, "balanced", "0.01"))
        pays = "-" if model is None or plan is None else "yes" if model > plan else "no"
        values = [number(f["cv"], 3), number(f["normalized_cv"], 3), "yes" if f["cv_rule"] else "no", pays]
        values += [number(f["byte_entropy"], 2), f["coreset_size"], number(f["serial_correlation"], 4)]
        lines.append([name, *values, percent(rows.error(name, "ours"))])
    note = "\"Pays\": the paper's pipeline, its model not counted, makes a smaller file than `cae` without one.\n\n"
    return "## Features and the CV rule (figures 7, 8)\n\n" + note + table(head, lines)


def breakdown(rows):
    parts = ("model", "exponents", "latents", "bitmap", "deltas", "patches", "mask", "frame_headers", "header")
    lines = []
    for name in rows.sets:
        archive = rows.archive(name, "ours", "0.01")
        if archive:
            lines.append([name, *(archive["sections"].get(p, 0) for p in parts), archive["output_bytes"]])
    return "## Breakdown at 0.01, bytes (figure 11)\n\n" + table(["set", *parts, "all"], lines)


def knobs(rows):
    text = ""
    for kind, title in (("ratio", "Error against theoretical ratio (figure 12)"), ("layers", "Error against layers")):
        found = sorted((key[1:], row) for key, row in rows.rows.items() if key[0] == kind)
        lines = [[*key, percent(row["train_error"]), percent(row["judge_error"]), number(row["seconds"])] for key, row in found]
        if lines:
            text += f"## {title}\n\n" + table(["set", kind, "learned from", "judged on", "seconds"], lines) + "\n"
    lines = []
    for name in rows.sets:
        row = rows.train(name)
        if row:
            at = [min(row["curve"], key=lambda look: abs(look["epoch"] / row["curve"][-1]["epoch"] - part)) for part in (0, 0.1, 0.3, 0.6, 1)]
            lines.append([name, row["curve"][-1]["epoch"], *(percent(look["judge_error"]) for look in at)])
    head = ["set", "epochs", "after the first", "10 %", "30 %", "60 %", "all"]
    return text + "## Error against epochs, judged on (figure 13)\n\n" + table(head, lines)


def reuse(rows):
    lines = []
    for (kind, *key), row in sorted(rows.rows.items()):
        if kind in ("reuse", "steps"):
            lines.append([*key, percent(row["train_error"]), percent(row["judge_error"]), number(row["seconds"])])
    head = ["for", "model", "learned from", "judged on", "seconds"]
    return "## Reuse (figure 15)\n\n" + table(head, lines) if lines else ""


def speeds(rows):
    ways = {
        "paper's pipeline": [rows.archive(n, "ours", b) for n in rows.sets for b in BOUNDS],
        "cae balanced": [rows.plan(n, "balanced", b) for n in rows.sets for b in BOUNDS],
        "cae small": [rows.plan(n, "small", b) for n in rows.sets for b in BOUNDS],
    }
    lines = []
    for way, archives in ways.items():
        archives = [a for a in archives if a]
        speed = lambda key: mean(a["input_bytes"] / 1e6 / a[key] for a in archives if a[key] > 0)
        lines.append([way, number(speed("seconds"), 2), number(speed("decode_seconds"), 2)])
    for peer in ("sz3", "sz2", "zfp"):
        found = [row for (_, _, p), row in rows.peers.items() if p == peer]
        lines.append([peer, number(mean(r["enc"] for r in found)), number(mean(r["dec"] or 0 for r in found))])
    note = "MB/s, geometric means over sets and bounds, one thread; peers as they were measured for the comparison.\n\n"
    return "## Throughput (table 3)\n\n" + note + table(["", "compress", "decompress"], lines)


def write(rows, peers):
    rows = Rows(rows, peers)
    parts = (accuracy, sizes, losses, features, breakdown, knobs, reuse, speeds)
    return "\n".join(part(rows) for part in parts)
