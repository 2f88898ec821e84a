//! The directory: every model and array of the file, in the order of their bytes (SPEC 4).
//!
//! Offsets are not stored: each part begins where the one before it ends, so nothing overlaps and there are no holes.

use crate::bound::{Bound, ResolvedBound, Tolerance};
use crate::codec::cursor::{Cursor, put_block, put_varint};
use crate::element::DataType;
use crate::error::{Fault, FormatError, Place, Resource, Result};
use crate::format::header::HEADER_LEN;
use crate::grid::FrameGrid;
use crate::limits::within;
use std::collections::HashMap;
use std::sync::Arc;

/// Most dimensions of an array.
pub(crate) const MAX_DIMS: usize = 8;

const KIND_MODEL: u8 = 1;
const KIND_ARRAY: u8 = 2;

const FLAG_DIM_NAMES: u8 = 1;
const FLAG_ATTRIBUTES: u8 = 2;
const FLAG_MODEL: u8 = 4;
const FLAG_FRAME_SHAPE: u8 = 8;
const FLAGS_KNOWN: u8 = 15;

/// A model (SPEC 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    /// SHA-256 of the ONNX bytes.
    pub(crate) digest: [u8; 32],
    /// Bytes in the file; 0 if the model is kept elsewhere.
    pub(crate) len: u64,
    /// Absolute byte offset, derived.
    pub(crate) offset: u64,
}

impl ModelEntry {
    /// Bytes of memory that it takes, at most: room that lists keep for more, and where its decoder will be, included.
    const HELD: u64 = 160;
}

/// An array (SPEC 4.2).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArrayEntry {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) bound: ResolvedBound,
    /// One name a dimension, or none at all.
    pub(crate) dim_names: Vec<String>,
    /// Text of a JSON object, or empty.
    pub(crate) attributes: String,
    /// Index of the model that decodes its frames.
    pub(crate) model: Option<u32>,
    pub(crate) grid: FrameGrid,
    /// Byte offsets of the frames in the file and the end of the last: one more than there are frames. Derived.
    pub(crate) frame_offsets: Vec<u64>,
}

/// All that the file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Directory {
    pub(crate) models: Vec<ModelEntry>,
    arrays: Vec<ArrayEntry>,
    /// Index of each array by its name.
    by_name: HashMap<Arc<str>, usize>,
}

impl Directory {
    /// A directory of these models and no array yet.
    pub(crate) fn of(models: Vec<ModelEntry>) -> Directory {
        Directory { models, ..Directory::default() }
    }

    /// The arrays, in the order of the file.
    pub(crate) fn arrays(&self) -> &[ArrayEntry] {
        &self.arrays
    }

    /// Index of the array of this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The array of this name, to be changed.
    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut ArrayEntry> {
        self.arrays.get_mut(*self.by_name.get(name)?)
    }

    /// Adds an array; false if there is one of its name.
    pub(crate) fn push(&mut self, array: ArrayEntry) -> bool {
        let is_new = self.by_name.insert(Arc::clone(&array.name), self.arrays.len()).is_none();
        self.arrays.push(array);
        is_new
    }

    /// The bytes of the directory: models first, as their bytes are in the file.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        put_varint(out, (self.models.len() as u64).saturating_add(self.arrays.len() as u64));
        for m in &self.models {
            out.push(KIND_MODEL);
            out.extend_from_slice(&m.digest);
            put_varint(out, m.len);
        }
        for a in &self.arrays {
            out.push(KIND_ARRAY);
            a.write_to(out);
        }
    }

    /// Whether bytes may be those of a directory, by its first part.
    pub(crate) fn may_be(bytes: &[u8]) -> bool {
        let mut c = Cursor::new(bytes);
        c.varint("parts").is_ok_and(|n| n > 0) && matches!(c.u8("kind of part"), Ok(KIND_MODEL | KIND_ARRAY))
    }

    /// Reads the directory, which starts at `offset` of the file and must account for every byte before it, into at most so many bytes
    /// of memory.
    pub(crate) fn read_from(bytes: &[u8], offset: u64, memory: u64) -> Result<Directory> {
        let mut c = Cursor::new(bytes);
        let mut end = HEADER_LEN as u64;
        parse(&mut c, &mut end, memory)
            .and_then(|d| {
                c.finish("directory")?;
                if end == offset {
                    Ok(d)
                } else {
                    let kind = FormatError::Count { what: "bytes of models and frames", found: offset, expected: end };
                    Err(kind.into())
                }
            })
            .map_err(|fault| fault.at(Place::Directory, offset))
    }
}

fn parse(c: &mut Cursor, end: &mut u64, memory: u64) -> std::result::Result<Directory, Fault> {
    let mut d = Directory::default();
    let mut held = 0u64;
    // Each part takes at least one byte here, so the count is not believed beyond what is there.
    let parts = c.varint_max("part count", c.remaining() as u64)?;
    for _ in 0..parts {
        match c.u8("part kind")? {
            KIND_MODEL if d.arrays.is_empty() => {
                let m = ModelEntry { digest: c.array("model digest")?, len: c.varint("model length")?, offset: *end };
                *end = advance(*end, m.len)?;
                held = within(Resource::Memory, held.saturating_add(ModelEntry::HELD), memory)?;
                d.models.push(m);
            }
            // Models come before arrays.
            KIND_MODEL => return Err(FormatError::Forbidden { what: "a model behind an array" }.into()),
            KIND_ARRAY => {
                let a = ArrayEntry::read_from(c, end, d.models.len(), memory)?;
                held = within(Resource::Memory, held.saturating_add(a.held()), memory)?;
                if !d.push(a) {
                    return Err(FormatError::DuplicateName.into());
                }
            }
            other => return Err(Fault::unknown("directory part", other)),
        }
    }
    Ok(d)
}

fn advance(end: u64, len: u64) -> std::result::Result<u64, FormatError> {
    end.checked_add(len).ok_or(FormatError::Value {
        field: "part length",
        found: len,
        expected: u64::MAX.saturating_sub(end),
    })
}

fn text(c: &mut Cursor, field: &'static str) -> std::result::Result<String, FormatError> {
    let bytes = c.block(field)?;
    match std::str::from_utf8(bytes) {
        Ok(s) if !s.contains('\0') => Ok(s.to_owned()),
        _ => Err(FormatError::Text { field }),
    }
}

impl ArrayEntry {
    /// Bytes of memory that it takes, at most: room that lists keep for more, and what each piece of memory has beside what it holds,
    /// included.
    fn held(&self) -> u64 {
        const EACH: u64 = 704;
        let texts = self
            .dim_names
            .iter()
            .map(String::len)
            .fold(self.name.len().saturating_add(self.attributes.len()), usize::saturating_add);
        let names = self.dim_names.len().saturating_mul(64);
        let frames = self.frame_offsets.len().saturating_mul(size_of::<u64>());
        EACH.saturating_add(texts as u64).saturating_add(names as u64).saturating_add(frames as u64)
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        put_block(out, self.name.as_bytes());
        out.push(match self.data_type {
            DataType::F32 => 1,
            DataType::F64 => 2,
        });
        let one_frame = self.grid.is_one_frame();
        let mut flags = 0;
        for (bit, set) in [
            (FLAG_DIM_NAMES, !self.dim_names.is_empty()),
            (FLAG_ATTRIBUTES, !self.attributes.is_empty()),
            (FLAG_MODEL, self.model.is_some()),
            (FLAG_FRAME_SHAPE, !one_frame),
        ] {
            if set {
                flags |= bit;
            }
        }
        out.push(flags);
        let shape = self.grid.shape();
        put_varint(out, shape.len() as u64);
        for n in shape {
            put_varint(out, *n);
        }
        write_bound(&self.bound, out);
        for name in &self.dim_names {
            put_block(out, name.as_bytes());
        }
        if !self.attributes.is_empty() {
            put_block(out, self.attributes.as_bytes());
        }
        if let Some(m) = self.model {
            put_varint(out, m.into());
        }
        if !one_frame {
            for n in self.grid.frame_shape() {
                put_varint(out, *n as u64);
            }
        }
        for (a, b) in self.frame_offsets.iter().zip(self.frame_offsets.iter().skip(1)) {
            put_varint(out, b.saturating_sub(*a));
        }
    }

    fn read_from(c: &mut Cursor, end: &mut u64, models: usize, memory: u64) -> std::result::Result<ArrayEntry, Fault> {
        let name = text(c, "array name")?.into();
        let data_type = match c.u8("data type")? {
            1 => DataType::F32,
            2 => DataType::F64,
            other => return Err(Fault::unknown("data type", other)),
        };
        let flags = c.u8("array flags")?;
        if flags & !FLAGS_KNOWN != 0 {
            return Err(Fault::unknown("array flags", flags));
        }
        let ndim = c.varint_max("number of dimensions", MAX_DIMS as u64)?;
        let mut shape = Vec::with_capacity(usize::try_from(ndim).unwrap_or(MAX_DIMS));
        for _ in 0..ndim {
            shape.push(c.varint("extent")?);
        }
        let bound = read_bound(c)?;
        let mut dim_names = Vec::new();
        if flags & FLAG_DIM_NAMES != 0 {
            for _ in 0..ndim {
                dim_names.push(text(c, "dimension name")?);
            }
        }
        let attributes = if flags & FLAG_ATTRIBUTES != 0 { text(c, "attributes")? } else { String::new() };
        let model = if flags & FLAG_MODEL != 0 {
            let last =
                (models as u64).checked_sub(1).ok_or(FormatError::Count { what: "models", found: 0, expected: 1 })?;
            u32::try_from(c.varint_max("model index", last)?).ok()
        } else {
            None
        };
        let frame_shape = if flags & FLAG_FRAME_SHAPE != 0 {
            let mut frame_shape = Vec::with_capacity(shape.len());
            for n in &shape {
                frame_shape.push(c.varint_max("frame extent", *n)?);
            }
            Some(frame_shape)
        } else {
            None
        };
        let grid = FrameGrid::from_file(shape, frame_shape)?;
        let frames = grid.frame_count();
        if frames > c.remaining() as u64 {
            let available = c.remaining() as u64;
            return Err(FormatError::Truncated { what: "frame lengths", needed: frames, available }.into());
        }
        within(Resource::Memory, frames.saturating_add(1).saturating_mul(size_of::<u64>() as u64), memory)?;
        let mut frame_offsets = Vec::with_capacity(usize::try_from(frames).unwrap_or(usize::MAX).saturating_add(1));
        frame_offsets.push(*end);
        for _ in 0..frames {
            *end = advance(*end, c.varint("frame length")?)?;
            frame_offsets.push(*end);
        }
        Ok(ArrayEntry { name, data_type, bound, dim_names, attributes, model, grid, frame_offsets })
    }
}

fn write_bound(b: &ResolvedBound, out: &mut Vec<u8>) {
    out.push(match b.asked {
        Bound::Lossless => 0,
        Bound::Absolute(_) => 1,
        Bound::Range(_) => 2,
        Bound::Pointwise(_) => 3,
        Bound::Rmse(_) => 4,
        Bound::Psnr(_) => 5,
        Bound::Ratio(_) => 6,
        Bound::ByPoint => 7,
    });
    if let Some(v) = b.asked.parameter() {
        out.extend_from_slice(&v.to_le_bytes());
    }
    if let Bound::Range(_) | Bound::Rmse(_) | Bound::Psnr(_) | Bound::Ratio(_) | Bound::ByPoint = b.asked {
        // Zero stands for lossless.
        let e = if let Tolerance::Absolute(e) = b.tolerance { e } else { 0.0 };
        out.extend_from_slice(&e.to_le_bytes());
    }
}

fn read_bound(c: &mut Cursor) -> std::result::Result<ResolvedBound, Fault> {
    let field = "bound";
    let positive = |v: f64| {
        if v.is_finite() && v > 0.0 { Ok(v) } else { Err(FormatError::number(field, v, "a positive finite number")) }
    };
    let kind = c.u8("bound kind")?;
    let asked = match kind {
        0 => Bound::Lossless,
        1..=6 => {
            let v = positive(c.f64(field)?)?;
            let kinds = [Bound::Absolute, Bound::Range, Bound::Pointwise, Bound::Rmse, Bound::Psnr, Bound::Ratio];
            let make = kinds.get(usize::from(kind).saturating_sub(1)).ok_or(Fault::unknown("bound kind", kind))?;
            make(v)
        }
        7 => Bound::ByPoint,
        other => return Err(Fault::unknown("bound kind", other)),
    };
    let e = match asked {
        Bound::Absolute(e) => e,
        Bound::Lossless | Bound::Pointwise(_) => 0.0,
        _ => match c.f64(field)? {
            e if e.to_bits() == 0 => 0.0,
            e => positive(e)?,
        },
    };
    Ok(ResolvedBound::new(asked, e))
}
