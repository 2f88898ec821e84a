//! Operators: the engine against the reference evaluation.

use super::program::volume;
use super::testing::*;
use super::wire::Message;
use super::{reference, vet};
use crate::limits::Limits;

/// The engine and the reference evaluation agree on every operator, to the rounding of `f32`.
fn agrees(model: &Builder, what: &str) {
    let bytes = model.build();
    let limits = Limits::default();
    let vetted = vet::vet(&bytes, &limits).unwrap_or_else(|e| panic!("{what}: {e}"));
    let decoder = super::load_decoder(&bytes, &limits).unwrap_or_else(|e| panic!("{what}: {e}"));
    let input_len = decoder.latent_len();
    assert_eq!(Some(decoder.block_len() as u64), volume(&vetted.output_shape), "{what}");
    let blocks = 5;
    let input: Vec<f32> = (0..input_len * blocks).map(|i| 2.0 * noise(i)).collect();
    let mut output = vec![0.0; decoder.block_len() * blocks];
    decoder.decode(&input, &mut output).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (block, found) in input.chunks(input_len).zip(output.chunks(decoder.block_len())) {
        let expected = reference::evaluate(&vetted.program, block).unwrap();
        assert_eq!(expected.len(), found.len(), "{what}");
        let scale = expected.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        for (i, (e, f)) in expected.iter().zip(found).enumerate() {
            assert!((e - f).abs() <= 1e-5 * scale, "{what}: value {i} is {f}, reference {e}");
        }
    }
}

#[test]
fn engine_agrees_on_a_perceptron() {
    agrees(&perceptron(), "perceptron");
}

#[test]
fn engine_agrees_on_functions_of_one_value() {
    let x = Message::new;
    for (op, attributes) in [
        ("Relu", x()),
        ("LeakyRelu", x().float_attr("alpha", 0.2)),
        ("Elu", x().float_attr("alpha", 0.7)),
        ("Selu", x()),
        ("Sigmoid", x()),
        ("HardSigmoid", x().float_attr("alpha", 0.3)),
        ("HardSwish", x()),
        ("Tanh", x()),
        ("Softplus", x()),
        ("Softsign", x()),
        ("Gelu", x()),
        ("Gelu", x().text_attr("approximate", "tanh")),
        ("Erf", x()),
        ("Exp", x()),
        ("Abs", x()),
        ("Neg", x()),
        ("Floor", x()),
        ("Ceil", x()),
        ("Round", x()),
        ("Identity", x()),
    ] {
        agrees(&Builder::new(&[3, 7]).node(node(op, &["x"], "y").append(attributes)), op);
    }
    agrees(&Builder::new(&[6]).node(node("Abs", &["x"], "a")).node(node("Sqrt", &["a"], "y")), "Sqrt");
    let clip = Builder::new(&[6]).init(floats("lo", &[], &[-0.5])).init(floats("hi", &[], &[1.25]));
    agrees(&clip.clone().node(node("Clip", &["x", "lo", "hi"], "y")), "Clip");
    agrees(&clip.clone().node(node("Clip", &["x", "", "hi"], "y")), "Clip above");
    agrees(&clip.clone().node(node("Clip", &["x"], "y").float_attr("min", 0.0)).opset(9), "Clip 6");
    let pow = Builder::new(&[6]).init(floats("p", &[], &[2.0])).node(node("Pow", &["x", "p"], "y"));
    agrees(&pow, "Pow");
}

/// The error that SPEC 5.5 grants an engine, on a dense grid.
#[test]
fn functions_stay_within_their_error() {
    let functions =
        ["Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign", "Gelu", "Erf", "Exp"];
    let mut worst = Vec::new();
    for op in functions {
        let bytes = Builder::new(&[4096]).node(node(op, &["x"], "y")).build();
        let decoder = super::load_decoder(&bytes, &Limits::default()).unwrap();
        let program = vet::vet(&bytes, &Limits::default()).unwrap().program;
        let super::program::Op::Unary(f) = program.steps[0].op else { panic!("{op}") };
        let input: Vec<f32> = (0..16 * 4096).map(|i| (i as f32 - 32_768.0) / 1638.4).collect();
        let mut output = vec![0.0; input.len()];
        decoder.decode(&input, &mut output).unwrap();
        let error = input.iter().zip(&output).map(|(&x, &y)| {
            let real = reference::real(f, f64::from(x));
            (f64::from(y) - real).abs() / real.abs().max(1.0)
        });
        worst.push((op, error.fold(0.0, f64::max) / super::guard::function_error(f)));
    }
    assert!(worst.iter().all(|(_, share)| *share <= 1.0), "{worst:?}");
}

#[test]
fn engine_agrees_on_functions_of_two_values() {
    for op in ["Add", "Sub", "Mul", "Min", "Max", "PRelu"] {
        for dims in [&[5][..], &[4, 1], &[4, 5], &[1, 4, 5], &[1], &[]] {
            let model = Builder::new(&[4, 5]).init(noisy("c", dims)).node(node(op, &["x", "c"], "y"));
            agrees(&model, op);
        }
    }
    let divided =
        Builder::new(&[4]).init(floats("c", &[4], &[0.5, -3.0, 2.0, 7.0])).node(node("Div", &["x", "c"], "y"));
    agrees(&divided, "Div");
    let reversed = Builder::new(&[4]).init(noisy("c", &[4])).node(node("Sub", &["c", "x"], "y"));
    agrees(&reversed, "Sub from a constant");
    let widened = Builder::new(&[1]).init(noisy("c", &[8])).node(node("Mul", &["x", "c"], "y"));
    agrees(&widened, "Mul that widens");
    let both = Builder::new(&[4]).node(node("Sigmoid", &["x"], "s")).node(node("Mul", &["x", "s"], "y"));
    agrees(&both, "Mul of two block values");
    let many = Builder::new(&[4]).init(noisy("c", &[4])).node(node("Abs", &["x"], "a"));
    agrees(&many.node(node("Max", &["x", "c", "a"], "y")), "Max of three");
}

#[test]
fn engine_agrees_on_products() {
    agrees(&Builder::new(&[3, 4]).init(noisy("w", &[4, 5])).node(node("MatMul", &["x", "w"], "y")), "MatMul");
    agrees(&Builder::new(&[4, 3]).init(noisy("w", &[5, 4])).node(node("MatMul", &["w", "x"], "y")), "MatMul left");
    agrees(&Builder::new(&[2, 4, 3]).init(noisy("w", &[5, 4])).node(node("MatMul", &["w", "x"], "y")), "MatMul left 3");
    let gemm = Builder::new(&[4]).init(noisy("w", &[4, 5])).init(noisy("c", &[1, 5]));
    let scaled = node("Gemm", &["x", "w", "c"], "y").float_attr("alpha", 0.5).float_attr("beta", 2.0);
    agrees(&gemm.node(scaled), "Gemm");
}

#[test]
fn engine_agrees_on_convolutions() {
    let conv = |attributes: Message| {
        Builder::new(&[4, 7, 6])
            .init(noisy("w", &[6, 2, 3, 3]))
            .init(noisy("b", &[6]))
            .node(node("Conv", &["x", "w", "b"], "y").int_attr("group", 2).append(attributes))
    };
    let x = Message::new;
    agrees(&conv(x()), "Conv");
    agrees(&conv(x().ints_attr("pads", &[1, 0, 2, 1]).ints_attr("strides", &[2, 1])), "Conv padded");
    agrees(&conv(x().ints_attr("dilations", &[2, 2])), "Conv dilated");
    agrees(&conv(x().text_attr("auto_pad", "SAME_UPPER").ints_attr("strides", &[2, 2])), "Conv SAME_UPPER");
    agrees(&conv(x().text_attr("auto_pad", "SAME_LOWER").ints_attr("strides", &[2, 2])), "Conv SAME_LOWER");
    let line = Builder::new(&[3, 9]).init(noisy("w", &[2, 3, 4])).node(node("Conv", &["x", "w"], "y"));
    agrees(&line, "Conv 1-D");
    let solid = Builder::new(&[1, 4, 4, 4]).init(noisy("w", &[2, 1, 2, 2, 2])).node(node("Conv", &["x", "w"], "y"));
    agrees(&solid, "Conv 3-D");
    let transposed = |attributes: Message, group: i64| {
        Builder::new(&[4, 3, 5])
            .init(noisy("w", &[4, 3, 3, 3]))
            .init(noisy("b", &[3 * group]))
            .node(node("ConvTranspose", &["x", "w", "b"], "y").int_attr("group", group).append(attributes))
    };
    agrees(&transposed(x(), 1), "ConvTranspose");
    agrees(&transposed(x(), 2), "ConvTranspose in groups");
    let padded =
        x().ints_attr("strides", &[2, 2]).ints_attr("pads", &[1, 1, 1, 1]).ints_attr("output_padding", &[1, 1]);
    agrees(&transposed(padded, 1), "ConvTranspose padded");
    agrees(&transposed(x().ints_attr("dilations", &[2, 1]), 1), "ConvTranspose dilated");
    let same = x().ints_attr("strides", &[2, 2]).text_attr("auto_pad", "SAME_UPPER");
    agrees(&transposed(same, 1), "ConvTranspose SAME_UPPER");
    let shaped = x().ints_attr("strides", &[2, 2]).ints_attr("output_shape", &[6, 10]);
    agrees(&transposed(shaped, 1), "ConvTranspose with an output_shape");
    let line = Builder::new(&[3, 9]).init(noisy("w", &[3, 2, 4]));
    agrees(&line.node(node("ConvTranspose", &["x", "w"], "y").ints_attr("strides", &[3])), "ConvTranspose 1-D");
}

#[test]
fn engine_agrees_on_normalizations() {
    let four = |b: Builder| {
        b.init(noisy("s", &[4])).init(noisy("b", &[4])).init(noisy("m", &[4])).init(floats(
            "v",
            &[4],
            &[1.0, 0.5, 2.0, 0.1],
        ))
    };
    let batch = node("BatchNormalization", &["x", "s", "b", "m", "v"], "y");
    agrees(&four(Builder::new(&[4, 3])).node(batch.clone()), "BatchNormalization");
    agrees(&four(Builder::new(&[4])).node(batch), "BatchNormalization of a vector");
    let instance = node("InstanceNormalization", &["x", "s", "b"], "y").float_attr("epsilon", 0.01);
    agrees(&four(Builder::new(&[4, 3, 5])).node(instance), "InstanceNormalization");
    agrees(&four(Builder::new(&[3, 4])).node(node("LayerNormalization", &["x", "s", "b"], "y")), "LayerNormalization");
    agrees(&Builder::new(&[3, 4]).node(node("Softmax", &["x"], "y")), "Softmax");
    agrees(
        &Builder::new(&[3, 4]).node(node("Softmax", &["x"], "y").int_attr("axis", 1)),
        "Softmax over the first axis",
    );
    agrees(&Builder::new(&[3, 4]).node(node("Softmax", &["x"], "y")).opset(11), "Softmax 11");
}

#[test]
fn engine_agrees_on_movements() {
    let reshape = Builder::new(&[4, 6]).init(ints("s", &[-1, 2, 12])).node(node("Reshape", &["x", "s"], "y"));
    agrees(&reshape, "Reshape");
    agrees(&Builder::new(&[4, 6]).node(node("Flatten", &["x"], "y")), "Flatten");
    agrees(
        &Builder::new(&[4, 1, 6]).node(node("Squeeze", &["x"], "y").ints_attr("axes", &[2])).opset(11),
        "Squeeze 11",
    );
    let unsqueeze = Builder::new(&[4, 6]).init(ints("a", &[1])).node(node("Unsqueeze", &["x", "a"], "y"));
    agrees(&unsqueeze, "Unsqueeze");
    let transpose = Builder::new(&[4, 6, 2]).node(node("Transpose", &["x"], "y").ints_attr("perm", &[0, 3, 1, 2]));
    agrees(&transpose, "Transpose");
    let concat = Builder::new(&[4, 6]).node(node("Neg", &["x"], "n"));
    agrees(&concat.node(node("Concat", &["x", "n"], "y").int_attr("axis", -1)), "Concat");
    let slice = Builder::new(&[9, 6])
        .init(ints("starts", &[1, -4]))
        .init(ints("ends", &[i64::MAX, -1]))
        .init(ints("axes", &[1, 2]))
        .init(ints("steps", &[3, 1]));
    agrees(&slice.node(node("Slice", &["x", "starts", "ends", "axes", "steps"], "y")), "Slice");
    for mode in ["DCR", "CRD"] {
        let d2s = node("DepthToSpace", &["x"], "y").int_attr("blocksize", 2).text_attr("mode", mode);
        agrees(&Builder::new(&[8, 2, 3]).node(d2s), mode);
    }
}

#[test]
fn engine_agrees_on_resizing() {
    for (mode, coordinates) in [
        ("nearest", "asymmetric"),
        ("nearest", "half_pixel"),
        ("linear", "half_pixel"),
        ("linear", "asymmetric"),
        ("linear", "align_corners"),
    ] {
        for (shape, scales) in [(&[2, 4, 3][..], &[1.0, 1.0, 2.0, 3.0][..]), (&[2, 5], &[1.0, 1.0, 4.0])] {
            let resize = node("Resize", &["x", "", "s"], "y")
                .text_attr("mode", mode)
                .text_attr("coordinate_transformation_mode", coordinates)
                .text_attr("nearest_mode", if coordinates == "asymmetric" { "floor" } else { "round_prefer_floor" });
            let model = Builder::new(shape).init(floats("s", &[scales.len() as i64], scales)).node(resize);
            agrees(&model, &format!("Resize {mode} {coordinates}"));
        }
    }
}

#[test]
fn shape_arithmetic_of_exporters_is_folded() {
    let model = Builder::new(&[4, 6])
        .init(int_scalar("zero", 0))
        .init(ints("rest", &[-1]))
        .init(ints("axes", &[0]))
        .node(node("Shape", &["x"], "shape"))
        .node(node("Gather", &["shape", "zero"], "n"))
        .node(node("Unsqueeze", &["n", "axes"], "n1"))
        .node(node("Concat", &["n1", "rest"], "target").int_attr("axis", 0))
        .node(node("Reshape", &["x", "target"], "y"));
    agrees(&model, "x.view(x.size(0), -1)");
}

#[test]
fn quantised_weights_are_folded() {
    let model = Builder::new(&[2])
        .init(tensor("q", &[2, 3], 3, &[1, 2, 253, 4, 5, 250]))
        .init(floats("s", &[3], &[0.5, 0.25, 2.0]))
        .init(tensor("z", &[3], 3, &[0, 1, 255]))
        .init(tensor("h", &[3], 10, &[0, 0x3C, 0, 0xC0, 0, 0x38]))
        .node(node("DequantizeLinear", &["q", "s", "z"], "w").int_attr("axis", 1))
        .node(node("Cast", &["h"], "b").int_attr("to", 1))
        .node(node("Gemm", &["x", "w", "b"], "y"));
    agrees(&model, "int8 and float16 weights");
    let vetted = vet::vet(&model.build(), &Limits::default()).unwrap();
    let y = reference::evaluate(&vetted.program, &[1.0, 10.0]).unwrap();
    assert_eq!(y, [1.0 * 0.5 + 40.0 * 0.5 + 1.0, (1.0 + 40.0) * 0.25 - 2.0, (-2.0 + -50.0) * 2.0 + 0.5]);
}

#[test]
fn constants_may_be_nodes() {
    let model = Builder::new(&[4])
        .node(node("Constant", &[], "c").tensor_attr("value", &noisy("", &[4])))
        .node(node("Constant", &[], "h").float_attr("value_float", 0.5))
        .node(node("Constant", &[], "s").ints_attr("value_ints", &[0, 2, 2]))
        .node(node("Mul", &["c", "h"], "ch"))
        .node(node("Sub", &["x", "ch"], "d"))
        .node(node("Reshape", &["d", "s"], "y"));
    agrees(&model, "Constant");
}
