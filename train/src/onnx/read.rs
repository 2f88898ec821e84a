//! Perceptrons from ONNX: chains of Gemm, or MatMul and Add, and functions of one value, by whatever framework.

use super::wire::{Fields, Value};
use crate::network::{Activation, Layer, Network};
use crate::{Result, asked};
use half::f16;
use ndarray::{Array1, Array2};
use std::collections::HashMap;

/// The side of an autoencoder that a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Blocks in, latents out.
    Encoder,
    /// Latents in, blocks out.
    Decoder,
}

/// A tensor of the file, or what a node made of it.
#[derive(Debug, Clone, Default)]
struct Tensor {
    dims: Vec<usize>,
    values: Vec<f32>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    op: &'a str,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    ints: HashMap<&'a str, i64>,
    floats: HashMap<&'a str, f32>,
    tensor: Option<Tensor>,
}

/// The network, and the shape of its block without the batch axis; for a decoder that ends in no Reshape, the number of
/// its outputs.
///
/// # Errors
/// The file is no ONNX, or no such chain; the message names the node.
pub fn read(bytes: &[u8], side: Side) -> Result<(Network, Vec<usize>)> {
    let graph = Fields(bytes).find_map(|(f, v)| (f == 7).then(|| v.bytes()));
    let Some(graph) = graph else { return asked("it is no ONNX file") };
    let mut tensors: HashMap<&str, Tensor> = HashMap::new();
    let (mut nodes, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for (field, value) in Fields(graph) {
        match field {
            1 => nodes.push(node(value.bytes())),
            5 => {
                let (name, tensor) = tensor(value.bytes());
                tensors.insert(name, tensor);
            }
            11 => inputs.push(value_info(value.bytes())),
            12 => outputs.push(value_info(value.bytes())),
            _ => {}
        }
    }
    let input = inputs.iter().find(|(name, _)| !tensors.contains_key(name));
    let (Some((input, from)), [(output, to)]) = (input, outputs.as_slice()) else {
        return asked("it has not one input and one output");
    };
    let mut at = *input;
    let mut layers: Vec<Layer> = Vec::new();
    let mut block = if side == Side::Encoder { from.clone() } else { to.clone() };
    for node in &nodes {
        let refuse = |why: &str| asked(format!("node {} ({}): {why}", node.outputs.first().unwrap_or(&""), node.op));
        let Some(result) = node.outputs.first() else { continue };
        let constant = |i: usize| node.inputs.get(i).and_then(|n| tensors.get(n)).cloned();
        if node.inputs.first() != Some(&at) && !(node.op == "Add" && node.inputs.contains(&at)) {
            let made = match (node.op, node.tensor.clone(), constant(0)) {
                ("Constant", Some(t), _) => t,
                ("Cast" | "Identity", _, Some(t)) => t,
                ("DequantizeLinear", _, Some(t)) => dequantized(t, constant(1), constant(2), node),
                _ => return refuse("only perceptrons can be trained further"),
            };
            tensors.insert(result, made);
            continue;
        }
        match node.op {
            "Flatten" | "Identity" | "Dropout" => {}
            "Reshape" => {
                if let (true, Some(shape)) = (side == Side::Decoder, constant(1)) {
                    block = shape.values.iter().skip(1).map(|d| *d as usize).collect();
                }
            }
            "Gemm" | "MatMul" => {
                let Some(w) = constant(1).filter(|w| w.dims.len() == 2) else { return refuse("no constant matrix") };
                let plain = |k: &str| node.floats.get(k).is_none_or(|v| *v == 1.0);
                if !plain("alpha") || !plain("beta") || node.ints.get("transA").is_some_and(|t| *t != 0) {
                    return refuse("alpha, beta and transA other than 1, 1 and 0");
                }
                let Ok(matrix) = Array2::from_shape_vec((w.dims[0], w.dims[1]), w.values) else {
                    return refuse("a matrix of the wrong length");
                };
                let transposed = node.ints.get("transB").is_some_and(|t| *t != 0);
                let weights =
                    if transposed { matrix.reversed_axes().as_standard_layout().into_owned() } else { matrix };
                let bias = constant(2).filter(|_| node.op == "Gemm");
                let bias = bias.map_or_else(|| Array1::zeros(weights.ncols()), |b| Array1::from_vec(b.values));
                let expected = layers.last().map_or(weights.nrows(), |l: &Layer| l.weights.ncols());
                if bias.len() != weights.ncols() || expected != weights.nrows() {
                    return refuse("shapes that do not fit");
                }
                layers.push(Layer { weights, bias, activation: Activation::Identity });
            }
            "Add" => match (layers.last_mut(), constant(0).or_else(|| constant(1))) {
                (Some(l), Some(b)) if b.values.len() == l.bias.len() && l.activation == Activation::Identity => {
                    l.bias += &Array1::from_vec(b.values);
                }
                _ => return refuse("it adds no bias to a layer"),
            },
            op => {
                let activation = Activation::ALL.into_iter().find(|a| a.operator() == op);
                match (layers.last_mut(), activation) {
                    (Some(l), Some(a)) if l.activation == Activation::Identity => l.activation = a,
                    _ => return refuse("only perceptrons can be trained further"),
                }
            }
        }
        at = result;
    }
    let network = Network { layers };
    if at != *output || network.layers.is_empty() {
        return asked("its output is not the end of a chain of layers");
    }
    let len = if side == Side::Encoder { network.inputs() } else { network.outputs() };
    if block.iter().product::<usize>() != len {
        block = vec![len];
    }
    Ok((network, block))
}

fn node(bytes: &[u8]) -> Node<'_> {
    let mut node = Node::default();
    for (field, value) in Fields(bytes) {
        match field {
            1 => node.inputs.push(value.text()),
            2 => node.outputs.push(value.text()),
            4 => node.op = value.text(),
            5 => {
                let mut name = "";
                for (field, value) in Fields(value.bytes()) {
                    match (field, value) {
                        (1, v) => name = v.text(),
                        (2, Value::Float(f)) => drop(node.floats.insert(name, f)),
                        (3, v) => drop(node.ints.insert(name, v.int())),
                        (5, v) => node.tensor = Some(tensor(v.bytes()).1),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    node
}

/// Name and shape without the batch axis.
fn value_info(bytes: &[u8]) -> (&str, Vec<usize>) {
    let inner = |bytes, field| Fields(bytes).find_map(|(f, v)| (f == field).then(|| v.bytes())).unwrap_or_default();
    let name = Fields(bytes).find_map(|(f, v)| (f == 1).then(|| v.text())).unwrap_or_default();
    let shape = inner(inner(inner(bytes, 2), 1), 2);
    let dim = |d| Fields(d).find_map(|(f, v)| (f == 1).then(|| v.int())).unwrap_or(0) as usize;
    let dims = Fields(shape).filter(|(f, _)| *f == 1).map(|(_, v)| dim(v.bytes()));
    (name, dims.skip(1).collect())
}

fn tensor(bytes: &[u8]) -> (&str, Tensor) {
    let (mut name, mut data_type, mut raw) = ("", 1, None);
    let (mut dims, mut floats, mut ints) = (Vec::new(), Vec::new(), Vec::new());
    for (field, value) in Fields(bytes) {
        match (field, value) {
            (1, Value::Bytes(b)) => dims.extend(Fields::list(b)),
            (1, v) => dims.push(v.int()),
            (2, v) => data_type = v.int(),
            (4, Value::Float(f)) => floats.push(f),
            (4, v) => floats.extend(v.bytes().as_chunks().0.iter().map(|c| f32::from_le_bytes(*c))),
            (5 | 7, Value::Bytes(b)) => ints.extend(Fields::list(b)),
            (5 | 7, v) => ints.push(v.int()),
            (8, v) => name = v.text(),
            (9, v) => raw = Some(v.bytes()),
            _ => {}
        }
    }
    let raw = raw.unwrap_or_default();
    let values: Vec<f32> = match data_type {
        _ if !floats.is_empty() => floats,
        _ if !ints.is_empty() => ints.iter().map(|v| *v as f32).collect(),
        3 => raw.iter().map(|b| f32::from(b.cast_signed())).collect(),
        2 => raw.iter().map(|b| f32::from(*b)).collect(),
        7 => raw.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c) as f32).collect(),
        10 => raw.as_chunks().0.iter().map(|c| f16::from_le_bytes(*c).to_f32()).collect(),
        _ => raw.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect(),
    };
    (name, Tensor { dims: dims.iter().map(|d| *d as usize).collect(), values })
}

fn dequantized(mut t: Tensor, scale: Option<Tensor>, zero: Option<Tensor>, node: &Node<'_>) -> Tensor {
    let axis = node.ints.get("axis").copied().unwrap_or(1) as usize;
    let inner: usize = t.dims.iter().skip(axis + 1).product::<usize>().max(1);
    let along = t.dims.get(axis).copied().unwrap_or(1).max(1);
    let pick = |of: &Option<Tensor>, i: usize, or: f32| match of.as_ref().map(|t| t.values.as_slice()) {
        Some([one]) => *one,
        Some(all) => all.get(i / inner % along).copied().unwrap_or(or),
        None => or,
    };
    for (i, v) in t.values.iter_mut().enumerate() {
        *v = (*v - pick(&zero, i, 0.0)) * pick(&scale, i, 1.0);
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Form, Precision, write};
    use crate::random::Random;

    fn network(widths: &[usize]) -> Network {
        let mut random = Random::new(2);
        let layer = |(i, w): (usize, &[usize])| {
            let activation = Activation::ALL[i % Activation::ALL.len()];
            let mut layer = Layer::random(w[0], w[1], activation, &mut random);
            layer.bias.mapv_inplace(|_| random.normal() as f32);
            layer
        };
        Network { layers: widths.windows(2).enumerate().map(layer).collect() }
    }

    #[test]
    fn networks_come_back() {
        let network = network(&[24, 7, 5, 3]);
        let form = Form { side: Side::Encoder, block_shape: &[4, 6], precision: Precision::F32, metadata: &[] };
        assert_eq!(read(&write(&network, &form), Side::Encoder).unwrap(), (network.clone(), vec![4, 6]));
        for (precision, off) in [(Precision::F16, 1e-3), (Precision::I8, 2e-2)] {
            let (back, _) = read(&write(&network, &Form { precision, ..form }), Side::Encoder).unwrap();
            for (a, b) in network.layers.iter().zip(&back.layers) {
                assert!((&a.weights - &b.weights).iter().all(|d| d.abs() < off));
            }
        }
        let reversed = self::network(&[3, 5, 24]);
        let form = Form { side: Side::Decoder, ..form };
        assert_eq!(read(&write(&reversed, &form), Side::Decoder).unwrap(), (reversed, vec![4, 6]));
    }

    #[test]
    fn models_of_other_frameworks_are_read_or_refused() {
        let path = |name: &str| format!("{}/../testdata/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
        let bytes = |name| std::fs::read(path(name)).unwrap();
        let (encoder, block) = read(&bytes("sigmoid512-encoder"), Side::Encoder).unwrap();
        assert_eq!((encoder.inputs(), encoder.outputs(), block), (512, 8, vec![512]));
        assert!(read(&bytes("sigmoid512-decoder"), Side::Decoder).is_ok());
        assert!(read(&bytes("conv16-decoder"), Side::Decoder).is_err());
        assert!(read(b"not ONNX", Side::Decoder).is_err());
    }
}
