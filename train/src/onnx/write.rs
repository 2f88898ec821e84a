//! Perceptrons as ONNX.

use super::Side;
use super::wire::Message;
use crate::network::{Activation, Network};
use half::f16;
use ndarray::Axis;

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
pub(super) const FLOAT: i64 = 1;
pub(super) const INT8: i64 = 3;
const INT64: i64 = 7;
const FLOAT16: i64 = 10;

/// How weights are stored; biases are always of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened by Cast: half the bytes.
    F16,
    /// 8-bit integers with a scale for each output, by DequantizeLinear: a quarter of the bytes.
    I8,
}

/// How a network is written down.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Which side of an autoencoder it is.
    pub side: Side,
    /// Extents of a block.
    pub block_shape: &'a [usize],
    /// Of the weights.
    pub precision: Precision,
    /// Entries of the model's metadata.
    pub metadata: &'a [(&'a str, String)],
}

/// The bytes of an ONNX file: `block` of shape [N, block shape] to `latent` of shape [N, latents], or back.
pub fn write(network: &Network, form: &Form<'_>) -> Vec<u8> {
    let mut graph = Graph { named: true, ..Graph::default() };
    let block: Vec<i64> = form.block_shape.iter().map(|d| *d as i64).collect();
    let flat = block.len() == 1;
    let (inputs, outputs) = (network.inputs() as i64, network.outputs() as i64);
    let (from, to) = match form.side {
        Side::Encoder => (("block", block.clone()), ("latent", vec![outputs])),
        Side::Decoder => (("latent", vec![inputs]), ("block", block.clone())),
    };
    let mut at = from.0.to_owned();
    if form.side == Side::Encoder && !flat {
        graph.node("Flatten", &[&at], "flat", &[("axis", 1)]);
        at = "flat".to_owned();
    }
    let last = network.layers.len() - 1;
    for (i, layer) in network.layers.iter().enumerate() {
        let reshaped = i == last && form.side == Side::Decoder && !flat;
        let end = if i == last && !reshaped { to.0.to_owned() } else { format!("layer{}", i + 1) };
        let bent = layer.activation != Activation::Identity;
        let sums = if bent { format!("sums{}", i + 1) } else { end.clone() };
        let weights = graph.weights(&format!("weights{}", i + 1), layer.weights.view(), form.precision);
        let bias = format!("bias{}", i + 1);
        graph.tensor(&bias, &[layer.bias.len() as i64], FLOAT, &le(layer.bias.iter()));
        graph.node("Gemm", &[&at, &weights, &bias], &sums, &[]);
        if bent {
            graph.node(layer.activation.operator(), &[&sums], &end, &[]);
        }
        at = end;
        if reshaped {
            // 0 keeps the length of the batch.
            let shape: Vec<u8> = [0].iter().chain(&block).flat_map(|d: &i64| d.to_le_bytes()).collect();
            graph.tensor("block_shape", &[block.len() as i64 + 1], INT64, &shape);
            graph.node("Reshape", &[&at, "block_shape"], to.0, &[]);
        }
    }
    model(&graph, &value_info(&from), &value_info(&to), form.metadata).finish()
}

/// The whole file.
pub(super) fn model(graph: &Graph, from: &Message, to: &Message, metadata: &[(&str, String)]) -> Message {
    let message = graph.nodes.iter().fold(Message::default(), |m, n| m.message(1, n)).text(2, "cae");
    let message = graph.tensors.iter().fold(message, |m, t| m.message(5, t));
    let message = message.message(11, from).message(12, to);
    let model = Message::default().int(1, IR_VERSION).text(2, "cae-train").text(3, env!("CARGO_PKG_VERSION"));
    let model = model.message(7, &message).message(8, &Message::default().text(1, "").int(2, OPSET));
    let entry = |m: Message, (k, v): &(&str, String)| m.message(14, &Message::default().text(1, k).text(2, v));
    metadata.iter().fold(model, entry)
}

pub(super) fn value_info((name, shape): &(&str, Vec<i64>)) -> Message {
    let batch = Message::default().message(1, &Message::default().text(2, "N"));
    let axes = shape.iter().fold(batch, |m, d| m.message(1, &Message::default().int(1, *d)));
    let tensor = Message::default().int(1, FLOAT).message(2, &axes);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

pub(super) fn le<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|v| v.to_le_bytes()).collect()
}

/// Nodes and constants.
#[derive(Default)]
pub(super) struct Graph {
    /// Whether nodes have names, which frameworks' tools show.
    pub(super) named: bool,
    nodes: Vec<Message>,
    tensors: Vec<Message>,
}

impl Graph {
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) {
        let node = inputs.iter().fold(Message::default(), |m, i| m.text(1, i)).text(2, output);
        let node = if self.named { node.text(3, &format!("{op} {output}")) } else { node }.text(4, op);
        let with =
            |m: Message, (name, v): &(&str, i64)| m.message(5, &Message::default().text(1, name).int(3, *v).int(20, 2));
        self.nodes.push(attributes.iter().fold(node, with));
    }

    pub(super) fn tensor(&mut self, name: &str, dims: &[i64], data_type: i64, raw: &[u8]) {
        let tensor = dims.iter().fold(Message::default(), |m, d| m.int(1, *d));
        self.tensors.push(tensor.int(2, data_type).text(8, name).bytes(9, raw));
    }

    /// Stores a matrix and returns the name of what it is as 32-bit floats.
    fn weights(&mut self, name: &str, weights: ndarray::ArrayView2<'_, f32>, precision: Precision) -> String {
        let dims = [weights.nrows() as i64, weights.ncols() as i64];
        match precision {
            Precision::F32 => {
                self.tensor(name, &dims, FLOAT, &le(weights.iter()));
                name.to_owned()
            }
            Precision::F16 => {
                let stored = format!("{name}_f16");
                let raw: Vec<u8> = weights.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
                self.tensor(&stored, &dims, FLOAT16, &raw);
                self.node("Cast", &[&stored], name, &[("to", FLOAT)]);
                name.to_owned()
            }
            Precision::I8 => {
                let (stored, scale) = (format!("{name}_i8"), format!("{name}_scale"));
                let largest = weights.map_axis(Axis(0), |c| c.iter().fold(0.0f32, |m, v| m.max(v.abs())));
                let scales = largest.mapv(|m| if m > 0.0 { m / 127.0 } else { 1.0 });
                let raw: Vec<u8> = (&weights / &scales).iter().map(|v| (v.round() as i8).cast_unsigned()).collect();
                self.tensor(&stored, &dims, INT8, &raw);
                self.tensor(&scale, &dims[1..], FLOAT, &le(scales.iter()));
                self.node("DequantizeLinear", &[&stored, &scale], name, &[("axis", 1)]);
                name.to_owned()
            }
        }
    }
}
