"""The seven-layer autoencoder and a small convolutional one in PyTorch, by torch.onnx, on CPU or CUDA.

python pytorch_autoencoder.py FIELD_20x37x72.f32 --cae cae --out pytorch [--exporter torchscript]

The exporter is the one of `torch.export` (PyTorch 2.6 and later, with onnxscript), or else the older TorchScript one.
"""

import inspect

import torch
from torch import nn

from common import MEAN, SPREAD, archive, arguments, blocks, halves, load, relative_error


class Scaled(nn.Module):
    """Scaling belongs into the network: the archive gives and wants normalized values."""

    def __init__(self, layers, before, after):
        super().__init__()
        self.layers, self.before, self.after = layers, before, after

    def forward(self, x):
        if self.before:
            x = (x - MEAN) / SPREAD
        x = self.layers(x)
        return x * SPREAD + MEAN if self.after else x


class Image(nn.Module):
    """A vector as channels of 4 x 4; older exporters have no Unflatten."""

    def forward(self, x):
        return x.reshape(-1, 16, 4, 4)


def dense():
    encoder = nn.Sequential(
        nn.Linear(512, 64), nn.Sigmoid(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 1)
    )
    decoder = nn.Sequential(
        nn.Linear(1, 8), nn.Sigmoid(), nn.Linear(8, 64), nn.Sigmoid(), nn.Linear(64, 512)
    )
    return Scaled(encoder, True, False), Scaled(decoder, False, True), (512,), (1,)


def convolutional():
    encoder = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16, 8),
    )
    decoder = nn.Sequential(
        nn.Linear(8, 16 * 16), Image(),
        nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
    )
    return Scaled(encoder, True, False), Scaled(decoder, False, True), (1, 16, 16), (8,)


def train(encoder, decoder, y, epochs, device):
    both = nn.Sequential(encoder, decoder).to(device)
    y = torch.from_numpy(y).to(device)
    optimizer = torch.optim.AdamW(both.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * -(-len(y) // 64))
    for _ in range(epochs):
        for part in torch.randperm(len(y)).split(64):
            there = y[part] != 0
            loss = ((both(y[part]) - y[part])[there] / y[part][there]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


# The newer exporter is there.
DYNAMO = "dynamic_shapes" in inspect.signature(torch.onnx.export).parameters


def export(network, shape, path, names, exporter):
    network, example = network.cpu().eval(), torch.zeros((2,) + shape)
    named = {"input_names": names[:1], "output_names": names[1:]}
    if exporter == "dynamo":
        batch = ({0: torch.export.Dim("batch")},)
        # One file: archives hold no external data.
        torch.onnx.export(network, (example,), str(path), dynamic_shapes=batch, dynamo=True, external_data=False, **named)
        strip(path)
    else:
        named |= {"dynamo": False} if DYNAMO else {}
        axes = {name: {0: "batch"} for name in names}
        torch.onnx.export(network, (example,), str(path), dynamic_axes=axes, opset_version=15, **named)


def strip(path):
    """Takes out the notes on where in the source each node comes from: archives hold the decoder's every byte."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    onnx.save(model, path)


def main():
    args = arguments(__doc__, ("dynamo", "torchscript") if DYNAMO else ("torchscript",))
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    field = load(args.field)
    for name, (encoder, decoder, block, latents) in [("pytorch-dense", dense()), ("pytorch-conv", convolutional())]:
        shape = block[1:] if len(block) > 1 else block
        y, judged = (part.reshape((-1,) + block) for part in halves(blocks(field, shape)))
        train(encoder, decoder, y, args.epochs, device)
        export(encoder, block, args.out / f"{name}-encoder.onnx", ["block", "latent"], args.exporter)
        export(decoder, latents, args.out / f"{name}-decoder.onnx", ["latent", "block"], args.exporter)
        with torch.no_grad():
            back = decoder(encoder(torch.from_numpy(judged))).numpy()
        print(f"{name}: error {relative_error(back, judged):.4f} on the half judged on")
        archive(args, name)


if __name__ == "__main__":
    main()
