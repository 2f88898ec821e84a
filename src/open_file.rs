//! An open file: its bytes, what its directory says of them, and the models that it names, each loaded once.

use crate::error::{ArgumentError, Error, FormatError, Place, Resource, Result, Unsupported};
use crate::format::directory::{Directory, ModelEntry};
use crate::format::header::{Header, Trailer};
use crate::limits::{Limits, within};
use crate::model::{self, Decoder};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// How a file is read.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// What the file may cost.
    pub limits: Limits,
    /// Threads over frames; 0 for one a processor.
    pub threads: usize,
    /// Folders that hold models kept outside of files, each named by its digest: `<64 hex digits>.onnx`.
    pub model_dirs: Vec<PathBuf>,
    /// Decoders of the caller's own, by the digest of the model that each stands for. One that stands for an exact model must
    /// say so ([`Decoder::is_exact`]): its frames keep no guard, and are refused otherwise.
    pub decoders: HashMap<[u8; 32], Arc<dyn Decoder>>,
}

/// Where the bytes of a file are.
pub(crate) enum Data<'a> {
    Borrowed(&'a [u8]),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
    Owned(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl Data<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Data::Borrowed(b) => b,
            #[cfg(feature = "mmap")]
            Data::Mapped(m) => m,
            Data::Owned(v) => (**v).as_ref(),
        }
    }
}

/// A file whose directory was read.
pub(crate) struct OpenFile<'a> {
    data: Data<'a>,
    pub(crate) directory: Directory,
    pub(crate) options: ReadOptions,
    decoders: Vec<OnceLock<Arc<dyn Decoder>>>,
}

impl<'a> OpenFile<'a> {
    /// Reads header, trailer and directory.
    pub(crate) fn new(data: Data<'a>, options: ReadOptions) -> Result<Self> {
        let bytes = data.bytes();
        Header::read_from(bytes)?;
        let (directory, offset) = Trailer::directory_of(bytes)?;
        within(Resource::DirectoryBytes, directory.len() as u64, options.limits.directory_bytes)?;
        let directory = Directory::read_from(directory, offset, options.limits.memory)?;
        let decoders = directory.models.iter().map(|_| OnceLock::new()).collect();
        Ok(OpenFile { data, directory, options, decoders })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// The bytes from `start` to `end`, which the directory vouches for.
    pub(crate) fn slice(&self, start: u64, end: u64) -> &[u8] {
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.bytes().get(range).unwrap_or_default()
    }

    /// The ONNX bytes of model `index`, whose digest is checked.
    pub(crate) fn model_bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let missing = || ArgumentError::Other(format!("no model {index} in the file"));
        let m = self.directory.models.get(index).ok_or_else(missing)?;
        within(Resource::ModelBytes, m.len, self.options.limits.model_bytes)?;
        let place = Place::Model(u32::try_from(index).unwrap_or(u32::MAX));
        let bytes = if m.len > 0 {
            Cow::Borrowed(self.slice(m.offset, m.offset.saturating_add(m.len)))
        } else {
            let missing = Unsupported::ModelMissing { digest: m.digest };
            self.stored_model(m)?.ok_or(Error::Unsupported { place, offset: m.offset, kind: missing })?
        };
        if model::digest(&bytes) == m.digest {
            Ok(bytes)
        } else {
            Err(Error::Format { place, offset: m.offset, kind: FormatError::ModelDigest })
        }
    }

    /// A model that is kept outside the file, if it is in one of the folders.
    fn stored_model(&self, m: &ModelEntry) -> Result<Option<Cow<'_, [u8]>>> {
        let name = format!("{}.onnx", crate::error::hex(&m.digest));
        for dir in &self.options.model_dirs {
            let path = dir.join(&name);
            match std::fs::metadata(&path) {
                Ok(meta) => {
                    within(Resource::ModelBytes, meta.len(), self.options.limits.model_bytes)?;
                    return Ok(Some(Cow::Owned(std::fs::read(&path)?)));
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(None)
    }

    /// The decoder of model `index`, loaded on first use.
    pub(crate) fn decoder(&self, index: u32) -> Result<Arc<dyn Decoder>> {
        let missing = || Error::from(ArgumentError::Other(format!("no model {index} in the file")));
        let cell = self.decoders.get(index as usize).ok_or_else(missing)?;
        if let Some(d) = cell.get() {
            return Ok(Arc::clone(d));
        }
        let entry = self.directory.models.get(index as usize).ok_or_else(missing)?;
        let decoder = match self.options.decoders.get(&entry.digest) {
            Some(own) => Arc::clone(own),
            None => Arc::from(model::load_decoder(&self.model_bytes(index as usize)?, &self.options.limits)?),
        };
        Ok(Arc::clone(cell.get_or_init(|| decoder)))
    }
}
