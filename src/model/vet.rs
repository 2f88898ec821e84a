//! What a model must be before the engine may see it (SPEC 5.2).

use std::collections::HashMap;

use super::emit;
use super::lower::{Entry, Lowering};
use super::onnx::{Model, Tensor, ValueInfo, show};
use super::program::{Program, volume};
use super::refused;
use super::wire::malformed;
use crate::error::{Resource, Result};
use crate::limits::{Limits, within};

/// Oldest and newest legal version of ONNX's own operators.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// Oldest and newest legal version of ONNX's file format.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;
/// Metadata key under which a model declares what it is for, where that is not to code blocks.
const KIND_KEY: &str = "cae.kind";

/// A model that passed: what it computes, and the bytes that the engine gets.
#[derive(Debug)]
pub(super) struct Vetted {
    pub(super) program: Program,
    /// Without the batch axis.
    pub(super) input_shape: Vec<usize>,
    /// Without the batch axis.
    pub(super) output_shape: Vec<usize>,
    /// ONNX with nothing in it but the program.
    #[cfg_attr(not(feature = "tract"), allow(dead_code, reason = "only the engine reads it"))]
    pub(super) canonical: Vec<u8>,
    /// Operators of the file, sorted.
    pub(super) operators: Vec<String>,
    pub(super) nodes: u64,
    pub(super) opset: i64,
    pub(super) producer: String,
    pub(super) input_name: String,
    pub(super) output_name: String,
    /// Least and greatest latent value, where the model declares that latents are integers.
    pub(super) latent_range: Option<(i32, i32)>,
    /// Whether it declares to be a network in the loop.
    pub(super) is_predictor: bool,
}

/// Vets the bytes of an ONNX model.
pub(super) fn vet(bytes: &[u8], limits: &Limits) -> Result<Vetted> {
    let model = Model::read_from(bytes, limits)?;
    if !IR_VERSIONS.contains(&model.ir_version) {
        return Err(refused("", format!("IR version {}, {IR_VERSIONS:?} are allowed", model.ir_version)));
    }
    let opset = default_opset(&model)?;
    let latent_range = latent_range(&model)?;
    let is_predictor = is_predictor(&model)?;

    let mut initializers: HashMap<&str, &Tensor<'_>> = HashMap::new();
    for tensor in &model.graph.initializers {
        if tensor.name.is_empty() {
            return Err(malformed("an initializer without a name"));
        }
        if initializers.insert(tensor.name, tensor).is_some() {
            return Err(refused(tensor.name, "two initializers have this name"));
        }
    }
    // Before IR version 4, initialisers had to be listed as inputs too.
    let inputs: Vec<&ValueInfo<'_>> =
        model.graph.inputs.iter().filter(|i| !initializers.contains_key(i.name)).collect();
    let [input] = inputs.as_slice() else {
        return Err(refused("", format!("{} inputs, 1 is required", inputs.len())));
    };
    let [output] = model.graph.outputs.as_slice() else {
        return Err(refused("", format!("{} outputs, 1 is required", model.graph.outputs.len())));
    };
    for info in [*input, output] {
        // Some exporters leave the type of an output out.
        if info.elem_type != 1 && !(info.elem_type == 0 && std::ptr::eq(info, output)) {
            return Err(refused(info.name, format!("element type {}, 1 (float) is required", info.elem_type)));
        }
    }
    let (batch, input_shape) = input_shape(input, limits)?;

    let last = model.graph.nodes.last().and_then(|n| n.outputs.first().copied()).filter(|&name| name == output.name);
    let mut lowering = Lowering::new(limits, opset, (input.name, input_shape.clone()), batch, last, initializers);
    for node in &model.graph.nodes {
        lowering.node(node)?;
    }
    let Entry::Batched(slot) = lowering.lookup(output.name, "")? else {
        return Err(refused(output.name, "the output does not depend on the input"));
    };
    let mut program = lowering.program;
    program.output = slot;
    program.prune();
    if program.slot(slot)?.constant.is_some() || (program.steps.is_empty() && slot != program.input) {
        return Err(refused(output.name, "the output does not depend on the input"));
    }
    let output_shape = program.slot(slot)?.shape.clone();
    // Constants count, too: folding makes large ones of small ones.
    let values = program.slots.iter().filter_map(|s| volume(&s.shape)).fold(0_u64, u64::saturating_add);
    // A proof keeps three numbers of binary64 of each, and the value.
    within(Resource::Memory, values.saturating_mul(28), limits.memory)?;

    let mut operators: Vec<String> = model.graph.nodes.iter().map(|n| n.op.to_owned()).collect();
    operators.sort_unstable();
    operators.dedup();
    Ok(Vetted {
        canonical: emit::onnx(&program)?,
        program,
        input_shape,
        output_shape,
        operators,
        nodes: model.graph.nodes.len() as u64,
        opset,
        producer: show(model.producer),
        input_name: show(input.name),
        output_name: show(output.name),
        latent_range,
        is_predictor,
    })
}

/// The version of ONNX's own operators; other domains may be named, not used.
fn default_opset(model: &Model<'_>) -> Result<i64> {
    let versions: Vec<i64> =
        model.opsets.iter().filter(|(domain, _)| matches!(*domain, "" | "ai.onnx")).map(|(_, v)| *v).collect();
    match versions.as_slice() {
        [v] if OPSETS.contains(v) => Ok(*v),
        [v] => Err(refused("", format!("opset {v}, {OPSETS:?} are allowed"))),
        [] => Err(refused("", "it names no version of ONNX's operators")),
        _ => Err(refused("", "it names two versions of ONNX's operators")),
    }
}

/// The length of the batch axis, where fixed, and the shape after it.
fn input_shape(input: &ValueInfo<'_>, limits: &Limits) -> Result<(Option<i64>, Vec<usize>)> {
    let Some((batch, dims)) = input.shape.as_deref().and_then(<[_]>::split_first) else {
        return Err(refused(input.name, "the input has no shape"));
    };
    if batch.is_some_and(|n| n < 1) {
        return Err(refused(input.name, "the input has a batch axis of impossible length"));
    }
    if dims.is_empty() || dims.len() >= super::constant::RANK_MAX {
        return Err(refused(input.name, format!("an input of rank {}", dims.len().saturating_add(1))));
    }
    let shape: Option<Vec<usize>> =
        dims.iter().map(|d| d.filter(|&d| d > 0).and_then(|d| usize::try_from(d).ok())).collect();
    let shape =
        shape.ok_or_else(|| refused(input.name, "an axis of the input other than the first has no fixed length"))?;
    within(Resource::ModelElements, volume(&shape).unwrap_or(u64::MAX), limits.model_elements)?;
    Ok((*batch, shape))
}

/// Whether `cae.kind` is `predictor`; it may also be `block`, as where it is missing.
fn is_predictor(model: &Model<'_>) -> Result<bool> {
    let mut kinds = model.metadata.iter().filter(|(key, _)| *key == KIND_KEY).map(|(_, kind)| *kind);
    match (kinds.next(), kinds.next()) {
        (None | Some("block"), None) => Ok(false),
        (Some("predictor"), None) => Ok(true),
        _ => Err(refused("", format!("{KIND_KEY} is neither block nor predictor, or is there twice"))),
    }
}

/// `cae.latent_range`, two integers of at most 24 bits with a comma between them.
fn latent_range(model: &Model<'_>) -> Result<Option<(i32, i32)>> {
    let mut found = model.metadata.iter().filter(|(key, _)| *key == emit::LATENT_RANGE_KEY);
    let Some((_, text)) = found.next() else { return Ok(None) };
    let exact = -(1 << 24)..=(1 << 24);
    let range = text
        .split_once(',')
        .and_then(|(low, high)| Some((low.trim().parse::<i32>().ok()?, high.trim().parse::<i32>().ok()?)))
        .filter(|(low, high)| low <= high && exact.contains(low) && exact.contains(high));
    match (range, found.next()) {
        (Some(range), None) => Ok(Some(range)),
        _ => Err(refused("", format!("{} is not two integers of 24 bits, or is there twice", emit::LATENT_RANGE_KEY))),
    }
}
