//! Trains the autoencoders that `cae` archives with, on a processor alone, and writes them as ONNX (`docs/models.md`).
//!
//! - [`data`] turns arrays into normalized blocks, cut into a half to learn from and one to be judged on.
//! - [`network`] is a perceptron and its gradient; [`Autoencoder`] is two of them, with the scaling of values around.
//! - [`init`] starts from principal components, [`optimizer`] improves by AdamW, [`loss`] says what is wanted.
//! - [`trainer`] runs it, the same for a seed; [`onnx`] writes and reads the files, [`exact`] those in exact arithmetic.

pub mod autoencoder;
pub mod data;
pub mod exact;
pub mod init;
pub mod loss;
pub mod network;
pub mod onnx;
pub mod optimizer;
pub mod predictor;
pub mod random;
pub mod trainer;

pub use autoencoder::Autoencoder;

/// Why training could not be done.
#[derive(Debug)]
pub enum Error {
    /// The arrays or models that were given.
    Cae(cae::Error),
    /// The operating system.
    Io(std::io::Error),
    /// What was asked for, in plain words.
    Asked(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Cae(e) => e.fmt(f),
            Error::Io(e) => e.fmt(f),
            Error::Asked(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<cae::Error> for Error {
    fn from(e: cae::Error) -> Self {
        Error::Cae(e)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::Io(e)
    }
}

/// Of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An [`Error::Asked`].
pub(crate) fn asked<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Asked(what.into()))
}
