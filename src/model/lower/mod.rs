//! From ONNX nodes to the steps of a [`Program`] (SPEC 5.3 and 5.4): arity, attributes, shapes, the batch axis.

use std::collections::HashMap;
use std::sync::Arc;

mod elementwise;
mod linear;
mod movement;

use super::constant::{Constant, Data, Kind};
use super::onnx::{Attribute, AttributeValue, Node, Tensor};
use super::program::{Op, Program, Slot};
use super::refused;
use super::wire::malformed;
use crate::error::{Resource, Result};
use crate::limits::{Limits, within};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A value of each block: a slot of the program.
    Batched(usize),
    /// The same for all blocks.
    Constant(Constant),
}

/// Inputs (at least, at most), outputs (at most) and attributes of an allowed operator.
type Signature = (usize, usize, usize, &'static [&'static str]);

/// The allow-list (SPEC 5.4). Extra outputs may be named but never used.
fn signature(op: &str) -> Option<Signature> {
    const WINDOW: &[&str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    const WINDOW_TRANSPOSED: &[&str] =
        &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"];
    const RESIZE: &[&str] = &[
        "antialias",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    ];
    const CONSTANT: &[&str] = &["value", "value_float", "value_floats", "value_int", "value_ints"];
    const BATCH_NORM: &[&str] = &["epsilon", "momentum", "spatial", "training_mode"];
    Some(match op {
        "Relu" | "Sigmoid" | "HardSwish" | "Tanh" | "Softplus" | "Softsign" | "Erf" | "Exp" | "Sqrt" | "Abs"
        | "Neg" | "Floor" | "Ceil" | "Round" | "Identity" => (1, 1, 1, &[]),
        "LeakyRelu" | "Elu" => (1, 1, 1, &["alpha"]),
        "Selu" => (1, 1, 1, &["alpha", "gamma"]),
        "HardSigmoid" => (1, 1, 1, &["alpha", "beta"]),
        "Gelu" => (1, 1, 1, &["approximate"]),
        "Clip" => (1, 3, 1, &["min", "max"]),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "PRelu" | "MatMul" => (2, 2, 1, &[]),
        "Min" | "Max" => (1, 64, 1, &[]),
        "Gemm" => (2, 3, 1, &["alpha", "beta", "transA", "transB"]),
        "Conv" => (2, 3, 1, WINDOW),
        "ConvTranspose" => (2, 3, 1, WINDOW_TRANSPOSED),
        "BatchNormalization" => (5, 5, 5, BATCH_NORM),
        "InstanceNormalization" => (3, 3, 1, &["epsilon"]),
        "LayerNormalization" => (2, 3, 3, &["axis", "epsilon", "stash_type"]),
        "Softmax" => (1, 1, 1, &["axis"]),
        "Cast" => (1, 1, 1, &["to", "saturate"]),
        "Constant" => (0, 0, 1, CONSTANT),
        "DequantizeLinear" => (2, 3, 1, &["axis", "block_size"]),
        "Dropout" => (1, 3, 2, &["ratio", "seed"]),
        "Reshape" => (2, 2, 1, &["allowzero"]),
        "Flatten" => (1, 1, 1, &["axis"]),
        "Squeeze" | "Unsqueeze" => (1, 2, 1, &["axes"]),
        "Transpose" => (1, 1, 1, &["perm"]),
        "Concat" => (1, 64, 1, &["axis"]),
        "Slice" => (1, 5, 1, &["starts", "ends", "axes"]),
        "DepthToSpace" => (1, 1, 1, &["blocksize", "mode"]),
        "Resize" => (1, 4, 1, RESIZE),
        "Shape" => (1, 1, 1, &["start", "end"]),
        "Gather" => (2, 2, 1, &["axis"]),
        _ => return None,
    })
}

/// The state of lowering one graph.
pub(super) struct Lowering<'a> {
    pub(super) program: Program,
    names: HashMap<&'a str, Entry>,
    initializers: HashMap<&'a str, &'a Tensor<'a>>,
    pub(super) limits: &'a Limits,
    opset: i64,
    /// The batch length that the file fixes, if it does.
    batch: Option<i64>,
    /// The result of the last node, where that is the output of the graph.
    last: Option<&'a str>,
    /// Values of all constants met.
    constant_values: u64,
}

/// One node with its inputs resolved.
struct Call<'n> {
    node: &'n Node<'n>,
    inputs: Vec<Option<Entry>>,
    label: &'n str,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        limits: &'a Limits,
        opset: i64,
        input: (&'a str, Vec<usize>),
        batch: Option<i64>,
        last: Option<&'a str>,
        initializers: HashMap<&'a str, &'a Tensor<'a>>,
    ) -> Self {
        let mut program = Program::default();
        program.input = program.push_slot(Slot { shape: input.1, constant: None });
        let names = HashMap::from([(input.0, Entry::Batched(program.input))]);
        Lowering { program, names, initializers, limits, opset, batch, last, constant_values: 0 }
    }

    /// What `name` stands for at this point of the graph.
    pub(super) fn lookup(&mut self, name: &'a str, user: &str) -> Result<Entry> {
        if let Some(entry) = self.names.get(name) {
            return Ok(entry.clone());
        }
        let Some(tensor) = self.initializers.get(name) else {
            return Err(refused(
                user,
                format!("it uses `{}`, which nothing before it defines", super::onnx::show(name)),
            ));
        };
        let constant = Constant::read(tensor, name, self.limits)?;
        self.charge(&constant)?;
        let entry = Entry::Constant(constant);
        self.names.insert(name, entry.clone());
        Ok(entry)
    }

    /// Counts a constant's values against the memory that the limits allow.
    fn charge(&mut self, constant: &Constant) -> Result<()> {
        let len = match &constant.data {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        };
        self.constant_values = self.constant_values.saturating_add(len as u64);
        // Eight bytes each while vetting, and as much again in the engine.
        within(Resource::Memory, self.constant_values.saturating_mul(16), self.limits.memory)?;
        Ok(())
    }

    /// Lowers one node and defines its output.
    pub(super) fn node(&mut self, node: &'a Node<'a>) -> Result<()> {
        let label = node.label();
        if !matches!(node.domain, "" | "ai.onnx") {
            return Err(refused(label, format!("operator domain `{}`", super::onnx::show(node.domain))));
        }
        let Some((least, most, outputs, attributes)) = signature(node.op) else {
            return Err(refused(label, format!("operator {} is not allowed", super::onnx::show(node.op))));
        };
        let mut inputs = Vec::new();
        for &name in &node.inputs {
            inputs.push(if name.is_empty() { None } else { Some(self.lookup(name, label)?) });
        }
        while inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        if inputs.len() < least || inputs.len() > most {
            return Err(refused(
                label,
                format!("{} with {} inputs, {least} to {most} are legal", node.op, inputs.len()),
            ));
        }
        if node.outputs.len() > outputs || node.outputs.first().is_none_or(|o| o.is_empty()) {
            return Err(refused(label, format!("{} with {} outputs, 1 is required", node.op, node.outputs.len())));
        }
        if let Some(a) = node.attributes.iter().find(|a| !attributes.contains(&a.name)) {
            return Err(refused(label, format!("{} with an attribute `{}`", node.op, super::onnx::show(a.name))));
        }
        let call = Call { node, inputs, label };
        let entry = self.apply(&call)?;
        if let Entry::Constant(c) = &entry {
            self.charge(c)?;
        }
        let output = node.outputs.first().copied().unwrap_or("");
        self.define(output, entry, label)
    }

    fn define(&mut self, name: &'a str, entry: Entry, label: &str) -> Result<()> {
        if self.initializers.contains_key(name) || self.names.insert(name, entry).is_some() {
            return Err(refused(label, format!("it defines `{}` a second time", super::onnx::show(name))));
        }
        Ok(())
    }

    fn apply(&mut self, call: &Call<'_>) -> Result<Entry> {
        match call.node.op {
            "MatMul" => self.mat_mul(call),
            "Gemm" => self.gemm(call),
            "Conv" => self.conv(call),
            "ConvTranspose" => self.conv_transpose(call),
            "BatchNormalization" => self.batch_norm(call),
            "InstanceNormalization" => self.instance_norm(call),
            "LayerNormalization" => self.layer_norm(call),
            "Softmax" => self.softmax(call),
            "Constant" => call.constant(self.limits),
            "DequantizeLinear" => call.dequantize(),
            "Cast" => call.cast(),
            "Identity" => call.entry(0),
            "Dropout" => call.dropout(),
            "Reshape" => self.reshape(call),
            "Flatten" => self.flatten(call),
            "Squeeze" => self.squeeze(call),
            "Unsqueeze" => self.unsqueeze(call),
            "Transpose" => self.transpose(call),
            "Concat" => self.concat(call),
            "Slice" => self.slice(call),
            "DepthToSpace" => self.depth_to_space(call),
            "Resize" => self.resize(call),
            "Shape" => self.shape(call),
            "Gather" => call.gather(),
            "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "PRelu" => self.binary(call),
            _ => self.unary(call),
        }
    }

    fn shape_of(&self, slot: usize) -> Result<Vec<usize>> {
        Ok(self.program.slot(slot)?.shape.clone())
    }

    /// Makes a constant of floats a slot of the program.
    fn float_slot(&mut self, constant: &Constant, shape: Vec<usize>, label: &str) -> Result<usize> {
        let values = constant
            .as_floats()
            .ok_or_else(|| refused(label, "a constant operand that is not of type float; cast it to float first"))?;
        Ok(self.program.constant(shape, Arc::clone(values)))
    }

    fn step(&mut self, op: Op, inputs: &[usize], shape: Vec<usize>, work: u64, label: &str) -> Result<Entry> {
        if shape.contains(&0) {
            return Err(refused(label, "its output is empty"));
        }
        if shape.len() >= super::constant::RANK_MAX {
            return Err(refused(label, format!("its output has rank {}", shape.len().saturating_add(1))));
        }
        Ok(Entry::Batched(self.program.step(op, inputs, shape, work, label, self.limits)?))
    }
}

impl<'n> Call<'n> {
    fn entry(&self, index: usize) -> Result<Entry> {
        self.optional(index).cloned().ok_or_else(|| refused(self.label, format!("input {index} is missing")))
    }

    fn optional(&self, index: usize) -> Option<&Entry> {
        self.inputs.get(index)?.as_ref()
    }

    /// The slot of input `index`, which must be a value of the blocks.
    fn batched(&self, index: usize) -> Result<usize> {
        match self.optional(index) {
            Some(Entry::Batched(slot)) => Ok(*slot),
            _ => Err(refused(self.label, format!("input {index} of {} must depend on the block", self.node.op))),
        }
    }

    /// Input `index`, which must be known beforehand.
    fn known(&self, index: usize) -> Result<&Constant> {
        match self.optional(index) {
            Some(Entry::Constant(c)) => Ok(c),
            _ => Err(refused(self.label, format!("input {index} of {} must be a constant", self.node.op))),
        }
    }

    fn known_floats(&self, index: usize) -> Result<(&[usize], &Arc<[f32]>)> {
        let constant = self.known(index)?;
        let values = constant
            .as_floats()
            .ok_or_else(|| refused(self.label, format!("input {index} of {} must be of type float", self.node.op)))?;
        Ok((&constant.shape, values))
    }

    fn known_ints(&self, index: usize) -> Result<Vec<i64>> {
        let ints = self.known(index)?.as_ints();
        Ok(ints.ok_or_else(|| refused(self.label, format!("input {index} must be a list of integers")))?.to_vec())
    }

    fn attribute(&self, name: &str) -> Option<&AttributeValue<'n>> {
        self.node.attributes.iter().find(|a: &&Attribute<'_>| a.name == name).map(|a| &a.value)
    }

    fn wrong_type(&self, name: &str) -> crate::error::Error {
        malformed(format!("attribute `{name}` of `{}` has the wrong type", super::onnx::show(self.label)))
    }

    fn int(&self, name: &str, default: i64) -> Result<i64> {
        match self.attribute(name) {
            None => Ok(default),
            Some(AttributeValue::Int(v)) => Ok(*v),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    fn float(&self, name: &str, default: f32) -> Result<f32> {
        match self.attribute(name) {
            None => Ok(default),
            Some(AttributeValue::Float(v)) if v.is_finite() => Ok(*v),
            Some(AttributeValue::Float(_)) => Err(refused(self.label, format!("attribute `{name}` is not finite"))),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    fn ints(&self, name: &str) -> Result<Option<&[i64]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(AttributeValue::Ints(v)) => Ok(Some(v)),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    fn text<'s>(&'s self, name: &str, default: &'static str) -> Result<&'s str> {
        match self.attribute(name) {
            None => Ok(default),
            Some(AttributeValue::Text(v)) => std::str::from_utf8(v).map_err(|_| self.wrong_type(name)),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    fn refuse(&self, reason: impl Into<String>) -> crate::error::Error {
        refused(self.label, reason)
    }

    fn dropout(&self) -> Result<Entry> {
        if self.optional(2).is_some() {
            return Err(self.refuse("Dropout with a training mode"));
        }
        self.entry(0)
    }

    fn cast(&self) -> Result<Entry> {
        let to = self.int("to", 0)?;
        match self.entry(0)? {
            Entry::Batched(_) if to != 1 => Err(self.refuse(format!("a cast of block values to element type {to}"))),
            Entry::Constant(c) => {
                let kind = Kind::from_onnx(to).ok_or_else(|| self.refuse(format!("a cast to element type {to}")))?;
                Ok(Entry::Constant(c.cast(kind, self.label)?))
            }
            batched => Ok(batched),
        }
    }

    fn constant(&self, limits: &Limits) -> Result<Entry> {
        let [attribute] = self.node.attributes.as_slice() else {
            return Err(self.refuse("Constant needs exactly one value"));
        };
        let constant = match (&attribute.value, attribute.name) {
            (AttributeValue::Tensor(t), "value") => Constant::read(t, self.label, limits)?,
            (AttributeValue::Float(v), "value_float") => Constant::floats(vec![], vec![*v]),
            (AttributeValue::Floats(v), "value_floats") => Constant::floats(vec![v.len()], v.clone()),
            (AttributeValue::Int(v), "value_int") => Constant::ints(vec![], vec![*v]),
            (AttributeValue::Ints(v), "value_ints") => Constant::ints(vec![v.len()], v.clone()),
            _ => return Err(self.wrong_type(attribute.name)),
        };
        if matches!(&constant.data, Data::Int(v) if v.contains(&super::constant::BATCH)) {
            return Err(self.refuse("a constant holds the integer -2^63"));
        }
        Ok(Entry::Constant(constant.checked(self.label)?))
    }

    /// `(x - zero_point) * scale`, per tensor or along one axis (SPEC 5.3).
    fn dequantize(&self) -> Result<Entry> {
        let x = self.known(0)?;
        let (scale_shape, scale) = self.known_floats(1)?;
        let Data::Int(values) = &x.data else {
            return Err(self.refuse("DequantizeLinear of floating-point values"));
        };
        if x.kind == Kind::I64 || self.int("block_size", 0)? != 0 {
            return Err(self.refuse("DequantizeLinear of 64-bit integers or in blocks"));
        }
        let zero = match self.optional(2) {
            None => None,
            Some(Entry::Constant(Constant { kind, shape, data: Data::Int(z) }))
                if *kind == x.kind && shape == scale_shape =>
            {
                Some(z)
            }
            Some(_) => {
                return Err(
                    self.refuse("the zero point must be a constant of the type of x and the shape of the scale")
                );
            }
        };
        // Number of consecutive values that share a scale, and number of scales.
        let (run, scales) = match scale_shape {
            [] | [1] => (usize::MAX, 1),
            [n] => {
                let axis = constant_axis(self.int("axis", 1)?, x.shape.len())
                    .filter(|&a| x.shape.get(a) == Some(n))
                    .ok_or_else(|| self.refuse("the scales do not fit the axis"))?;
                (x.shape.iter().skip(axis).skip(1).product::<usize>().max(1), *n)
            }
            _ => return Err(self.refuse("scales of more than one axis")),
        };
        let mut out = Vec::with_capacity(values.len());
        for (i, &v) in values.iter().enumerate() {
            let channel = (i.checked_div(run).unwrap_or(0)).checked_rem(scales).unwrap_or(0);
            let zero = zero.and_then(|z| z.get(channel).copied()).unwrap_or(0);
            let scale = scale.get(channel).copied().unwrap_or(0.0);
            #[allow(clippy::cast_precision_loss, reason = "rounds to nearest even, as SPEC 5.3 says")]
            out.push(v.saturating_sub(zero) as f32 * scale);
        }
        let constant = Constant::floats(x.shape.clone(), out);
        Ok(Entry::Constant(constant.checked(self.label)?))
    }
}

/// `axis`, which may count from the end, of a constant of this rank.
fn constant_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&axis).then(|| usize::try_from(axis).ok())?
}

/// `axis` of a value of the blocks with `rank` axes after the batch, counted after the batch.
fn block_axis(axis: i64, rank: usize, label: &str) -> Result<usize> {
    match constant_axis(axis, rank.saturating_add(1)) {
        Some(0) => Err(refused(label, "it works across the batch axis")),
        Some(a) => Ok(a.saturating_sub(1)),
        None => Err(refused(label, format!("axis {axis} of a tensor of rank {}", rank.saturating_add(1)))),
    }
}
