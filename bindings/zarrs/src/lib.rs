//! The codec `cae` for [`zarrs`](https://docs.rs/zarrs): each chunk is one frame (SPEC 6.7), the same bytes that the codec of
//! the Python package `cae` writes. A program that links this crate reads and writes arrays with it, sharded or not.
//!
//! ```json
//! {"name": "cae", "configuration": {"bound": {"kind": "abs", "value": 0.01}, "preset": "balanced"}}
//! ```
//!
//! [`CaeCodec`] is the codec, [`CaeCodecConfiguration`] its configuration, [`models`] where it finds the models that chunks need.

mod codec;
mod configuration;
pub mod models;

pub use codec::CaeCodec;
pub use configuration::{BoundConfiguration, BoundKind, CaeCodecConfiguration, PresetName};
