//! Writing a file: models, then the frames of each array as they are coded, then the directory.

use crate::array::Array;
use crate::atomic_file::AtomicFile;
use crate::bound::{Bound, ResolvedBound};
use crate::element::Element;
use crate::error::{ArgumentError, Error, ModelError, Result};
use crate::format::directory::{ArrayEntry, Directory, MAX_DIMS, ModelEntry};
use crate::format::header::{HEADER_LEN, Header, Trailer};
use crate::frame::{Encoded, Method, Models};
use crate::grid::{FrameGrid, frame_shape};
use crate::job::{Job, recurs};
use crate::limits::Limits;
use crate::model::{self, Decoder, Encoder};
use crate::parallel::{self, Threads};
use crate::plan::{self, Preset};
use crate::reader::Reader;
use crate::slabs::Slabs;
use crate::source::Source;
use crate::sparse::GuardPolicy;
use crate::stats::ErrorStats;
use ndarray::ArrayViewD;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use zerocopy::IntoBytes;

/// What is asked for one array.
#[derive(Clone)]
pub struct ArrayOptions<'a> {
    /// The error that is accepted. Default: lossless.
    pub bound: Bound,
    /// For [`Bound::ByPoint`]: the bound of every point, an array of the same shape. Points whose bound is no positive
    /// number come back bit for bit. A frame keeps the tightest bound of its other points everywhere, so frames should
    /// not be larger than the regions of a bound.
    pub bounds: Option<&'a dyn Source<f64>>,
    /// How hard to look for the smallest file. Default: balanced.
    pub preset: Preset,
    /// A value that stands for "missing": it comes back bit for bit and disturbs no neighbor.
    pub fill: Option<f64>,
    /// One name a dimension, or none.
    pub dim_names: Vec<String>,
    /// Text of a JSON object, or empty.
    pub attributes: String,
    /// Extent of a frame in each dimension, cut to that of the array; chosen by the preset if `None`.
    pub frame_shape: Option<Vec<u64>>,
    /// The autoencoder that codes it, added to the file before.
    pub model: Option<ModelId>,
    /// What to do with frames where the model is of no use under this bound, because the rounding errors of other
    /// engines might break it. Default: refuse.
    pub guard: GuardPolicy,
    /// Threads over frames; 0 for one a processor.
    pub threads: usize,
    /// Called with the number of values done and in all.
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl Default for ArrayOptions<'_> {
    fn default() -> Self {
        ArrayOptions {
            bound: Bound::Lossless,
            bounds: None,
            preset: Preset::Balanced,
            fill: None,
            dim_names: Vec::new(),
            attributes: String::new(),
            frame_shape: None,
            model: None,
            guard: GuardPolicy::Refuse,
            threads: 0,
            progress: None,
        }
    }
}

/// A model added to the file being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelId(u32);

/// What became of one array.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ArrayReport {
    /// Bytes of the values.
    pub input_bytes: u64,
    /// Bytes of the frames.
    pub stored_bytes: u64,
    /// The bound as it was asked for and as it holds at each point.
    pub bound: ResolvedBound,
    /// Errors of the decoded values, every one checked.
    pub stats: ErrorStats,
    /// Ways of coding that were compared, and the bytes that each gave on the frames where all were tried.
    pub tried: Vec<(&'static str, u64)>,
    /// Number of frames for each way that was kept.
    pub chosen: BTreeMap<&'static str, u64>,
    /// The greatest distance of predictions, in the normalized domain, that a frame allows engines other than this one
    /// (SPEC 6.1); none where all engines decode the same bits.
    pub guard: Option<f32>,
    /// Points whose bound is less than that distance, stored one by one.
    pub eaten: u64,
    /// Frames that were given a model and are coded without, see [`ArrayOptions::guard`].
    pub fell_back: u64,
}

/// An autoencoder ready for use.
struct LoadedModel {
    decoder: Box<dyn Decoder>,
    encoder: Option<Box<dyn Encoder>>,
    /// Its index in the file.
    index: u32,
    /// Digest of the encoder's bytes.
    encoder_digest: Option<[u8; 32]>,
}

/// Fails for a decoder that makes fewer values than it needs latents, and for an encoder of other sizes.
fn check_sizes(decoder: &dyn Decoder, encoder: Option<&dyn Encoder>) -> Result<()> {
    let of = |latents: usize, block: &[usize]| format!("{latents} latents and blocks of {block:?} values");
    let needs = of(decoder.latent_len(), decoder.block_shape());
    if !decoder.is_predictor() && decoder.latent_len() >= decoder.block_len() {
        let what = format!("the decoder has {needs}, which saves nothing: is it the encoder?");
        return Err(ModelError::Mismatch { what }.into());
    }
    match encoder {
        Some(e) if (e.latent_len(), e.block_len()) != (decoder.latent_len(), decoder.block_len()) => {
            let has = of(e.latent_len(), e.block_shape());
            Err(ModelError::Mismatch { what: format!("the decoder has {needs}, the encoder {has}") }.into())
        }
        _ => Ok(()),
    }
}

/// Writes a `.cae` file to any [`Write`]; [`Writer::create`] writes one that gets its name only when it is complete.
pub struct Writer<W: Write> {
    out: W,
    written: u64,
    directory: Directory,
    models: Vec<LoadedModel>,
    limits: Limits,
    /// Bytes are in the file that belong to no model and no array.
    broken: bool,
}

impl Writer<AtomicFile> {
    /// Starts a file that will replace whatever is at `path` when [`Writer::commit`] succeeds.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Writer::new(AtomicFile::create(path)?)
    }

    /// Writes the directory, opens the result with the reader, checks the checksum of every frame, and gives the file
    /// its name. Returns its length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), or what the reader finds wrong; no file is left then.
    pub fn commit(self) -> Result<u64> {
        let directory = self.directory.clone();
        let mut file = self.finish()?;
        file.flush()?;
        let options = crate::ReadOptions { limits: Limits::none(), ..Default::default() };
        let reader = Reader::open_with(file.temporary(), options)?;
        let len = reader.file_len();
        reader.check_against(&directory)?;
        drop(reader);
        file.commit()?;
        Ok(len)
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let shown = &mut f.debug_struct("Writer");
        shown.field("written", &self.written).field("arrays", &self.directory.arrays().len()).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn new(mut out: W) -> Result<Self> {
        out.write_all(Header::current().as_bytes())?;
        let (directory, models) = (Directory::default(), Vec::new());
        Ok(Writer { out, written: HEADER_LEN as u64, directory, models, limits: Limits::default(), broken: false })
    }

    /// What a model may cost, and how many values a frame may have: what readers are to allow, too. By default [`Limits::default`].
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a decoder, and the encoder that makes its latents, from the bytes of ONNX files. Models come before arrays.
    ///
    /// With `embed` false only the digest is stored, and readers must be given the file. The encoder is never stored. A decoder that
    /// is added again, with another encoder, is stored once.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if a model is refused; [`ArgumentError::Other`] after the first array, or to embed a
    /// decoder that was added without its bytes.
    pub fn add_model(&mut self, decoder: &[u8], encoder: Option<&[u8]>, embed: bool) -> Result<ModelId> {
        let loaded = model::load_decoder(decoder, &self.limits)?;
        let encoder_digest = encoder.map(model::digest);
        let encoder = encoder.map(|e| model::load_encoder(e, &self.limits)).transpose()?;
        check_sizes(loaded.as_ref(), encoder.as_deref())?;
        let index = self.name_model(model::digest(decoder), Some(decoder).filter(|_| embed))?;
        let same = |m: &LoadedModel| (m.index, m.encoder_digest) == (index, encoder_digest);
        let known = self.models.iter().position(same);
        if known.is_none() {
            self.models.push(LoadedModel { decoder: loaded, encoder, index, encoder_digest });
        }
        Ok(ModelId(number(known.unwrap_or(self.models.len().saturating_sub(1)))?))
    }

    /// Adds a model that another file names, for arrays that are copied from there: with its bytes if they are in that file. A model that
    /// is there already is stored once.
    ///
    /// # Errors
    /// As [`Writer::add_model`] and [`Reader::model_bytes`].
    pub fn copy_model(&mut self, from: &Reader, index: usize) -> Result<()> {
        match from.directory().models.get(index) {
            Some(ModelEntry { digest, len: 0, .. }) => self.name_model(*digest, None)?,
            Some(ModelEntry { digest, .. }) => self.name_model(*digest, Some(&from.model_bytes(index)?))?,
            None => return Err(ArgumentError::Other(format!("no model {index} in the file")).into()),
        };
        Ok(())
    }

    /// Names a model in the directory, unless it is there, and stores its bytes if they are given; its index in the file.
    fn name_model(&mut self, digest: [u8; 32], bytes: Option<&[u8]>) -> Result<u32> {
        self.check_whole()?;
        let models = &self.directory.models;
        if let Some(known) = models.iter().position(|m| m.digest == digest) {
            if bytes.is_some() && models.get(known).is_some_and(|m| m.len == 0) {
                return Err(ArgumentError::Other("the model was added before without its bytes".into()).into());
            }
            return number(known);
        }
        if !self.directory.arrays().is_empty() {
            return Err(ArgumentError::Other("models must be added before the first array".into()).into());
        }
        let index = number(models.len())?;
        let (offset, bytes) = (self.written, bytes.unwrap_or_default());
        self.put(bytes)?;
        self.directory.models.push(ModelEntry { digest, len: bytes.len() as u64, offset });
        Ok(index)
    }

    /// Codes an array that is in memory.
    ///
    /// # Errors
    /// As [`Writer::add_source`].
    pub fn add_array<T: Element>(
        &mut self,
        name: &str,
        values: &ArrayViewD<'_, T>,
        options: &ArrayOptions,
    ) -> Result<ArrayReport> {
        self.add_source(name, values, options)
    }

    /// Codes an array from a source, a frame a thread at a time. Every frame is decoded with the reader's code, and every
    /// value compared with its bound, before it is written.
    ///
    /// # Errors
    /// [`ArgumentError`] for a name that is taken, a shape with too many dimensions, a bound that is no positive number, or a frame
    /// whose guard refuses the model ([`ArrayOptions::guard`]); [`Error::Limit`] for frames of too many values;
    /// [`Error::Model`](crate::Error::Model); [`Error::Io`](crate::Error::Io), and whatever the source says. After an error that
    /// left a part of the array in the file, every further call fails, and there will be no file.
    pub fn add_source<T: Element>(
        &mut self,
        name: &str,
        source: &dyn Source<T>,
        options: &ArrayOptions,
    ) -> Result<ArrayReport> {
        self.check_whole()?;
        let shape = source.shape();
        self.check_arguments(name, &shape, options)?;
        let values = shape.iter().fold(1u64, |n, e| n.saturating_mul(*e));
        let (threads, fill) = (Threads::new(options.threads), options.fill.map(T::from_f64));
        let (frames, target) = match &options.frame_shape {
            // No frame is larger than the array.
            Some(frames) => (frames.iter().zip(&shape).map(|(f, n)| *f.min(n)).collect(), None),
            None => {
                let recurs = || recurs(source, fill, threads);
                let target = plan::frame_values(options.preset, options.bound, values, recurs)?;
                (frame_shape(&shape, target, plan::cut(options.preset)), Some(target))
            }
        };
        let grid = FrameGrid::new(shape, &frames)?;
        crate::limits::within(crate::Resource::FrameValues, grid.frame_values(), self.limits.frame_values)?;
        let job = Job {
            source,
            grid: &grid,
            threads,
            fill,
            bounds: options.bounds.filter(|_| options.bound == Bound::ByPoint),
            models: models_of(&self.models, options.model)?,
        };
        let bound = job.resolve(options.bound.validate()?, options.preset)?;
        let columns = target.map(|target| job.columns(&bound, options.preset, target)).transpose()?.flatten();
        let slabs = Slabs::new(source);
        let lends = source.lend(&grid.frame(0)).is_some();
        let source = if columns.is_none() || lends { source } else { &slabs };
        let grid = columns.as_ref().unwrap_or(&grid);
        let job = Job { source, grid, ..job };
        let plan = job.plan(bound.tolerance, options.preset, options.guard)?;
        let mut entry = ArrayEntry {
            name: name.into(),
            data_type: T::DATA_TYPE,
            bound,
            dim_names: options.dim_names.clone(),
            attributes: options.attributes.clone(),
            model: None,
            frame_offsets: vec![self.written],
            grid: grid.clone(),
        };
        let mut report = ArrayReport {
            input_bytes: grid.values().saturating_mul(T::DATA_TYPE.size() as u64),
            stored_bytes: 0,
            bound,
            stats: ErrorStats::new(bound.tolerance),
            tried: plan.tried.clone(),
            chosen: BTreeMap::new(),
            guard: None,
            eaten: 0,
            fell_back: 0,
        };
        let (out, written, broken) = (&mut self.out, &mut self.written, &mut self.broken);
        let (mut done, mut needs_model) = (0u64, false);
        parallel::for_each_by_workers(
            job.threads,
            0..grid.frame_count(),
            || job.encoder(bound.tolerance, &plan),
            |f, encoded| {
                let encoded = encoded?;
                *broken = true;
                out.write_all(&encoded.bytes).map_err(Error::from)?;
                *written = written.saturating_add(encoded.bytes.len() as u64);
                entry.frame_offsets.push(*written);
                report.take(&encoded, grid.frame_count() == 1);
                let by_model = encoded.method.is_by_model();
                needs_model |= by_model;
                if options.model.is_some() && !by_model && encoded.method != Method::Constant {
                    report.fell_back = report.fell_back.saturating_add(1);
                }
                done = done.saturating_add(grid.frame(f).len() as u64);
                if let Some(progress) = options.progress {
                    progress(done, grid.values());
                }
                Ok(())
            },
        )?;
        // A model that no frame uses is not needed to read the array.
        let model = options.model.filter(|_| needs_model);
        entry.model = model.and_then(|m| self.models.get(m.0 as usize)).map(|m| m.index);
        self.directory.push(entry);
        self.broken = false;
        Ok(report)
    }

    /// Adds an array of another file as it is stored there, under a name of its own: nothing is decoded or coded again, and values, bound
    /// and attributes are what they were. Its model, if it has one, must have been copied before ([`Writer::copy_model`]).
    ///
    /// # Errors
    /// [`ArgumentError`] for a name that is taken or holds NUL, and for an array whose model is not in the file; [`Error::Format`] for the
    /// first frame that does not have its checksum; [`Error::Io`](crate::Error::Io). After an error that left a part of the array in the file, every
    /// further call fails, and there will be no file.
    pub fn copy_array(&mut self, name: &str, array: &Array) -> Result<()> {
        self.check_whole()?;
        self.check_name(name)?;
        let (entry, model) = (array.entry(), array.model_digest());
        let index_of = |digest: &[u8; 32]| self.directory.models.iter().position(|m| m.digest == *digest);
        let missing = || ArgumentError::Other(format!("the model of `{}` was not copied before", array.name()));
        let index = model.map(|digest| index_of(digest).ok_or_else(missing)).transpose()?;
        let mut copy = ArrayEntry {
            name: name.into(),
            model: index.map(number).transpose()?,
            frame_offsets: vec![self.written],
            ..entry.clone()
        };
        for f in 0..array.frame_count() {
            let bytes = array.whole_frame(f)?;
            self.broken = true;
            self.out.write_all(&bytes)?;
            self.written = self.written.saturating_add(bytes.len() as u64);
            copy.frame_offsets.push(self.written);
        }
        self.directory.push(copy);
        self.broken = false;
        Ok(())
    }

    /// Replaces the attributes of an array added before: for what is known only then.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchArray`]; [`ArgumentError::Other`] for text with NUL.
    pub fn set_attributes(&mut self, name: &str, attributes: String) -> Result<()> {
        if attributes.contains('\0') {
            return Err(ArgumentError::Other("attributes cannot hold NUL".into()).into());
        }
        let array = self.directory.find_mut(name);
        array.ok_or_else(|| ArgumentError::NoSuchArray(name.to_owned()))?.attributes = attributes;
        Ok(())
    }

    /// Writes directory and trailer, and gives back what was written to.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`ArgumentError::Other`] if the directory exceeds 4 GiB, or after an error that left a part of
    /// an array in the file.
    pub fn finish(mut self) -> Result<W> {
        self.check_whole()?;
        let mut bytes = Vec::new();
        self.directory.write_to(&mut bytes);
        let len = u32::try_from(bytes.len()).map_err(|_| ArgumentError::Other("the directory exceeds 4 GiB".into()))?;
        let trailer = Trailer::new(&bytes, len);
        self.put(&bytes)?;
        self.put(trailer.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.broken = true;
        self.out.write_all(bytes)?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        self.broken = false;
        Ok(())
    }

    /// Fails after an error that left bytes in the file that belong to nothing.
    fn check_whole(&self) -> Result<()> {
        let what = "an earlier error left a part of a model or an array in the file: it cannot be completed";
        if self.broken { Err(ArgumentError::Other(what.into()).into()) } else { Ok(()) }
    }

    fn check_arguments(&self, name: &str, shape: &[u64], options: &ArrayOptions) -> Result<()> {
        self.check_name(name)?;
        if shape.len() > MAX_DIMS {
            let n = shape.len();
            return Err(ArgumentError::Shape(format!("{n} dimensions, at most {MAX_DIMS} are possible")).into());
        }
        let named = options.dim_names.len();
        if named != 0 && named != shape.len() {
            let n = shape.len();
            return Err(ArgumentError::Shape(format!("{named} dimension names for {n} dimensions")).into());
        }
        let bounds = options.bounds.map(Source::shape);
        if (options.bound == Bound::ByPoint) != bounds.is_some() || bounds.is_some_and(|b| b != shape) {
            let what = "a bound by point needs an array of bounds of the same shape, and no other bound takes one";
            return Err(ArgumentError::Bound(what.into()).into());
        }
        if options.frame_shape.as_ref().is_some_and(|f| f.len() != shape.len()) {
            return Err(ArgumentError::Shape("the frame shape has another number of dimensions".into()).into());
        }
        if options.dim_names.iter().chain([&options.attributes]).any(|t| t.contains('\0')) {
            return Err(ArgumentError::Other("names and attributes cannot hold NUL".into()).into());
        }
        Ok(())
    }

    /// Fails for a name that no further array can have.
    fn check_name(&self, name: &str) -> Result<()> {
        if self.directory.find(name).is_some() {
            return Err(ArgumentError::DuplicateName(name.to_owned()).into());
        }
        if name.contains('\0') {
            return Err(ArgumentError::Other("names and attributes cannot hold NUL".into()).into());
        }
        Ok(())
    }
}

/// The number of a model in a file.
fn number(index: usize) -> Result<u32> {
    u32::try_from(index).map_err(|_| ArgumentError::Other("too many models".into()).into())
}

fn models_of(models: &[LoadedModel], id: Option<ModelId>) -> Result<Models<'_>> {
    let Some(ModelId(index)) = id else { return Ok(Models::default()) };
    let missing = || ArgumentError::Other("the model was not added to this file".into());
    let m = models.get(index as usize).ok_or_else(missing)?;
    Ok(Models { encoder: m.encoder.as_deref(), decoder: Some(m.decoder.as_ref()) })
}

impl ArrayReport {
    fn take(&mut self, encoded: &Encoded, only: bool) {
        self.stored_bytes = self.stored_bytes.saturating_add(encoded.bytes.len() as u64);
        self.stats.merge(&encoded.stats);
        let n = self.chosen.entry(encoded.chosen).or_default();
        *n = n.saturating_add(1);
        if let Some(guard) = encoded.guard {
            self.guard = Some(self.guard.map_or(guard.distance, |g| g.max(guard.distance)));
            self.eaten = self.eaten.saturating_add(guard.eaten);
        }
        if only {
            self.tried.clone_from(&encoded.tried);
        }
    }
}
