"""Makes the models of this folder: python make_models.py (needs numpy and onnx; takes a few minutes).

Each pair reconstructs smooth signals that were normalized into [0.01, 0.1). The last bits of the weights depend on the
machine's BLAS, so the files here are kept as they were first made.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
LATENT_LEN = 8


def signals(rng, count, length, harmonics=3):
    """Rows of `length` values: a mean of 0.055 and harmonics of at most 0.04 together."""
    t = np.arange(length) / length
    amplitude = rng.random((count, harmonics)) / harmonics
    phase = rng.random((count, harmonics)) * 2 * np.pi
    waves = sum(
        amplitude[:, k, None] * np.sin(2 * np.pi * (k + 1) * t + phase[:, k, None]) for k in range(harmonics)
    )
    return (0.055 + 0.04 * waves).astype(np.float32)


def images(rng, count, size=16):
    """Squares of values that vary over the whole square: products of half waves."""
    t = np.pi * (np.arange(size) + 0.5) / size
    basis = np.array([np.outer(np.cos(i * t), np.cos(j * t)).ravel() for i, j in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 2)]])
    return (0.055 + 0.04 * (rng.random((count, 5)) * 2 - 1) / 5 @ basis).astype(np.float32)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def principal(data, rank):
    """Mean, and the `rank` directions of greatest variance as rows."""
    mean = data.mean(axis=0)
    return mean, np.linalg.svd(data - mean, full_matrices=False)[2][:rank]


def train(rng, sizes, steps):
    """Adam on the mean squared relative error of a perceptron, sigmoids after every layer."""
    weights = [rng.standard_normal((b, a)) * np.sqrt(2 / (a + b)) for a, b in zip(sizes, sizes[1:])]
    biases = [np.zeros(b) for b in sizes[1:]]
    weights[0] *= 20  # the inputs vary by some hundredths
    biases[-1][:] = np.log(0.055 / 0.945)
    parameters = weights + biases
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    for step in range(1, steps + 1):
        x = signals(rng, 128, sizes[0]).astype(np.float64)
        values = [x]
        for i, (w, b) in enumerate(zip(weights, biases)):
            inside = values[-1] - 0.055 if i == 0 else values[-1]
            values.append(sigmoid(inside @ w.T + b))
        slope = (values[-1] - x) / x**2 * values[-1] * (1 - values[-1]) / x.shape[1] * 10
        gradients = []
        for i in reversed(range(len(weights))):
            inside = values[i] - 0.055 if i == 0 else values[i]
            gradients.append((slope.T @ inside, slope.sum(axis=0)))
            if i:
                slope = slope @ weights[i] * values[i] * (1 - values[i])
        gradients.reverse()
        rate = 0.01 * min(1, 2 * (1 - step / (steps + 1)))
        for p, m, v, g in zip(parameters, first, second, [g[0] for g in gradients] + [g[1] for g in gradients]):
            g = g / 128
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    # The network sees x, not x - 0.055.
    biases[0] -= 0.055 * weights[0].sum(axis=1)
    return [(w.astype(np.float32), b.astype(np.float32)) for w, b in zip(weights, biases)]


def initializer(name, array):
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def save(name, nodes, initializers, source, target, opset, producer, metadata=None):
    """`source` and `target` are (name, dims)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(source[0], TensorProto.FLOAT, source[1])],
        [helper.make_tensor_value_info(target[0], TensorProto.FLOAT, target[1])],
        initializers,
    )
    model = helper.make_model(graph, producer_name=producer, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    (HERE / name).write_bytes(model.SerializeToString())


def gemm_chain(layers, prefix, source, target, quantize):
    """Layers as PyTorch writes them, sigmoids between and after; weights stored by `quantize`."""
    nodes, initializers = [], []
    at = source
    for i, (w, b) in enumerate(layers):
        weight, bias = f"{prefix}.{2 * i}.weight", f"{prefix}.{2 * i}.bias"
        quantize(nodes, initializers, weight, w)
        quantize(nodes, initializers, bias, b)
        linear = f"/{prefix}/{prefix}.{2 * i}/Gemm_output_0"
        nodes.append(helper.make_node("Gemm", [at, weight, bias], [linear], alpha=1.0, beta=1.0, transB=1))
        at = target if i + 1 == len(layers) else f"/{prefix}/{prefix}.{2 * i + 1}/Sigmoid_output_0"
        nodes.append(helper.make_node("Sigmoid", [linear], [at]))
    return nodes, initializers


def as_float16(nodes, initializers, name, array):
    initializers.append(initializer(f"{name}.f16", array.astype(np.float16)))
    nodes.append(helper.make_node("Cast", [f"{name}.f16"], [name], to=TensorProto.FLOAT))


def as_int8(nodes, initializers, name, array):
    """Rows of a matrix have a scale each; vectors stay as they are."""
    if array.ndim == 1:
        initializers.append(initializer(name, array))
        return
    scale = (np.abs(array).max(axis=1) / 127).astype(np.float32)
    initializers.append(initializer(f"{name}.i8", np.rint(array / scale[:, None]).astype(np.int8)))
    initializers.append(initializer(f"{name}.scale", scale))
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}.i8", f"{name}.scale"], [name], axis=0))


def make_sigmoid512(rng):
    layers = train(rng, [512, 64, LATENT_LEN, 64, 512], 2500)
    for half, source, target, quantize in [
        ("encoder", ("block", ["batch", 512]), ("latent", ["batch", LATENT_LEN]), as_float16),
        ("decoder", ("latent", ["batch", LATENT_LEN]), ("block", ["batch", 512]), as_int8),
    ]:
        part = layers[:2] if half == "encoder" else layers[2:]
        nodes, initializers = gemm_chain(part, half, source[0], target[0], quantize)
        save(f"sigmoid512-{half}.onnx", nodes, initializers, source, target, 17, "pytorch")


def make_conv16(rng):
    """Means of 4 x 4 patches and eight principal directions of them; back by two bilinear enlargements."""
    mean_kernel = np.full((1, 1, 4, 4), 1 / 16, np.float32)
    half = np.array([0.25, 0.75, 0.75, 0.25])
    double_kernel = np.outer(half, half).astype(np.float32)[None, None]

    def enlarge(coarse):
        size = coarse.shape[-1]
        out = np.zeros((len(coarse), 2 * size + 2, 2 * size + 2))
        for i in range(size):
            for j in range(size):
                out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += coarse[:, i, j, None, None] * double_kernel[0, 0]
        return out[:, 1:-1, 1:-1]

    data = images(rng, 2000)
    patches = data.reshape(-1, 4, 4, 4, 4).mean(axis=(2, 4)).reshape(-1, 16)
    mean, directions = principal(patches, LATENT_LEN)
    directions = directions * 10
    latents = (patches - mean) @ directions.T
    # The coarse values whose enlargement comes closest to the data.
    edges = 1 / enlarge(enlarge(np.ones((1, 4, 4))))  # enlarging fades towards the borders
    enlargement = (enlarge(enlarge(np.eye(16).reshape(16, 4, 4))) * edges).reshape(16, 256)
    with_one = np.hstack([latents, np.ones((len(latents), 1))])
    coarse = np.linalg.lstsq(enlargement.T, data.T, rcond=None)[0].T
    back = np.linalg.lstsq(with_one, coarse, rcond=None)[0].astype(np.float32)
    save(
        "conv16-encoder.onnx",
        [
            helper.make_node("Conv", ["image", "mean"], ["patches"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["patches"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w", "b"], ["latent"], transB=1),
        ],
        [
            initializer("mean", mean_kernel),
            initializer("w", directions.astype(np.float32)),
            initializer("b", (-directions @ mean).astype(np.float32)),
        ],
        ("image", ["N", 1, 16, 16]),
        ("latent", ["N", LATENT_LEN]),
        17,
        "cae make_models.py",
    )
    save(
        "conv16-decoder.onnx",
        [
            helper.make_node("Gemm", ["latent", "w", "b"], ["coarse"]),
            helper.make_node("Reshape", ["coarse", "shape"], ["image4"]),
            helper.make_node("ConvTranspose", ["image4", "k"], ["image8"], kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4),
            helper.make_node("Relu", ["image8"], ["positive"]),
            helper.make_node("ConvTranspose", ["positive", "k"], ["faded"], kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4),
            helper.make_node("Mul", ["faded", "edges"], ["image"]),
        ],
        [
            initializer("w", back[:-1]),
            initializer("b", back[-1]),
            initializer("shape", np.array([-1, 1, 4, 4])),
            initializer("k", double_kernel),
            initializer("edges", edges.astype(np.float32)),
        ],
        ("latent", ["N", LATENT_LEN]),
        ("image", ["N", 1, 16, 16]),
        17,
        "cae make_models.py",
    )


def make_keras64(rng):
    """Names, MatMul + Add, the shape chain and the channel-last output of tf2onnx, around principal components."""
    mean, directions = principal(signals(rng, 2000, 64), LATENT_LEN)
    directions = (directions * 5).astype(np.float32)
    save(
        "keras64-encoder.onnx",
        [
            helper.make_node("Reshape", ["input_1", "flat_shape"], ["model/flatten/Reshape:0"]),
            helper.make_node("MatMul", ["model/flatten/Reshape:0", "w"], ["model/dense/MatMul:0"]),
            helper.make_node("Add", ["model/dense/MatMul:0", "b"], ["model/dense/BiasAdd:0"]),
            helper.make_node("Tanh", ["model/dense/BiasAdd:0"], ["dense"]),
        ],
        [
            initializer("flat_shape", np.array([-1, 64])),
            initializer("w", directions.T),
            initializer("b", -directions @ mean),
        ],
        ("input_1", ["unk__12", 8, 8, 1]),
        ("dense", ["unk__13", LATENT_LEN]),
        13,
        "tf2onnx",
    )
    # tanh(v) is undone by v = tanh(v) + tanh(v)^3 / 3 well enough for |v| below 0.7.
    save(
        "keras64-decoder.onnx",
        [
            helper.make_node("Mul", ["input_2", "input_2"], ["model_1/square:0"]),
            helper.make_node("Mul", ["model_1/square:0", "input_2"], ["model_1/cube:0"]),
            helper.make_node("Mul", ["model_1/cube:0", "third"], ["model_1/term:0"]),
            helper.make_node("Add", ["input_2", "model_1/term:0"], ["model_1/atanh:0"]),
            helper.make_node("MatMul", ["model_1/atanh:0", "model_1/dense_1/MatMul/ReadVariableOp:0"], ["model_1/dense_1/MatMul:0"]),
            helper.make_node("Add", ["model_1/dense_1/MatMul:0", "model_1/dense_1/BiasAdd/ReadVariableOp:0"], ["model_1/dense_1/BiasAdd:0"]),
            helper.make_node("Relu", ["model_1/dense_1/BiasAdd:0"], ["model_1/dense_1/Relu:0"]),
            helper.make_node("Shape", ["model_1/dense_1/Relu:0"], ["model_1/reshape/Shape:0"]),
            helper.make_node("Cast", ["model_1/reshape/Shape:0"], ["model_1/reshape/Shape__9:0"], to=TensorProto.INT32),
            helper.make_node("Slice", ["model_1/reshape/Shape__9:0", "zero", "one", "zero"], ["model_1/reshape/strided_slice:0"]),
            helper.make_node("Concat", ["model_1/reshape/strided_slice:0", "rows"], ["model_1/reshape/shape:0"], axis=0),
            helper.make_node("Cast", ["model_1/reshape/shape:0"], ["model_1/reshape/shape__11:0"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["model_1/dense_1/Relu:0", "model_1/reshape/shape__11:0"], ["reshape"]),
        ],
        [
            initializer("third", np.float32(1 / 3)),
            initializer("model_1/dense_1/MatMul/ReadVariableOp:0", directions / 25),
            initializer("model_1/dense_1/BiasAdd/ReadVariableOp:0", mean),
            initializer("zero", np.array([0])),
            initializer("one", np.array([1])),
            initializer("rows", np.array([8, 8, 1], np.int32)),
        ],
        ("input_2", ["unk__14", LATENT_LEN]),
        ("reshape", ["unk__15", 8, 8, 1]),
        13,
        "tf2onnx",
    )


def make_exact512(rng):
    """Principal components in integers: positive and negative parts of the latents, times weights of 12 bits."""
    mean, directions = principal(signals(rng, 2000, 512), LATENT_LEN)
    spread = np.abs((signals(rng, 2000, 512) - mean) @ directions.T).max(axis=0)
    step = spread / 120  # latents then lie in [-127, 127]
    unit = 2.0**-20
    weights = np.rint(directions * step[:, None] / unit).astype(np.float32)
    offset = np.rint(mean / unit).astype(np.float32)
    halves = np.vstack([np.eye(LATENT_LEN), -np.eye(LATENT_LEN)]).T * 16
    save(
        "exact512-encoder.onnx",
        [
            helper.make_node("Sub", ["block", "mean"], ["centred"]),
            helper.make_node("MatMul", ["centred", "w"], ["scaled"]),
            helper.make_node("Round", ["scaled"], ["rounded"]),
            helper.make_node("Clip", ["rounded", "low", "high"], ["latent"]),
        ],
        [
            initializer("mean", mean),
            initializer("w", (directions / step[:, None]).T.astype(np.float32)),
            initializer("low", np.float32(-127)),
            initializer("high", np.float32(127)),
        ],
        ("block", ["N", 512]),
        ("latent", ["N", LATENT_LEN]),
        17,
        "cae make_models.py",
    )
    nodes, initializers = [], [initializer("halves", halves.astype(np.float32))]
    initializers.append(initializer("w.i16", np.vstack([weights, -weights]).astype(np.int16)))
    nodes.append(helper.make_node("Cast", ["w.i16"], ["w"], to=TensorProto.FLOAT))
    nodes += [
        helper.make_node("MatMul", ["latent", "halves"], ["a"]),
        helper.make_node("Mul", ["a", "sixteenth"], ["b"]),
        helper.make_node("Floor", ["b"], ["c"]),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        helper.make_node("Gemm", ["d", "w", "offset"], ["e"]),
        helper.make_node("Mul", ["e", "unit"], ["block"]),
    ]
    initializers += [
        initializer("sixteenth", np.float32(1 / 16)),
        initializer("low", np.float32(0)),
        initializer("high", np.float32(127)),
        initializer("offset", offset),
        initializer("unit", np.float32(unit)),
    ]
    save(
        "exact512-decoder.onnx",
        nodes,
        initializers,
        ("latent", ["N", LATENT_LEN]),
        ("block", ["N", 512]),
        17,
        "cae make_models.py",
        {"cae.latent_range": "-127,127"},
    )


if __name__ == "__main__":
    for make in [make_sigmoid512, make_conv16, make_keras64, make_exact512]:
        make(np.random.default_rng(20))
