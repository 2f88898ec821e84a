//! The engine. Nothing else in the crate names tract, and it sees only bytes that [`emit`](super::emit) wrote.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs;

use super::Run;
use super::vet::Vetted;
use crate::error::{Error, ModelError, Result};

/// Values of the widest tensor that one run may hold, so that runs stay in the processor's cache.
const RUN_VALUES: u64 = 1 << 18;
/// Bytes of all tensors that one run may hold; a single block may take more.
const RUN_BYTES: u64 = 64 << 20;
/// Blocks of one run: enough to amortise its overhead, few enough to stay in the cache.
const RUN_BLOCKS: std::ops::RangeInclusive<u64> = 1..=1024;

/// Settings of tract that the environment could turn and that change results by more than another processor would.
const PINNED: &[&str] = &[
    "TRACT_AMX_BF16",
    "TRACT_AVGPOOL_SEPARABLE",
    "TRACT_DISABLE_BLOCKED_CONV",
    "TRACT_DISABLE_DEPTHWISE_DECONV",
    "TRACT_DISABLE_DIRECT_SPATIAL",
    "TRACT_ENABLE_BLOCKED_CONV",
    "TRACT_LAZY_IM2COL_MAX_EAGER_BYTES",
    "TRACT_LAZY_IM2COL_MIN_KERNEL",
];

/// A model ready to run; runs on any number of threads at once.
pub(super) struct Engine {
    plan: Arc<TypedRunnableModel>,
    /// Shape of a run's input; the first entry is replaced by the number of blocks.
    input_shape: Vec<usize>,
    input_len: usize,
    output_len: usize,
    run_blocks: usize,
    run_bytes: u64,
}

impl Engine {
    pub(super) fn load(vetted: &Vetted) -> Result<Self> {
        pin_settings();
        let plan = fenced(|| {
            let model = tract_onnx::onnx().model_for_read(&mut vetted.canonical.as_slice())?;
            model.into_optimized()?.into_runnable()
        })?;
        let program = &vetted.program;
        let widest = program.slots.iter().filter(|s| s.constant.is_none());
        let widest = widest.filter_map(|s| super::program::volume(&s.shape)).max().unwrap_or(1).max(1);
        let block_bytes = program.block_bytes();
        let blocks = RUN_VALUES.checked_div(widest).unwrap_or(1).min(RUN_BYTES.checked_div(block_bytes).unwrap_or(1));
        let blocks = blocks.clamp(*RUN_BLOCKS.start(), *RUN_BLOCKS.end());
        Ok(Engine {
            plan,
            input_shape: std::iter::once(1).chain(vetted.input_shape.iter().copied()).collect(),
            input_len: vetted.input_shape.iter().product(),
            output_len: vetted.output_shape.iter().product(),
            run_blocks: usize::try_from(blocks).unwrap_or(1),
            run_bytes: block_bytes.saturating_mul(blocks),
        })
    }
}

impl Run for Engine {
    fn working_bytes(&self) -> u64 {
        self.run_bytes
    }

    fn run(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        let inputs = input.chunks(self.input_len.saturating_mul(self.run_blocks).max(1));
        let outputs = output.chunks_mut(self.output_len.saturating_mul(self.run_blocks).max(1));
        for (input, output) in inputs.zip(outputs) {
            let mut shape = self.input_shape.clone();
            if let Some(first) = shape.first_mut() {
                *first = input.len().checked_div(self.input_len).unwrap_or(0);
            }
            let results = fenced(|| self.plan.run(tvec!(Tensor::from_shape(&shape, input)?.into())))?;
            let values = results.first().ok_or_else(|| engine("no output"))?;
            let values =
                values.try_as_plain_ram().and_then(|v| v.as_slice::<f32>()).map_err(|e| engine(&e.to_string()))?;
            if values.len() != output.len() {
                return Err(engine(&format!("{} values, {} expected", values.len(), output.len())));
            }
            // Adding zero turns -0 into +0: the sign of a zero is the one thing that summation order may change
            // in exact arithmetic.
            output.iter_mut().zip(values).for_each(|(o, v)| *o = v + 0.0);
        }
        Ok(())
    }
}

/// Runs tract, which panics where it should fail.
fn fenced<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(engine(&format!("{e:#}"))),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            Err(engine(text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("panic")))
        }
    }
}

fn engine(message: &str) -> Error {
    Error::Model(ModelError::Engine { message: message.chars().take(500).collect() })
}

/// Overrides the environment for the whole process.
fn pin_settings() {
    for knob in knobs::all() {
        if PINNED.contains(&knob.name) {
            knobs::set_str(knob.name, &(knob.default)());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::perceptron;
    use super::super::vet::vet;
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn settings_that_change_results_are_undone() {
        let names: Vec<&str> = knobs::all().iter().map(|k| k.name).collect();
        assert!(PINNED.iter().all(|p| names.contains(p)), "tract renamed a setting: {names:?}");
        knobs::set_str("TRACT_AMX_BF16", "1");
        Engine::load(&vet(&perceptron().build(), &Limits::default()).unwrap()).unwrap();
        let knob = knobs::all().into_iter().find(|k| k.name == "TRACT_AMX_BF16").unwrap();
        assert_eq!((knob.current)(), "false");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let result: Result<()> = fenced(|| panic!("inside {}", "tract"));
        let Err(Error::Model(ModelError::Engine { message })) = result else { panic!("{result:?}") };
        assert_eq!(message, "inside tract");
    }
}
