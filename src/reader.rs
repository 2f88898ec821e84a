//! Reading a file: from memory, a path or elsewhere to its arrays and models.

use crate::array::Array;
use crate::error::{ArgumentError, Result};
use crate::format::directory::Directory;
use crate::open_file::{Data, OpenFile, ReadOptions};
use crate::read_at::ReadAt;
use std::borrow::Cow;
use std::path::Path;

/// An open `.cae` file.
pub struct Reader<'a> {
    file: OpenFile<'a>,
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
    /// As [`Reader::new`], and [`Error::Io`](crate::Error::Io).
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
    /// As [`Reader::new`], and [`Error::Io`](crate::Error::Io).
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

    /// [`Reader::new_with`] for a file that is fetched range by range, as far as it is needed. What is fetched of it at a time is
    /// memory that [`Limits`](crate::Limits) bound.
    ///
    /// # Errors
    /// As [`Reader::new`], and [`Error::Io`](crate::Error::Io) for what `source` says, here and wherever frames are read.
    pub fn from_read_at(source: impl ReadAt + 'static, options: ReadOptions) -> Result<Self> {
        let len = source.file_len()?;
        Self::build(Data::Away { source: Box::new(source), len }, options)
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("bytes", &self.file_len())
            .field("arrays", &self.arrays().len())
            .finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// Reads the directory of a whole file in memory.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) if header, trailer or directory break the specification, [`Error::Unsupported`](crate::Error::Unsupported) for a newer
    /// version, [`Error::Limit`](crate::Error::Limit).
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
        Ok(Reader { file: OpenFile::new(data, options)? })
    }

    pub(crate) fn directory(&self) -> &crate::format::directory::Directory {
        &self.file.directory
    }

    pub(crate) fn decoder(&self, model: u32) -> Result<std::sync::Arc<dyn crate::model::Decoder>> {
        self.file.decoder(model)
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.file.len()
    }

    /// The arrays, in the order of the file.
    pub fn arrays(&self) -> impl ExactSizeIterator<Item = Array<'_>> {
        self.file.directory.arrays().iter().enumerate().map(|(index, entry)| Array::new(&self.file, entry, index))
    }

    /// The array of this name.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchArray`].
    pub fn array(&self, name: &str) -> Result<Array<'_>> {
        let index = self.file.directory.find(name);
        index.and_then(|i| self.array_at(i)).ok_or_else(|| ArgumentError::NoSuchArray(name.to_owned()).into())
    }

    /// The array of this index in the order of the file.
    pub fn array_at(&self, index: usize) -> Option<Array<'_>> {
        Some(Array::new(&self.file, self.file.directory.arrays().get(index)?, index))
    }

    /// The models that the file names.
    pub fn models(&self) -> impl ExactSizeIterator<Item = ModelInfo> {
        self.file.directory.models.iter().map(|m| ModelInfo { digest: m.digest, len: m.len })
    }

    /// The ONNX bytes of model `index`, from the file or a model folder; their digest is checked.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model is nowhere, [`Error::Format`](crate::Error::Format) if its bytes are not those that were named.
    pub fn model_bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        self.file.model_bytes(index)
    }

    /// Fails unless the file holds just what `written` says and the checksum of every frame holds.
    pub(crate) fn check_against(&self, written: &Directory) -> Result<()> {
        if self.file.directory != *written {
            return Err(ArgumentError::Other("the file does not hold what was written to it".into()).into());
        }
        for array in self.arrays() {
            array.check_frames()?;
        }
        Ok(())
    }
}
