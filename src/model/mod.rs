//! Networks that turn a few numbers into a block of values and back (SPEC 5).

/// Turns latents into blocks of normalized values.
pub trait Decoder: Send + Sync {
    /// Numbers per block that the network starts from.
    fn latent_len(&self) -> usize;
    /// Extent of a block in each dimension.
    fn block_shape(&self) -> &[usize];
    /// Decodes `latents`, `latent_len` per block, into `out`, one block after another.
    ///
    /// # Errors
    /// The engine failed, or the lengths are not multiples of a block's.
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> crate::Result<()>;
}

/// Turns blocks of normalized values into latents.
pub trait Encoder: Send + Sync {
    /// Numbers per block that the network ends in.
    fn latent_len(&self) -> usize;
    /// Extent of a block in each dimension.
    fn block_shape(&self) -> &[usize];
    /// Encodes `blocks`, one after another, into `latents`.
    ///
    /// # Errors
    /// The engine failed, or the lengths are not multiples of a block's.
    fn encode(&self, blocks: &[f32], latents: &mut [f32]) -> crate::Result<()>;
}
/// Facts about a model.
#[derive(Debug)]
pub struct ModelReport {
    /// Whether every engine gives its outputs to the bit.
    pub exact: bool,
}
/// Checks a model.
///
/// # Errors
/// It is refused.
pub fn check(_bytes: &[u8], _limits: &crate::Limits) -> crate::Result<ModelReport> {
    Ok(ModelReport { exact: false })
}
/// Loads a decoder.
///
/// # Errors
/// It is refused.
pub fn load_decoder(_bytes: &[u8], _limits: &crate::Limits) -> crate::Result<Box<dyn Decoder>> {
    Err(crate::Unsupported::Feature("tract").into())
}
/// Loads an encoder.
///
/// # Errors
/// It is refused.
pub fn load_encoder(_bytes: &[u8], _limits: &crate::Limits) -> crate::Result<Box<dyn Encoder>> {
    Err(crate::Unsupported::Feature("tract").into())
}
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
