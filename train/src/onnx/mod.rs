//! ONNX files of perceptrons: what training writes and goes on from (`docs/models.md`).

mod read;
mod wire;
mod write;

pub use read::{Side, read};
pub use write::{Form, Precision, write};
