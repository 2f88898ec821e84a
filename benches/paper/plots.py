"""Plots from the rows: one function a figure, each returns matplotlib's figure or None."""

import matplotlib

matplotlib.use("Agg")
import numpy as np
from PIL import Image
from matplotlib import pyplot

from experiments import BOUNDS, LOSSES, RATIOS
from results import SZ3, ratio

matplotlib.rcParams.update({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3})


def bars(axis, names, columns, log=True):
    """Groups of bars: a name a group, a column a color."""
    width = 0.8 / len(columns)
    for i, (label, values) in enumerate(columns.items()):
        at = np.arange(len(names)) + (i - (len(columns) - 1) / 2) * width
        axis.bar(at, [np.nan if v is None else v for v in values], width, label=label)
    axis.set_xticks(range(len(names)), names, rotation=35, ha="right")
    if log:
        axis.set_yscale("log")


def lines(axis, found, xlog=True, ylog=True):
    for i, (label, points) in enumerate(sorted(found.items())):
        axis.plot(*zip(*sorted(points)), marker=".", label=label, color=pyplot.get_cmap("tab20")(i % 20), linewidth=1)
    if xlog:
        axis.set_xscale("log")
    if ylog:
        axis.set_yscale("log")
    axis.legend(fontsize=6, ncols=2)


def panels(count, width=4.2, height=3.2):
    figure, axes = pyplot.subplots(1, count, figsize=(width * count, height), squeeze=False)
    return figure, axes[0]


def errors(r):
    names = [n for n in r.sets if r.train(n)]
    ways = {"paper's, not normalized": "paper, not normalized", "paper's": "paper", "ours, not normalized": "ours, not normalized", "ours": "ours"}
    columns = {label: [r.error(n, way) for n in names] for label, way in ways.items()}
    if not names or not any(columns["paper's"]):
        return None
    figure, axes = panels(1, 9)
    bars(axes[0], names, columns)
    axes[0].set_ylabel("mean point-wise relative error, judged on")
    axes[0].legend(fontsize=7)
    return figure


def sizes(r):
    if not r.of("plan"):
        return None
    figure, axes = pyplot.subplots(len(BOUNDS), 1, figsize=(9, 8), sharex=True)
    for axis, bound in zip(axes, BOUNDS):
        columns = {
            "paper's pipeline, model counted": [r.pipeline_ratio(n, bound, True) for n in r.sets],
            "not counted": [r.pipeline_ratio(n, bound) for n in r.sets],
            "cae small": [r.plan_ratio(n, bound) for n in r.sets],
            "SZ3": [r.peer_ratio(n, bound, SZ3) for n in r.sets],
            "SZ2": [r.peer_ratio(n, bound, ["sz2"]) for n in r.sets],
            "ZFP": [r.peer_ratio(n, bound, ["zfp"]) for n in r.sets],
        }
        bars(axis, r.sets, columns)
        axis.set(ylabel="ratio", title=f"point-wise {bound:g}")
    axes[0].legend(fontsize=6, ncols=6)
    return figure


def features(r):
    points = [(n, r.rows["features", n], r.pipeline_ratio(n, 0.01), r.peer_ratio(n, 0.01, ["sz2"])) for n in r.sets if ("features", n) in r.rows]
    points = [p for p in points if p[2] and p[3]]
    if not points:
        return None
    figure, axes = panels(2)
    for axis, key, label in zip(axes, ("cv", "normalized_cv"), ("CV", "CV after normalization")):
        for name, f, own, peer in points:
            axis.scatter(f[key], own / peer, color="tab:blue", s=12)
            axis.annotate(name, (f[key], own / peer), fontsize=5, textcoords="offset points", xytext=(2, 2))
        axis.axhline(1, color="gray", linewidth=0.8)
        axis.axvline(0.4, color="gray", linewidth=0.8, linestyle=":")
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="pipeline over SZ2 at 0.01")
    return figure


def lengths(r):
    found = {}
    for (name, count, way), row in r.of("length"):
        cells = found.setdefault(name, {})
        if ratio(row):
            cells.setdefault(f"{way}, model counted" if way == "pipeline" else f"cae {way}", []).append((count, ratio(row)))
            if way == "pipeline":
                cells.setdefault("pipeline, not counted", []).append((count, ratio(row, False)))
        theirs = r.peer_ratio(name, 0.01, SZ3, count)
        if theirs and way == "small":
            cells.setdefault("SZ3", []).append((count, theirs))
    if not found:
        return None
    figure, axes = pyplot.subplots(-(-len(found) // 3), 3, figsize=(9, 2.6 * -(-len(found) // 3)), squeeze=False)
    for axis, (name, cells) in zip(axes.ravel(), sorted(found.items())):
        lines(axis, cells)
        axis.set(title=name, xlabel="values", ylabel="ratio at 0.01")
    for axis in axes.ravel()[len(found) :]:
        axis.set_axis_off()
    return figure


def breakdown(r):
    rows = [(n, row) for n in r.sets if (row := r.archive(n, 0.01))]
    if not rows:
        return None
    parts = ("model", "exponents", "latents", "bitmap", "deltas", "patches", "header")
    figure, axes = panels(2, 4.6, 3.6)
    for axis, chosen in zip(axes, (parts, parts[1:])):
        below = np.zeros(len(rows))
        for part in chosen:
            size = np.array([row["sections"].get(part, 0) for _, row in rows], "f8")
            total = np.array([sum(row["sections"].get(p, 0) for p in chosen) for _, row in rows], "f8")
            axis.bar(range(len(rows)), size / total, bottom=below, label=part, color=f"C{parts.index(part)}")
            below += size / total
        axis.set_xticks(range(len(rows)), [n for n, _ in rows], rotation=60, ha="right")
        axis.set(ylabel="part of the bytes at 0.01", title="with the model" if chosen is parts else "without it")
    axes[0].legend(fontsize=6, ncols=2)
    return figure


def knobs(r):
    found = {}
    for (name, at), row in r.of("ratio"):
        found.setdefault(name, []).append((at, row["judge_error"]))
    if not found:
        return None
    figure, axes = panels(1, 6)
    lines(axes[0], found)
    axes[0].set_xticks(RATIOS, map(str, RATIOS))
    axes[0].set(xlabel="theoretical ratio", ylabel="error, judged on")
    return figure


def epochs(r):
    found = [(way, {n: [(c[0], c[3]) for c in r.train(n, way)["curve"][::2]] for n in r.sets if r.train(n, way)}) for way in ("paper", "ours")]
    found = [(way, curves) for way, curves in found if curves]
    if not found:
        return None
    figure, axes = panels(len(found), 4.6, 3.6)
    for axis, (way, curves) in zip(axes, found):
        lines(axis, curves)
        axis.set(xlabel="epochs", ylabel="error, judged on", title="the paper's training" if way == "paper" else "ours")
    return figure


def reuse(r):
    found = {}
    for (label, way), row in r.of("variable"):
        found.setdefault(label, {})[way] = row
    if not found:
        return None
    ways = list(dict.fromkeys(way for rows in found.values() for way in rows))
    figure, axes = pyplot.subplots(2, 1, figsize=(9, 6.5), sharex=True)
    for axis, key, label in zip(axes, ("judge_error", "seconds"), ("error, judged on", "processor seconds")):
        bars(axis, list(found), {way: [found[n].get(way, {}).get(key) for n in found] for way in ways})
        axis.set_ylabel(label)
    axes[0].legend(fontsize=6)
    return figure


def losses(r):
    if not any(r.archive(n, BOUNDS[0], LOSSES[0]) for n in r.sets):
        return None
    figure, axes = pyplot.subplots(len(BOUNDS), 1, figsize=(9, 7), sharex=True)
    for axis, bound in zip(axes, BOUNDS):
        columns = {}
        for way in ("ours", *LOSSES):
            rows = [r.archive(n, bound, way) for n in r.sets]
            columns["mae" if way == "ours" else way] = [row and row["output_bytes"] - row["sections"].get("model", 0) for row in rows]
        bars(axis, r.sets, columns)
        axis.set(ylabel="bytes, model left out", title=f"point-wise {bound:g}")
    axes[0].legend(fontsize=6, ncols=5)
    return figure


def picture(folder, name, rows):
    """Original, both reconstructions and errors, a row of panels for each ratio; series as lines."""
    figure, axes = pyplot.subplots(len(rows), 5, figsize=(11, 1.9 * len(rows)), squeeze=False)
    for line, ((_, at), row) in zip(axes, rows):
        with np.load(folder / f"{name.replace('/', '-')}-{at}.npz") as kept:
            original, ours, theirs = (kept[k] for k in ("original", "ours", "theirs"))
        worst = max(float(np.abs(original - a).max()) for a in (ours, theirs)) or 1.0
        shown = [
            (original, "original", {}),
            (ours, f"cae, {row['psnr']:.1f} dB", {}),
            (theirs, f"SZ3, {row['sz3_psnr']:.1f} dB", {}),
            (ours - original, "error of cae", {"cmap": "coolwarm", "vmin": -worst, "vmax": worst}),
            (theirs - original, "error of SZ3", {"cmap": "coolwarm", "vmin": -worst, "vmax": worst}),
        ]
        for axis, (values, title, how) in zip(line, shown):
            axis.set_title(f"{title}, ratio {at}", fontsize=7)
            axis.grid(False)
            if values.ndim == 1:
                axis.plot(values[:: max(1, len(values) // 2000)], linewidth=0.4)
            else:
                how = how or {"vmin": original.min(), "vmax": original.max()}
                axis.imshow(values, origin="lower", interpolation="nearest", **how)
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


FIGURES = {"3-4": errors, "5": sizes, "7-8": features, "9": lengths, "11": breakdown, "12": knobs, "13": epochs, "14-15": reuse, "losses": losses}


def save(figure, path):
    """Few colors and pixels: reports are kept with their plots."""
    figure.tight_layout()
    figure.savefig(path, dpi=75)
    pyplot.close(figure)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(64)
    small.save(path, optimize=True)


def draw(r, folder):
    """Writes all figures; names of those that a report shows, by figure."""
    out = folder / "paper"
    out.mkdir(exist_ok=True)
    drawn = {}
    for number, make in FIGURES.items():
        figure = make(r)
        if figure:
            save(figure, out / f"figure-{number}.png")
            drawn[number] = f"paper/figure-{number}.png"
    found = {}
    for key, row in r.of("picture"):
        found.setdefault(key[0], []).append((key, row))
    for name, rows in found.items():
        path = out / f"figure-6-{name.replace('/', '-')}.png"
        save(picture(folder / "pictures", name, rows), path)
        # The one field that is the repository's own.
        if name.startswith("raw/"):
            drawn["6"] = f"paper/{path.name}"
    return drawn
