//! Builds ONNX models, good and bad, for the tests of this module.

use super::wire::Message;

pub(crate) const FLOAT: i64 = 1;
pub(crate) const INT64: i64 = 7;

/// A `NodeProto` of the default domain.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> Message {
    nodes_outputs(op, inputs, &[output])
}

pub(crate) fn nodes_outputs(op: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let mut m = Message::new();
    for i in inputs {
        m = m.text(1, i);
    }
    for o in outputs {
        m = m.text(2, o);
    }
    m.text(3, &format!("{op}_{}", outputs.first().unwrap_or(&""))).text(4, op)
}

pub(crate) trait NodeExt {
    fn int_attr(self, name: &str, value: i64) -> Self;
    fn float_attr(self, name: &str, value: f32) -> Self;
    fn text_attr(self, name: &str, value: &str) -> Self;
    fn ints_attr(self, name: &str, values: &[i64]) -> Self;
    fn tensor_attr(self, name: &str, tensor: &Message) -> Self;
    fn graph_attr(self, name: &str, graph: &Message) -> Self;
}

impl NodeExt for Message {
    fn int_attr(self, name: &str, value: i64) -> Self {
        self.message(5, &Message::new().text(1, name).int(3, value).int(20, 2))
    }
    fn float_attr(self, name: &str, value: f32) -> Self {
        self.message(5, &Message::new().text(1, name).float(2, value).int(20, 1))
    }
    fn text_attr(self, name: &str, value: &str) -> Self {
        self.message(5, &Message::new().text(1, name).text(4, value).int(20, 3))
    }
    fn ints_attr(self, name: &str, values: &[i64]) -> Self {
        let mut a = Message::new().text(1, name);
        for &v in values {
            a = a.int(8, v);
        }
        self.message(5, &a.int(20, 7))
    }
    fn tensor_attr(self, name: &str, tensor: &Message) -> Self {
        self.message(5, &Message::new().text(1, name).message(5, tensor).int(20, 4))
    }
    fn graph_attr(self, name: &str, graph: &Message) -> Self {
        self.message(5, &Message::new().text(1, name).message(6, graph).int(20, 5))
    }
}

/// A `TensorProto` with raw data.
pub(crate) fn tensor(name: &str, dims: &[i64], data_type: i64, raw: &[u8]) -> Message {
    let mut m = Message::new();
    for &d in dims {
        m = m.int(1, d);
    }
    m.int(2, data_type).text(8, name).bytes(9, raw)
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    tensor(name, dims, FLOAT, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    tensor(name, &[values.len() as i64], INT64, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

pub(crate) fn int_scalar(name: &str, value: i64) -> Message {
    tensor(name, &[], INT64, &value.to_le_bytes())
}

/// A deterministic value in [-1, 1].
pub(crate) fn noise(i: usize) -> f32 {
    let mixed = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(12_345);
    ((mixed ^ (mixed >> 15)) % 2001) as f32 / 1000.0 - 1.0
}

pub(crate) fn noisy(name: &str, dims: &[i64]) -> Message {
    let len = dims.iter().product::<i64>() as usize;
    floats(name, dims, &(0..len).map(noise).collect::<Vec<_>>())
}

/// A dimension of an input: fixed, or symbolic.
#[derive(Clone)]
pub(crate) enum Dim {
    Fixed(i64),
    Symbol(String),
}

/// `N` and then these.
pub(crate) fn batch_of(dims: &[i64]) -> Vec<Dim> {
    std::iter::once(Dim::Symbol("N".into())).chain(dims.iter().map(|&d| Dim::Fixed(d))).collect()
}

pub(crate) fn value(name: &str, elem_type: i64, dims: &[Dim]) -> Message {
    let mut shape = Message::new();
    for d in dims {
        shape = shape.message(
            1,
            &match d {
                Dim::Fixed(v) => Message::new().int(1, *v),
                Dim::Symbol(s) => Message::new().text(2, s),
            },
        );
    }
    Message::new()
        .text(1, name)
        .message(2, &Message::new().message(1, &Message::new().int(1, elem_type).message(2, &shape)))
}

/// A model under construction: input `x`, output `y`.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) nodes: Vec<Message>,
    pub(crate) initializers: Vec<Message>,
    pub(crate) inputs: Vec<Message>,
    pub(crate) outputs: Vec<Message>,
    pub(crate) opsets: Vec<(String, i64)>,
    pub(crate) ir_version: i64,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) graph_extra: Message,
    pub(crate) model_extra: Message,
}

impl Builder {
    pub(crate) fn new(input: &[i64]) -> Self {
        Builder {
            nodes: vec![],
            initializers: vec![],
            inputs: vec![value("x", FLOAT, &batch_of(input))],
            outputs: vec![value("y", FLOAT, &batch_of(&[]))],
            opsets: vec![(String::new(), 17)],
            ir_version: 8,
            metadata: vec![],
            graph_extra: Message::new(),
            model_extra: Message::new(),
        }
    }

    pub(crate) fn node(mut self, node: Message) -> Self {
        self.nodes.push(node);
        self
    }

    pub(crate) fn init(mut self, tensor: Message) -> Self {
        self.initializers.push(tensor);
        self
    }

    pub(crate) fn opset(mut self, version: i64) -> Self {
        self.opsets = vec![(String::new(), version)];
        self
    }

    pub(crate) fn input(mut self, input: Message) -> Self {
        self.inputs = vec![input];
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    pub(crate) fn graph(&self) -> Message {
        let mut graph = Message::new().text(2, "g");
        for n in &self.nodes {
            graph = graph.message(1, n);
        }
        for t in &self.initializers {
            graph = graph.message(5, t);
        }
        for i in &self.inputs {
            graph = graph.message(11, i);
        }
        for o in &self.outputs {
            graph = graph.message(12, o);
        }
        graph.append(self.graph_extra.clone())
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut model = Message::new().int(1, self.ir_version);
        for (domain, version) in &self.opsets {
            model = model.message(8, &Message::new().text(1, domain).int(2, *version));
        }
        for (key, value) in &self.metadata {
            model = model.message(14, &Message::new().text(1, key).text(2, value));
        }
        model.message(7, &self.graph()).append(self.model_extra.clone()).finish()
    }
}

/// A perceptron of one hidden layer, 4 - 6 - 8.
pub(crate) fn perceptron() -> Builder {
    Builder::new(&[4])
        .init(noisy("w1", &[4, 6]))
        .init(noisy("b1", &[6]))
        .init(noisy("w2", &[8, 6]))
        .init(noisy("b2", &[8]))
        .node(node("MatMul", &["x", "w1"], "h0"))
        .node(node("Add", &["h0", "b1"], "h1"))
        .node(node("Sigmoid", &["h1"], "h"))
        .node(node("Gemm", &["h", "w2", "b2"], "y").int_attr("transB", 1))
}
