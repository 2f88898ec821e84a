//! Reading a file: bytes or a map, then the directory, then the frames that are asked for.

use crate::array::Array;
use crate::error::{ArgumentError, Error, FormatError, Place, Resource, Result, Unsupported};
use crate::format::directory::{Directory, ModelEntry};
use crate::format::header::{Header, Trailer};
use crate::limits::{Limits, within};
use crate::model::{self, Decoder};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
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
    /// Decoders of the caller's own, by the digest of the model that each stands for.
    pub decoders: HashMap<[u8; 32], Arc<dyn Decoder>>,
}

enum Data<'a> {
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

/// An open `.cae` file.
pub struct Reader<'a> {
    data: Data<'a>,
    directory: Directory,
    options: ReadOptions,
    decoders: Vec<OnceLock<Arc<dyn Decoder>>>,
}

/// A model that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// SHA-256 of the ONNX bytes.
    pub digest: [u8; 32],
    /// Bytes in the file; 0 if the model is kept elsewhere.
    pub len: u64,
}

#[cfg(feature = "mmap")]
impl Reader<'static> {
    /// Opens and maps the file at `path`.
    ///
    /// The file must not be changed or truncated while it is open: the map would show the change, or end the process.
    /// Where that cannot be promised, read the file and use [`Reader::new`].
    ///
    /// # Errors
    /// As [`Reader::new`], and [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, ReadOptions::default())
    }

    /// [`Reader::open`] with options.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_with(path: impl AsRef<Path>, options: ReadOptions) -> Result<Self> {
        let file = std::fs::File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Self::build(Data::Borrowed(&[]), options);
        }
        Self::build(Data::Mapped(crate::mmap::map(&file)?), options)
    }
}

#[cfg(not(feature = "mmap"))]
impl Reader<'static> {
    /// Reads the file at `path` into memory.
    ///
    /// # Errors
    /// As [`Reader::new`], and [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, ReadOptions::default())
    }

    /// [`Reader::open`] with options.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_with(path: impl AsRef<Path>, options: ReadOptions) -> Result<Self> {
        Self::from_owner(std::fs::read(path)?, options)
    }
}

impl Reader<'static> {
    /// [`Reader::new_with`] for bytes that the reader keeps, such as a `Vec<u8>`.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn from_owner(bytes: impl AsRef<[u8]> + Send + Sync + 'static, options: ReadOptions) -> Result<Self> {
        Self::build(Data::Owned(Box::new(bytes)), options)
    }
}

impl<'a> Reader<'a> {
    /// Reads the directory of a whole file in memory.
    ///
    /// # Errors
    /// [`Error::Format`] if header, trailer or directory break the specification, [`Error::Unsupported`] for a newer
    /// version, [`Error::Limit`].
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        Self::new_with(bytes, ReadOptions::default())
    }

    /// [`Reader::new`] with options.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn new_with(bytes: &'a [u8], options: ReadOptions) -> Result<Self> {
        Self::build(Data::Borrowed(bytes), options)
    }

    fn build(data: Data<'a>, options: ReadOptions) -> Result<Self> {
        let bytes = data.bytes();
        Header::read_from(bytes)?;
        let (directory, offset) = Trailer::directory_of(bytes)?;
        within(Resource::DirectoryBytes, directory.len() as u64, options.limits.directory_bytes)?;
        let directory = Directory::read_from(directory, offset)?;
        let decoders = directory.models.iter().map(|_| OnceLock::new()).collect();
        Ok(Reader { data, directory, options, decoders })
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.data.bytes().len() as u64
    }

    /// The arrays, in the order of the file.
    pub fn arrays(&self) -> impl ExactSizeIterator<Item = Array<'_>> {
        self.directory.arrays.iter().enumerate().map(|(index, entry)| Array::new(self, entry, index))
    }

    /// The array of this name.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchArray`].
    pub fn array(&self, name: &str) -> Result<Array<'_>> {
        self.arrays().find(|a| a.name() == name).ok_or_else(|| ArgumentError::NoSuchArray(name.to_owned()).into())
    }

    /// The models that the file names.
    pub fn models(&self) -> impl ExactSizeIterator<Item = ModelInfo> {
        self.directory.models.iter().map(|m| ModelInfo { digest: m.digest, len: m.len })
    }

    /// The ONNX bytes of model `index`, from the file or a model folder; their digest is checked.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model is nowhere, [`Error::Format`] if its bytes are not those that were named.
    pub fn model_bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let missing = || ArgumentError::Other(format!("no model {index} in the file"));
        let m = self.directory.models.get(index).ok_or_else(missing)?;
        within(Resource::ModelBytes, m.len, self.options.limits.model_bytes)?;
        let place = Place::Model(u32::try_from(index).unwrap_or(u32::MAX));
        let bytes = if m.len > 0 {
            Cow::Borrowed(self.slice(m.offset, m.offset.saturating_add(m.len)))
        } else {
            self.stored_model(m)?
        };
        if model::digest(&bytes) == m.digest {
            Ok(bytes)
        } else {
            Err(Error::Format { place, offset: m.offset, kind: FormatError::ModelDigest })
        }
    }

    /// A model that is kept outside the file.
    fn stored_model(&self, m: &ModelEntry) -> Result<Cow<'_, [u8]>> {
        let name = format!("{}.onnx", crate::error::hex(&m.digest));
        for dir in &self.options.model_dirs {
            let path = dir.join(&name);
            match std::fs::metadata(&path) {
                Ok(meta) => {
                    within(Resource::ModelBytes, meta.len(), self.options.limits.model_bytes)?;
                    return Ok(Cow::Owned(std::fs::read(&path)?));
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(Unsupported::ModelMissing { digest: m.digest }.into())
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

    /// Fails unless the file holds just what `written` says and the checksum of every frame holds.
    pub(crate) fn check_against(&self, written: &Directory) -> Result<()> {
        if self.directory != *written {
            return Err(ArgumentError::Other("the file does not hold what was written to it".into()).into());
        }
        for array in self.arrays() {
            array.check_frames()?;
        }
        Ok(())
    }

    /// The options it was opened with.
    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// The bytes from `start` to `end`, which the directory vouches for.
    pub(crate) fn slice(&self, start: u64, end: u64) -> &[u8] {
        let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.data.bytes().get(range).unwrap_or_default()
    }
}
