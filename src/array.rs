//! One array of an open file: its frames decoded, whole or by region, verified, compared.

use crate::bound::{Bound, Tolerance};
use crate::certify::{BadFrame, Certificate};
use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Error, Fault, Place, Resource, Result};
use crate::format::directory::ArrayEntry;
use crate::frame::{self, Section};
use crate::grid::Region;
use crate::job::is_bound;
use crate::limits::{frame_memory, within};
use crate::model::Decoder;
use crate::open_file::OpenFile;
use crate::parallel::{self, Threads};
use crate::source::Source;
use crate::stats::{self, ErrorStats};
use crate::stripes::Stripes;
use ndarray::{ArrayD, IxDyn};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What the frames of an array are made of.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Breakdown {
    /// Bytes by section.
    pub sections: BTreeMap<Section, u64>,
    /// Number of frames by method.
    pub methods: BTreeMap<&'static str, u64>,
    /// Damaged frames; their bytes are in no section.
    pub bad: Vec<BadFrame>,
}

/// One array of an open file.
#[derive(Clone, Copy)]
pub struct Array<'r> {
    file: &'r OpenFile<'r>,
    entry: &'r ArrayEntry,
    index: usize,
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let entry = self.entry;
        let shown = &mut f.debug_struct("Array");
        shown.field("name", &entry.name).field("data_type", &entry.data_type).field("shape", &self.shape());
        shown.field("bound", &entry.bound).field("frames", &self.frame_count()).finish_non_exhaustive()
    }
}

impl<'r> Array<'r> {
    pub(crate) fn new(file: &'r OpenFile<'r>, entry: &'r ArrayEntry, index: usize) -> Self {
        Array { file, entry, index }
    }

    /// The name, unique in the file.
    pub fn name(&self) -> &'r str {
        &self.entry.name
    }
    /// The type of the values.
    pub fn data_type(&self) -> DataType {
        self.entry.data_type
    }
    /// The extent of each dimension, C order.
    pub fn shape(&self) -> &'r [u64] {
        self.entry.grid.shape()
    }
    /// One name a dimension, or none.
    pub fn dim_names(&self) -> &'r [String] {
        &self.entry.dim_names
    }
    /// Text of a JSON object, or empty.
    pub fn attributes(&self) -> &'r str {
        &self.entry.attributes
    }
    /// The bound as the writer was asked for it.
    pub fn bound(&self) -> Bound {
        self.entry.bound.asked
    }
    /// The bound as it holds at each point.
    pub fn tolerance(&self) -> Tolerance {
        self.entry.bound.tolerance
    }
    /// The extent of a frame in each dimension; frames at the upper edge are cut off there.
    pub fn frame_shape(&self) -> &'r [usize] {
        self.entry.grid.frame_shape()
    }
    /// Number of frames.
    pub fn frame_count(&self) -> u64 {
        self.entry.grid.frame_count()
    }
    /// Number of values.
    pub fn values(&self) -> u64 {
        self.entry.grid.values()
    }
    /// Index of the model that decodes its frames.
    pub fn model(&self) -> Option<usize> {
        self.entry.model.map(|m| m as usize)
    }
    /// Where frame `index` lies.
    pub fn frame_region(&self, index: u64) -> Region {
        self.entry.grid.frame(index)
    }

    /// Where the bytes of frame `index` are in the file; empty beyond the last frame.
    pub fn frame_range(&self, index: u64) -> Range<u64> {
        let at = |i: usize| self.entry.frame_offsets.get(i).copied();
        let i = usize::try_from(index).unwrap_or(usize::MAX);
        at(i).zip(at(i.saturating_add(1))).map_or(0..0, |(start, end)| start..end)
    }

    /// The bytes of frame `index`, as [`decompress_frame`](crate::decompress_frame) takes them; empty beyond the last frame.
    ///
    /// # Errors
    /// None for a file in memory or mapped. Otherwise [`Error::Io`], and [`Error::Limit`] for more than [`Limits::memory`](crate::Limits).
    pub fn frame_bytes(&self, index: u64) -> Result<Cow<'r, [u8]>> {
        self.file.fetch(self.frame_range(index))
    }

    /// Bytes of all frames.
    pub fn stored_bytes(&self) -> u64 {
        let o = &self.entry.frame_offsets;
        o.last().copied().unwrap_or(0).saturating_sub(o.first().copied().unwrap_or(0))
    }

    /// The whole array.
    ///
    /// # Errors
    /// [`ArgumentError::DataType`] if `T` is not the array's type; [`Error::Format`] for the first damaged frame;
    /// [`Error::Limit`]; [`Error::Model`]; [`Error::Unsupported`].
    pub fn read<T: Element>(&self) -> Result<ArrayD<T>> {
        self.read_box(&self.entry.grid.whole()?)
    }

    /// The values at the given range of each dimension, decoding only the frames that hold some of them.
    ///
    /// # Errors
    /// As [`Array::read`], and [`ArgumentError::Region`].
    pub fn read_region<T: Element>(&self, ranges: &[Range<u64>]) -> Result<ArrayD<T>> {
        self.read_box(&Region::from_ranges(ranges)?)
    }

    fn read_box<T: Element>(&self, region: &Region) -> Result<ArrayD<T>> {
        let mut out = self.allocate::<T>(region)?;
        self.read_into(region, &mut out)?;
        shaped(region, out)
    }

    /// [`Array::read_region`] into the caller's buffer, C order, which must have just that many values.
    ///
    /// # Errors
    /// As [`Array::read_region`], and [`ArgumentError::Shape`] for a buffer of another length.
    pub fn read_into<T: Element>(&self, region: &Region, out: &mut [T]) -> Result<()> {
        let mut first = None;
        self.decode_region(region, out, |bad| {
            first.get_or_insert(bad.error);
            false
        })?;
        first.map_or(Ok(()), Err)
    }

    /// Like [`Array::read_region`], but a damaged frame is filled with NaN and listed.
    ///
    /// # Errors
    /// As [`Array::read_region`], save for damaged frames.
    pub fn read_salvaged<T: Element>(&self, region: &Region) -> Result<(ArrayD<T>, Vec<BadFrame>)> {
        let mut out = self.allocate::<T>(region)?;
        let bad = self.salvage_into(region, &mut out)?;
        Ok((shaped(region, out)?, bad))
    }

    /// [`Array::read_salvaged`] into the caller's buffer.
    ///
    /// # Errors
    /// As [`Array::read_salvaged`], and [`ArgumentError::Shape`] for a buffer of another length.
    pub fn salvage_into<T: Element>(&self, region: &Region, out: &mut [T]) -> Result<Vec<BadFrame>> {
        let mut list = Vec::new();
        self.decode_region(region, out, |bad| {
            list.push(bad);
            true
        })?;
        list.sort_by_key(|b| b.frame);
        Ok(list)
    }

    /// Decodes every frame and compares it with its checksum and digest, holding one frame a thread.
    ///
    /// Returns the damaged frames and a digest of the whole array: the CRC-32 of the frame digests in order.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Unsupported`] or [`Error::Model`] where frames cannot be judged.
    pub fn verify(&self) -> Result<(Vec<BadFrame>, u32)> {
        match self.data_type() {
            DataType::F32 => self.verify_as::<f32>(),
            DataType::F64 => self.verify_as::<f64>(),
        }
    }

    fn verify_as<T: Element>(&self) -> Result<(Vec<BadFrame>, u32)> {
        let decoder = self.decoder()?;
        let threads = self.threads::<T>(decoder.as_deref())?;
        let mut bad = Vec::new();
        let mut digest = crc32fast::Hasher::new();
        parallel::for_each_in_order(
            threads,
            0..self.frame_count(),
            |f| {
                let bytes = self.frame_bytes(f)?;
                self.decode_frame::<T>(f, &bytes, decoder.as_deref())?;
                Ok(bytes.get(4..8).unwrap_or_default().to_vec())
            },
            |f, result| {
                match result {
                    Ok(d) => digest.update(&d),
                    Err(error) => bad.push(self.judge(f, error, bad.len())?),
                }
                Ok(())
            },
        )?;
        Ok((bad, digest.finalize()))
    }

    /// Proves from the file alone that every engine decodes the array within its bound, given that the writer's did:
    /// each frame has its digest, or a guard that covers the rounding errors of the model that predicts it.
    ///
    /// # Errors
    /// As [`Array::verify`].
    pub fn certify(&self) -> Result<Certificate> {
        match self.data_type() {
            DataType::F32 => self.certify_as::<f32>(),
            DataType::F64 => self.certify_as::<f64>(),
        }
    }

    fn certify_as<T: Element>(&self) -> Result<Certificate> {
        let decoder = self.decoder()?;
        // A proof of rounding errors takes its own memory.
        let at_once = if decoder.as_ref().is_some_and(|d| !d.is_exact()) { 1 } else { u64::MAX };
        let threads = self.threads::<T>(decoder.as_deref())?.at_most(at_once);
        let mut certificate = Certificate::default();
        parallel::for_each_in_order(
            threads,
            0..self.frame_count(),
            |f| {
                let region = self.frame_region(f);
                let mut values = vec![T::default(); region.len()];
                frame::judge(&self.frame_bytes(f)?, &region.extent, decoder.as_deref(), &mut values)
                    .map_err(|e| self.at(f, e))
            },
            |f, judged| {
                match judged {
                    Ok(judgement) => certificate.take(f, judgement),
                    Err(error) => certificate.bad.push(self.judge(f, error, certificate.bad.len())?),
                }
                Ok(())
            },
        )?;
        Ok(certificate)
    }

    /// Decodes every frame and compares it with the original: the errors, but for those of points that hold `fill`, and whether
    /// the bound was met: every value within it, a mean of errors as it was asked for, and every value that is not finite or is `fill`
    /// bit for bit. Of bounds by point the file has the largest alone, and that is what is looked at.
    ///
    /// # Errors
    /// [`Error::Argument`] for an original of another shape; as [`Array::read`], and whatever the source says.
    pub fn compare<T: Element>(&self, original: &dyn Source<T>, fill: Option<T>) -> Result<(ErrorStats, bool)> {
        self.compare_with(original, None, fill)
    }

    /// Like [`Array::compare`], with the bound of each point instead of the array's, as for [`Bound::ByPoint`](crate::Bound::ByPoint): what is
    /// not positive and finite bounds no error, and the value there is to come back bit for bit.
    ///
    /// # Errors
    /// As [`Array::compare`], also for bounds of another shape.
    pub fn compare_by_point<T: Element>(
        &self,
        original: &dyn Source<T>,
        bounds: &dyn Source<f64>,
        fill: Option<T>,
    ) -> Result<(ErrorStats, bool)> {
        self.compare_with(original, Some(bounds), fill)
    }

    fn compare_with<T: Element>(
        &self,
        original: &dyn Source<T>,
        bounds: Option<&dyn Source<f64>>,
        fill: Option<T>,
    ) -> Result<(ErrorStats, bool)> {
        let shapes = [Some(("original", original.shape())), bounds.map(|b| ("array of bounds", b.shape()))];
        if let Some((what, shape)) = shapes.into_iter().flatten().find(|(_, shape)| *shape != self.shape()) {
            return Err(ArgumentError::Shape(format!("the array has {:?}, the {what} {shape:?}", self.shape())).into());
        }
        let decoder = self.decoder()?;
        let threads = self.threads::<T>(decoder.as_deref())?;
        let mut all = ErrorStats::new(self.tolerance());
        let mut met = true;
        parallel::for_each_in_order(
            threads,
            0..self.frame_count(),
            |f| {
                let region = self.frame_region(f);
                let mut x = vec![T::default(); region.len()];
                original.read(&region, &mut x)?;
                let y = self.decode_frame::<T>(f, &self.frame_bytes(f)?, decoder.as_deref())?;
                let mut each = Vec::new();
                if let Some(bounds) = bounds {
                    each.resize(region.len(), 0.0);
                    bounds.read(&region, &mut each)?;
                }
                let mut stats = ErrorStats::new(self.tolerance());
                let (mut met, mut over) = (true, 0f64);
                for (i, (x, y)) in x.iter().zip(&y).enumerate() {
                    if !stats::counts(*x, fill) {
                        met &= x.to_bits64() == y.to_bits64();
                        continue;
                    }
                    stats.add(x.to_f64(), y.to_f64());
                    met &= match each.get(i) {
                        None => self.tolerance().allows(*x, *y),
                        Some(e) if is_bound(*e) => {
                            over = over.max((x.to_f64() - y.to_f64()).abs() / e);
                            Tolerance::Absolute(*e).allows(*x, *y)
                        }
                        Some(_) => x.to_bits64() == y.to_bits64(),
                    };
                }
                if bounds.is_some() {
                    stats.max_error_over_bound = over;
                }
                Ok::<_, Error>((stats, met))
            },
            |_, result| {
                let (stats, part_met) = result?;
                all.merge(&stats);
                met &= part_met;
                Ok(())
            },
        )?;
        // Parts are added up in another order than by the writer.
        let rounding = 1e-9;
        met &= match self.bound() {
            Bound::Rmse(most) => all.rmse() <= most * (1.0 + rounding),
            Bound::Psnr(least) => all.psnr() >= least - 20.0 * rounding,
            _ => true,
        };
        Ok((all, met))
    }

    /// Bytes by section and frames by method. Checks the checksums of frames, but decodes none.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a frame that this reader does not know.
    pub fn breakdown(&self) -> Result<Breakdown> {
        let mut b = Breakdown::default();
        for f in 0..self.frame_count() {
            let (method, sections) = match frame::sections(&self.frame_bytes(f)?).map_err(|e| self.at(f, e)) {
                Ok(parts) => parts,
                Err(error) => {
                    b.bad.push(self.judge(f, error, b.bad.len())?);
                    continue;
                }
            };
            let n = b.methods.entry(method.name()).or_default();
            *n = n.saturating_add(1);
            for (section, len) in sections {
                let n = b.sections.entry(section).or_default();
                *n = n.saturating_add(len);
            }
        }
        Ok(b)
    }

    /// Checks the checksum of every frame.
    pub(crate) fn check_frames(&self) -> Result<()> {
        (0..self.frame_count()).try_for_each(|f| self.whole_frame(f).map(drop))
    }

    /// The bytes of frame `index`, which must have their checksum.
    pub(crate) fn whole_frame(&self, index: u64) -> Result<Cow<'r, [u8]>> {
        let bytes = self.frame_bytes(index)?;
        frame::check(&bytes).map_err(|e| self.at(index, e))?;
        Ok(bytes)
    }

    /// What the directory says of it.
    pub(crate) fn entry(&self) -> &'r ArrayEntry {
        self.entry
    }

    /// Digest of the model that decodes its frames.
    pub(crate) fn model_digest(&self) -> Option<&'r [u8; 32]> {
        let models = &self.file.directory.models;
        self.entry.model.and_then(|m| models.get(m as usize)).map(|m| &m.digest)
    }

    /// Adds where a frame is to what is wrong with it.
    fn at(&self, frame: u64, fault: Fault) -> Error {
        let array = u32::try_from(self.index).unwrap_or(u32::MAX);
        let i = usize::try_from(frame).unwrap_or(usize::MAX);
        fault.at(Place::Frame { array, frame }, self.entry.frame_offsets.get(i).copied().unwrap_or(0))
    }

    fn decoder(&self) -> Result<Option<Arc<dyn Decoder>>> {
        self.entry.model.map(|m| self.file.decoder(m)).transpose()
    }

    fn decode_frame<T: Element>(&self, frame: u64, bytes: &[u8], decoder: Option<&dyn Decoder>) -> Result<Vec<T>> {
        let region = self.frame_region(frame);
        let mut values = vec![T::default(); region.len()];
        self.decode_frame_into(frame, bytes, &region, decoder, &mut values)?;
        Ok(values)
    }

    fn decode_frame_into<T: Element>(
        &self,
        frame: u64,
        bytes: &[u8],
        region: &Region,
        decoder: Option<&dyn Decoder>,
        out: &mut [T],
    ) -> Result<()> {
        T::decode_frame(bytes, &region.extent, decoder, out).map_err(|e| self.at(frame, e))
    }

    /// A damaged frame, with `known` ones listed before it, can be left out; what would fail for every frame alike cannot.
    fn judge(&self, frame: u64, error: Error, known: usize) -> Result<BadFrame> {
        match error {
            Error::Format { .. } => {
                self.may_list(known.saturating_add(1))?;
                Ok(BadFrame { frame, region: self.frame_region(frame), error })
            }
            other => Err(other),
        }
    }

    /// Fails if a list of so many damaged frames takes more memory than a call may.
    pub(crate) fn may_list(&self, bad: usize) -> Result<()> {
        let region = self.shape().len().saturating_mul(size_of::<(u64, usize)>());
        let each = size_of::<BadFrame>().saturating_add(region) as u64;
        within(Resource::Memory, (bad as u64).saturating_mul(each), self.file.options.limits.memory)?;
        Ok(())
    }

    fn check_type<T: Element>(&self) -> Result<()> {
        if T::DATA_TYPE == self.entry.data_type {
            return Ok(());
        }
        let (array, asked) = (self.entry.data_type.name(), T::DATA_TYPE.name());
        Err(ArgumentError::DataType { array, asked }.into())
    }

    /// Threads that fit the memory limit, at least one.
    fn threads<T: Element>(&self, decoder: Option<&dyn Decoder>) -> Result<Threads> {
        self.check_type::<T>()?;
        let limits = &self.file.options.limits;
        let each = frame_memory(self.entry.grid.frame_values(), limits)?;
        let each = each.saturating_add(decoder.map_or(0, Decoder::working_bytes));
        let each =
            within(Resource::Memory, each.saturating_add(self.file.fetched(&self.entry.frame_offsets)), limits.memory)?;
        let fit = limits.memory.checked_div(each).unwrap_or(u64::MAX);
        Ok(Threads::new(self.file.options.threads).at_most(fit))
    }

    /// Room for the values of `region`, if the limits allow them and what decoding them takes.
    pub(crate) fn allocate<T: Element>(&self, region: &Region) -> Result<Vec<T>> {
        self.threads::<T>(None)?;
        self.entry.grid.check(region)?;
        let wanted = (region.len() as u64).saturating_mul(size_of::<T>() as u64);
        let allowed = self.file.options.limits.array_bytes;
        within(Resource::ArrayBytes, wanted, allowed)?;
        let mut out = Vec::new();
        let failed = |_| Error::Limit { resource: Resource::ArrayBytes, wanted, allowed: 0 };
        out.try_reserve_exact(region.len()).map_err(failed)?;
        out.resize(region.len(), T::default());
        Ok(out)
    }

    /// Decodes the frames of `region` into `out`; `bad` hears of damaged ones and says whether to go on.
    fn decode_region<T: Element>(
        &self,
        region: &Region,
        out: &mut [T],
        mut bad: impl FnMut(BadFrame) -> bool,
    ) -> Result<()> {
        self.check_type::<T>()?;
        self.entry.grid.check(region)?;
        if out.len() != region.len() {
            let (found, needed) = (out.len(), region.len());
            return Err(ArgumentError::Shape(format!("the buffer has {found} values, the region {needed}")).into());
        }
        if region.is_empty() {
            return Ok(());
        }
        let frames = self.entry.grid.frames_of(region);
        let decoder = self.decoder()?;
        let decoder = decoder.as_deref();
        let threads = self.threads::<T>(decoder)?;
        let stripes = Stripes::new(region, self.frame_shape(), frames.size_hint().0, out);
        let mut damaged = 0usize;
        parallel::for_each_in_order(
            threads,
            frames,
            |frame| {
                let (part, bytes) = (self.frame_region(frame), self.frame_bytes(frame)?);
                // Small arrays and slabs are decoded where they belong, other frames beside it.
                let in_place =
                    stripes.in_place(&part, |out| self.decode_frame_into(frame, &bytes, &part, decoder, out));
                if let Some(done) = in_place {
                    return done;
                }
                let values = self.decode_frame::<T>(frame, &bytes, decoder)?;
                stripes.for_each_run(&part, |from, to| {
                    match (values.get(from..from.saturating_add(to.len())), to) {
                        // Of a column that stands among others: no call for each value.
                        (Some([value]), [to]) => *to = *value,
                        (from, to) => to.copy_from_slice(from.unwrap_or_default()),
                    }
                });
                Ok(())
            },
            |frame, result| {
                if let Err(error) = result {
                    if !bad(self.judge(frame, error, damaged)?) {
                        return Err(parallel::Stop::Quietly);
                    }
                    damaged = damaged.saturating_add(1);
                    stripes.for_each_run(&self.frame_region(frame), |_, to| to.fill(T::NAN));
                }
                Ok(())
            },
        )
    }
}

fn shaped<T: Element>(region: &Region, values: Vec<T>) -> Result<ArrayD<T>> {
    ArrayD::from_shape_vec(IxDyn(&region.extent), values).map_err(|e| ArgumentError::Shape(e.to_string()).into())
}
