"""The seven-layer autoencoder and a small convolutional one in Keras on TensorFlow, by tf2onnx.

python keras_autoencoder.py FIELD_20x37x72.f32 --cae cae --out keras
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

from common import MEAN, SPREAD, archive, arguments, blocks, halves, load, relative_error


def dense():
    encoder = keras.Sequential([
        layers.Input((512,)), layers.Rescaling(1 / SPREAD, -MEAN / SPREAD),
        layers.Dense(64, "sigmoid"), layers.Dense(8, "sigmoid"), layers.Dense(1),
    ])
    decoder = keras.Sequential([
        layers.Input((1,)), layers.Dense(8, "sigmoid"), layers.Dense(64, "sigmoid"), layers.Dense(512),
        layers.Rescaling(SPREAD, MEAN),
    ])
    return encoder, decoder, (512,)


def convolutional():
    encoder = keras.Sequential([
        layers.Input((16, 16, 1)), layers.Rescaling(1 / SPREAD, -MEAN / SPREAD),
        layers.Conv2D(8, 3, 2, "same", activation="relu"), layers.Conv2D(16, 3, 2, "same", activation="relu"),
        layers.Flatten(), layers.Dense(8),
    ])
    decoder = keras.Sequential([
        layers.Input((8,)), layers.Dense(256, "relu"), layers.Reshape((4, 4, 16)),
        layers.Conv2D(16, 3, 1, "same"),
        # Patches of 4 x 4 for 4 x 4 cells: UpSampling2D exports as Tile, which no archive takes.
        layers.Reshape((4, 4, 4, 4)), layers.Permute((1, 3, 2, 4)), layers.Reshape((16, 16, 1)),
        layers.Rescaling(SPREAD, MEAN),
    ])
    return encoder, decoder, (16, 16, 1)


def relative(y, predicted):
    there = tf.cast(y != 0, tf.float32)
    return tf.reduce_sum(tf.math.divide_no_nan(tf.abs(predicted - y), tf.abs(y)) * there) / tf.reduce_sum(there)


def export(model, path, names):
    signature = [tf.TensorSpec((None,) + model.input_shape[1:], tf.float32, name=names[0])]
    run = tf.function(lambda x: tf.identity(model(x, training=False), name=names[1]), input_signature=signature)
    onnx, _ = tf2onnx.convert.from_function(run, signature, opset=15)
    path.write_bytes(onnx.SerializeToString())


def main():
    args = arguments(__doc__)
    keras.utils.set_random_seed(0)
    field = load(args.field)
    for name, (encoder, decoder, block) in [("keras-dense", dense()), ("keras-conv", convolutional())]:
        shape = tuple(d for d in block if d > 1)
        y, judged = (part.reshape((-1,) + block) for part in halves(blocks(field, shape)))
        both = keras.Sequential([encoder, decoder])
        both.compile(keras.optimizers.AdamW(3e-3), relative)
        both.fit(y, y, 64, args.epochs, verbose=0)
        export(encoder, args.out / f"{name}-encoder.onnx", ["block", "latent"])
        export(decoder, args.out / f"{name}-decoder.onnx", ["latent", "block"])
        print(f"{name}: error {relative_error(np.asarray(both(judged)), judged):.4f} on the half judged on")
        archive(args, name)


if __name__ == "__main__":
    main()
