//! ONNX files of perceptrons: what training writes and goes on from (`docs/models.md`).

mod integer;
mod read;
mod wire;
mod write;

pub use integer::write_predictor;
pub use read::{Side, read};
pub use write::{Form, Precision, write};
