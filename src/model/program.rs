//! A vetted model in evaluated form: steps in order, shapes known, the batch axis left out.

use std::sync::Arc;

use super::refused;
use crate::error::{Resource, Result};
use crate::limits::{Limits, within};

/// A function of one value (SPEC 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Relu,
    LeakyRelu(f32),
    Elu(f32),
    Selu { alpha: f32, gamma: f32 },
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Tanh,
    Softplus,
    Softsign,
    Gelu { tanh: bool },
    Erf,
    Exp,
    Sqrt,
    Abs,
    Neg,
    Floor,
    Ceil,
    Round,
    Clip { low: f32, high: f32 },
    Pow(f32),
}

/// A function of two values, broadcast against each other (SPEC 5.4.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    PRelu,
}

/// How a convolution's window moves, one entry for each spatial axis (SPEC 5.4.4).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) pads_begin: Vec<usize>,
    pub(super) pads_end: Vec<usize>,
    pub(super) group: usize,
}

/// How [`Op::Upsample`] fills in between (SPEC 5.4.6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Interpolation {
    Nearest,
    LinearHalfPixel,
    LinearAsymmetric,
    LinearAlignCorners,
}

/// One operation; axes count from the first axis after the batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Unary(Unary),
    Binary(Binary),
    /// Matrix product over the last axes; one of the two is a constant matrix.
    MatMul,
    /// Inputs: image, kernel, and perhaps bias.
    Conv(Window),
    /// Inputs: image, kernel, and perhaps bias. `output_padding` widens the far end.
    ConvTranspose {
        window: Window,
        output_padding: Vec<usize>,
    },
    /// Every axis enlarged by a whole factor.
    Upsample {
        factors: Vec<usize>,
        mode: Interpolation,
    },
    /// The same values in another shape.
    Reshape,
    Transpose(Vec<usize>),
    Concat(usize),
    /// First index and step for each axis.
    Slice {
        starts: Vec<usize>,
        steps: Vec<usize>,
    },
    Softmax(usize),
    /// Over the axes from `axis` on; inputs: values, scale, and perhaps bias.
    LayerNorm {
        axis: usize,
        epsilon: f32,
    },
    /// Over the spatial axes; inputs: values, scale, bias.
    InstanceNorm {
        epsilon: f32,
    },
}

/// A value of the program: the input, a constant, or what a step yields.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// Without the batch axis.
    pub(super) shape: Vec<usize>,
    pub(super) constant: Option<Arc<[f32]>>,
}

/// One application of an [`Op`].
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    /// Slots.
    pub(super) inputs: Vec<usize>,
    /// Slot.
    pub(super) output: usize,
    /// The name that the file gives the node; only for messages.
    #[cfg_attr(feature = "tract", allow(dead_code, reason = "read by the plain engine"))]
    pub(super) name: String,
}

/// A vetted model.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) slots: Vec<Slot>,
    /// In an order in which every input is known before it is used.
    pub(super) steps: Vec<Step>,
    pub(super) input: usize,
    pub(super) output: usize,
    /// Multiply-adds for one block, and one for each value of every other step.
    pub(super) operations: u64,
}

/// Number of values of a tensor of `shape`, if it fits 64 bits.
pub(super) fn volume(shape: &[usize]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64))
}

impl Program {
    pub(super) fn slot(&self, index: usize) -> Result<&Slot> {
        self.slots.get(index).ok_or_else(|| refused("", "a step uses a value that does not exist"))
    }

    /// Bytes of all that depends on the input, for one block.
    pub(super) fn block_bytes(&self) -> u64 {
        let computed = self.slots.iter().filter(|s| s.constant.is_none());
        let values = computed.filter_map(|s| volume(&s.shape)).fold(0u64, u64::saturating_add);
        values.saturating_mul(size_of::<f32>() as u64)
    }

    /// Adds a constant.
    pub(super) fn constant(&mut self, shape: Vec<usize>, values: Arc<[f32]>) -> usize {
        self.push_slot(Slot { shape, constant: Some(values) })
    }

    pub(super) fn push_slot(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len().saturating_sub(1)
    }

    /// Appends a step whose output has `shape`, charging `multiply_adds` and its values to the limits.
    pub(super) fn step(
        &mut self,
        op: Op,
        inputs: &[usize],
        shape: Vec<usize>,
        multiply_adds: u64,
        name: &str,
        limits: &Limits,
    ) -> Result<usize> {
        let elements = volume(&shape).unwrap_or(u64::MAX);
        within(Resource::ModelElements, elements, limits.model_elements)?;
        let wanted = (self.steps.len() as u64).saturating_add(1);
        // One node may become a few steps.
        within(Resource::ModelNodes, wanted, limits.model_nodes.saturating_mul(4))?;
        self.operations = self.operations.saturating_add(multiply_adds.max(elements));
        within(Resource::ModelOperations, self.operations, limits.model_operations)?;
        let output = self.push_slot(Slot { shape, constant: None });
        self.steps.push(Step { op, inputs: inputs.to_vec(), output, name: name.to_owned() });
        Ok(output)
    }

    /// Drops the steps that the output does not need.
    pub(super) fn prune(&mut self) {
        let mut needed = vec![false; self.slots.len()];
        if let Some(n) = needed.get_mut(self.output) {
            *n = true;
        }
        let mut kept: Vec<Step> = Vec::with_capacity(self.steps.len());
        for step in self.steps.drain(..).rev() {
            if needed.get(step.output).copied().unwrap_or(false) {
                for &input in &step.inputs {
                    if let Some(n) = needed.get_mut(input) {
                        *n = true;
                    }
                }
                kept.push(step);
            }
        }
        kept.reverse();
        self.steps = kept;
    }

    /// Number of constant values that the steps use.
    pub(super) fn parameters(&self) -> u64 {
        let mut used: Vec<usize> = self.steps.iter().flat_map(|s| s.inputs.iter().copied()).collect();
        used.sort_unstable();
        used.dedup();
        used.iter()
            .filter_map(|&i| self.slots.get(i)?.constant.as_ref())
            .fold(0, |n: u64, c| n.saturating_add(c.len() as u64))
    }
}
