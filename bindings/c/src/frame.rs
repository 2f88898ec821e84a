//! Frames without a container (SPEC.md 6.7).

use crate::boundary::{Failure, Status, call, optional, put, slice, slice_mut};
use crate::model::Model;
use crate::value::{Bound, Bytes, Limits, Report, data_type, guard_policy, preset};
use cae::{CodedFrame, DataType, Element};

/// What is asked for one frame. Zeros are the defaults.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FrameOptions {
    /// The error that is accepted, but by point. A range, mean or ratio is that of the frame. Default: lossless.
    pub bound: Bound,
    /// A cae_preset. Default: balanced.
    pub preset: u32,
    /// A value that stands for "missing": it comes back bit for bit and disturbs no neighbor. NULL for none.
    pub fill: *const f64,
    /// A model to predict with, its encoder included if it has one; cae_decompress_frame needs the same where the report says so.
    /// NULL for none.
    pub model: *const Model,
    /// Threads that try ways of coding side by side; 0 is one.
    pub threads: usize,
    /// Codes without the model where its rounding errors on other machines might break the bound, instead of failing.
    pub fall_back: bool,
}

/// Codes the values of an array of shape `shape`, `ndim` extents, as one frame. Neither type, shape nor bound are in it.
/// `options` and `report` may be NULL; `frame` is freed with cae_free_bytes. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_compress_frame(
    values: *const std::ffi::c_void,
    r#type: u32,
    shape: *const usize,
    ndim: usize,
    options: *const FrameOptions,
    frame: *mut Bytes,
    report: *mut Report,
) -> Status {
    call(|| {
        // SAFETY: the caller promises room for the struct, or NULL.
        unsafe { put(frame, Bytes::NONE, "frame") }?;
        // SAFETY: the caller promises that many extents.
        let shape = unsafe { slice(shape, ndim, "shape") }?;
        // SAFETY: the caller promises options there, or NULL.
        let options = unsafe { optional(options, "options") }?;
        let coded = match data_type(r#type)? {
            // SAFETY: the caller promises values of this type and shape.
            DataType::F32 => unsafe { compress::<f32>(values.cast(), shape, options) },
            // SAFETY: as above.
            DataType::F64 => unsafe { compress::<f64>(values.cast(), shape, options) },
            other => return Err(unknown(other)),
        };
        let (coded, input) = coded?;
        if !report.is_null() {
            let stored = coded.bytes.len() as u64;
            let value = Report::new(input, stored, &coded.bound, &coded.stats, coded.needs_decoder);
            // SAFETY: not NULL; the caller promises room for the struct.
            unsafe { put(report, value, "report") }?;
        }
        // SAFETY: as for the first write.
        unsafe { put(frame, Bytes::new(coded.bytes), "frame") }
    })
}

/// Decodes a frame of `frame_bytes` bytes into `out`, which has room for the `out_values` values of the shape. `model` and
/// `limits` may be NULL; a frame that needs a model and is given none is `UNSUPPORTED`. A failure may leave part of the
/// values in `out`. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_decompress_frame(
    frame: *const u8,
    frame_bytes: usize,
    r#type: u32,
    shape: *const usize,
    ndim: usize,
    model: *const Model,
    limits: *const Limits,
    out: *mut std::ffi::c_void,
    out_values: usize,
) -> Status {
    call(|| {
        // SAFETY: the caller promises that many bytes.
        let frame = unsafe { slice(frame, frame_bytes, "frame") }?;
        // SAFETY: the caller promises that many extents.
        let shape = unsafe { slice(shape, ndim, "shape") }?;
        // SAFETY: the caller promises a live handle, or NULL.
        let decoder = unsafe { optional(model, "model") }?.map(|m| m.decoder.as_ref());
        // SAFETY: the caller promises limits there, or NULL.
        let limits = unsafe { optional(limits, "limits") }?.map(|l| l.to_library()).unwrap_or_default();
        match data_type(r#type)? {
            DataType::F32 => {
                // SAFETY: the caller promises room for that many values of this type.
                let out = unsafe { slice_mut(out.cast::<f32>(), out_values, "out") }?;
                cae::decompress_frame(frame, shape, decoder, &limits, out)?;
            }
            DataType::F64 => {
                // SAFETY: as above.
                let out = unsafe { slice_mut(out.cast::<f64>(), out_values, "out") }?;
                cae::decompress_frame(frame, shape, decoder, &limits, out)?;
            }
            other => return Err(unknown(other)),
        }
        Ok(())
    })
}

/// # Safety
/// `values` is NULL, misaligned or points to values of the shape; the pointers in `options` are NULL or valid.
unsafe fn compress<T: Element>(
    values: *const T,
    shape: &[usize],
    options: Option<&FrameOptions>,
) -> Result<(CodedFrame, u64), Failure> {
    let n = shape.iter().try_fold(1usize, |n, e| n.checked_mul(*e));
    let n = n.ok_or_else(|| Failure::argument("the shape has more values than memory can hold"))?;
    // SAFETY: the caller's promise.
    let values = unsafe { slice(values, n, "values") }?;
    let mut asked = cae::FrameOptions::default();
    if let Some(options) = options {
        asked.bound = options.bound.to_library()?;
        asked.preset = preset(options.preset)?;
        // SAFETY: the caller's promise.
        asked.fill = unsafe { optional(options.fill, "options.fill") }?.copied();
        // SAFETY: the caller's promise.
        let model = unsafe { optional(options.model, "options.model") }?;
        asked.decoder = model.map(|m| m.decoder.as_ref());
        asked.encoder = model.and_then(|m| m.encoder.as_deref());
        asked.threads = options.threads.max(1);
        asked.guard = guard_policy(options.fall_back);
    }
    Ok((cae::compress_frame(values, shape, &asked)?, size_of_val(values) as u64))
}

/// A type that this interface has no number for.
pub(crate) fn unknown(data_type: DataType) -> Failure {
    Failure::internal(format!("values of type {} are not known to this interface", data_type.name()))
}
