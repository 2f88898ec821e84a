//! One block of an array, to bytes and back, given its shape and model (SPEC 6). No container and no I/O here: other
//! file formats embed frames as they are.

mod class;
mod decode;
mod domain;
mod encode;
mod patch;
mod table;
mod trial;
mod typed;

pub(crate) use class::ordinary;
pub(crate) use decode::{Judgement, check, judge, sections};
pub(crate) use encode::{Candidate, Encoded, MAY_GAIN, View};
pub(crate) use trial::{Block, Kernel, Models};
pub(crate) use typed::Typed;

use crate::codec::checksum_holds;
use crate::codec::cursor::{Cursor, put_block};
use crate::error::{Fault, FormatError};
use domain::Domain;

/// How the ordinary values of a frame are coded (SPEC 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    /// One value for all.
    Constant = 0,
    /// The values as they are.
    Raw = 1,
    /// Closed-loop prediction from coarse to fine (SPEC 9.2).
    Multilevel = 2,
    /// Closed-loop prediction in C order (SPEC 9.3).
    Raster = 3,
    /// The fast kernel (SPEC 9.4).
    Fast = 4,
    /// The paper's pipeline: block decoder, bitmap and deltas (SPEC 7).
    Sparse = 5,
    /// Integers without loss (SPEC 9.5).
    Exact = 6,
    /// Multilevel with a network in the loop (SPEC 9.2.7).
    Network = 7,
    /// Multilevel with a network that learns while it decodes (SPEC 9.2.8).
    Learner = 8,
}

impl Method {
    fn from_byte(b: u8) -> Result<Method, Fault> {
        Ok(match b {
            0 => Method::Constant,
            1 => Method::Raw,
            2 => Method::Multilevel,
            3 => Method::Raster,
            4 => Method::Fast,
            5 => Method::Sparse,
            6 => Method::Exact,
            7 => Method::Network,
            8 => Method::Learner,
            other => return Err(Fault::unknown("frame method", other)),
        })
    }

    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Constant => "constant",
            Method::Raw => "raw",
            Method::Multilevel => "multilevel",
            Method::Raster => "raster",
            Method::Fast => "fast",
            Method::Sparse => "sparse",
            Method::Exact => "exact",
            Method::Network => "network",
            Method::Learner => "learner",
        }
    }

    /// Whether a model that writers were given predicts.
    pub(crate) fn is_by_model(self) -> bool {
        matches!(self, Method::Sparse | Method::Network)
    }
}

/// Bits 0 and 1 of the flags hold the domain.
const DOMAIN_MASK: u8 = 3;
const FLAG_CLASSES: u8 = 4;
const FLAG_PATCHES: u8 = 8;
/// A network predicts whose last bits depend on the engine; a guard follows, and the digest is that of the writer's.
const FLAG_GUARD: u8 = 16;
const FLAGS_KNOWN: u8 = 31;

/// Bytes before the sections: CRC-32, digest, method, flags.
const PREFIX_LEN: usize = 10;

/// A frame taken apart (SPEC 6.1).
#[derive(Debug, Clone)]
struct Parts<'a> {
    method: Method,
    domain: Domain,
    /// CRC-32 of the little-endian bytes of the decoded values.
    digest: u32,
    /// By how much predictions may differ from the writer's with every point inside its bound, where engines differ.
    guard: Option<f32>,
    /// In [`Domain::Table`] and only there.
    table: Option<&'a [u8]>,
    classes: Option<&'a [u8]>,
    patches: Option<&'a [u8]>,
    payload: Payload<'a>,
}

/// The method's own sections.
#[derive(Debug, Clone)]
enum Payload<'a> {
    One(&'a [u8]),
    Sparse { exponents: &'a [u8], latents: &'a [u8], bitmap: &'a [u8], deltas: &'a [u8] },
}

impl<'a> Parts<'a> {
    fn read_from(bytes: &'a [u8]) -> Result<Parts<'a>, Fault> {
        let mut c = Cursor::new(bytes);
        let stored = c.u32("frame checksum")?;
        let covered = c.clone().take_rest();
        let computed = crc32fast::hash(covered);
        if !checksum_holds(stored, computed) {
            return Err(FormatError::Checksum { what: "frame", stored, computed }.into());
        }
        let digest = c.u32("frame digest")?;
        let method = Method::from_byte(c.u8("frame method")?)?;
        let flags = c.u8("frame flags")?;
        if flags & !FLAGS_KNOWN != 0 {
            return Err(Fault::unknown("frame flags", flags));
        }
        let domain = match flags & DOMAIN_MASK {
            0 => Domain::Linear,
            1 => Domain::Log,
            2 => Domain::Ordered,
            _ => Domain::Table,
        };
        let guard = if flags & FLAG_GUARD != 0 { Some(read_guard(&mut c)?) } else { None };
        let table = if domain == Domain::Table { Some(c.block("table of values")?) } else { None };
        let classes = if flags & FLAG_CLASSES != 0 { Some(c.block("classes")?) } else { None };
        let patches = if flags & FLAG_PATCHES != 0 { Some(c.block("patches")?) } else { None };
        let payload = if method == Method::Sparse {
            let exponents = c.block("exponents")?;
            let latents = c.block("latents")?;
            let bitmap = c.block("bitmap")?;
            Payload::Sparse { exponents, latents, bitmap, deltas: c.take_rest() }
        } else {
            Payload::One(c.take_rest())
        };
        Ok(Parts { method, domain, digest, guard, table, classes, patches, payload })
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.digest.to_le_bytes());
        out.push(self.method as u8);
        let mut flags = match self.domain {
            Domain::Linear => 0,
            Domain::Log => 1,
            Domain::Ordered => 2,
            Domain::Table => 3,
        };
        for (bit, set) in [
            (FLAG_CLASSES, self.classes.is_some()),
            (FLAG_PATCHES, self.patches.is_some()),
            (FLAG_GUARD, self.guard.is_some()),
        ] {
            if set {
                flags |= bit;
            }
        }
        out.push(flags);
        out.extend(self.guard.iter().flat_map(|g| g.to_le_bytes()));
        for block in [self.table, self.classes, self.patches].into_iter().flatten() {
            put_block(out, block);
        }
        match self.payload {
            Payload::One(codes) => out.extend_from_slice(codes),
            Payload::Sparse { exponents, latents, bitmap, deltas } => {
                put_block(out, exponents);
                put_block(out, latents);
                put_block(out, bitmap);
                out.extend_from_slice(deltas);
            }
        }
        let crc = crc32fast::hash(out.get(at.saturating_add(4)..).unwrap_or_default());
        if let Some(place) = out.get_mut(at..).and_then(|o| o.first_chunk_mut()) {
            *place = crc.to_le_bytes();
        }
    }
}

/// A finite number that is not negative.
fn read_guard(c: &mut Cursor) -> Result<f32, FormatError> {
    let guard = f32::from_bits(c.u32("guard")?);
    if guard >= 0.0 && guard.is_finite() {
        Ok(guard)
    } else {
        Err(FormatError::number("guard", guard.into(), "a finite number of at least 0"))
    }
}

/// A part of a frame, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Section {
    /// Checksum, digest, method, flags and section lengths.
    FrameHeader,
    /// Which points are not ordinary, and what they hold.
    Mask,
    /// The values that points may have.
    Table,
    /// Points stored as they are because the method left them outside their bound.
    Patches,
    /// Exponent runs of the decimal normalisation.
    Exponents,
    /// Latents: the Z blob.
    Latents,
    /// Bitmap of corrected points.
    Bitmap,
    /// Corrections of the points in the bitmap.
    Deltas,
    /// Codes of a lattice kernel.
    Codes,
    /// Values stored as they are.
    Values,
}

impl Section {
    /// The name in reports and in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Section::FrameHeader => "frame_headers",
            Section::Mask => "mask",
            Section::Table => "table",
            Section::Patches => "patches",
            Section::Exponents => "exponents",
            Section::Latents => "latents",
            Section::Bitmap => "bitmap",
            Section::Deltas => "deltas",
            Section::Codes => "codes",
            Section::Values => "values",
        }
    }
}

/// The shape that kernels see: a scalar is one point in one dimension.
fn kernel_dims(dims: &[usize]) -> &[usize] {
    if dims.is_empty() { &[1] } else { dims }
}

/// CRC-32 of the little-endian bytes of `values` (SPEC 6.1).
fn digest<T: crate::Element>(values: &[T]) -> u32 {
    crc32fast::hash(&T::le_bytes(values))
}
