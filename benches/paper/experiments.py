"""The paper's experiments, each a function that makes rows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench import ROOT
from processes import Failed, call

BOUNDS = (0.1, 0.01, 0.001)
PRESETS = ("fast", "balanced", "small")
RATIOS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
LAYERS = (3, 5, 7, 9, 11)
SHARES = ("half", "10%", "1%")

# The paper's own way of training, as far as it says: random weights, sigmoids everywhere, squared error, a fixed rate.
PAPER = "--init random --output-activation sigmoid --latent-activation sigmoid --loss mse --lr 1e-3 --decay 1 --weight-decay 0 --plain".split()

WAYS = {
    "ours": [],
    "exact": ["--exact"],
    "ours, not normalized": ["--linear"],
    "paper": PAPER,
    "paper, not normalized": [*PAPER, "--linear"],
    "mse": ["--loss", "mse"],
    "log": ["--loss", "log"],
    "bound 0.1": ["--loss", "bound", "--pw", "0.1"],
    "bound 0.01": ["--loss", "bound", "--pw", "0.01"],
}
LOSSES = ("mse", "log", "bound 0.1", "bound 0.01")

# Values that a set must have to be cut into blocks of 16384 or into sizes.
LARGE = 100_000

# For reuse across variables: the set whose model is known, and another variable's two halves.
VARIABLES = [
    ("maclaurin-pres", "maclaurin/pres_training_*.f64", "maclaurin/pres_testing_*.f64"),
    ("maclaurin-temp", "maclaurin/pres_training_*.f64", "maclaurin/pres_testing_*.f64"),
    ("sedov_temp", "sedov/pres_training_*.f64", "sedov/pres_testing_*.f64"),
    ("2d_annulus", "2d_annulus/temp_temp1_*.f64", "2d_annulus/temp_temp2_*.f64"),
    ("2d_annulus", "2d_annulus/velx_velx1_*.f64", "2d_annulus/velx_velx2_*.f64"),
    ("2d_annulus", "2d_annulus/vely_vely1_*.f64", "2d_annulus/vely_vely2_*.f64"),
]

# For reuse across steps: gridded runs, time first.
SERIES = ("navy_winds/UWND", "canesm2_daily/tasmax", "sea_ice/fice", "hadley_A1B/air_temperature", "viscous_fingers/density")

# A part of the steps of training, where a known model or few data are tried.
SHORT = 0.1


def sets(bench):
    names = sorted(p.name for p in (bench.data / "paper").iterdir() if p.is_dir())
    return names[::5] if bench.quick else names


def halves(bench, name):
    """What is learned from, and what is judged on and compressed."""
    folder = bench.data / "paper" / name
    return next(folder.glob("train_*.f64")), next(folder.glob("test_*.f64"))


def values(path):
    return path.stat().st_size // (4 if path.suffix == ".f32" else 8)


def model(bench, name, way, keep=True):
    learn, judge = halves(bench, name)
    return bench.train("train", name, way, learn=learn, judge=judge, extra=WAYS[way], keep=keep)


def archive(bench, name, way):
    """What the paper's pipeline makes of a set with this model."""
    _, judge = halves(bench, name)
    for bound in BOUNDS:
        bench.row("archive", name, way, bound, make=lambda: pipeline(bench, judge, bound, name, way))


def pipeline(bench, path, bound, name, way):
    """A model whose rounding on other engines could use up the bound is refused: that is a result, too."""
    try:
        return bench.compress(path, ["--pw", bound], "--model", bench.pair("train", name, way))
    except Failed as e:
        if "the model's guard" not in str(e):
            raise
        return {"refused": str(e).split(": ")[-1]}


def plan(bench, name):
    """What `cae` makes of a set without any model."""
    _, judge = halves(bench, name)
    for preset in PRESETS:
        for bound in BOUNDS:
            make = lambda: bench.compress(judge, ["--pw", bound], "--model", "none", "--preset", preset)
            bench.row("plan", name, preset, bound, make=make)


def accuracy(bench, name):
    """Figures 3 and 4, 13, 14."""
    for way in ("ours", "ours, not normalized", "paper", "paper, not normalized"):
        model(bench, name, way, keep=way in ("ours", "paper"))


def models(bench, name):
    """Figures 5 and 11, table 3."""
    for way in ("ours", "exact", "paper"):
        model(bench, name, way)
        archive(bench, name, way)


def features(bench, name):
    """Figures 7 and 8."""
    _, judge = halves(bench, name)

    def make():
        found = json.loads(call([bench.cae, "advise", judge, "--pw", 0.01, "--json"])[0])["arrays"][0]
        return {k: v for k, v in found.items() if k not in ("file", "advice")}

    bench.row("features", name, make=make)


def losses(bench, name):
    for way in LOSSES:
        model(bench, name, way)
        archive(bench, name, way)


def ratios(bench, name):
    """Figure 12, and the number of layers."""
    learn, judge = halves(bench, name)
    if values(learn) < LARGE:
        return
    for ratio in RATIOS[:: 3 if bench.quick else 1]:
        # The same widths between, and about as many steps, for all.
        epochs = bench.epochs(values(learn) // max(ratio, 512), SHORT)
        extra = ["--ratio", ratio, "--hidden", "64,8"]
        bench.train("ratio", name, ratio, learn=learn, judge=judge, extra=extra, epochs=epochs)
    for layers in LAYERS[:: 2 if bench.quick else 1]:
        bench.train("layers", name, layers, learn=learn, judge=judge, extra=["--layers", layers], part=SHORT)


def variables(bench, case):
    """Figure 15: a model of one variable, used for another."""
    known, learn, judge = case
    learn, judge = (next((bench.data / "paper_transfer").glob(p)) for p in (learn, judge))
    model(bench, known, "ours")
    reuse = ["--from", bench.pair("train", known, "ours")]
    label = f"{known} for {judge.parent.name} {judge.stem.split('_')[0]}"
    train = lambda kind, **more: bench.train("variable", label, kind, learn=learn, judge=judge, **more)
    train("its own model")
    train("its own model, a tenth of the steps", part=SHORT)
    train("its own model, random weights", extra=["--init", "random"], part=SHORT)
    train("the other's model", extra=reuse, epochs=0)
    train("the other's model, a tenth of the steps", extra=reuse, part=SHORT)


def steps(bench, name):
    """Figures 14 and 15: a model of a few steps, used for the others."""
    path = next(bench.data.glob(f"{name}_*"))
    for share, part in zip(SHARES, (1.0, SHORT, SHORT)):
        # One step among many blocks: epochs are those that make the same number of batches.
        blocks = max(1, int(values(path) / 512 * {"half": 0.5, "10%": 0.1, "1%": 0.01}[share]))
        bench.train("steps", name, share, learn=path, judge=None, extra=["--steps", share], epochs=bench.epochs(blocks, part))


def shares(bench, name):
    """The same on the paper's sets: a part of the first half learned from, all of the second judged on."""
    learn, judge = halves(bench, name)
    for share in SHARES[1:]:
        blocks = max(1, int(values(learn) / 512 * {"10%": 0.1, "1%": 0.01}[share]))
        extra = ["--steps", share]
        bench.train("share", name, share, learn=learn, judge=judge, extra=extra, epochs=bench.epochs(blocks, SHORT))


def prefix(bench, name, part):
    """The first values of a set, in a file of its own."""
    _, whole = halves(bench, name)
    count = values(whole) // part
    path = bench.folder / "prefixes" / name / f"test_{count}.f64"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.fromfile(whole, "<f8", count).tofile(path)
    return path


def lengths(bench, name):
    """Figure 9: ratio against array size."""
    if values(halves(bench, name)[1]) < LARGE:
        return
    model(bench, name, "ours")
    for part in (64, 16, 4, 1):
        path = prefix(bench, name, part)
        bench.row("length", name, values(path), "pipeline", make=lambda: pipeline(bench, path, 0.01, name, "ours"))
        without = ["--model", "none", "--preset", "small"]
        bench.row("length", name, values(path), "small", make=lambda: bench.compress(path, ["--pw", 0.01], *without))


def peers(bench, names):
    """Today's compressors, by `benches/compare`."""
    compare = [sys.executable, ROOT / "benches/compare/compare.py", "run"]
    folder = "|".join(names)
    jobs = [
        (bench.data / "paper", f"^({folder})/test_", BOUNDS, ["sz3", "sz3-lorenzo", "sz2", "zfp", "lattice-xz", "lattice-bz2"], "peers"),
        (bench.folder / "prefixes", f"^({folder})/", (0.01,), ["sz3", "sz3-lorenzo"], "peers-lengths"),
    ]
    for path, files, bounds, only, out in jobs:
        if not path.exists():
            continue
        command = [*compare, path, "--files", files, "--mode", "pw", "--bounds", ",".join(map(str, bounds)), "--only", *only]
        command += ["--resume", "--out", bench.folder / f"{out}.jsonl"]
        done = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL)
        if done.returncode:
            raise Failed(f"{command[1]} ended with {done.returncode}")


def start(bench):
    """Processor seconds of starting the program, which are no part of its speed."""
    bench.row("start", make=lambda: {"seconds": min(call([bench.cae, "--version"])[1] for _ in range(9))})
