//! A file whose header, trailer or directory is damaged or cut off: its frames found again (SPEC 3.5).

use crate::bound::{Bound, ResolvedBound};
use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Error, FormatError, Place, Result};
use crate::format::directory::{ArrayEntry, Directory, MAX_DIMS, ModelEntry};
use crate::format::header::{HEADER_LEN, Header, TRAILER_LEN, Trailer};
use crate::grid::{Cut, FrameGrid, Region, frame_shape};
use crate::limits::{Limits, frame_memory, within};
use crate::model::{self, Decoder};
use crate::reader::Reader;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use zerocopy::IntoBytes;

/// What is known of a file that does not say it itself any more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Known<'a> {
    /// Nothing: the directory must be readable, but for its checksum.
    Nothing,
    /// It was written like this one: the same arrays in the same order, of the same types, shapes and frames, and with the same
    /// models. Names, attributes and bounds are taken from it.
    Like(&'a Reader<'a>),
    /// It holds one array, which needs no model. Its bound is not known then: that of the file made will be the largest number.
    Array {
        /// The name that the array gets.
        name: &'a str,
        /// The type of its values.
        data_type: DataType,
        /// Extents of the array.
        shape: &'a [u64],
        /// Extents of a frame; those that a writer chooses are tried if `None`.
        frame_shape: Option<&'a [u64]>,
    },
}

/// What was done to recover a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Whether the header was made anew.
    pub header: bool,
    /// Damaged models in whose place whole ones of another file were put.
    pub models: usize,
    /// Where the directory is from.
    pub directory: Found,
}

/// Where the directory of a recovered file is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It was whole.
    Whole,
    /// It was whole, but so many bytes that are none of the file stood behind its end.
    Followed(u64),
    /// One bit had flipped in directory or trailer, and was turned back: the byte of the file, and the bit, 0 the lowest.
    Bit(u64, u32),
    /// It does not have its checksum, but its lengths add up to those of models and frames: names, attributes and bounds may not be
    /// what they were.
    Unchecked,
    /// It was made anew, from what was known and frames that were found by their checksums.
    Frames {
        /// Frames that were found. Those after the first that was not whole are lost: where they belong is not known.
        whole: u64,
        /// Frames of all arrays.
        all: u64,
        /// Whether another frame follows them, of which nothing is known.
        more: bool,
    },
}

/// Writes a file of what is left of a damaged one: header, models and frames, and a directory, in which frames that are lost have no
/// bytes. [`Array::verify`](crate::Array::verify) lists these, and [`Array::read_salvaged`](crate::Array::read_salvaged) fills them
/// with NaN.
///
/// Nothing is written of a file whose header, directory and models are whole: damaged frames do not keep others from being read.
///
/// # Errors
/// [`ArgumentError`] for a file that needs no recovery, if nothing is found of what is known, and for a shape that no array can have;
/// [`Error::Format`] if nothing is known and the directory cannot be read; [`Error::Unsupported`] for a file of another version;
/// [`Error::Limit`]; [`Error::Model`]; [`Error::Io`].
pub fn recover(file: &[u8], known: &Known, limits: &Limits, out: &mut dyn Write) -> Result<Recovered> {
    let header = Header::read_from(file).map(|_| ());
    match header {
        Err(e @ Error::Unsupported { .. }) if Header::is_sealed(file) => return Err(e),
        _ => {}
    }
    let mut models = Vec::new();
    let (found, directory, end) = match readable(file, limits) {
        Ok((found, directory, end)) => {
            models = damaged_models(file, &directory, end, limits, known)?;
            if matches!(found, Found::Whole) && header.is_ok() && models.iter().all(|(_, bytes)| bytes.is_none()) {
                let what = if models.is_empty() {
                    "header, directory and models are whole: what is damaged of its frames does not keep the others from being read"
                } else {
                    "all is whole but a model, which another file must have: one that this is like, or one of the folder of models that it is read with"
                };
                return Err(ArgumentError::Other(what.into()).into());
            }
            (found, directory, end)
        }
        Err(unreadable) => {
            let search = Search { file, limits };
            let (directory, whole, end) = search.all(known, unreadable)?;
            let all = directory.arrays().iter().map(|a| a.grid.frame_count()).sum();
            if whole == 0 && all > 0 {
                let what =
                    format!("no whole frame of what is known to be there begins where the first must, at byte {end}");
                return Err(ArgumentError::Other(what).into());
            }
            let mut bytes = Vec::new();
            directory.write_to(&mut bytes);
            (Found::Frames { whole, all, more: whole == all && search.ends(end).next().is_some() }, bytes, end)
        }
    };
    let len = u32::try_from(directory.len()).map_err(|_| ArgumentError::Other("the directory exceeds 4 GiB".into()))?;
    out.write_all(Header::current().as_bytes())?;
    let (mut at, mut replaced) = (HEADER_LEN, 0usize);
    for (place, bytes) in models.iter().filter_map(|(place, bytes)| Some((place, bytes.as_ref()?))) {
        out.write_all(file.get(at..place.start).unwrap_or_default())?;
        out.write_all(bytes)?;
        (at, replaced) = (place.end, replaced.saturating_add(1));
    }
    out.write_all(file.get(at..end).unwrap_or_default())?;
    out.write_all(&directory)?;
    out.write_all(Trailer::new(&directory, len).as_bytes())?;
    Ok(Recovered { header: header.is_err(), models: replaced, directory: found })
}

/// [`recover`] of the file at `path`, which is mapped where [`Reader::open`] maps files.
///
/// # Errors
/// As [`recover`].
pub fn recover_file(path: impl AsRef<Path>, known: &Known, limits: &Limits, out: &mut dyn Write) -> Result<Recovered> {
    let file = std::fs::File::open(path.as_ref())?;
    if file.metadata()?.len() == 0 {
        return recover(&[], known, limits, out);
    }
    #[cfg(feature = "mmap")]
    let bytes = crate::mmap::map(&file)?;
    #[cfg(not(feature = "mmap"))]
    let bytes = std::fs::read(path)?;
    recover(&bytes, known, limits, out)
}

/// Where damaged models lie, and their bytes, if another file has them.
type Models = Vec<(Range<usize>, Option<Vec<u8>>)>;

/// The damaged models of a file whose frames end at `end`, in order.
fn damaged_models(file: &[u8], directory: &[u8], end: usize, limits: &Limits, known: &Known) -> Result<Models> {
    let mut found = Vec::new();
    for m in &Directory::read_from(directory, end as u64, limits.memory)?.models {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let place = at(m.offset)..at(m.offset.saturating_add(m.len));
        if m.len == 0 || file.get(place.clone()).is_some_and(|bytes| model::digest(bytes) == m.digest) {
            continue;
        }
        let elsewhere = match known {
            Known::Like(sibling) => sibling.models().position(|o| o.digest == m.digest).map(|o| sibling.model_bytes(o)),
            _ => None,
        };
        let bytes = elsewhere.and_then(Result::ok).map(std::borrow::Cow::into_owned);
        found.push((place, bytes.filter(|b| b.len() as u64 == m.len)));
    }
    Ok(found)
}

/// The directory, if it can be read in some way, and where the frames end.
fn readable(file: &[u8], limits: &Limits) -> Result<(Found, Vec<u8>, usize)> {
    let parsed = |directory: &[u8], offset: u64| {
        within(crate::Resource::DirectoryBytes, directory.len() as u64, limits.directory_bytes)?;
        Directory::read_from(directory, offset, limits.memory)
    };
    let end = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let checked = Trailer::directory_of(file).and_then(|(directory, offset, trailer)| {
        trailer.check(directory, file.len() as u64)?;
        Ok((directory, offset))
    });
    let refused = match checked {
        Ok((directory, offset)) => {
            return parsed(directory, offset).map(|_| (Found::Whole, directory.to_vec(), end(offset)));
        }
        Err(refused) => refused,
    };
    if let Some((directory, offset, behind)) = followed(file, limits) {
        return Ok((Found::Followed(behind), directory.to_vec(), offset));
    }
    if let Some((at, bit, offset)) = flipped_bit(file) {
        let mut mended = file.get(offset..).unwrap_or_default().to_vec();
        if let Some(byte) = at.checked_sub(offset).and_then(|at| mended.get_mut(at)) {
            *byte ^= 1 << bit;
        }
        mended.truncate(mended.len().saturating_sub(TRAILER_LEN));
        if parsed(&mended, offset as u64).is_ok() {
            return Ok((Found::Bit(at as u64, bit), mended, offset));
        }
    }
    let (directory, offset, _) = Trailer::directory_of(file)?;
    parsed(directory, offset).map_err(|_| refused)?;
    Ok((Found::Unchecked, directory.to_vec(), end(offset)))
}

/// The directory of a file that ends before its last byte, where it begins, and how many bytes are behind its end: padding, or what a
/// transfer added.
fn followed<'f>(file: &'f [u8], limits: &Limits) -> Option<(&'f [u8], usize, u64)> {
    /// Bytes that may be behind the end.
    const MOST_BEHIND: usize = 1 << 20;
    /// Bytes of directories that are looked at, in all: some seconds.
    const MOST_BYTES: u64 = 1 << 34;
    let ends = (1..=MOST_BEHIND).map_while(|behind| file.get(..file.len().checked_sub(behind)?));
    let directories = ends.filter_map(|file| Some((file, Trailer::directory_of(file).ok()?)));
    let mut looked_at = 0u64;
    let plausible = directories
        .filter(|(_, (directory, ..))| directory.len() as u64 <= limits.directory_bytes && Directory::may_be(directory))
        .take_while(|(_, (directory, ..))| {
            looked_at = looked_at.saturating_add(directory.len() as u64);
            looked_at <= MOST_BYTES
        });
    let whole = |(kept, (directory, offset, trailer)): (&'f [u8], (&'f [u8], u64, Trailer))| {
        trailer.check(directory, kept.len() as u64).ok()?;
        Directory::read_from(directory, offset, limits.memory).ok()?;
        Some((directory, usize::try_from(offset).ok()?, file.len().saturating_sub(kept.len()) as u64))
    };
    plausible.filter_map(whole).next()
}

/// The one bit in directory or trailer without whose flip the checksum would hold: which byte of the file, which of its bits, and where
/// the directory begins.
fn flipped_bit(file: &[u8]) -> Option<(usize, u32, usize)> {
    let trailer = file.len().checked_sub(TRAILER_LEN)?;
    let (before, rest) = file.split_at_checked(trailer)?;
    let (len, stored) = rest.split_first_chunk::<4>()?;
    // In the length: then the directory begins elsewhere.
    for at in 0..32u32 {
        let len = u32::from_le_bytes(*len) ^ (1 << at);
        let start = before.len().checked_sub(len as usize).filter(|start| *start >= HEADER_LEN);
        let directory = start.and_then(|start| before.get(start..));
        if directory.is_some_and(|d| Trailer::new(d, len).crc.as_bytes() == stored) {
            return Some((trailer.checked_add((at / 8) as usize)?, at % 8, start?));
        }
    }
    let (directory, offset, found) = Trailer::directory_of(file).ok()?;
    let start = usize::try_from(offset).ok()?;
    let wrong = found.crc.get() ^ Trailer::new(directory, found.directory_len.get()).crc.get();
    // In the checksum itself ...
    if wrong.count_ones() == 1 {
        let bit = wrong.trailing_zeros();
        return Some((trailer.checked_add(4)?.checked_add((bit / 8) as usize)?, bit % 8, start));
    }
    // ... or in the directory. What a bit does to the checksum depends on how many bytes follow it, here at first the four of the
    // length: each byte more is eight steps of the polynomial.
    let step = |mut r: u32| {
        for _ in 0..8 {
            r = (r >> 1) ^ (if r & 1 == 1 { 0xEDB8_8320 } else { 0 });
        }
        r
    };
    let mut done: [u32; 8] = std::array::from_fn(|bit| step(1 << bit));
    for _ in 0..4 {
        done = done.map(step);
    }
    for at in (0..directory.len()).rev() {
        if let Some(bit) = (0u32..).zip(done).find(|(_, d)| *d == wrong).map(|(bit, _)| bit) {
            return Some((start.checked_add(at)?, bit, start));
        }
        done = done.map(step);
    }
    None
}

/// Looks for frames by their checksums.
struct Search<'a> {
    file: &'a [u8],
    limits: &'a Limits,
}

impl Search<'_> {
    /// A directory of what is found of what is known, how many frames are whole, and where the last of them ends. What was wrong
    /// with the file's own directory, if nothing is known.
    fn all(&self, known: &Known, unreadable: Error) -> Result<(Directory, u64, usize)> {
        match known {
            Known::Nothing => Err(unreadable),
            Known::Like(reader) => self.like(reader),
            Known::Array { name, data_type, shape, frame_shape } => {
                if shape.len() > MAX_DIMS {
                    return Err(ArgumentError::Shape(format!("{} dimensions, at most {MAX_DIMS}", shape.len())).into());
                }
                let grids = frame_shape.map_or_else(|| chosen_by_writers(shape), |f| vec![f.to_vec()]);
                let grids = grids.iter().map(|f| FrameGrid::new(shape.to_vec(), f)).collect::<Result<Vec<_>>>()?;
                let suits = |grid: &&FrameGrid, end: usize| {
                    let possible = grid.frame_count() > 0 && frame_memory(grid.frame_values(), self.limits).is_ok();
                    possible && self.is_frame(*data_type, &grid.frame(0), HEADER_LEN..end, None)
                };
                // The first frame says which of them it is.
                let grid = self.ends(HEADER_LEN).find_map(|end| grids.iter().find(|grid| suits(grid, end)));
                let template = ArrayEntry {
                    name: (*name).into(),
                    data_type: *data_type,
                    bound: ResolvedBound::new(Bound::Absolute(f64::MAX), f64::MAX),
                    dim_names: Vec::new(),
                    attributes: String::new(),
                    model: None,
                    grid: grid.or(grids.first()).cloned().ok_or(ArgumentError::Shape("no shape of frames".into()))?,
                    frame_offsets: Vec::new(),
                };
                self.arrays(Vec::new(), &[template], HEADER_LEN, None)
            }
        }
    }

    fn like(&self, sibling: &Reader) -> Result<(Directory, u64, usize)> {
        let models = &sibling.directory().models;
        let mut end = HEADER_LEN;
        for (n, m) in (0..).zip(models) {
            let next = usize::try_from(m.len).ok().and_then(|len| end.checked_add(len));
            let bytes = next.and_then(|next| self.file.get(end..next)).unwrap_or_default();
            if m.len > 0 && model::digest(bytes) != m.digest {
                let kind = FormatError::ModelDigest;
                return Err(Error::Format { place: Place::Model(n), offset: end as u64, kind });
            }
            end = next.unwrap_or(end);
        }
        self.arrays(models.clone(), sibling.directory().arrays(), end, Some(sibling))
    }

    /// The frames of arrays like these, from an offset on, up to the first that is not whole.
    fn arrays(
        &self,
        models: Vec<ModelEntry>,
        like: &[ArrayEntry],
        from: usize,
        decoders: Option<&Reader>,
    ) -> Result<(Directory, u64, usize)> {
        let mut directory = Directory::of(models);
        let (mut end, mut whole, mut lost) = (from, 0u64, false);
        for array in like {
            within(crate::Resource::Memory, array.grid.frame_count().saturating_mul(8), self.limits.memory)?;
            frame_memory(array.grid.frame_values(), self.limits)?;
            let decoder = array.model.zip(decoders).map(|(m, reader)| reader.decoder(m)).transpose()?;
            let mut frame_offsets = vec![end as u64];
            for f in 0..array.grid.frame_count() {
                let region = array.grid.frame(f);
                let fits = |to: &usize| self.is_frame(array.data_type, &region, end..*to, decoder.as_deref());
                let next = if lost { None } else { self.ends(end).find(fits) };
                lost = next.is_none();
                whole = whole.saturating_add(u64::from(!lost));
                end = next.unwrap_or(end);
                frame_offsets.push(end as u64);
            }
            directory.push(ArrayEntry { frame_offsets, ..array.clone() });
        }
        Ok((directory, whole, end))
    }

    /// Where a frame could end that begins at `start`: where it has its checksum. One end in 2^32 has it by chance; more than a few have
    /// it on purpose, and each would be decoded.
    fn ends(&self, start: usize) -> impl Iterator<Item = usize> {
        const FEW: usize = 4;
        let (stored, covered) =
            self.file.get(start..).and_then(<[u8]>::split_first_chunk::<4>).unwrap_or((&[0; 4], &[]));
        let stored = u32::from_le_bytes(*stored);
        let mut crc = crc32fast::Hasher::new();
        let first = start.saturating_add(5);
        let fits = move |(n, byte): (usize, &u8)| {
            crc.update(std::slice::from_ref(byte));
            (crc.clone().finalize() == stored).then_some(first.saturating_add(n))
        };
        covered.iter().enumerate().filter_map(fits).take(FEW)
    }

    /// Whether these bytes are a frame of this region: its values have a digest.
    fn is_frame(&self, data_type: DataType, region: &Region, at: Range<usize>, decoder: Option<&dyn Decoder>) -> bool {
        match data_type {
            DataType::F32 => self.is_frame_of::<f32>(region, at, decoder),
            DataType::F64 => self.is_frame_of::<f64>(region, at, decoder),
        }
    }

    fn is_frame_of<T: Element>(&self, region: &Region, at: Range<usize>, decoder: Option<&dyn Decoder>) -> bool {
        let mut values = vec![T::default(); region.len()];
        T::decode_frame(self.file.get(at).unwrap_or_default(), &region.extent, decoder, &mut values).is_ok()
    }
}

/// Frames that writers cut an array of this shape into, if they are not asked for others.
fn chosen_by_writers(shape: &[u64]) -> Vec<Vec<u64>> {
    let mut all = vec![shape.to_vec()];
    for log in 15..=21 {
        for cut in [Cut::Cubes, Cut::Slabs] {
            let frames = frame_shape(shape, 1 << log, cut);
            if !all.contains(&frames) {
                all.push(frames);
            }
        }
    }
    all
}
