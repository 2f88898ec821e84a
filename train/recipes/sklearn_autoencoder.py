"""The seven-layer autoencoder in scikit-learn, by skl2onnx. (It has no convolutions.)

python sklearn_autoencoder.py FIELD_20x37x72.f32 --cae cae --out sklearn
"""

import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from common import MEAN, SPREAD, archive, arguments, blocks, halves, load, relative_error


def part(weights, biases):
    """A regressor of these layers, with sigmoids between them."""
    sizes = [w.shape[0] for w in weights] + [weights[-1].shape[1]]
    model = MLPRegressor(hidden_layer_sizes=sizes[1:-1], activation="logistic", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.zeros((2, sizes[0])), np.zeros((2, sizes[-1])) if sizes[-1] > 1 else np.zeros(2))
    model.coefs_, model.intercepts_ = [w.copy() for w in weights], [b.copy() for b in biases]
    return model


def main():
    args = arguments(__doc__)
    y, judged = halves(blocks(load(args.field), (512,)))
    scaled = (y - MEAN) / SPREAD
    whole = MLPRegressor(hidden_layer_sizes=(64, 8, 1, 8, 64), activation="logistic", learning_rate_init=3e-3, batch_size=min(64, len(y)),
                         max_iter=args.epochs, tol=0, n_iter_no_change=args.epochs, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole.fit(scaled, scaled)
    weights, biases = whole.coefs_, whole.intercepts_
    # The archive gives and wants normalized values: scaling goes into the outer layers.
    weights[0] = weights[0] / SPREAD
    biases[0] = biases[0] - MEAN * weights[0].sum(axis=0)
    weights[-1] = weights[-1] * SPREAD
    biases[-1] = biases[-1] * SPREAD + MEAN
    # The encoder ends before the sigmoid of the latent, since a regressor's output has none; the decoder begins with it.
    encoder = part(weights[:3], biases[:3])
    decoder = part([np.ones((1, 1))] + weights[3:], [np.zeros(1)] + biases[3:])
    for side, model, width in [("encoder", encoder, 512), ("decoder", decoder, 1)]:
        onnx = to_onnx(model, np.zeros((1, width), np.float32), target_opset=17)
        (args.out / f"sklearn-dense-{side}.onnx").write_bytes(onnx.SerializeToString())
    latents = np.asarray(encoder.predict(judged)).reshape(len(judged), 1)
    print(f"sklearn-dense: error {relative_error(decoder.predict(latents), judged):.4f} on the half judged on")
    archive(args, "sklearn-dense")


if __name__ == "__main__":
    main()
