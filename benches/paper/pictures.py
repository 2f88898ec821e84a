"""Figure 6: fields at equal ratio, by `cae` and by SZ3."""

import json
from pathlib import Path

import arrays
import numpy as np
import peers

from bench import ROOT
from processes import Failed, call

RATIOS = (30, 50, 100)

# A field of the repository's own, which may be shown, and others that are measured and drawn where they are.
FIELDS = (
    (ROOT / "testdata/raw", "navy_uwnd_20x37x72.f32"),
    (None, "paper/yf17_temp/test_48552.f64"),
    (None, "paper/yf17_pres/test_48552.f64"),
    (None, "sperr_vort/vorticity2d_512x512.f32"),
    (None, "heated_cylinder/field_members0-7_8x10x256x128.f32"),
)

# Larger arrays are cut to their first planes: looking for the best quality at a ratio compresses many times.
MOST = 300_000


def fields(bench):
    found = [(folder or bench.data) / name for folder, name in FIELDS]
    return [p for p in found if p.exists()][: 2 if bench.quick else None]


def load(path):
    a = arrays.load(str(path))
    while a.size > MOST and a.ndim > 2:
        a = a[0] if a[0].size > MOST or a.ndim > 3 else a[: max(1, MOST // a[0].size)]
    return np.ascontiguousarray(a)


def psnr(a, b):
    root = float(np.sqrt(np.mean((a.astype("f8") - b.astype("f8")) ** 2)))
    return float("inf") if root == 0 else 20 * float(np.log10((float(a.max()) - float(a.min())) / root))


def sz3(values, ratio):
    """The best of SZ3 at this ratio or more, over both algorithms: decoded values and bytes."""
    best, span = None, float(values.max() - values.min())
    for peer in (peers.Sz3("INTERP_LORENZO"), peers.Sz3("LORENZO_REG")):

        def fits(power):
            return values.nbytes >= ratio * peer.encode(values, span * 10.0**power)[1]

        # Bytes do not fall evenly with the bound: the first that fits on a fine grid, then the tightest before it.
        grid = np.linspace(-5, -0.5, 120)
        i = next((i for i, power in enumerate(grid) if fits(power)), None)
        if i is None:
            continue
        low, high = grid[max(i - 1, 0)], grid[i]
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        blob, size = peer.encode(values, span * 10.0**high)
        decoded = np.array(peer.decode(blob, values))
        if best is None or psnr(values, decoded) > psnr(values, best[0]):
            best = decoded, int(size)
    return best


def ours(bench, values, ratio):
    """The best of `cae` small at this ratio or more, the whole file counted: decoded values and bytes."""
    around, reached = 96, None
    for _ in range(4):
        with bench.scratch() as folder:
            raw = folder / f"x_{'x'.join(map(str, values.shape))}.f{8 * values.itemsize}"
            values.tofile(raw)
            asked = values.nbytes / (values.nbytes / ratio - around)
            tail = ["--threads", 1, "--json", "--force"]
            packed = [bench.cae, "compress", raw, "-o", folder / "x.cae", "--ratio", asked, "--preset", "small", *tail]
            reached = json.loads(call(packed)[0])
            call([bench.cae, "decompress", folder / "x.cae", "-o", folder / "y.npy", *tail])
            decoded = np.load(folder / "y.npy")
        if values.nbytes >= ratio * reached["output_bytes"]:
            return decoded, reached["output_bytes"]
        # The ratio asked is that of the array; the file has a header around it.
        around += 64
    raise Failed(f"a ratio of {ratio} is not reached: {reached['ratio']}")


def measure(bench, path):
    """Rows of PSNR, and the decoded values beside them for drawing."""
    values = load(path)
    name = f"{path.parent.name}/{path.stem}"
    for ratio in RATIOS:
        kept = picture(bench, name, ratio)

        def make():
            own, size = ours(bench, values, ratio)
            theirs, other = sz3(values, ratio)
            kept.parent.mkdir(exist_ok=True)
            np.savez_compressed(kept, original=plane(values), ours=plane(own), theirs=plane(theirs))
            found = {"ratio": values.nbytes / size, "psnr": psnr(values, own), "shape": list(values.shape)}
            return found | {"sz3_ratio": values.nbytes / other, "sz3_psnr": psnr(values, theirs)}

        bench.row("picture", name, ratio, make=make)


def plane(a):
    """What is drawn: the middle plane, or all of a series."""
    while a.ndim > 2:
        a = a[len(a) // 2]
    return a


def picture(bench, name, ratio):
    return Path(bench.folder) / "pictures" / f"{name.replace('/', '-')}-{ratio}.npz"
