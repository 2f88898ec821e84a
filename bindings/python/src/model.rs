//! A loaded autoencoder.

use crate::asked;
use crate::errors::exception;
use cae::model::{Decoder, Encoder, digest, load_decoder, load_encoder};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::sync::Arc;

/// A decoder, and perhaps the encoder that makes its latents, vetted and loaded.
#[pyclass(frozen, module = "cae._native")]
pub struct Model {
    pub(crate) decoder: Arc<dyn Decoder>,
    pub(crate) encoder: Option<Arc<dyn Encoder>>,
    pub(crate) decoder_bytes: Vec<u8>,
    pub(crate) encoder_bytes: Option<Vec<u8>>,
    pub(crate) digest: [u8; 32],
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (decoder, encoder, limits))]
    fn new(py: Python<'_>, decoder: Vec<u8>, encoder: Option<Vec<u8>>, limits: HashMap<String, u64>) -> PyResult<Self> {
        let limits = asked::limits(py, &limits)?;
        let loaded = py.detach(|| {
            let own = Arc::from(load_decoder(&decoder, &limits)?);
            let encoder = encoder.as_deref().map(|e| load_encoder(e, &limits)).transpose()?.map(Arc::from);
            Ok::<_, cae::Error>((own, encoder))
        });
        let (own, loaded_encoder) = loaded.map_err(|e| exception(py, e))?;
        let digest = digest(&decoder);
        Ok(Model { decoder: own, encoder: loaded_encoder, decoder_bytes: decoder, encoder_bytes: encoder, digest })
    }

    /// Lower-case hexadecimal digits of the decoder's SHA-256.
    #[getter]
    fn digest(&self) -> String {
        hex(&self.digest)
    }

    /// The decoder's ONNX bytes.
    #[getter]
    fn decoder<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.decoder_bytes)
    }

    /// The encoder's ONNX bytes.
    #[getter]
    fn encoder<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.encoder_bytes.as_ref().map(|e| PyBytes::new(py, e))
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
