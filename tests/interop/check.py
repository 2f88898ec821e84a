"""Decodes every golden file and compares it with the manifest; every invalid file must be refused.

    python3 tests/interop/check.py [part of a file's name ..]

Exits with 1 if anything differs. Arrays that a network decodes are skipped where onnxruntime is
missing. CAE_GOLDENS names another folder of goldens.
"""

import json
import math
import os
import pathlib
import sys
import time
import traceback
import zlib

import numpy as np

import reader
from primitives import CaeError, Unsupported

DATA = pathlib.Path(__file__).parents[2] / "testdata"
GOLDEN = pathlib.Path(os.environ.get("CAE_GOLDENS", DATA / "golden"))
INVALID = DATA / "invalid"


def manifest(folder):
    lines = (folder / "manifest.tsv").read_text(encoding="utf-8").split("\n")
    return [line.split("\t") for line in lines if line]


def wrong(array, row, values):
    """What of an array differs from its line of the manifest."""
    _, _, dtype, shape, bound, methods, dims, attributes, crc, points = row
    flat = values.reshape(-1)
    if {"<f4": "f32", "<f8": "f64"}[array.dtype.str] != dtype:
        yield "type"
    if "x".join(map(str, array.shape)) != shape:
        yield "shape"
    kind, _, number = bound.partition("=")
    if array.bound.kind != kind or (number and array.bound.fields[0] != float(number)):
        yield f"bound {array.bound.kind} {array.bound.fields}"
    if ",".join(sorted(array.methods())) != methods:
        yield f"methods {sorted(array.methods())}"
    if ",".join(array.dims or []) != dims:
        yield "names of dimensions"
    if (array.attributes or "") != attributes:
        yield "attributes"
    if array.attributes is not None:
        json.loads(array.attributes)
    same = f"{zlib.crc32(flat.tobytes()):08x}" == crc
    if not same and not array.digests_informative():
        yield "values"
    words = flat.view(f"<u{array.dtype.itemsize}")
    for point in points.split():
        index, bits = point.split(":")
        wanted = np.array(int(bits, 16), words.dtype)
        if words[int(index)] == wanted:
            continue
        if not array.digests_informative():
            yield f"value {index}"
        elif not near(array, float(flat[int(index)]), float(wanted.view(array.dtype))):
            yield f"value {index} beyond the bound"


def near(array, a, b):
    """Whether two values may both be within the bound of a third."""
    e = array.bound.fields[-1]
    if array.bound.kind == "pw":
        return abs(a - b) <= 2 * e / (1 - e) * max(abs(a), abs(b))
    return abs(a - b) <= 2 * e


def regions(array, values):
    """Whether two boxes, read alone, hold what the whole array holds there."""
    for low, high in ((0.0, 0.5), (0.4, 0.9)):
        box = tuple(slice(math.floor(n * low), math.ceil(n * high)) for n in array.shape)
        if array.read(box).tobytes() != values[box].tobytes():
            yield f"region {low}"


def check(path, rows):
    """Prints a line for each array; True if all is well."""
    file = reader.File(path)
    well = sorted(a.name for a in file.arrays) == sorted(row[1] for row in rows)
    if not well:
        print(f"WRONG  {path.name}: names of arrays")
    for row in rows:
        name = row[1]
        start = time.monotonic()
        try:
            array = file.array(name)
            values = array.read()
            found = list(wrong(array, row, values))
            if len(array.frame_lens) > 1:
                found += regions(array, values)
        except ModuleNotFoundError as error:
            if error.name != "onnxruntime":
                raise
            print(f"skip   {path.name}: {name}: needs onnxruntime")
            continue
        except Exception:  # a reader's failure is a finding, whatever it is
            found = [traceback.format_exc()]
            values = None
        label = "WRONG " if found else "ok    "
        took = f"{time.monotonic() - start:.1f}s"
        notes = ["onnxruntime"] if array.needs_network() else []
        if values is not None and array.digests_informative():
            same = f"{zlib.crc32(values.tobytes()):08x}" == row[8]
            notes.append("identical" if same else "within the bound, other last bits")
        print(label, f"{path.name}: {name}:", row[5], took, *notes, "; ".join(found), flush=True)
        well &= not found
    return well


def refuse(path, wanted):
    """Prints a line; True if the reader refuses the file for the reason wanted."""
    kind = wanted.partition("(")[0]
    if kind not in ("Format", "Unsupported"):
        print(f"skip   {path.name}: {wanted} is about limits or the inside of a model")
        return True
    try:
        file = reader.File(path)
        for index in range(len(file.models)):
            file.model(index)
        for array in file.arrays:
            array.read()
        found = "nothing"
    except Unsupported as error:
        found = f"Unsupported: {error}"
    except CaeError as error:
        found = f"Format: {error}"
    except ModuleNotFoundError as error:
        found = f"{kind}: not known without {error.name}"
    except Exception:  # a reader's failure is a finding, whatever it is
        found = traceback.format_exc()
    well = found.startswith(kind)
    print("ok    " if well else "WRONG ", f"{path.name}: {wanted}:", found, flush=True)
    return well


def main():
    def chosen(folder):
        for path in sorted(folder.glob("*.cae")):
            if not sys.argv[1:] or any(part in path.name for part in sys.argv[1:]):
                yield path

    well = True
    table = manifest(GOLDEN)[1:]
    for path in chosen(GOLDEN):
        well &= check(path, [row for row in table if row[0] == path.name])
    reasons = dict(manifest(INVALID))
    for path in chosen(INVALID):
        well &= refuse(path, reasons[path.name])
    print("all as it should be" if well else "WRONG, see above")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
