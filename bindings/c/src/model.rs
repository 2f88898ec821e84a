//! Models of the caller's: for frames without a container.

use crate::boundary::{Failure, Status, call, given, optional, put, slice, slice_mut};
use crate::value::Limits;
use cae::model::{Decoder, Encoder};

/// A decoder and, for writing, the encoder that makes its latents. Freed with cae_close_model.
pub struct Model {
    pub(crate) decoder: Box<dyn Decoder>,
    pub(crate) encoder: Option<Box<dyn Encoder>>,
    digest: [u8; 32],
}

const fn shared_by_threads<T: Send + Sync>() {}
const _: () = shared_by_threads::<Model>();

/// Vets and loads a model from the bytes of ONNX files, which may be freed afterwards. `encoder` may be NULL with
/// `encoder_bytes` 0 where nothing will be written, and for a network in the loop, which has none; `limits` may be NULL. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_load_model(
    decoder: *const u8,
    decoder_bytes: usize,
    encoder: *const u8,
    encoder_bytes: usize,
    limits: *const Limits,
    model: *mut *mut Model,
) -> Status {
    call(|| {
        // SAFETY: the caller promises that a pointer that is not NULL points to room for a handle.
        unsafe { put(model, std::ptr::null_mut(), "model") }?;
        // SAFETY: the caller promises that many bytes there.
        let decoder = unsafe { slice(decoder, decoder_bytes, "decoder") }?;
        // SAFETY: as above.
        let encoder = unsafe { slice(encoder, encoder_bytes, "encoder") }?;
        // SAFETY: the caller promises limits there, or NULL.
        let limits = unsafe { optional(limits, "limits") }?.map(|l| l.to_library()).unwrap_or_default();
        let loaded = Model {
            decoder: cae::model::load_decoder(decoder, &limits)?,
            encoder: if encoder.is_empty() { None } else { Some(cae::model::load_encoder(encoder, &limits)?) },
            digest: cae::model::digest(decoder),
        };
        // SAFETY: as for the first write.
        unsafe { put(model, Box::into_raw(Box::new(loaded)), "model") }
    })
}

/// Writes the SHA-256 of the decoder's bytes, which names the model, to the 32 bytes at `digest`. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_model_digest(model: *const Model, digest: *mut u8) -> Status {
    call(|| {
        // SAFETY: the caller promises a live handle, or NULL.
        let model = unsafe { given(model, "model") }?;
        // SAFETY: the caller promises room for 32 bytes.
        let digest = unsafe { slice_mut(digest, 32, "digest") }?;
        digest.copy_from_slice(&model.digest);
        Ok::<_, Failure>(())
    })
}

/// Frees a model; NULL is allowed. Threads: one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_close_model(model: *mut Model) {
    call(|| {
        if !model.is_null() {
            // SAFETY: the caller promises a handle that `cae_load_model` made and that was not freed before.
            drop(unsafe { Box::from_raw(model) });
        }
        Ok(())
    });
}
