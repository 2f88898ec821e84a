"""Reading through Zarr against `cae.open` on the same array, and Zarr's other codecs: `python benches/doors.py [MIB]`.

The array is a smooth field of f32, whose amplitudes fall with the third power of the wave number, in chunks of 4 MiB; the bound is
1e-3 of its range. Times are of interleaved rounds: the median of the wall clock, and the least of the processor in all threads,
which other programs disturb less.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import cae
import numcodecs
import numpy as np
import zarr
from cae.zarr import CaeCodec, value_range
from zarr.codecs import BloscCodec, BytesCodec, ZstdCodec

ROUNDS = 15
REL = 1e-3


def smooth(layers: int) -> np.ndarray:
    """`layers` of 512 x 512 values."""
    shape = (layers, 512, 512)
    k = np.sqrt(
        sum(
            f**2
            for f in np.meshgrid(
                *(np.fft.fftfreq(n, 1 / 512) for n in shape[:2]), np.fft.rfftfreq(512, 1 / 512), indexing="ij"
            )
        )
    )
    k[0, 0, 0] = 1.0
    noise = np.fft.rfftn(np.random.default_rng(1).standard_normal(shape, np.float32))
    return np.fft.irfftn(noise * k**-3.0, shape, axes=(0, 1, 2)).astype(np.float32)


def timed(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(works: dict[str, object], rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Median wall and least processor seconds of each."""
    for work in works.values():
        work()
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(timed(work))
    return {name: (statistics.median(w for w, _ in ts), min(c for _, c in ts)) for name, ts in times.items()}


def against_open(values: np.ndarray, folder: Path) -> None:
    """What Zarr adds to the decoding."""
    bound = REL * value_range(values)
    chunks = (4, 512, 512)
    print(f"{values.nbytes >> 20} MiB, chunks of 4 MiB: seconds to read all (wall, processor), over those of cae.open")
    print("| preset | cae.open | Zarr | over, wall | over, processor | Zarr, shards of 8 chunks | over, processor |")
    print("|---|---|---|---|---|---|---|")
    for preset in ["fast", "balanced"]:
        part = values if preset == "fast" else values[: len(values) // 4]
        path = folder / f"{preset}.cae"
        cae.save(path, {"a": part}, abs=bound, preset=preset, frame_shape=chunks)
        works = {"open": lambda: cae.open(path)["a"][...]}
        for name, shards in [("zarr", None), ("shards", (32, 512, 512))]:
            store = str(folder / f"{preset}-{name}.zarr")
            array = zarr.create_array(
                store,
                shape=part.shape,
                dtype="f4",
                chunks=chunks,
                shards=shards,
                compressors=None,
                serializer=CaeCodec(abs=bound, preset=preset),
            )
            array[...] = part
            works[name] = lambda store=store: zarr.open_array(store, mode="r")[...]
        # A file chooses a way of coding for all frames, a chunk for itself.
        assert all(np.abs(work() - part).max() <= bound for work in works.values())
        t = interleaved(works)
        cell = lambda n: f"{t[n][0]:.3f}, {t[n][1]:.3f}"
        over = lambda n, i: f"{100 * (t[n][i] / t['open'][i] - 1):+.1f} %"
        print(
            f"| {preset} | {cell('open')} | {cell('zarr')} | {over('zarr', 0)} | {over('zarr', 1)} | {cell('shards')} | {over('shards', 1)} |"
        )


def against_codecs(values: np.ndarray, folder: Path) -> None:
    """Other codecs of Zarr on the same chunks; of the lossy ones, at the same bound."""
    bound = REL * value_range(values)
    # Rounding to decimal digits keeps half a unit of the last: as many digits as the bound needs.
    digits = int(np.ceil(-np.log10(2 * bound)))
    quantize = {"id": "quantize", "digits": digits, "dtype": "<f4"}
    codecs = {
        "cae, fast": {"serializer": CaeCodec(abs=bound, preset="fast"), "compressors": None},
        "cae, balanced": {"serializer": CaeCodec(abs=bound), "compressors": None},
        "zstd 3, lossless": {"serializer": BytesCodec(), "compressors": ZstdCodec(level=3)},
        "blosc (zstd 5, bit shuffle), lossless": {
            "serializer": BytesCodec(),
            "compressors": BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
        },
        "quantize, blosc (zstd 5, bit shuffle)": {
            "filters": numcodecs.get_codec(quantize),
            "compressors": numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE),
            "zarr_format": 2,
        },
    }
    print(
        f"\n{values.nbytes >> 20} MiB in Zarr, chunks of 4 MiB, bound {REL} of the range: ratio, and MB a second (wall)"
    )
    print("| codec | ratio | write | read | largest error over the bound |")
    print("|---|---|---|---|---|")
    reads, rows = {}, {}
    for i, (name, options) in enumerate(codecs.items()):
        store = folder / f"{i}.zarr"
        array = zarr.create_array(str(store), shape=values.shape, dtype="f4", chunks=(4, 512, 512), **options)
        wall, _ = timed(lambda: array.__setitem__(..., values))
        stored = sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
        reads[name] = lambda store=store: zarr.open_array(str(store), mode="r")[...]
        error = np.abs(reads[name]() - values).max() / bound
        rows[name] = (values.nbytes / stored, values.nbytes / 1e6 / wall, error)
    for name, (wall, _) in interleaved(reads, 3).items():
        ratio, write, error = rows[name]
        print(f"| {name} | {ratio:.2f} | {write:.1f} | {values.nbytes / 1e6 / wall:.0f} | {error:.2f} |")


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    values = smooth(mib)
    with tempfile.TemporaryDirectory() as folder:
        against_open(values, Path(folder))
        against_codecs(values[: max(len(values) // 4, 4)], Path(folder))


if __name__ == "__main__":
    main()
