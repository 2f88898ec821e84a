"""onnx.checker, onnxruntime and `cae` agree on what `cae train` writes.

python check_onnx.py FIELD.f32 --cae-train PATH --cae PATH

Trains small models of several forms, checks the files, runs them in onnxruntime, and compares with a plain evaluation of their
weights in NumPy; then archives the field with each and lets `cae verify` compare. Exact decoders must give the same to the bit, and the
independent reader, with onnxruntime, must decode the archive to the bits that `cae decompress` gives.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

sys.path.append(str(Path(__file__).parents[1] / "tests" / "interop"))
import reader  # noqa: E402

FORMS = [
    ["--block", "512", "--weights", "f32"],
    ["--block", "8x8", "--ratio", "16", "--hidden", "32", "--activation", "tanh", "--weights", "f16"],
    ["--block", "4x4x4", "--ratio", "16", "--layers", "9", "--activation", "elu", "--weights", "i8"],
    ["--block", "64", "--ratio", "64", "--layers", "5", "--activation", "leaky-relu", "--loss", "mse"],
    ["--block", "16x16", "--ratio", "32", "--layers", "3", "--latent-activation", "tanh", "--loss", "bound", "--abs", "0.5"],
    ["--block", "512", "--exact"],
    ["--block", "8x8", "--ratio", "16", "--hidden", "32", "--activation", "relu", "--exact", "--weights", "f16"],
]

FUNCTIONS = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "LeakyRelu": lambda x: np.where(x < 0, 0.01 * x, x),
    "Relu": lambda x: np.maximum(x, 0),
    "Round": np.round,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Min": np.minimum,
    "MatMul": np.matmul,
    "Clip": np.clip,
}


def dequantized(node, q, scale):
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return q * (scale.reshape([-1 if i == axis else 1 for i in range(q.ndim)]) if scale.ndim else scale)


def evaluate(model, x):
    """Node by node in float64."""
    values = {t.name: numpy_helper.to_array(t).astype("f8") for t in model.graph.initializer}
    values[model.graph.input[0].name] = x.astype("f8")
    for node in model.graph.node:
        i = [values[name] for name in node.input]
        if node.op_type == "Gemm":
            out = i[0] @ i[1] + i[2]
        elif node.op_type in ("Cast", "Identity"):
            out = i[0]
        elif node.op_type == "DequantizeLinear":
            out = dequantized(node, i[0], i[1])
        elif node.op_type == "Flatten":
            out = i[0].reshape(len(x), -1)
        elif node.op_type == "Reshape":
            out = i[0].reshape([len(x)] + [int(d) for d in i[1][1:]])
        else:
            out = FUNCTIONS[node.op_type](*i)
        values[node.output[0]] = out
    return values[model.graph.output[0].name]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("field", type=Path)
    p.add_argument("--cae-train", default="cae-train")
    p.add_argument("--cae", default="cae")
    args = p.parse_args()
    random = np.random.default_rng(1)
    checked = 0
    with tempfile.TemporaryDirectory() as folder:
        encoder, decoder, archive = (Path(folder) / name for name in ("e.onnx", "d.onnx", "a.cae"))
        for form in FORMS:
            exact = "--exact" in form
            pair = f"{encoder},{decoder}"
            train = [args.cae_train, args.field, "-o", pair, "--epochs", "15", "--force", *form]
            subprocess.run(list(map(str, train)), check=True, stdout=subprocess.DEVNULL)
            for path in (encoder, decoder):
                model = onnx.load(path)
                onnx.checker.check_model(model, full_check=True)
                options = onnxruntime.SessionOptions()
                # By default it multiplies 8-bit weights with activations rounded to 8 bits, which no reader does (SPEC 5.5).
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                dims = session.get_inputs()[0].shape[1:]
                x = random.uniform(0.01, 0.1, [7] + dims) if path == encoder else random.normal(size=[7] + dims)
                if exact and path == decoder:
                    x = np.round(500 * x)
                found = session.run(None, {session.get_inputs()[0].name: x.astype("f4")})[0]
                wanted = evaluate(model, x.astype("f4"))
                off = np.max(np.abs(found - wanted)) / max(1e-3, np.max(np.abs(wanted)))
                # Between whole numbers that an encoder rounds to, a last bit decides.
                close = off <= (0 if exact and path == decoder else 1e-5 if not exact else 0.01)
                assert found.shape == wanted.shape and close, (form, path, off)
                checked += 1
            compress = [args.cae, "compress", args.field, "-o", archive, "--abs", "0.5", "--model", pair, "--force"]
            subprocess.run(list(map(str, compress)), check=True, stdout=subprocess.DEVNULL)
            verify = [args.cae, "verify", archive, "--against", args.field]
            said = subprocess.run(list(map(str, verify)), check=True, capture_output=True, text=True).stdout
            assert not re.search("not met|broken", said), said
            if exact:
                said = subprocess.run([args.cae, "model", "check", decoder], check=True, capture_output=True, text=True).stdout
                assert re.search("^ *exact", said, re.M), said
                raw = Path(folder) / "back.f32"
                subprocess.run([args.cae, "decompress", archive, "-o", raw, "--force"], check=True, stdout=subprocess.DEVNULL)
                array = reader.File(archive).arrays[0]
                assert not array.digests_informative() and array.read().tobytes() == raw.read_bytes(), form
                checked += 1
    print(f"{checked} passed, 0 failed")


if __name__ == "__main__":
    main()
