//! Everything between an ONNX model's bytes and numbers (SPEC 5).
//!
//! `vet` reads the bytes with a reader of our own, refuses whatever SPEC 5 does not allow, and turns the rest into
//! a `Program`; the engine gets that program re-encoded, never the bytes of the file.

mod constant;
mod emit;
#[cfg(not(feature = "tract"))]
use plain as engine;
#[cfg(feature = "tract")]
#[path = "tract.rs"]
mod engine;
mod exact;
mod guard;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]
mod hostile;
mod lower;
mod onnx;
mod piecewise;
#[cfg(any(not(feature = "tract"), feature = "internals"))]
mod plain;
mod predictor;
mod program;
mod quantize;
mod reference;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]
mod testing;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]
mod tests;
mod vet;
mod wire;

use sha2::{Digest, Sha256};

use crate::error::{Error, ModelError, Result};
use crate::limits::Limits;
pub use predictor::{INPUT_MAX as PREDICTOR_INPUT_MAX, INPUTS as PREDICTOR_INPUTS};
pub(crate) use predictor::{KINDS as PREDICTOR_KINDS, Predictor, Scratch};
pub(crate) use quantize::{Choices, LatentGrid, quantize};

/// Turns latents into blocks of predicted values.
pub trait Decoder: Send + Sync {
    /// Number of values of one block's latent.
    fn latent_len(&self) -> usize;

    /// Shape of a block, such as `[512]` or `[16, 16]`; axes of length 1 at either end are left out.
    fn block_shape(&self) -> &[usize];

    /// Number of values of one block.
    fn block_len(&self) -> usize {
        self.block_shape().iter().product()
    }

    /// Whether every engine is proved to give the same bits for latents in the declared range (SPEC 5.6).
    fn is_exact(&self) -> bool {
        false
    }

    /// Least and greatest legal latent, which are then integers, where the model declares them.
    fn latent_range(&self) -> Option<(i32, i32)> {
        None
    }

    /// Greatest distance of each value of a block from the model's real result, on any engine that obeys SPEC 5.5, for
    /// latents in these ranges, one for each of a block; two engines differ by at most twice as much. Zeros for an exact
    /// decoder in its declared range, `None` where no bound is known.
    fn error_bounds(&self, _ranges: &[(f32, f32)]) -> Option<Vec<f64>> {
        None
    }

    /// Bytes of memory that a call of [`Decoder::decode`] holds beside what it is given, about.
    fn working_bytes(&self) -> u64 {
        0
    }

    /// Decodes any number of blocks.
    ///
    /// # Errors
    ///
    /// `latents` and `out` do not hold the same number of blocks, or the engine failed.
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> Result<()>;

    /// Whether this is no decoder of blocks but a network in the loop (SPEC 5.8). Only those that [`load_decoder`] gives are.
    fn is_predictor(&self) -> bool {
        self.in_loop().is_some()
    }

    #[doc(hidden)]
    fn in_loop(&self) -> Option<InLoop<'_>> {
        None
    }
}

/// A network in the loop, seen from outside.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct InLoop<'a>(pub(crate) &'a Predictor);

/// Turns blocks of values into latents; only a writer needs one.
pub trait Encoder: Send + Sync {
    /// Number of values of one block's latent.
    fn latent_len(&self) -> usize;

    /// Shape of a block, such as `[512]` or `[16, 16]`; axes of length 1 at either end are left out.
    fn block_shape(&self) -> &[usize];

    /// Number of values of one block.
    fn block_len(&self) -> usize {
        self.block_shape().iter().product()
    }

    /// Encodes any number of blocks.
    ///
    /// # Errors
    ///
    /// `blocks` and `out` do not hold the same number of blocks, or the engine failed.
    fn encode(&self, blocks: &[f32], out: &mut [f32]) -> Result<()>;
}

/// What can be said about a model without running it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelReport {
    /// SHA-256 of the bytes: the model's name in a file.
    pub digest: [u8; 32],
    /// Size of the bytes.
    pub bytes: u64,
    /// Program that wrote the model, as the model says.
    pub producer: String,
    /// Version of ONNX's operators.
    pub opset: i64,
    /// Name of the input.
    pub input: String,
    /// Shape of the input without the batch axis.
    pub input_shape: Vec<usize>,
    /// Name of the output.
    pub output: String,
    /// Shape of the output without the batch axis.
    pub output_shape: Vec<usize>,
    /// Operators that occur, sorted.
    pub operators: Vec<String>,
    /// Number of nodes.
    pub nodes: u64,
    /// Number of weights and other constants that the output depends on.
    pub parameters: u64,
    /// Multiply-adds for one block, and one for each value of every other step.
    pub operations: u64,
    /// Least and greatest latent value, where the model declares that latents are integers.
    pub latent_range: Option<(i32, i32)>,
    /// Whether it declares to be a network in the loop (SPEC 5.8).
    pub predictor: bool,
    /// Whether every engine is proved to give the same bits (SPEC 5.6).
    pub exact: bool,
    /// Node that stands in the way of the proof, and why; for the whole model the node is empty.
    pub inexact: Option<(String, String)>,
}

/// Vets a model and says what it is.
///
/// # Errors
///
/// The bytes are not an ONNX model, it does something that SPEC 5 does not allow, or it exceeds the limits.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<ModelReport> {
    let vetted = vet::vet(bytes, limits)?;
    let predictor = Predictor::of(&vetted)?.is_some();
    let inexact = exact::prove(&vetted.program, vetted.latent_range).err().map(|i| (i.node, i.reason));
    Ok(ModelReport {
        predictor,
        exact: inexact.is_none(),
        inexact,
        digest: digest(bytes),
        bytes: bytes.len() as u64,
        parameters: vetted.program.parameters(),
        operations: vetted.program.operations,
        producer: vetted.producer,
        opset: vetted.opset,
        input: vetted.input_name,
        input_shape: vetted.input_shape,
        output: vetted.output_name,
        output_shape: vetted.output_shape,
        operators: vetted.operators,
        nodes: vetted.nodes,
        latent_range: vetted.latent_range,
    })
}

/// The SHA-256 that names a model.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Vets and loads a decoder: latents in, blocks out.
///
/// # Errors
///
/// As for [`check`], or the engine failed.
pub fn load_decoder(bytes: &[u8], limits: &Limits) -> Result<Box<dyn Decoder>> {
    let vetted = vet::vet(bytes, limits)?;
    let (block, latent) = (vetted.output_shape.clone(), vetted.input_shape.clone());
    Ok(Box::new(Network::load(&vetted, &block, &latent, engine::Engine::load)?))
}

/// Vets and loads an encoder: blocks in, latents out.
///
/// # Errors
///
/// As for [`check`], or the engine failed.
pub fn load_encoder(bytes: &[u8], limits: &Limits) -> Result<Box<dyn Encoder>> {
    let vetted = vet::vet(bytes, limits)?;
    let (block, latent) = (vetted.input_shape.clone(), vetted.output_shape.clone());
    Ok(Box::new(Network::load(&vetted, &block, &latent, engine::Engine::load)?))
}

/// A decoder on the plain evaluator, whatever the build's engine is.
///
/// # Errors
/// As for [`load_decoder`].
#[cfg(feature = "internals")]
pub(crate) fn load_plain_decoder(bytes: &[u8], limits: &Limits) -> Result<Box<dyn Decoder>> {
    let vetted = vet::vet(bytes, limits)?;
    let (block, latent) = (vetted.output_shape.clone(), vetted.input_shape.clone());
    Ok(Box::new(Network::<plain::Engine>::load(&vetted, &block, &latent, plain::Engine::load)?))
}

/// A loaded model.
struct Network<E> {
    engine: E,
    block_shape: Vec<usize>,
    block_len: usize,
    latent_len: usize,
    latent_range: Option<(i32, i32)>,
    is_exact: bool,
    program: program::Program,
    predictor: Option<Predictor>,
}

/// `shape` less the channel axes of length 1 that frameworks put first or last; one axis always stays.
fn without_channel(shape: &[usize]) -> Vec<usize> {
    let mut rest = shape;
    while let [1, tail @ ..] = rest
        && !tail.is_empty()
    {
        rest = tail;
    }
    while let [head @ .., 1] = rest
        && !head.is_empty()
    {
        rest = head;
    }
    rest.to_vec()
}

/// Runs a program on any number of blocks.
trait Run: Send + Sync {
    /// Runs every block of `input`; lengths were checked by the caller.
    fn run(&self, input: &[f32], output: &mut [f32]) -> Result<()>;

    /// Bytes that it holds beside both.
    fn working_bytes(&self) -> u64;
}

impl<E: Run> Network<E> {
    fn load(
        vetted: &vet::Vetted,
        block: &[usize],
        latent: &[usize],
        engine: impl FnOnce(&vet::Vetted) -> Result<E>,
    ) -> Result<Self> {
        Ok(Network {
            engine: engine(vetted)?,
            block_shape: without_channel(block),
            block_len: block.iter().product(),
            latent_len: latent.iter().product(),
            latent_range: vetted.latent_range,
            program: vetted.program.clone(),
            predictor: Predictor::of(vetted)?,
            is_exact: exact::prove(&vetted.program, vetted.latent_range).is_ok(),
        })
    }

    fn run(&self, input: (&[f32], usize), output: (&mut [f32], usize)) -> Result<()> {
        let blocks = input.0.len().checked_div(input.1).unwrap_or(0);
        if blocks.checked_mul(input.1) != Some(input.0.len()) || blocks.checked_mul(output.1) != Some(output.0.len()) {
            return Err(ModelError::Mismatch {
                what: format!(
                    "{} values in blocks of {} cannot become {} values in blocks of {}",
                    input.0.len(),
                    input.1,
                    output.0.len(),
                    output.1
                ),
            }
            .into());
        }
        self.engine.run(input.0, output.0)
    }
}

impl<E: Run> Decoder for Network<E> {
    fn latent_len(&self) -> usize {
        self.latent_len
    }

    fn block_shape(&self) -> &[usize] {
        &self.block_shape
    }

    fn is_exact(&self) -> bool {
        self.is_exact
    }

    fn latent_range(&self) -> Option<(i32, i32)> {
        self.latent_range
    }

    fn error_bounds(&self, ranges: &[(f32, f32)]) -> Option<Vec<f64>> {
        #[allow(clippy::cast_precision_loss, reason = "the declared range is of 24 bits")]
        let declared = |(least, greatest): (i32, i32)| {
            ranges.iter().all(|(low, high)| *low >= least as f32 && *high <= greatest as f32)
        };
        if self.is_exact && self.latent_range.is_some_and(declared) {
            return Some(vec![0.0; self.block_len]);
        }
        guard::errors(&self.program, ranges)
    }

    fn working_bytes(&self) -> u64 {
        self.engine.working_bytes()
    }

    fn decode(&self, latents: &[f32], out: &mut [f32]) -> Result<()> {
        self.run((latents, self.latent_len), (out, self.block_len))
    }

    fn in_loop(&self) -> Option<InLoop<'_>> {
        self.predictor.as_ref().map(InLoop)
    }
}

impl<E: Run> Encoder for Network<E> {
    fn latent_len(&self) -> usize {
        self.latent_len
    }

    fn block_shape(&self) -> &[usize] {
        &self.block_shape
    }

    fn encode(&self, blocks: &[f32], out: &mut [f32]) -> Result<()> {
        self.run((blocks, self.block_len), (out, self.latent_len))
    }
}

/// The model does something outside SPEC 5.
fn refused(node: &str, reason: impl Into<String>) -> Error {
    Error::Model(ModelError::Refused { node: onnx::show(node), reason: reason.into() })
}

/// Refuses a count that no model needs.
fn within_count(what: &str, count: u64, allowed: u64) -> Result<()> {
    if count <= allowed {
        return Ok(());
    }
    Err(refused("", format!("more than {allowed} {what}")))
}
