//! The engine of a build without tract: the reference evaluation of SPEC 5.4, slow and exact to the letter.

use super::program::Program;
use super::vet::Vetted;
use super::{Run, reference};
use crate::error::Result;

pub(super) struct Engine {
    program: Program,
    input_len: usize,
    output_len: usize,
}

impl Engine {
    pub(super) fn load(vetted: &Vetted) -> Result<Self> {
        Ok(Engine {
            program: vetted.program.clone(),
            input_len: vetted.input_shape.iter().product(),
            output_len: vetted.output_shape.iter().product(),
        })
    }
}

impl Run for Engine {
    fn working_bytes(&self) -> u64 {
        self.program.block_bytes()
    }

    fn run(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        for (input, output) in input.chunks(self.input_len).zip(output.chunks_mut(self.output_len)) {
            let values = reference::evaluate(&self.program, input)?;
            // Adding zero turns -0 into +0, as every engine must.
            output.iter_mut().zip(values).for_each(|(o, v)| *o = v + 0.0);
        }
        Ok(())
    }
}
