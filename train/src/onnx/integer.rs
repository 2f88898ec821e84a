//! Networks in the loop as ONNX: whole numbers throughout, so that no sum is ever rounded (SPEC 5.6, 5.8).

use super::wire::Message;
use super::write::{FLOAT, Graph, INT8, le, model, value_info};
use crate::network::Network;
use crate::predictor::exponent;
use cae::model::PREDICTOR_INPUT_MAX;

/// Hidden values are whole numbers of 1/64 up to here.
const HIDDEN_MAX: f32 = 1023.0;

/// The bytes of an ONNX file of a predictor; names are short, as the file is part of every archive that uses it.
///
/// Inputs are in units of 1/128. Each layer's sums are brought to units of 1/64, rounded, and cut off at 0 and 1023; the
/// second answer is in 1/16.
pub fn write_predictor(network: &Network) -> Vec<u8> {
    let mut graph = Graph::default();
    let mut at = "x".to_owned();
    graph.tensor("zero", &[], FLOAT, &le([0.0].iter()));
    graph.tensor("most", &[], FLOAT, &le([HIDDEN_MAX].iter()));
    let last = network.layers.len() - 1;
    for (i, layer) in network.layers.iter().enumerate() {
        let name = |what: &str| format!("{what}{}", i + 1);
        let k = exponent(layer);
        let unit = (k as f32).exp2();
        let dims = [layer.weights.nrows() as i64, layer.weights.ncols() as i64];
        let raw: Vec<u8> = layer.weights.iter().map(|w| ((w * unit).round() as i8).cast_unsigned()).collect();
        graph.tensor(&name("q"), &dims, INT8, &raw);
        graph.tensor(&name("u"), &[], FLOAT, &le([1.0 / unit].iter()));
        graph.node("DequantizeLinear", &[&name("q"), &name("u")], &name("w"), &[]);
        // What 1 is in the sums, and what the sums are multiplied with.
        let (one, factors) = match i {
            0 => (128.0, vec![0.5]),
            _ if i == last => (64.0, vec![1.0, 0.25]),
            _ => (64.0, vec![1.0]),
        };
        let factor = |j: usize| factors[j.min(factors.len() - 1)];
        // Half of what is cut off goes to the bias: Floor rounds then.
        let bias: Vec<f32> = layer.bias.iter().enumerate().map(|(j, b)| (b * one + 0.5 / factor(j)).round()).collect();
        graph.tensor(&name("b"), &dims[1..], FLOAT, &le(bias.iter()));
        graph.node("Gemm", &[&at, &name("w"), &name("b")], &name("s"), &[]);
        at = name("s");
        if factors != [1.0] {
            graph.tensor(&name("f"), if factors.len() == 1 { &[] } else { &[2] }, FLOAT, &le(factors.iter()));
            graph.node("Mul", &[&at, &name("f")], &name("m"), &[]);
            at = name("m");
        }
        let whole = if i == last { "y".to_owned() } else { name("r") };
        graph.node("Floor", &[&at], &whole, &[]);
        at = whole;
        if i != last {
            graph.node("Clip", &[&at, "zero", "most"], &name("h"), &[]);
            at = name("h");
        }
    }
    let inputs = vec![network.inputs() as i64];
    let metadata = [
        ("cae.kind", "predictor".to_owned()),
        ("cae.latent_range", format!("{},{PREDICTOR_INPUT_MAX}", -PREDICTOR_INPUT_MAX)),
    ];
    let ends = (value_info(&("x", inputs)), value_info(&("y", vec![2])));
    let bytes: Message = model(&graph, &ends.0, &ends.1, &metadata);
    bytes.finish()
}
