//! How much a file may ask of its reader.

use crate::error::{Error, Resource, Result};

/// Bounds on what reading a file may cost. Finite by default; [`Limits::none`] lifts them.
///
/// Time has no limit of its own: it grows with the values that are asked for, by some milliseconds with every frame, however small, and,
/// where a model predicts them, with `model_operations`. Whoever serves files of strangers looks at [`Array::values`](crate::Array::values) first, asks for regions, or
/// sets `array_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of memory that one call may hold beside the array that it returns, and that an open file keeps of its directory. Default
    /// 3 GiB.
    pub memory: u64,
    /// Bytes of an array or region that one call returns. Default 16 GiB.
    pub array_bytes: u64,
    /// Bytes of the directory. Default 256 MiB.
    pub directory_bytes: u64,
    /// Values of one frame. Default 2^24.
    pub frame_values: u64,
    /// Bytes of one ONNX model. Default 256 MiB.
    pub model_bytes: u64,
    /// Nodes of one model. Default 4096.
    pub model_nodes: u64,
    /// Elements of the largest tensor that a model makes for one block. Default 2^24.
    pub model_elements: u64,
    /// Multiply-adds that a model spends on one block. Default 2^32.
    pub model_operations: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 3 << 30,
            array_bytes: 16 << 30,
            directory_bytes: 256 << 20,
            frame_values: 1 << 24,
            model_bytes: 256 << 20,
            model_nodes: 4096,
            model_elements: 1 << 24,
            model_operations: 1 << 32,
        }
    }
}

impl Limits {
    /// No limits: for files that are trusted.
    pub fn none() -> Self {
        Limits {
            memory: u64::MAX,
            array_bytes: u64::MAX,
            directory_bytes: u64::MAX,
            frame_values: u64::MAX,
            model_bytes: u64::MAX,
            model_nodes: u64::MAX,
            model_elements: u64::MAX,
            model_operations: u64::MAX,
        }
    }
}

/// Bytes of working memory that decoding takes per value of a frame: some 100 for one long axis in a raster of the preset small, up to
/// 160 for rows of two values in levels of the preset fast and for latents of a model, less otherwise.
const WORKING_BYTES: u64 = 192;

/// Bytes of working memory for a frame of so many values, if the limits allow both.
pub(crate) fn frame_memory(values: u64, limits: &Limits) -> Result<u64> {
    let bytes = within(Resource::FrameValues, values, limits.frame_values)?.saturating_mul(WORKING_BYTES);
    within(Resource::Memory, bytes, limits.memory)
}

/// `wanted` if `allowed` covers it.
pub(crate) fn within(resource: Resource, wanted: u64, allowed: u64) -> Result<u64> {
    if wanted <= allowed { Ok(wanted) } else { Err(Error::Limit { resource, wanted, allowed }) }
}
