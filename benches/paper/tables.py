"""The report: findings first, then a table for each experiment."""

from report import table

from experiments import BOUNDS, LARGE, LAYERS, LOSSES, PRESETS, RATIOS, SERIES, SHARES, VARIABLES
from findings import findings, percent
from pictures import FIELDS
from pictures import RATIOS as SHOWN
from results import LATTICE, PIPELINE, SZ3, mean, ratio, speeds

HEAD = """# The paper's experiments, again

`benches/paper/paper.py DATA --out FOLDER` reruns the experiments of the paper (Liu and others, *High-Ratio Lossy Compression: Exploring the Autoencoder to Compress Scientific Data*) on its sixteen sets
with `cae train`, `cae` and today's peers, and writes this page: every figure on it, and every verdict, is computed from that run's rows. It goes on from what an earlier run left; `--quick` takes minutes.

One half of a set is learned from, the other judged on and compressed, as one dimension, at point-wise relative bounds. Errors are mean point-wise relative errors. Times are processor seconds of one thread.
This run: {steps:,} steps of 64 blocks for a full training (`--steps`), a tenth of them where the effect of one knob is looked at (figures 12 and 15).
"Our" training begins with principal components and wants small relative errors; "the paper's" is random weights, sigmoids everywhere, squared error and a fixed rate, as far as the paper says, in as many steps.
"""


def number(v, digits=1):
    return "-" if v is None else f"{v:.{digits}f}"


def section(title, text, *tables):
    body = "\n".join(t for t in tables if t)
    return f"## {title}\n\n{text}\n\n{body}" if body else ""


def verdicts(r):
    lines = [[f.says, f.verdict, f.figure] for f in findings(r)]
    return section("Findings", "A verdict holds where nine tenths of the cases agree, in part where a third does.", table(["finding of the paper", "now", "figure"], lines))


def accuracy(r):
    head = ["set", "learned from", "judged on", "best latents", "seconds", "judged on, not normalized", "paper's training, judged on", "paper's, not normalized", "paper's, seconds"]
    lines = []
    for n in r.sets:
        own, paper = r.train(n), r.train(n, "paper")
        if own:
            errors = [percent(own[k]) for k in ("train_error", "judge_error", "judge_error_least")]
            other = [percent(r.error(n, "ours, not normalized")), percent(r.error(n, "paper")), percent(r.error(n, "paper, not normalized"))]
            lines.append([n, *errors, number(own["seconds"]), *other, number(paper and paper["seconds"])])
    text = "The encoder's own latents, and the best of 128 for each block, among which archives look for theirs."
    return section("Accuracy with and without normalization (figures 3, 4, 14)", text, table(head, lines))


def sizes(r):
    parts = []
    head = ["set", "pipeline, model counted", "not counted", "exact, not counted", "paper's training, not counted", "cae fast", "balanced", "small", "SZ3", "SZ2", "ZFP", "lattice"]
    for bound in BOUNDS:
        lines, columns = [], []
        for n in r.sets:
            cells = [ratio(r.archive(n, bound)), *(ratio(r.archive(n, bound, way), False) for way in PIPELINE)]
            cells += [r.plan_ratio(n, bound, p) for p in PRESETS]
            cells += [r.peer_ratio(n, bound, p) for p in (SZ3, ["sz2"], ["zfp"], LATTICE)]
            columns.append(cells)
            lines.append([n, *map(number, cells)])
        if lines:
            lines.append(["geometric mean of those there", *(number(mean(c)) for c in zip(*columns))])
            parts.append(f"At {bound:g}:\n\n" + table(head, lines) + "\n")
    text = "The pipeline with a model by our training, with one of exact arithmetic (`--exact`), and with one by the paper's; \"-\" where the model is refused, since its rounding on other engines could use up the bound.\n"
    text += "`cae` without any model in its three presets. SZ3 is the better of its two algorithms, \"lattice\" the better of xz and bzip2 on rounded logarithms."
    return section("Ratios at point-wise bounds (figure 5)", text, *parts)


def lengths(r):
    found = {}
    for (name, count, way), row in r.of("length"):
        found.setdefault((name, count), {})[way] = row
    lines = []
    for (name, count), ways in sorted(found.items()):
        pipeline, small = ways.get("pipeline"), ways.get("small")
        cells = [ratio(pipeline), ratio(pipeline, False), ratio(small), r.peer_ratio(name, 0.01, SZ3, count)]
        lines.append([name, count, *map(number, cells)])
    head = ["set", "values", "pipeline, model counted", "not counted", "cae small", "SZ3"]
    return section("Ratio against array size, at 0.01 (figure 9)", "The first values of each set.", table(head, lines))


def features(r):
    head = ["set", "CV", "CV normalized", "rule", "beats SZ2 at 0.01", "beats cae small", "byte entropy", "coreset", "serial correlation", "error"]
    lines = []
    for n in r.sets:
        f = r.rows.get(("features", n))
        if f:
            own = r.pipeline_ratio(n, 0.01)
            said = ["-" if own is None or other is None else "yes" if own > other else "no" for other in (r.peer_ratio(n, 0.01, ["sz2"]), r.plan_ratio(n, 0.01))]
            cells = [number(f["cv"], 3), number(f["normalized_cv"], 3), "yes" if f["cv_rule"] else "no", *said]
            lines.append([n, *cells, number(f["byte_entropy"], 2), f["coreset_size"], number(f["serial_correlation"], 4), percent(r.error(n, "ours", "judge_error_least"))])
    text = "The rule: an autoencoder suits data whose coefficient of variation after normalization is below 0.4. \"Beats\": the pipeline with its best model, not counted, makes the smaller file."
    return section("Features and the CV rule (figures 7, 8)", text, table(head, lines))


def breakdown(r):
    parts = ("model", "exponents", "latents", "bitmap", "deltas", "patches", "mask", "frame_headers", "header")
    lines = [[n, *(row["sections"].get(p, 0) for p in parts), row["output_bytes"]] for n in r.sets if (row := r.archive(n, 0.01))]
    return section("Breakdown of bytes at 0.01 (figure 11)", "The pipeline with our model.", table(["set", *parts, "all"], lines))


def grid(r, kind, columns, title, text, what):
    """One line a set, one column a value of the knob."""
    found = {}
    for (name, at), row in r.of(kind):
        found.setdefault(name, {})[at] = row
    columns = [c for c in columns if any(c in f for f in found.values())]
    lines = [[n, *(percent(f[c]["judge_error"]) if c in f else "-" for c in columns)] for n, f in sorted(found.items())]
    return section(title, text, table([what, *map(str, columns)], lines))


def knobs(r):
    return grid(r, "ratio", RATIOS, "Error against theoretical ratio (figure 12)", "Judged on; sets of 100,000 values and more, widths 64 and 8 between.", "set")


def layers(r):
    return grid(r, "layers", LAYERS, "Error against layers", "Judged on; a theoretical ratio of 512, widths that fall by equal factors.", "set")


def epochs(r):
    lines = []
    for n in r.sets:
        for way, label in (("ours", "ours"), ("paper", "the paper's")):
            row = r.train(n, way)
            if row:
                last = row["curve"][-1][0]
                at = [min(row["curve"], key=lambda look: abs(look[0] / last - part)) for part in (0, 0.1, 0.3, 0.6, 1)]
                lines.append([n, label, last, *(percent(look[3]) for look in at)])
    head = ["set", "training", "epochs", "first look", "10 %", "30 %", "60 %", "all"]
    return section("Error against epochs, judged on (figure 13)", "Of these states the one with the least error is kept.", table(head, lines))


def reuse(r):
    def lines(kind):
        return [[*key, percent(row["train_error"]), percent(row["judge_error"]), percent(row["judge_error_least"]), number(row["seconds"])] for key, row in r.of(kind)]

    head = ["learned from", "judged on", "best latents", "seconds"]
    tables = [
        "Across variables:\n\n" + table(["model for variable", "way", *head], lines("variable")) + "\n" if lines("variable") else "",
        "Across steps of gridded runs, learned from a share of the first steps and judged on all others:\n\n" + table(["run", "share", *head], lines("steps")) + "\n" if lines("steps") else "",
        "Across parts of the first half, judged on the second:\n\n" + table(["set", "share", *head], lines("share")) if lines("share") else "",
    ]
    return section("Reuse (figures 14, 15)", "Half of the steps is learned from in a full training, 10 % and 1 % in a tenth of it.", *tables)


def throughput(r):
    text = "MB/s over all sets and bounds, one thread. `cae`: processor time of the command, its start taken off; reading, writing and the check of every value included. Peers: in memory, by the clock."
    lines = [[name, number(a, 2), number(b, 2)] for name, a, b in speeds(r)]
    return section("Throughput (table 3)", text, table(["", "compress", "decompress"], lines))


def pictures(r):
    lines = []
    for (name, at), row in r.of("picture"):
        cells = [number(row["psnr"]), number(row["sz3_psnr"])]
        lines.append([name, "x".join(map(str, row["shape"])), at, number(row["ratio"]), cells[0], number(row["sz3_ratio"]), cells[1]])
    text = "Best quality that `cae` small finds at a ratio (`--ratio`), and SZ3 at the tightest bound that gives it, the better of its two algorithms. Shown is a field of the repository's own; the run draws each field, both reconstructions and errors, and keeps them in its folder."
    return section("Equal ratio (figure 6)", text, table(["field", "shape", "ratio", "cae, reached", "PSNR, dB", "SZ3, reached", "PSNR, dB"], lines))


def loss_bytes(r):
    """Geometric means of bytes without the model, by bound and loss, over the sets that have all."""
    found = {}
    for bound in BOUNDS:
        ways = ("ours", *LOSSES)
        rows = [[r.archive(n, bound, w) for w in ways] for n in r.sets]
        rows = [line for line in rows if all(line)]
        if rows:
            size = lambda row: row["output_bytes"] - row["sections"].get("model", 0)
            found[bound] = {("mae" if w == "ours" else w): mean([size(line[i]) for line in rows]) for i, w in enumerate(ways)} | {"sets": len(rows)}
    return found


def losses(r):
    found = loss_bytes(r)
    ways = ["mae", *LOSSES]
    lines = [[f"{bound:g}", sizes["sets"], *(number(sizes[w], 0) for w in ways)] for bound, sizes in found.items()]
    text = "Geometric mean of the pipeline's bytes, the model left out: mean absolute error relative to each value (ours), squared error, logarithm of the ratio, and the loss that knows the bound."
    return section("Losses", text, table(["bound", "sets", *ways], lines))


def unfinished(r):
    """What a whole run would have and this one has not."""
    large = sum(r.count.get(n, 0) >= LARGE for n in r.sets)
    wanted = {
        "theoretical ratios": (len(r.of("ratio")), large * len(RATIOS)),
        "layers": (len(r.of("layers")), large * len(LAYERS)),
        "reuse across variables": (len(r.of("variable")), 5 * len(VARIABLES)),
        "across steps of runs": (len(r.of("steps")), len(SERIES) * len(SHARES)),
        "across parts of a half": (len(r.of("share")), len(r.sets) * (len(SHARES) - 1)),
        "archives with exact models": (sum(k[1] == "exact" for k, _ in r.of("archive")), len(r.cases())),
        "archives by loss": (sum(k[1] in LOSSES for k, _ in r.of("archive")), len(r.cases()) * len(LOSSES)),
        "pictures": (len(r.of("picture")), len(FIELDS) * len(SHOWN)),
    }
    left = [f"{name} {done} of {all_}" for name, (done, all_) in wanted.items() if done < all_]
    return f"Not finished in this run: {', '.join(left)}. What is missing is in no table and in no verdict.\n" if left else ""


def report(r, drawn):
    builds = len({row["build"] for row in r.rows.values()})
    note = f"Rows of {builds} builds are mixed: some parts of the run are older than others.\n" if builds > 1 else ""
    parts = [HEAD.format(steps=r.steps) + note + unfinished(r), verdicts(r)]
    order = (("3-4", accuracy), ("5", sizes), ("7-8", features), ("9", lengths), ("11", breakdown), ("12", knobs), ("", layers), ("13", epochs), ("14-15", reuse), ("table-3", throughput), ("6", pictures), ("losses", losses))
    for figure, make in order:
        text = make(r)
        if text and figure in drawn:
            text = text.replace("\n\n", f"\n\n![figure {figure}]({drawn[figure]})\n\n", 1)
        parts.append(text)
    return "\n".join(p.rstrip() + "\n" for p in parts if p)
