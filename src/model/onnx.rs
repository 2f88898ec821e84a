//! The part of ONNX's `ModelProto` that SPEC 5 allows, read without copying tensor data.
//!
//! Depth is bounded by construction: model, graph, node, attribute, tensor. A subgraph, function, sparse or
//! external tensor is refused where it stands, unread.

use super::wire::{Fields, Value, malformed, varint};
use super::{refused, within_count};
use crate::error::{Resource, Result};
use crate::limits::{Limits, within};

/// `ModelProto`.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) ir_version: i64,
    /// (domain, version) of every `opset_import`.
    pub(super) opsets: Vec<(&'a str, i64)>,
    pub(super) producer: &'a str,
    pub(super) metadata: Vec<(&'a str, &'a str)>,
    pub(super) graph: Graph<'a>,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initializers: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<ValueInfo<'a>>,
    pub(super) outputs: Vec<ValueInfo<'a>>,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) attributes: Vec<Attribute<'a>>,
}

/// `AttributeProto`.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: AttributeValue<'a>,
}

/// What an attribute holds.
#[derive(Debug)]
pub(super) enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(Tensor<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// `TensorProto`; its data stay in `body` until they are asked for.
#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) dims: Vec<i64>,
    pub(super) data_type: i64,
    raw: Option<&'a [u8]>,
    body: &'a [u8],
}

/// `ValueInfoProto` of a tensor.
#[derive(Debug)]
pub(super) struct ValueInfo<'a> {
    pub(super) name: &'a str,
    /// `TensorProto.DataType`; 0 where no type is given.
    pub(super) elem_type: i64,
    /// Fixed or symbolic dimensions; `None` without a shape.
    pub(super) shape: Option<Vec<Option<i64>>>,
}

/// Lists inside a node, attribute or shape are no longer than this.
const LIST_LEN: u64 = 1024;
/// Initialisers for each node that the limits allow.
const INITIALIZERS_PER_NODE: u64 = 16;

impl<'a> Model<'a> {
    pub(super) fn read_from(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        within(Resource::ModelBytes, bytes.len() as u64, limits.model_bytes)?;
        let mut model =
            Model { ir_version: 0, opsets: Vec::new(), producer: "", metadata: Vec::new(), graph: Graph::default() };
        let mut graph_seen = false;
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => model.ir_version = v.int("ir_version")?,
                (2, v) => model.producer = v.text("producer_name")?,
                (7, v) => {
                    if graph_seen {
                        return Err(malformed("two graphs"));
                    }
                    graph_seen = true;
                    model.graph = Graph::read_from(v.bytes("graph")?, limits)?;
                }
                (8, v) => {
                    room_in("opset imports", &model.opsets, 64)?;
                    model.opsets.push(read_opset(v.bytes("opset_import")?)?);
                }
                (14, v) => {
                    room_in("metadata entries", &model.metadata, LIST_LEN)?;
                    model.metadata.push(read_entry(v.bytes("metadata_props")?)?);
                }
                (20, _) => return Err(refused("", "it holds training information")),
                (25, _) => return Err(refused("", "it holds functions of its own")),
                _ => {}
            }
        }
        if graph_seen { Ok(model) } else { Err(malformed("there is no graph")) }
    }
}

impl<'a> Graph<'a> {
    fn read_from(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut graph = Graph::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => {
                    let wanted = (graph.nodes.len() as u64).saturating_add(1);
                    within(Resource::ModelNodes, wanted, limits.model_nodes)?;
                    graph.nodes.push(Node::read_from(v.bytes("node")?)?);
                }
                (5, v) => {
                    let allowed = limits.model_nodes.saturating_mul(INITIALIZERS_PER_NODE);
                    room_in("initializers", &graph.initializers, allowed)?;
                    graph.initializers.push(Tensor::read_from(v.bytes("initializer")?)?);
                }
                (11, v) => {
                    let allowed = limits.model_nodes.saturating_mul(INITIALIZERS_PER_NODE);
                    room_in("graph inputs", &graph.inputs, allowed)?;
                    graph.inputs.push(ValueInfo::read_from(v.bytes("input")?)?);
                }
                (12, v) => {
                    room_in("graph outputs", &graph.outputs, LIST_LEN)?;
                    graph.outputs.push(ValueInfo::read_from(v.bytes("output")?)?);
                }
                (15, _) => return Err(refused("", "it holds sparse initializers")),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn read_from(bytes: &'a [u8]) -> Result<Self> {
        let mut node = Node::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => {
                    room_in("inputs of a node", &node.inputs, LIST_LEN)?;
                    node.inputs.push(v.text("input of a node")?);
                }
                (2, v) => {
                    room_in("outputs of a node", &node.outputs, LIST_LEN)?;
                    node.outputs.push(v.text("output of a node")?);
                }
                (3, v) => node.name = v.text("name of a node")?,
                (4, v) => node.op = v.text("op_type")?,
                (5, v) => {
                    room_in("attributes of a node", &node.attributes, 64)?;
                    let attribute = Attribute::read_from(v.bytes("attribute")?)?;
                    if node.attributes.iter().any(|a| a.name == attribute.name) {
                        return Err(malformed(format!("two attributes `{}` at one node", show(attribute.name))));
                    }
                    node.attributes.push(attribute);
                }
                (7, v) => node.domain = v.text("domain of a node")?,
                (8, v) if !v.bytes("overload of a node")?.is_empty() => {
                    return Err(refused(node.label(), "it names an overload of a function"));
                }
                _ => {}
            }
        }
        Ok(node)
    }

    /// What error messages call the node: its name, else its first output.
    pub(super) fn label(&self) -> &'a str {
        if self.name.is_empty() { self.outputs.first().copied().unwrap_or("") } else { self.name }
    }
}

impl<'a> Attribute<'a> {
    fn read_from(bytes: &'a [u8]) -> Result<Self> {
        let mut name = "";
        let mut kind = None;
        let (mut float, mut int, mut text, mut tensor) = (None, None, None, None);
        let (mut floats, mut ints) = (Vec::new(), Vec::new());
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => name = v.text("name of an attribute")?,
                (2, v) => float = Some(v.float("float attribute")?),
                (3, v) => int = Some(v.int("integer attribute")?),
                (4, v) => text = Some(v.bytes("string attribute")?),
                (5, v) => tensor = Some(Tensor::read_from(v.bytes("tensor attribute")?)?),
                (7, v) => extend_floats(&mut floats, v)?,
                (8, v) => extend_ints(&mut ints, v)?,
                (20, v) => kind = Some(v.int("type of an attribute")?),
                (6 | 11, _) => return Err(refused(name, "it holds a subgraph")),
                (9, _) => return Err(refused(name, "it holds strings")),
                (10, _) => return Err(refused(name, "it holds a list of tensors")),
                (14 | 15, _) => return Err(refused(name, "it holds a type")),
                (22 | 23, _) => return Err(refused(name, "it holds a sparse tensor")),
                (21, v) if !v.bytes("ref_attr_name")?.is_empty() => {
                    return Err(refused(name, "it refers to an attribute of a function"));
                }
                _ => {}
            }
        }
        // IR version 1 had no `type`; where it is missing the field that is there says it.
        let kind = match kind {
            Some(0) | None if float.is_some() => 1,
            Some(0) | None if int.is_some() => 2,
            Some(0) | None if text.is_some() => 3,
            Some(0) | None if tensor.is_some() => 4,
            Some(0) | None if !floats.is_empty() => 6,
            Some(0) | None if !ints.is_empty() => 7,
            Some(kind) => kind,
            None => 0,
        };
        // proto3 leaves a zero out.
        let value = match kind {
            1 => AttributeValue::Float(float.unwrap_or(0.0)),
            2 => AttributeValue::Int(int.unwrap_or(0)),
            3 => AttributeValue::Text(text.unwrap_or(&[])),
            4 => AttributeValue::Tensor(
                tensor.ok_or_else(|| malformed(format!("attribute `{}` has no tensor", show(name))))?,
            ),
            6 => AttributeValue::Floats(floats),
            7 => AttributeValue::Ints(ints),
            5 | 10 => return Err(refused(name, "it holds a subgraph")),
            8 => return Err(refused(name, "it holds strings")),
            9 | 11..=14 => return Err(refused(name, "it holds lists of tensors, types or sparse tensors")),
            other => return Err(malformed(format!("attribute `{}` of type {other}", show(name)))),
        };
        Ok(Attribute { name, value })
    }
}

impl<'a> Tensor<'a> {
    fn read_from(bytes: &'a [u8]) -> Result<Self> {
        let mut tensor = Tensor { body: bytes, ..Tensor::default() };
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => extend_ints(&mut tensor.dims, v)?,
                (2, v) => tensor.data_type = v.int("data_type")?,
                (3, _) => return Err(refused(tensor.name, "it is a segment of a tensor")),
                (6, _) => return Err(refused(tensor.name, "it holds strings")),
                (8, v) => tensor.name = v.text("name of a tensor")?,
                (9, v) => tensor.raw = Some(v.bytes("raw_data")?),
                (13, _) => return Err(refused(tensor.name, "its data lie outside the model")),
                (14, v) if v.int("data_location")? != 0 => {
                    return Err(refused(tensor.name, "its data lie outside the model"));
                }
                _ => {}
            }
        }
        Ok(tensor)
    }

    /// The data as little-endian items of `width` bytes, where stored as `raw_data`.
    pub(super) fn raw(&self) -> Option<&'a [u8]> {
        self.raw
    }

    /// The values of `float_data`, at most `count` of them.
    pub(super) fn float_data(&self, count: usize) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        for field in Fields::new(self.body) {
            if let (4, v) = field? {
                match v {
                    Value::Fixed32(b) => out.push(f32::from_le_bytes(b)),
                    Value::Bytes(b) => {
                        let (items, rest) = b.as_chunks::<4>();
                        if !rest.is_empty() {
                            return Err(malformed("float_data ends inside a number"));
                        }
                        out.extend(items.iter().map(|&c| f32::from_le_bytes(c)));
                    }
                    _ => return Err(malformed("float_data holds no floats")),
                }
                within_count("values of a tensor", out.len() as u64, (count as u64).saturating_add(1))?;
            }
        }
        Ok(out)
    }

    /// The values of `int32_data` (field 5) or `int64_data` (field 7), at most `count` of them.
    pub(super) fn int_data(&self, number: u64, count: usize) -> Result<Vec<i64>> {
        let mut out = Vec::new();
        for field in Fields::new(self.body) {
            let (field, value) = field?;
            if field != number {
                continue;
            }
            match value {
                Value::Varint(v) => out.push(v.cast_signed()),
                Value::Bytes(mut b) => {
                    while !b.is_empty() {
                        within_count("values of a tensor", out.len() as u64, count as u64)?;
                        out.push(varint(&mut b)?.cast_signed());
                    }
                }
                _ => return Err(malformed("the data of an integer tensor are not integers")),
            }
            within_count("values of a tensor", out.len() as u64, (count as u64).saturating_add(1))?;
        }
        Ok(out)
    }
}

impl<'a> ValueInfo<'a> {
    fn read_from(bytes: &'a [u8]) -> Result<Self> {
        let mut info = ValueInfo { name: "", elem_type: 0, shape: None };
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => info.name = v.text("name of a graph input or output")?,
                (2, v) => {
                    for field in Fields::new(v.bytes("type")?) {
                        match field? {
                            (1, v) => info.read_tensor_type(v.bytes("tensor type")?)?,
                            // Sequences, maps, optional and sparse tensors.
                            (4 | 5 | 8 | 9, _) => return Err(refused(info.name, "it is not a tensor")),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }

    fn read_tensor_type(&mut self, bytes: &'a [u8]) -> Result<()> {
        for field in Fields::new(bytes) {
            match field? {
                (1, v) => self.elem_type = v.int("elem_type")?,
                (2, v) => {
                    let mut dims = Vec::new();
                    for field in Fields::new(v.bytes("shape")?) {
                        if let (1, v) = field? {
                            room_in("dimensions", &dims, LIST_LEN)?;
                            dims.push(read_dimension(v.bytes("dimension")?)?);
                        }
                    }
                    self.shape = Some(dims);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A fixed dimension, or `None` for a symbolic or unknown one.
fn read_dimension(bytes: &[u8]) -> Result<Option<i64>> {
    let mut value = None;
    for field in Fields::new(bytes) {
        match field? {
            (1, v) => value = Some(v.int("dim_value")?),
            (2, _) => value = None,
            _ => {}
        }
    }
    Ok(value)
}

fn read_opset(bytes: &[u8]) -> Result<(&str, i64)> {
    let (mut domain, mut version) = ("", 0);
    for field in Fields::new(bytes) {
        match field? {
            (1, v) => domain = v.text("domain of an opset")?,
            (2, v) => version = v.int("version of an opset")?,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn read_entry(bytes: &[u8]) -> Result<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    for field in Fields::new(bytes) {
        match field? {
            (1, v) => key = v.text("metadata key")?,
            (2, v) => value = v.text("metadata value")?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn extend_floats(out: &mut Vec<f32>, value: Value<'_>) -> Result<()> {
    match value {
        Value::Fixed32(b) => out.push(f32::from_le_bytes(b)),
        Value::Bytes(b) => {
            let (items, rest) = b.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(malformed("a list of floats ends inside a number"));
            }
            within_count("values of an attribute", items.len() as u64, LIST_LEN)?;
            out.extend(items.iter().map(|&c| f32::from_le_bytes(c)));
        }
        _ => return Err(malformed("a list of floats holds something else")),
    }
    within_count("values of an attribute", out.len() as u64, LIST_LEN)
}

fn extend_ints(out: &mut Vec<i64>, value: Value<'_>) -> Result<()> {
    match value {
        Value::Varint(v) => out.push(v.cast_signed()),
        Value::Bytes(mut b) => {
            while !b.is_empty() {
                room_in("values of a list", out, LIST_LEN)?;
                out.push(varint(&mut b)?.cast_signed());
            }
        }
        _ => return Err(malformed("a list of integers holds something else")),
    }
    within_count("values of a list", out.len() as u64, LIST_LEN)
}

/// Refuses a list that has no room for one more.
fn room_in<T>(what: &str, list: &[T], allowed: u64) -> Result<()> {
    within_count(what, (list.len() as u64).saturating_add(1), allowed)
}

/// A name from the file, made fit for a message: printable, and not too long.
pub(super) fn show(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}
