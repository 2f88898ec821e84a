//! Models by digest: those added here, then `<digest>.onnx` in the folders of the environment variable `CAE_MODEL_PATH`.

use cae::model::{self, Decoder, Encoder};
use cae::{Error, FormatError, Limits, Place, Result, Unsupported};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A decoder, and the encoder that writers need.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) decoder: Arc<dyn Decoder>,
    pub(crate) encoder: Option<Arc<dyn Encoder>>,
}

static KNOWN: LazyLock<Mutex<HashMap<[u8; 32], Model>>> = LazyLock::new(Mutex::default);

/// Makes a model known to this process, from the bytes of ONNX files; its digest. Only writing needs the encoder.
///
/// # Errors
/// [`Error::Model`] if one is refused.
pub fn add(decoder: &[u8], encoder: Option<&[u8]>) -> Result<String> {
    let limits = Limits::default();
    let encoder = encoder.map(|e| model::load_encoder(e, &limits)).transpose()?.map(Arc::from);
    let loaded = Model { decoder: Arc::from(model::load_decoder(decoder, &limits)?), encoder };
    let digest = model::digest(decoder);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, loaded);
    Ok(digest.iter().map(|b| format!("{b:02x}")).collect())
}

/// The model whose digest has these hexadecimal digits.
pub(crate) fn find(digits: &str) -> Result<Model> {
    let digest =
        parse(digits).ok_or_else(|| cae::ArgumentError::Other(format!("`{digits}` is no digest of a model")))?;
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
    if let Some(model) = known() {
        return Ok(model);
    }
    let missing =
        || Error::Unsupported { place: Place::LoneFrame, offset: 0, kind: Unsupported::ModelMissing { digest } };
    for folder in std::env::split_paths(&std::env::var_os("CAE_MODEL_PATH").unwrap_or_default()) {
        let path = folder.join(format!("{digits}.onnx"));
        if path.is_file() {
            let bytes = std::fs::read(path)?;
            if model::digest(&bytes) != digest {
                return Err(Error::Format { place: Place::Model(0), offset: 0, kind: FormatError::ModelDigest });
            }
            add(&bytes, None)?;
            return known().ok_or_else(missing);
        }
    }
    Err(missing())
}

fn parse(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let lower = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits.len() != 64 || !lower {
        return None;
    }
    for (i, byte) in digest.iter_mut().enumerate() {
        let at = i.saturating_mul(2);
        *byte = u8::from_str_radix(digits.get(at..at.saturating_add(2))?, 16).ok()?;
    }
    Some(digest)
}
