//! Models made to crash, hang or mislead an engine: each is refused, or accepted because it is harmless.

use super::testing::*;
use super::vet::vet;
use super::wire::Message;
use crate::error::{Error, ModelError};
use crate::limits::Limits;

/// What vetting must say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Malformed,
    Refused,
    Limit,
    Accepted,
}
use Verdict::{Accepted, Limit, Malformed, Refused};

/// A model of input [N, 4] with these initialisers and one node.
fn one(initializers: &[Message], node: Message) -> Vec<u8> {
    many(initializers, &[node])
}

fn many(initializers: &[Message], nodes: &[Message]) -> Vec<u8> {
    let mut b = Builder::new(&[4]);
    b.initializers = initializers.to_vec();
    b.nodes = nodes.to_vec();
    b.build()
}

/// A model of input [N, dims..] with these initialisers and one node.
fn image(dims: &[i64], initializers: &[Message], node: Message) -> Vec<u8> {
    let mut b = Builder::new(dims).node(node);
    b.initializers = initializers.to_vec();
    b.build()
}

fn relu() -> Builder {
    Builder::new(&[4]).node(node("Relu", &["x"], "y"))
}

/// `x` plus an initialiser called `w`.
fn plus(tensor: Message) -> Vec<u8> {
    one(&[tensor], node("Add", &["x", "w"], "y"))
}

/// An input whose first axis has this symbol.
fn symbol(text: &str) -> Vec<u8> {
    relu().input(value("x", FLOAT, &[Dim::Symbol(text.into()), Dim::Fixed(4)])).build()
}

fn bytes_of_files() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let mut truncated = perceptron().build();
    truncated.truncate(truncated.len() / 2);
    let no_graph = Message::new().int(1, 8).message(8, &Message::new().text(1, "").int(2, 17)).finish();
    vec![
        ("empty file", vec![], Malformed),
        ("garbage", (0..200_u8).map(|i| i.wrapping_mul(73)).collect(), Malformed),
        ("truncated", truncated, Malformed),
        ("no graph", no_graph, Malformed),
        ("protobuf nested groups 1e5", vec![0x0B; 100_000], Malformed),
        ("protobuf nested messages 1e5", vec![0x3A; 100_000], Malformed),
    ]
}

fn graphs() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let mut no_outputs = relu();
    no_outputs.outputs.clear();
    let mut two_outputs = relu();
    two_outputs.outputs.push(value("y", FLOAT, &batch_of(&[4])));
    let mut no_type = relu();
    no_type.inputs = vec![Message::new().text(1, "x")];
    let mut no_opset = relu();
    no_opset.opsets.clear();
    let mut two_opsets = relu();
    two_opsets.opsets.push(("ai.onnx".into(), 13));
    let mut other_opset = relu();
    other_opset.opsets.push(("ai.onnx.ml".into(), 3));
    let mut functions = relu();
    functions.model_extra = Message::new().message(25, &Message::new().text(1, "f"));
    let mut training = relu();
    training.model_extra = Message::new().message(20, &Message::new());
    let mut sparse = relu();
    sparse.graph_extra = Message::new().message(15, &Message::new());
    let mut two_graphs = relu();
    two_graphs.model_extra = Message::new().message(7, &Message::new());
    let mut two_inputs = relu();
    two_inputs.inputs.push(value("x2", FLOAT, &batch_of(&[4])));
    let mut ir = relu();
    ir.ir_version = 99;
    let chain = |n: usize| {
        let mut nodes: Vec<Message> = (0..n)
            .map(|i| {
                let from = if i == 0 { "x".to_owned() } else { format!("h{i}") };
                node(if i % 2 == 0 { "Relu" } else { "Neg" }, &[&from], &format!("h{}", i + 1))
            })
            .collect();
        nodes.push(node("Relu", &[&format!("h{n}")], "y"));
        many(&[], &nodes)
    };
    vec![
        ("sane control", perceptron().build(), Accepted),
        ("output undefined", one(&[], node("Relu", &["x"], "z")), Refused),
        ("no outputs", no_outputs.build(), Refused),
        ("two outputs", two_outputs.build(), Refused),
        ("two inputs", two_inputs.build(), Refused),
        (
            "cycle",
            many(&[], &[node("Add", &["x", "b"], "a"), node("Relu", &["a"], "b"), node("Relu", &["b"], "y")]),
            Refused,
        ),
        ("self loop", one(&[], node("Add", &["x", "y"], "y")), Refused),
        ("missing input", one(&[], node("Add", &["x", "ghost"], "y")), Refused),
        ("duplicate output", many(&[], &[node("Relu", &["x"], "y"), node("Neg", &["x"], "y")]), Refused),
        ("output named as the input", one(&[], node("Relu", &["x"], "x")), Refused),
        ("output named as an initializer", one(&[floats("y", &[1], &[1.0])], node("Relu", &["x"], "y")), Refused),
        ("zero-arity Add", one(&[], node("Add", &[], "y")), Refused),
        ("Gemm 1 input", one(&[], node("Gemm", &["x"], "y")), Refused),
        ("node no output", one(&[], nodes_outputs("Relu", &["x"], &[])), Refused),
        ("node with an empty output", one(&[], node("Relu", &["x"], "")), Refused),
        ("input without type", no_type.build(), Refused),
        ("input of int64", relu().input(value("x", INT64, &batch_of(&[4]))).build(), Refused),
        ("input without shape", relu().input(value("x", FLOAT, &[])).build(), Refused),
        ("no opset", no_opset.build(), Refused),
        ("two opsets", two_opsets.build(), Refused),
        ("another domain's opset, unused", other_opset.build(), Accepted),
        ("opset 999", relu().opset(999).build(), Refused),
        ("opset 6", relu().opset(6).build(), Refused),
        ("IR version 99", ir.build(), Refused),
        ("functions", functions.build(), Refused),
        ("training information", training.build(), Refused),
        ("sparse initializer", sparse.build(), Refused),
        ("two graphs", two_graphs.build(), Malformed),
        ("chain 20k Relu/Neg", chain(20_000), Limit),
        ("chain 2k Relu/Neg", chain(2_000), Accepted),
        ("dim_param parens 1e5", symbol(&"(".repeat(100_000)), Accepted),
        ("dim_param parens 2000", symbol(&"(".repeat(2_000)), Accepted),
        ("dim_param N*N*..huge expr", symbol(&"N*".repeat(50_000)), Accepted),
        ("latent range of words", relu().metadata("cae.latent_range", "low,high").build(), Refused),
        ("latent range upside down", relu().metadata("cae.latent_range", "3,-3").build(), Refused),
    ]
}

fn tensors() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let external = |path: &str| {
        let entry = Message::new().text(1, "location").text(2, path);
        plus(Message::new().int(1, 4).int(2, FLOAT).text(8, "w").message(13, &entry).int(14, 1))
    };
    let typed = |data_type: i64, raw: &[u8]| plus(tensor("w", &[4], data_type, raw));
    vec![
        ("initializer dims 2^40 no data", plus(tensor("w", &[1 << 20, 1 << 20], FLOAT, &[])), Limit),
        ("initializer dims 2^40 raw 4B", plus(tensor("w", &[1 << 20, 1 << 20], FLOAT, &[0; 4])), Limit),
        ("initializer dims overflow", plus(tensor("w", &[1 << 33, 1 << 33], FLOAT, &[0; 4])), Limit),
        ("initializer dims wrap to 1", plus(tensor("w", &[(1 << 32) + 1, 4_294_967_295], FLOAT, &[0; 4])), Limit),
        ("initializer of rank 2000", plus(tensor("w", &vec![1; 1000], FLOAT, &[0; 4])), Refused),
        ("raw_data short", plus(tensor("w", &[4], FLOAT, &[0; 7])), Malformed),
        ("raw_data long", plus(tensor("w", &[4], FLOAT, &[0; 17])), Malformed),
        ("dim negative", plus(tensor("w", &[-4], FLOAT, &[0; 16])), Malformed),
        ("external ../../etc/passwd", external("../../etc/passwd"), Refused),
        ("external /etc/passwd", external("/etc/passwd"), Refused),
        ("string initializer", plus(Message::new().int(1, 1).int(2, 8).text(8, "w").text(6, "s")), Refused),
        ("string data type", typed(8, &[0; 16]), Refused),
        ("bf16 initializer", typed(16, &[0; 8]), Refused),
        ("double initializer", typed(11, &[0; 32]), Refused),
        ("complex64 initializer", typed(14, &[0; 32]), Refused),
        ("dtype 9999", typed(9999, &[0; 16]), Refused),
        ("no dtype", typed(0, &[0; 16]), Refused),
        ("int64 operand", plus(tensor("w", &[4], INT64, &[0; 32])), Refused),
        ("float16 operand", plus(tensor("w", &[4], 10, &[0; 8])), Refused),
        ("NaN weights", plus(floats("w", &[4], &[0.0, f32::NAN, 0.0, 0.0])), Refused),
        ("infinite weights", plus(floats("w", &[4], &[0.0, f32::INFINITY, 0.0, 0.0])), Refused),
        ("weights along the batch", plus(floats("w", &[3, 4], &[0.0; 12])), Refused),
        ("Constant w/o value", many(&[], &[node("Constant", &[], "c"), node("Add", &["x", "c"], "y")]), Refused),
        ("output that is a constant", many(&[floats("c", &[1], &[1.0])], &[node("Identity", &["c"], "y")]), Refused),
        (
            "initializer named twice",
            one(&[floats("w", &[1], &[1.0]), floats("w", &[1], &[2.0])], node("Add", &["x", "w"], "y")),
            Refused,
        ),
    ]
}

fn memory_and_time() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let shape = |dims: &[i64]| vec![ints("s", dims)];
    let doubling = |start: Message, n: usize, first: &str| {
        let mut nodes = vec![];
        for i in 0..n {
            let from = if i == 0 { first.to_owned() } else { format!("d{i}") };
            nodes.push(node("Concat", &[&from, &from], &format!("d{}", i + 1)).int_attr("axis", 1));
        }
        nodes.push(node("Add", &["x", &format!("d{n}")], "y"));
        many(&[start], &nodes)
    };
    let bomb: Vec<Message> = (0..20)
        .map(|i| {
            node("MatMul", &[&(if i == 0 { "c".to_owned() } else { format!("m{i}") }), "c"], &format!("m{}", i + 1))
        })
        .chain([node("Add", &["x", "m20"], "y")])
        .collect();
    let wide = |n: i64| {
        image(&[n, 1], &[tensor("w", &[1, n, 1], FLOAT, &vec![0; 4 * n as usize])], node("Add", &["x", "w"], "y"))
    };
    let outer =
        image(&[1 << 18, 1], &[tensor("w", &[1, 1 << 18], FLOAT, &vec![0; 1 << 20])], node("Mul", &["x", "w"], "y"));
    vec![
        ("ConstantOfShape 2^40", one(&shape(&[1 << 20, 1 << 20]), node("ConstantOfShape", &["s"], "y")), Refused),
        ("ConstantOfShape 2^31 (8GB)", one(&shape(&[1 << 31]), node("ConstantOfShape", &["s"], "y")), Refused),
        ("ConstantOfShape overflow", one(&shape(&[1 << 33, 1 << 33]), node("ConstantOfShape", &["s"], "y")), Refused),
        ("ConstantOfShape negative", one(&shape(&[-4]), node("ConstantOfShape", &["s"], "y")), Refused),
        ("Tile 2^40", one(&shape(&[1, 1 << 40]), node("Tile", &["x", "s"], "y")), Refused),
        ("Expand 2^40", one(&shape(&[1 << 20, 1 << 20]), node("Expand", &["x", "s"], "y")), Refused),
        (
            "Resize 1e6x",
            image(&[1, 4, 4], &[floats("s", &[4], &[1.0, 1.0, 1e6, 1e6])], node("Resize", &["x", "", "s"], "y")),
            Refused,
        ),
        (
            "Resize 1e4x",
            image(&[1, 4, 4], &[floats("s", &[4], &[1.0, 1.0, 1e4, 1e4])], node("Resize", &["x", "", "s"], "y")),
            Limit,
        ),
        ("Range 1e12", one(&shape(&[0]), node("Range", &["s", "s", "s"], "y")), Refused),
        ("Range step 0", one(&shape(&[0]), node("Range", &["s", "s", "s"], "y")), Refused),
        ("Pad 2^34", one(&shape(&[0, 0, 0, 1 << 34]), node("Pad", &["x", "s"], "y")), Refused),
        ("Pad negative", one(&shape(&[0, -9, 0, 0]), node("Pad", &["x", "s"], "y")), Refused),
        ("OneHot depth 2^40", one(&shape(&[1 << 40]), node("OneHot", &["x", "s", "s"], "y")), Refused),
        ("Concat doubling x40", doubling(floats("c", &[1], &[1.0]), 40, "x"), Limit),
        ("Concat doubling const x34", doubling(floats("c", &[1, 4], &[1.0; 4]), 34, "c"), Limit),
        ("outer product 2^36", outer, Limit),
        ("MatMul const bomb 8k^3 x20", many(&[noisy("c", &[8, 8])], &bomb), Refused),
        ("wide but within the limits", wide(1 << 16), Accepted),
        (
            "MatMul beyond the operations",
            image(
                &[4096, 1024],
                &[tensor("w", &[1024, 2048], FLOAT, &vec![0; 1 << 23])],
                node("MatMul", &["x", "w"], "y"),
            ),
            Limit,
        ),
    ]
}

fn operators() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let body = relu().graph();
    let nested = (0..60).fold(relu().graph(), |g, _| {
        Message::new().text(2, "g").message(1, &node("If", &["x"], "y").graph_attr("then_branch", &g))
    });
    let int_pair = |op: &str| {
        let nodes = [node(op, &["a", "b"], "c"), node("Reshape", &["x", "c"], "y")];
        many(&[ints("a", &[4]), ints("b", &[0])], &nodes)
    };
    let mut foreign = relu();
    foreign.nodes = vec![node("Relu", &["x"], "y").text(7, "com.acme")];
    vec![
        ("Loop op", one(&[], node("Loop", &["x"], "y").graph_attr("body", &body)), Refused),
        ("Scan empty body", one(&[], node("Scan", &["x"], "y").graph_attr("body", &Message::new())), Refused),
        ("If w/ empty graphs", one(&[], node("If", &["x"], "y").graph_attr("then_branch", &Message::new())), Refused),
        ("If nested 60", one(&[], node("If", &["x"], "y").graph_attr("then_branch", &nested)), Refused),
        ("Relu with a subgraph", one(&[], node("Relu", &["x"], "y").graph_attr("body", &body)), Refused),
        ("Reshape inconsistent", one(&[ints("s", &[-1, 5])], node("Reshape", &["x", "s"], "y")), Refused),
        ("Reshape two -1", one(&[ints("s", &[-1, -1])], node("Reshape", &["x", "s"], "y")), Refused),
        (
            "Reshape into the batch",
            many(&[ints("s", &[-1, 2])], &[node("Reshape", &["x", "s"], "r"), node("Relu", &["r"], "y")]),
            Refused,
        ),
        (
            "Reshape into the batch, at the very end",
            one(&[ints("s", &[-1, 2])], node("Reshape", &["x", "s"], "y")),
            Accepted,
        ),
        ("Reshape to one block", one(&[ints("s", &[1, -1])], node("Reshape", &["x", "s"], "y")), Refused),
        ("Gather OOB", many(&[ints("a", &[1, 2]), ints("i", &[99])], &[node("Gather", &["a", "i"], "y")]), Refused),
        ("Gather runtime OOB", one(&[ints("i", &[2])], node("Gather", &["x", "i"], "y").int_attr("axis", 1)), Refused),
        ("int Div by 0", int_pair("Div"), Refused),
        ("int Mod by 0", int_pair("Mod"), Refused),
        ("BitShift by 999", int_pair("BitShift"), Refused),
        ("Slice step 0", slice(&[0], &[4], &[1], &[0]), Refused),
        ("Slice step -1", slice(&[3], &[0], &[1], &[-1]), Refused),
        ("Slice of the batch", slice(&[0], &[1], &[0], &[1]), Refused),
        ("Slice to nothing", slice(&[2], &[2], &[1], &[1]), Refused),
        ("Split by 0", one(&[ints("s", &[0])], node("Split", &["x", "s"], "y")), Refused),
        ("Transpose bad perm", one(&[], node("Transpose", &["x"], "y").ints_attr("perm", &[0, 7])), Refused),
        ("Transpose dup perm", one(&[], node("Transpose", &["x"], "y").ints_attr("perm", &[0, 0])), Refused),
        ("Transpose of the batch", one(&[], node("Transpose", &["x"], "y").ints_attr("perm", &[1, 0])), Refused),
        ("Squeeze axis 9", one(&[ints("a", &[9])], node("Squeeze", &["x", "a"], "y")), Refused),
        ("Concat axis 9", one(&[], node("Concat", &["x", "x"], "y").int_attr("axis", 9)), Refused),
        ("Concat of the batch", one(&[], node("Concat", &["x", "x"], "y").int_attr("axis", 0)), Refused),
        ("Softmax axis 9", one(&[], node("Softmax", &["x"], "y").int_attr("axis", 9)), Refused),
        ("Softmax of the batch", one(&[], node("Softmax", &["x"], "y").int_attr("axis", 0)), Refused),
        ("ReduceSum axis 9", one(&[ints("a", &[9])], node("ReduceSum", &["x", "a"], "y")), Refused),
        ("Flatten axis 9", one(&[], node("Flatten", &["x"], "y").int_attr("axis", 9)), Refused),
        ("Flatten of the batch", one(&[], node("Flatten", &["x"], "y").int_attr("axis", 0)), Refused),
        ("Cast to 77", one(&[], node("Cast", &["x"], "y").int_attr("to", 77)), Refused),
        ("Cast to string", one(&[], node("Cast", &["x"], "y").int_attr("to", 8)), Refused),
        ("Einsum garbage", one(&[], node("Einsum", &["x"], "y").text_attr("equation", ",,->")), Refused),
        ("unknown op", one(&[], node("Frobnicate", &["x"], "y")), Refused),
        ("unknown attribute", one(&[], node("Relu", &["x"], "y").int_attr("z", 1)), Refused),
        ("attribute of the wrong type", one(&[], node("LeakyRelu", &["x"], "y").int_attr("alpha", 1)), Malformed),
        ("attribute that is not finite", one(&[], node("Elu", &["x"], "y").float_attr("alpha", f32::NAN)), Refused),
        ("custom domain op", foreign.build(), Refused),
        ("RandomNormal", one(&[], node("RandomNormalLike", &["x"], "y")), Refused),
        ("NonZero dyn shape", one(&[], node("NonZero", &["x"], "y")), Refused),
        (
            "ends in wrong batch (ReduceSum all)",
            one(&[], node("ReduceSum", &["x"], "y").int_attr("keepdims", 0)),
            Refused,
        ),
        ("cross-block leak (CumSum axis 0)", one(&[ints("a", &[0])], node("CumSum", &["x", "a"], "y")), Refused),
        ("MatMul of block values", one(&[], node("MatMul", &["x", "x"], "y")), Refused),
        ("MatMul from the left of a vector", one(&[noisy("w", &[4, 4])], node("MatMul", &["w", "x"], "y")), Refused),
        (
            "Gemm with transA",
            one(&[noisy("w", &[4, 4])], node("Gemm", &["x", "w"], "y").int_attr("transA", 1)),
            Refused,
        ),
    ]
}

fn slice(starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> Vec<u8> {
    let lists = [ints("starts", starts), ints("ends", ends), ints("axes", axes), ints("steps", steps)];
    one(&lists, node("Slice", &["x", "starts", "ends", "axes", "steps"], "y"))
}

fn windows() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let conv = |attributes: Message, kernel: &[i64]| {
        image(&[1, 4, 4], &[noisy("w", kernel)], node("Conv", &["x", "w"], "y").append(attributes))
    };
    let transposed = |attributes: Message| {
        image(&[1, 4, 4], &[noisy("w", &[1, 1, 2, 2])], node("ConvTranspose", &["x", "w"], "y").append(attributes))
    };
    let x = Message::new;
    let small = &[1, 1, 2, 2];
    vec![
        ("Conv control", conv(x(), small), Accepted),
        ("Conv stride 0", conv(x().ints_attr("strides", &[0, 1]), small), Refused),
        ("Conv negative stride", conv(x().ints_attr("strides", &[-1, 1]), small), Refused),
        ("Conv dilation 0", conv(x().ints_attr("dilations", &[0, 1]), small), Refused),
        ("Conv dilation 2^62", conv(x().ints_attr("dilations", &[1 << 62, 1]), small), Refused),
        ("Conv padding 2^31", conv(x().ints_attr("pads", &[1 << 31, 0, 0, 0]), small), Refused),
        ("Conv negative padding", conv(x().ints_attr("pads", &[-1, 0, 0, 0]), small), Refused),
        ("Conv with three strides", conv(x().ints_attr("strides", &[1, 1, 1]), small), Refused),
        ("Conv kernel>input", conv(x(), &[1, 1, 5, 5]), Refused),
        ("Conv group 0", conv(x().int_attr("group", 0), small), Refused),
        ("Conv group 7", conv(x().int_attr("group", 7), small), Refused),
        ("Conv kernel_shape that differs", conv(x().ints_attr("kernel_shape", &[3, 3]), small), Refused),
        ("Conv with an empty kernel", conv(x(), &[1, 1, 0, 2]), Refused),
        ("Conv of an unknown auto_pad", conv(x().text_attr("auto_pad", "WRAP"), small), Refused),
        ("ConvTranspose control", transposed(x()), Accepted),
        ("ConvTranspose stride 1e9", transposed(x().ints_attr("strides", &[1_000_000_000, 1_000_000_000])), Limit),
        ("ConvTranspose output_shape -1", transposed(x().ints_attr("output_shape", &[-1, 5])), Refused),
        ("ConvTranspose padding all", transposed(x().ints_attr("pads", &[9, 9, 9, 9])), Refused),
        ("ConvTranspose output_padding", transposed(x().ints_attr("output_padding", &[5, 5])), Refused),
        (
            "DepthToSpace bs 0",
            image(&[4, 4, 4], &[], node("DepthToSpace", &["x"], "y").int_attr("blocksize", 0)),
            Refused,
        ),
        (
            "DepthToSpace bs 2^40",
            image(&[4, 4, 4], &[], node("DepthToSpace", &["x"], "y").int_attr("blocksize", 1 << 40)),
            Refused,
        ),
    ]
}

#[test]
fn every_hostile_model_gets_its_verdict() {
    let groups = [bytes_of_files(), graphs(), tensors(), memory_and_time(), operators(), windows()];
    let mut wrong = Vec::new();
    for (name, bytes, expected) in groups.into_iter().flatten() {
        let found = vet(&bytes, &Limits::default());
        let verdict = match &found {
            Ok(_) => Accepted,
            Err(Error::Model(ModelError::Malformed { .. })) => Malformed,
            Err(Error::Model(ModelError::Refused { .. })) => Refused,
            Err(Error::Limit { .. }) => Limit,
            Err(other) => panic!("{name}: {other}"),
        };
        if verdict != expected {
            wrong.push(format!("{name}: {expected:?} expected, {verdict:?}: {:?}", found.err().map(|e| e.to_string())));
        }
        if verdict == Accepted {
            let decoder = super::load_decoder(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut out = vec![0.0; decoder.block_len() * 3];
            decoder.decode(&vec![0.5; decoder.latent_len() * 3], &mut out).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Models that together use every part of the vetting.
fn seeds() -> Vec<Vec<u8>> {
    let conv = Builder::new(&[2, 4, 4])
        .init(noisy("w", &[3, 2, 3, 3]))
        .init(noisy("t", &[3, 1, 2, 2]))
        .init(floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .init(ints("shape", &[-1, 16, 16]))
        .node(node("Conv", &["x", "w"], "a").ints_attr("pads", &[1, 1, 1, 1]))
        .node(node("LeakyRelu", &["a"], "b").float_attr("alpha", 0.1))
        .node(node("ConvTranspose", &["b", "t"], "c").ints_attr("strides", &[2, 2]))
        .node(
            node("Resize", &["c", "", "s"], "d")
                .text_attr("mode", "nearest")
                .text_attr("nearest_mode", "floor")
                .text_attr("coordinate_transformation_mode", "asymmetric"),
        )
        .node(node("Reshape", &["d", "shape"], "e"))
        .node(node("Transpose", &["e"], "y").ints_attr("perm", &[0, 2, 1]));
    let quantised = Builder::new(&[2])
        .init(tensor("q", &[2, 3], 3, &[1, 2, 253, 4, 5, 250]))
        .init(floats("s", &[3], &[0.5, 0.25, 2.0]))
        .init(tensor("h", &[3], 10, &[0, 0x3C, 0, 0xC0, 0, 0x38]))
        .node(node("DequantizeLinear", &["q", "s"], "w").int_attr("axis", 1))
        .node(node("Cast", &["h"], "b").int_attr("to", 1))
        .node(node("Gemm", &["x", "w", "b"], "g"))
        .node(node("Shape", &["g"], "n"))
        .node(node("Reshape", &["g", "n"], "y"));
    vec![perceptron().build(), conv.build(), quantised.build()]
}

#[test]
fn mutants_and_truncations_never_panic() {
    let limits = Limits { model_elements: 1 << 16, model_operations: 1 << 20, ..Limits::default() };
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let mut survivors = 0;
    for seed in seeds() {
        vet(&seed, &limits).unwrap_or_else(|e| panic!("{e}"));
        for len in 0..seed.len() {
            let _ = vet(&seed[..len], &limits);
        }
        for _ in 0..4000 {
            let mut mutant = seed.clone();
            for _ in 0..=random(3) {
                let at = random(mutant.len());
                match random(4) {
                    0 => mutant[at] = random(256) as u8,
                    1 => mutant[at] ^= 1 << random(8),
                    2 => mutant[at] = mutant[at].wrapping_add(1),
                    _ => {
                        mutant.remove(at);
                    }
                }
            }
            if vet(&mutant, &limits).is_err() {
                continue;
            }
            survivors += 1;
            // What vetting lets through loads and runs; a panic inside the engine would surface as an error.
            let decoder = super::load_decoder(&mutant, &limits).unwrap_or_else(|e| panic!("{e}: {mutant:?}"));
            let mut out = vec![0.0; decoder.block_len() * 2];
            let latents = vec![0.25; decoder.latent_len() * 2];
            decoder.decode(&latents, &mut out).unwrap_or_else(|e| panic!("{e}: {mutant:?}"));
        }
    }
    assert!(survivors > 1000, "only {survivors} mutants passed: the test tests little");
}
