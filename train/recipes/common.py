"""What every recipe shares: a field as normalized blocks, and the archive's commands on the exported pair."""

import argparse
import json
import re
import subprocess
from pathlib import Path

import numpy as np


def arguments(description, exporters=()):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("field", type=Path, help="raw array named like NAME_20x37x72.f32")
    p.add_argument("--cae", default="cae", help="the program")
    p.add_argument("--out", type=Path, default=Path("."), help="folder for models and archives")
    p.add_argument("--epochs", type=int, default=300)
    p.add_argument("--abs", type=float, default=0.5, help="error bound for the archive")
    if exporters:
        p.add_argument("--exporter", choices=exporters, default=exporters[0])
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def load(path):
    shape, kind = re.search(r"_(\d+(?:x\d+)*)\.(f32|f64)$", path.name).groups()
    return np.fromfile(path, "<" + kind[0] + kind[1:].replace("32", "4").replace("64", "8")).reshape(
        [int(d) for d in shape.split("x")]
    )


def normalize(x):
    """y with x = y * 10^k and 0.01 <= |y| < 0.1; zeros stay (SPEC 7.1)."""
    x = x.astype(np.float64)
    k = np.zeros(x.shape)
    np.log10(np.abs(x), where=x != 0, out=k)
    return (x / 10.0 ** (np.floor(k) + 2)).astype(np.float32)


def blocks(x, shape):
    """Normalized blocks of `shape` over the last axes, or over the flattened array; edges repeat the last value."""
    y = normalize(x)
    if len(shape) == 1:
        y = y.ravel()
    lead = y.ndim - len(shape)
    full = (1,) * lead + tuple(shape)
    y = np.pad(y, [(0, -n % b) for n, b in zip(y.shape, full)], mode="edge")
    split = y.reshape([v for n, b in zip(y.shape, full) for v in (n // b, b)])
    order = list(range(0, 2 * y.ndim, 2)) + list(range(1, 2 * y.ndim, 2))
    return split.transpose(order).reshape((-1,) + tuple(shape)).copy()


def halves(y):
    """To learn from, and to be judged on."""
    return y[: (len(y) + 1) // 2], y[(len(y) + 1) // 2 :]


def relative_error(predicted, y):
    """Mean point-wise relative error over what is not zero."""
    y = y.reshape(predicted.shape)
    there = y != 0
    return float(np.mean(np.abs(predicted[there] - y[there]) / np.abs(y[there])))


# Values vary by some hundredths about a middle: networks learn better on these, scaled.
MEAN, SPREAD = 0.0, 0.05


def archive(args, name):
    """`cae model check`, compress, decompress and verify with NAME-encoder.onnx and NAME-decoder.onnx."""
    pair = [args.out / f"{name}-{side}.onnx" for side in ("encoder", "decoder")]
    out, back = args.out / f"{name}.cae", args.out / f"{name}.npy"

    def cae(*command):
        return subprocess.run([args.cae, *map(str, command)], check=True, capture_output=True, text=True).stdout

    print(cae("model", "check", *pair), end="")
    report = json.loads(
        cae("compress", args.field, "-o", out, "--abs", args.abs, "--model", f"{pair[0]},{pair[1]}", "--force", "--json")
    )
    cae("decompress", out, "-o", back, "--force")
    cae("verify", out, "--against", args.field)
    worst = float(np.max(np.abs(np.load(back).astype("f8") - load(args.field))))
    assert worst <= args.abs, f"the bound {args.abs} is broken: {worst}"
    print(f"{name}: archived within {args.abs} (largest error {worst:.4g}), ratio {report['ratio']:.2f}")
