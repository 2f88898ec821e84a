"""The seven-layer autoencoder and a small convolutional one in JAX and Flax, by jax2onnx.

python flax_autoencoder.py FIELD_20x37x72.f32 --cae cae --out flax
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import optax
from flax import nnx
from jax2onnx import to_onnx

from common import MEAN, SPREAD, archive, arguments, blocks, halves, load, relative_error


class DenseEncoder(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b, self.c = (nnx.Linear(i, o, rngs=rngs) for i, o in [(512, 64), (64, 8), (8, 1)])

    def __call__(self, x):
        x = (x - MEAN) / SPREAD
        return self.c(nnx.sigmoid(self.b(nnx.sigmoid(self.a(x)))))


class DenseDecoder(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b, self.c = (nnx.Linear(i, o, rngs=rngs) for i, o in [(1, 8), (8, 64), (64, 512)])

    def __call__(self, z):
        return self.c(nnx.sigmoid(self.b(nnx.sigmoid(self.a(z))))) * SPREAD + MEAN


class ConvEncoder(nnx.Module):
    def __init__(self, rngs):
        self.a = nnx.Conv(1, 8, (3, 3), strides=2, rngs=rngs)
        self.b = nnx.Conv(8, 16, (3, 3), strides=2, rngs=rngs)
        self.c = nnx.Linear(256, 8, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.b(nnx.relu(self.a((x - MEAN) / SPREAD))))
        return self.c(x.reshape((x.shape[0], 256)))


class ConvDecoder(nnx.Module):
    """Each latent image is a product: patches of 4 x 4 from 4 x 4 cells, without transposed convolutions."""

    def __init__(self, rngs):
        self.a, self.b = nnx.Linear(8, 256, rngs=rngs), nnx.Conv(16, 16, (3, 3), rngs=rngs)

    def __call__(self, z):
        x = self.b(nnx.relu(self.a(z)).reshape((z.shape[0], 4, 4, 16)))
        x = x.reshape((z.shape[0], 4, 4, 4, 4)).transpose((0, 1, 3, 2, 4))
        return x.reshape((z.shape[0], 16, 16, 1)) * SPREAD + MEAN


def train(encoder, decoder, y, epochs):
    both = nnx.Sequential(encoder, decoder)
    steps = epochs * -(-len(y) // 64)
    optimizer = nnx.Optimizer(both, optax.adamw(optax.cosine_onecycle_schedule(steps, 3e-3)), wrt=nnx.Param)

    @nnx.jit
    def step(both, optimizer, y):
        def loss(both):
            there = y != 0
            return jnp.sum(jnp.abs(both(y) - y) / jnp.where(there, jnp.abs(y), 1) * there) / jnp.sum(there)

        optimizer.update(both, nnx.grad(loss)(both))

    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(len(y))
        for at in range(0, len(y), 64):
            step(both, optimizer, y[order[at : at + 64]])


def main():
    args = arguments(__doc__)
    field = load(args.field)
    rngs = nnx.Rngs(0)
    pairs = [
        ("flax-dense", DenseEncoder(rngs), DenseDecoder(rngs), (512,), (1,)),
        ("flax-conv", ConvEncoder(rngs), ConvDecoder(rngs), (16, 16, 1), (8,)),
    ]
    for name, encoder, decoder, block, latents in pairs:
        shape = tuple(d for d in block if d > 1)
        y, judged = (part.reshape((-1,) + block) for part in halves(blocks(field, shape)))
        train(encoder, decoder, y, args.epochs)
        for side, model, dims in [("encoder", encoder, block), ("decoder", decoder, latents)]:
            made = to_onnx(model, [("N",) + dims], opset=21)
            onnx.save(made, args.out / f"{name}-{side}.onnx")
        back = np.asarray(decoder(encoder(jnp.asarray(judged))))
        print(f"{name}: error {relative_error(back, judged):.4f} on the half judged on")
        archive(args, name)


if __name__ == "__main__":
    main()
