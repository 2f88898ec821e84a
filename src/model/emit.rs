//! From a program back to ONNX, in one plain dialect: opset 17, generated names, no text, a symbolic batch.
//!
//! The engine sees nothing else, so nothing that a file holds beyond its program can reach it.

use super::program::{Binary, Interpolation, Op, Program, Step, Unary, Window};
use super::refused;
use super::wire::Message;
use crate::error::Result;

/// Metadata key under which a model declares the range of its integer latents.
pub(super) const LATENT_RANGE_KEY: &str = "cae.latent_range";

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// The canonical ONNX bytes of a program.
pub(super) fn onnx(program: &Program) -> Result<Vec<u8>> {
    Ok(model(program, false)?.finish())
}

/// The same in fewer bytes, for files: tensors of whole numbers in 8 or 16 bits where each channel, less a power of two,
/// allows it. A range of latents is declared if there is one.
pub(super) fn compact(program: &Program, latent_range: Option<(i32, i32)>) -> Result<Vec<u8>> {
    let mut bytes = model(program, true)?.text(2, "cae");
    if let Some((low, high)) = latent_range {
        let entry = Message::new().text(1, LATENT_RANGE_KEY).text(2, &format!("{low},{high}"));
        bytes = bytes.message(14, &entry);
    }
    Ok(bytes.finish())
}

fn model(program: &Program, compact: bool) -> Result<Message> {
    let constants = vec![false; program.slots.len()];
    let mut graph = Graph { program, message: Message::new().text(2, "g"), constants, compact };
    for (index, step) in program.steps.iter().enumerate() {
        graph.step(index, step)?;
    }
    let mut output = name(program.output);
    if program.output == program.input {
        output = "identity".to_owned();
        graph.node("Identity", &[name(program.input)], &output, Message::new());
    }
    let message = graph
        .message
        .message(11, &value_info(&name(program.input), &program.slot(program.input)?.shape))
        .message(12, &value_info(&output, &program.slot(program.output)?.shape));
    let opset = Message::new().text(1, "").int(2, OPSET);
    Ok(Message::new().int(1, IR_VERSION).message(7, &message).message(8, &opset))
}

fn name(slot: usize) -> String {
    format!("v{slot}")
}

fn dims(values: &[usize]) -> Result<Vec<i64>> {
    values
        .iter()
        .map(|&d| i64::try_from(d).map_err(|_| refused("", "a dimension too large for this machine")))
        .collect()
}

fn value_info(name: &str, shape: &[usize]) -> Message {
    let mut axes = Message::new().message(1, &Message::new().text(2, "N"));
    for &d in shape {
        axes = axes.message(1, &Message::new().int(1, i64::try_from(d).unwrap_or(i64::MAX)));
    }
    let tensor = Message::new().int(1, FLOAT).message(2, &axes);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
}

/// One `AttributeProto`, appended to the fields of a node.
trait Attributes {
    fn with_int(self, name: &str, value: i64) -> Self;
    fn with_float(self, name: &str, value: f32) -> Self;
    fn with_text(self, name: &str, value: &str) -> Self;
    fn with_ints(self, name: &str, values: &[usize]) -> Result<Self>
    where
        Self: Sized;
}

impl Attributes for Message {
    fn with_int(self, name: &str, value: i64) -> Self {
        self.message(5, &Message::new().text(1, name).int(3, value).int(20, 2))
    }

    fn with_float(self, name: &str, value: f32) -> Self {
        self.message(5, &Message::new().text(1, name).float(2, value).int(20, 1))
    }

    fn with_text(self, name: &str, value: &str) -> Self {
        self.message(5, &Message::new().text(1, name).text(4, value).int(20, 3))
    }

    fn with_ints(self, name: &str, values: &[usize]) -> Result<Self> {
        let mut attribute = Message::new().text(1, name);
        for v in dims(values)? {
            attribute = attribute.int(8, v);
        }
        Ok(self.message(5, &attribute.int(20, 7)))
    }
}

struct Graph<'p> {
    program: &'p Program,
    message: Message,
    /// Which constant slots are already written.
    constants: Vec<bool>,
    compact: bool,
}

/// Tensors of fewer values are not worth a node.
const COMPACT_MIN: usize = 64;
const INT8: i64 = 3;
const INT16: i64 = 5;

/// Whole numbers of 8 or 16 bits, and the power of two that each channel along an axis is multiplied by, if any.
struct Narrow {
    data_type: i64,
    raw: Vec<u8>,
    powers: Option<(usize, Vec<f32>)>,
}

/// `values` as [`Narrow`], if that is shorter.
fn narrow(values: &[f32], shape: &[usize]) -> Option<Narrow> {
    if values.len() < COMPACT_MIN || values.iter().any(|v| v.fract() != 0.0 || v.abs() > 16_777_216.0) {
        return None;
    }
    let along = |axis: usize| {
        let inner = shape.iter().skip(axis.saturating_add(1)).product::<usize>().max(1);
        let count = shape.get(axis).copied().unwrap_or(1).max(1);
        let channel = |i: usize| i.checked_div(inner).unwrap_or(0).checked_rem(count).unwrap_or(0);
        let mut shifts = vec![24_u32; count];
        #[allow(clippy::cast_possible_truncation, reason = "whole numbers of at most 24 bits")]
        for (i, v) in values.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            if let Some(s) = shifts.get_mut(channel(i)) {
                *s = (*s).min((*v as i32).trailing_zeros());
            }
        }
        let powers: Vec<f32> = shifts.iter().map(|s| f32::from_bits((127_u32.saturating_add(*s)) << 23)).collect();
        let power = |i: usize| powers.get(channel(i)).copied().unwrap_or(1.0);
        let whole: Vec<f32> = values.iter().enumerate().map(|(i, v)| v / power(i)).collect();
        packed(&whole, Some((axis, powers)))
    };
    let candidates = (0..shape.len()).map(along).chain([packed(values, None)]).flatten();
    let best = candidates.min_by_key(Narrow::len)?;
    (best.len() < values.len().saturating_mul(4)).then_some(best)
}

/// Whole numbers in as many bits as they need, if 16 will do.
fn packed(whole: &[f32], powers: Option<(usize, Vec<f32>)>) -> Option<Narrow> {
    let largest = whole.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    #[allow(clippy::cast_possible_truncation, reason = "compared just before")]
    let (data_type, raw) = if largest <= 127.0 {
        (INT8, whole.iter().flat_map(|v| (*v as i8).to_le_bytes()).collect())
    } else if largest <= 32_767.0 {
        (INT16, whole.iter().flat_map(|v| (*v as i16).to_le_bytes()).collect())
    } else {
        return None;
    };
    Some(Narrow { data_type, raw, powers })
}

impl Narrow {
    /// Bytes in the file, about.
    fn len(&self) -> usize {
        let powers = self.powers.as_ref().map_or(0, |p| p.1.len().saturating_mul(4).saturating_add(40));
        self.raw.len().saturating_add(powers)
    }
}

impl Graph<'_> {
    fn node(&mut self, op: &str, inputs: &[String], output: &str, attributes: Message) {
        let mut node = Message::new();
        for input in inputs {
            node = node.text(1, input);
        }
        let named = if self.compact { node } else { node.text(3, &format!("n_{output}")) };
        let node = named.text(2, output).text(4, op).append(attributes);
        self.message = std::mem::take(&mut self.message).message(1, &node);
    }

    fn initializer(&mut self, name: &str, shape: &[i64], data_type: i64, raw: &[u8]) {
        let mut tensor = Message::new();
        for &d in shape {
            tensor = tensor.int(1, d);
        }
        let tensor = tensor.int(2, data_type).text(8, name).bytes(9, raw);
        self.message = std::mem::take(&mut self.message).message(5, &tensor);
    }

    /// Writes an operand list; constants become initialisers on first use.
    fn operands(&mut self, step: &Step) -> Result<Vec<String>> {
        for &slot in &step.inputs {
            let known = self.program.slot(slot)?;
            if let (Some(values), Some(done)) = (&known.constant, self.constants.get_mut(slot))
                && !std::mem::replace(done, true)
            {
                match narrow(values, &known.shape).filter(|_| self.compact) {
                    Some(n) => self.narrow(slot, &known.shape, &n)?,
                    None => {
                        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                        self.initializer(&name(slot), &dims(&known.shape)?, FLOAT, &raw);
                    }
                }
            }
        }
        Ok(step.inputs.iter().map(|&i| name(i)).collect())
    }

    /// Writes a constant that is computed: a cast, and a product if any power is not 1.
    fn narrow(&mut self, slot: usize, shape: &[usize], n: &Narrow) -> Result<()> {
        let (whole, wide, powers) = (format!("i{slot}"), format!("f{slot}"), format!("p{slot}"));
        self.initializer(&whole, &dims(shape)?, n.data_type, &n.raw);
        let cast = Message::new().with_int("to", FLOAT);
        let Some((along, factors)) = &n.powers else {
            self.node("Cast", &[whole], &name(slot), cast);
            return Ok(());
        };
        self.node("Cast", &[whole], &wide, cast);
        let lengths = shape.iter().enumerate().map(|(axis, len)| if axis == *along { *len } else { 1 });
        let raw: Vec<u8> = factors.iter().flat_map(|p| p.to_le_bytes()).collect();
        self.initializer(&powers, &dims(&lengths.collect::<Vec<_>>())?, FLOAT, &raw);
        self.node("Mul", &[wide, powers], &name(slot), Message::new());
        Ok(())
    }

    fn list(&mut self, name: &str, values: &[i64]) -> Result<String> {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, &[i64::try_from(values.len()).unwrap_or(0)], INT64, &raw);
        Ok(name.to_owned())
    }

    fn scalar(&mut self, name: String, value: f32) -> String {
        self.initializer(&name, &[], FLOAT, &value.to_le_bytes());
        name
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<()> {
        let mut inputs = self.operands(step)?;
        let none = Message::new();
        let out_shape = &self.program.slot(step.output)?.shape;
        let (op, attributes) = match &step.op {
            Op::Unary(function) => {
                match function {
                    Unary::Clip { low, high } => {
                        inputs.push(self.scalar(format!("low{index}"), *low));
                        inputs.push(self.scalar(format!("high{index}"), *high));
                    }
                    Unary::Pow(exponent) => inputs.push(self.scalar(format!("exponent{index}"), *exponent)),
                    _ => {}
                }
                unary(*function)
            }
            Op::Binary(function) => (binary(*function), none),
            Op::MatMul => ("MatMul", none),
            Op::Conv(w) => ("Conv", window(w)?),
            Op::ConvTranspose { window: w, output_padding } => {
                ("ConvTranspose", window(w)?.with_ints("output_padding", output_padding)?)
            }
            Op::Upsample { factors, mode } => {
                #[allow(clippy::cast_precision_loss, reason = "a factor is at most 2^16")]
                let scales: Vec<u8> = std::iter::once(1.0_f32)
                    .chain(factors.iter().map(|&f| f as f32))
                    .flat_map(f32::to_le_bytes)
                    .collect();
                let scales_name = format!("scales{index}");
                self.initializer(
                    &scales_name,
                    &[i64::try_from(factors.len()).unwrap_or(0).saturating_add(1)],
                    FLOAT,
                    &scales,
                );
                inputs.push(String::new());
                inputs.push(scales_name);
                ("Resize", resize(*mode))
            }
            Op::Reshape => {
                // Zero copies the length of the batch.
                let target: Vec<i64> = std::iter::once(0).chain(dims(out_shape)?).collect();
                inputs.push(self.list(&format!("shape{index}"), &target)?);
                ("Reshape", none)
            }
            Op::Transpose(permutation) => {
                let perm: Vec<usize> =
                    std::iter::once(0).chain(permutation.iter().map(|p| p.saturating_add(1))).collect();
                ("Transpose", none.with_ints("perm", &perm)?)
            }
            Op::Concat(axis) => ("Concat", none.with_int("axis", onnx_axis(*axis))),
            Op::Slice { starts, steps } => {
                let rank = starts.len();
                let ends: Vec<usize> = starts
                    .iter()
                    .zip(steps.iter().zip(out_shape))
                    .map(|(&s, (&step, &n))| {
                        s.saturating_add(n.saturating_sub(1).saturating_mul(step)).saturating_add(1)
                    })
                    .collect();
                let axes: Vec<usize> = (1..=rank).collect();
                for (list, values) in [("starts", starts), ("ends", &ends), ("axes", &axes), ("steps", steps)] {
                    inputs.push(self.list(&format!("{list}{index}"), &dims(values)?)?);
                }
                ("Slice", none)
            }
            Op::Softmax(axis) => ("Softmax", none.with_int("axis", onnx_axis(*axis))),
            Op::LayerNorm { axis, epsilon } => {
                ("LayerNormalization", none.with_int("axis", onnx_axis(*axis)).with_float("epsilon", *epsilon))
            }
            Op::InstanceNorm { epsilon } => ("InstanceNormalization", none.with_float("epsilon", *epsilon)),
        };
        self.node(op, &inputs, &name(step.output), attributes);
        Ok(())
    }
}

/// The axis in ONNX's count, in which the batch is axis 0.
fn onnx_axis(axis: usize) -> i64 {
    i64::try_from(axis).unwrap_or(i64::MAX).saturating_add(1)
}

fn unary(function: Unary) -> (&'static str, Message) {
    let none = Message::new();
    match function {
        Unary::Relu => ("Relu", none),
        Unary::LeakyRelu(alpha) => ("LeakyRelu", none.with_float("alpha", alpha)),
        Unary::Elu(alpha) => ("Elu", none.with_float("alpha", alpha)),
        Unary::Selu { alpha, gamma } => ("Selu", none.with_float("alpha", alpha).with_float("gamma", gamma)),
        Unary::Sigmoid => ("Sigmoid", none),
        Unary::HardSigmoid { alpha, beta } => ("HardSigmoid", none.with_float("alpha", alpha).with_float("beta", beta)),
        Unary::HardSwish => ("HardSwish", none),
        Unary::Tanh => ("Tanh", none),
        Unary::Softplus => ("Softplus", none),
        Unary::Softsign => ("Softsign", none),
        Unary::Gelu { tanh } => ("Gelu", none.with_text("approximate", if tanh { "tanh" } else { "none" })),
        Unary::Erf => ("Erf", none),
        Unary::Exp => ("Exp", none),
        Unary::Sqrt => ("Sqrt", none),
        Unary::Abs => ("Abs", none),
        Unary::Neg => ("Neg", none),
        Unary::Floor => ("Floor", none),
        Unary::Ceil => ("Ceil", none),
        Unary::Round => ("Round", none),
        Unary::Clip { .. } => ("Clip", none),
        Unary::Pow(_) => ("Pow", none),
    }
}

fn binary(function: Binary) -> &'static str {
    match function {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Div => "Div",
        Binary::Min => "Min",
        Binary::Max => "Max",
        Binary::PRelu => "PRelu",
    }
}

fn window(w: &Window) -> Result<Message> {
    let pads: Vec<usize> = w.pads_begin.iter().chain(&w.pads_end).copied().collect();
    let group = i64::try_from(w.group).map_err(|_| refused("", "too many groups"))?;
    Message::new()
        .with_int("group", group)
        .with_ints("kernel_shape", &w.kernel)?
        .with_ints("strides", &w.strides)?
        .with_ints("dilations", &w.dilations)?
        .with_ints("pads", &pads)
}

fn resize(mode: Interpolation) -> Message {
    let (mode, coordinates) = match mode {
        Interpolation::Nearest => ("nearest", "asymmetric"),
        Interpolation::LinearHalfPixel => ("linear", "half_pixel"),
        Interpolation::LinearAsymmetric => ("linear", "asymmetric"),
        Interpolation::LinearAlignCorners => ("linear", "align_corners"),
    };
    Message::new()
        .with_text("mode", mode)
        .with_text("coordinate_transformation_mode", coordinates)
        .with_text("nearest_mode", "floor")
}
