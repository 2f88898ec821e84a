//! An open file: its bytes, what its directory says of them, and the models that it names, each loaded once.

use crate::error::{ArgumentError, Error, FormatError, Place, Resource, Result, Unsupported};
use crate::format::directory::{Directory, ModelEntry};
use crate::format::header::{HEADER_LEN, Header, TRAILER_LEN, Trailer};
use crate::limits::{Limits, within};
use crate::model::{self, Decoder};
use crate::read_at::ReadAt;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
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
    /// Elsewhere: to be fetched.
    Away {
        source: Box<dyn ReadAt>,
        len: u64,
    },
}

impl Data<'_> {
    fn len(&self) -> u64 {
        match self {
            Data::Away { len, .. } => *len,
            here => here.bytes().len() as u64,
        }
    }

    /// What of the file is in memory.
    fn bytes(&self) -> &[u8] {
        match self {
            Data::Borrowed(b) => b,
            #[cfg(feature = "mmap")]
            Data::Mapped(m) => m,
            Data::Owned(v) => (**v).as_ref(),
            Data::Away { .. } => &[],
        }
    }

    /// The bytes of a range that ends within the file. What must be fetched is to fit into `memory` bytes.
    fn fetch(&self, Range { start, end }: Range<u64>, memory: u64) -> Result<Cow<'_, [u8]>> {
        let Data::Away { source, .. } = self else {
            let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
            return Ok(Cow::Borrowed(self.bytes().get(range).unwrap_or_default()));
        };
        let wanted = within(Resource::Memory, end.saturating_sub(start), memory)?;
        let failed = || Error::Limit { resource: Resource::Memory, wanted, allowed: 0 };
        let len = usize::try_from(wanted).map_err(|_| failed())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| failed())?;
        bytes.resize(len, 0);
        if len > 0 {
            source.read_at(start, &mut bytes)?;
        }
        Ok(Cow::Owned(bytes))
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
        /// Bytes at the end that are fetched at once: most directories are among them.
        const END: u64 = 1 << 16;
        let (len, limits) = (data.len(), &options.limits);
        Header::read_from(&data.fetch(0..len.min(HEADER_LEN as u64), u64::MAX)?)?;
        let before = len.saturating_sub(END);
        let directory = {
            let end = data.fetch(before..len, u64::MAX)?;
            let (trailer, range) = Trailer::read_from_end(&end, len)?;
            within(Resource::DirectoryBytes, range.end.saturating_sub(range.start), limits.directory_bytes)?;
            let offset = range.start;
            let bytes = match offset.checked_sub(before).and_then(|n| usize::try_from(n).ok()) {
                Some(n) => Cow::Borrowed(end.get(n..end.len().saturating_sub(TRAILER_LEN)).unwrap_or_default()),
                None => data.fetch(range, limits.directory_bytes)?,
            };
            trailer.check(&bytes, len)?;
            Directory::read_from(&bytes, offset, limits.memory)?
        };
        let decoders = directory.models.iter().map(|_| OnceLock::new()).collect();
        Ok(OpenFile { data, directory, options, decoders })
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.data.len()
    }

    /// Bytes of memory that the longest of the ranges between these offsets takes when it is fetched.
    pub(crate) fn fetched(&self, offsets: &[u64]) -> u64 {
        let longest =
            || offsets.iter().zip(offsets.iter().skip(1)).map(|(start, end)| end.saturating_sub(*start)).max();
        if matches!(self.data, Data::Away { .. }) { longest().unwrap_or(0) } else { 0 }
    }

    /// The bytes of a range that the directory vouches for.
    pub(crate) fn fetch(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        self.data.fetch(range, self.options.limits.memory)
    }

    /// The ONNX bytes of model `index`, whose digest is checked.
    pub(crate) fn model_bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let missing = || ArgumentError::Other(format!("no model {index} in the file"));
        let m = self.directory.models.get(index).ok_or_else(missing)?;
        within(Resource::ModelBytes, m.len, self.options.limits.model_bytes)?;
        let place = Place::Model(u32::try_from(index).unwrap_or(u32::MAX));
        if m.len > 0 {
            let bytes = self.fetch(m.offset..m.offset.saturating_add(m.len))?;
            if model::digest(&bytes) == m.digest {
                return Ok(bytes);
            }
        }
        match self.stored_model(m) {
            Ok(Some(bytes)) => Ok(Cow::Owned(bytes)),
            // That the file is damaged matters more than what is wrong with folders.
            _ if m.len > 0 => Err(Error::Format { place, offset: m.offset, kind: FormatError::ModelDigest }),
            Ok(None) => {
                let missing = Unsupported::ModelMissing { digest: m.digest };
                Err(Error::Unsupported { place, offset: m.offset, kind: missing })
            }
            Err(e) => Err(e),
        }
    }

    /// A model that is kept outside the file, or one that is damaged in it, if it is in one of the folders. What is wrong with one folder
    /// is told only if no other has it.
    fn stored_model(&self, m: &ModelEntry) -> Result<Option<Vec<u8>>> {
        let name = format!("{}.onnx", crate::error::hex(&m.digest));
        let mut failure = None;
        for path in self.options.model_dirs.iter().map(|dir| dir.join(&name)) {
            let here = |kind, what: &dyn std::fmt::Display| io::Error::new(kind, format!("{}: {what}", path.display()));
            let read = || {
                let len = std::fs::metadata(&path)?.len();
                within(Resource::ModelBytes, len, self.options.limits.model_bytes)?;
                Ok(std::fs::read(&path)?)
            };
            let wrong = match read() {
                Ok(bytes) if model::digest(&bytes) == m.digest => return Ok(Some(bytes)),
                Ok(_) => here(io::ErrorKind::InvalidData, &"the model in it is not that of its name").into(),
                Err(Error::Io(e)) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(Error::Io(e)) => here(e.kind(), &e).into(),
                Err(e) => e,
            };
            failure = failure.or(Some(wrong));
        }
        failure.map_or(Ok(None), Err)
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
