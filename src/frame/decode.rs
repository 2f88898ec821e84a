//! Bytes to values (SPEC 6.6).

use super::class::{Class, ClassMap};
use super::domain::Domain;
use super::{Method, PREFIX_LEN, Parts, Payload, Section, digest, kernel_dims, patch, table};
use crate::codec::checksum_holds;
use crate::codec::cursor::Cursor;
use crate::element::{DataType, Element};
use crate::error::{Error, Fault, FormatError, ModelError};
use crate::fast;
use crate::lattice::multilevel::{self, Asked};
use crate::lattice::{Grid, exact, raster};
use crate::model::Decoder;
use crate::sparse;

/// Decodes a frame of shape `dims` into `out`, which has that many values.
pub(crate) fn decode<T: Element>(
    bytes: &[u8],
    dims: &[usize],
    decoder: Option<&dyn Decoder>,
    out: &mut [T],
) -> Result<(), Fault> {
    let dims = kernel_dims(dims);
    let parts = Parts::read_from(bytes)?;
    // Whether the digest binds is not for the file to say.
    let floating = parts.method == Method::Sparse && decoder.is_some_and(|d| !d.is_exact());
    let predicted = parts.method == Method::Network || parts.method == Method::Sparse && parts.guard.is_some();
    if predicted && decoder.is_none() {
        return Err(FormatError::NoModel.into());
    }
    match (parts.guard, floating) {
        (None, true) => return Err(FormatError::Forbidden { what: "a frame of a float model without a guard" }.into()),
        (Some(_), false) => return Err(FormatError::Forbidden { what: "a guard without a float model" }.into()),
        _ => {}
    }
    let map = match parts.classes {
        Some(bytes) => Some(ClassMap::<T>::read_from(bytes, dims, out.len())?),
        None => None,
    };
    let ordinary = map.as_ref().map(ClassMap::ordinary);
    let grid = Grid { dims, ordinary: ordinary.as_deref() };
    decode_ordinary(&parts, &grid, map.as_ref(), decoder, out)?;
    if let Some(map) = &map {
        place_others(map, out);
    }
    if let Some(bytes) = parts.patches {
        patch::apply(bytes, out)?;
    }
    let computed = digest(out);
    if !checksum_holds(parts.digest, computed) && parts.guard.is_none() {
        return Err(FormatError::Digest { stored: parts.digest, computed }.into());
    }
    Ok(())
}

/// What a frame's own bytes prove of the values that other engines decode.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// Whether the values have the digest that is stored.
    pub(crate) same: bool,
    /// The guard that is stored, where engines may differ.
    pub(crate) guard: Option<Guarded>,
}

/// What is kept for other engines, and what must be.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) kept: f32,
    /// The least that covers every conforming engine, in all and for each output of the model; `None` if not known.
    pub(crate) needed: Option<(f32, Vec<f64>)>,
}

/// [`decode`], and whether the guard covers every conforming engine.
pub(crate) fn judge<T: Element>(
    bytes: &[u8],
    dims: &[usize],
    decoder: Option<&dyn Decoder>,
    out: &mut [T],
) -> Result<Judgement, Fault> {
    decode(bytes, dims, decoder, out)?;
    let parts = Parts::read_from(bytes)?;
    let guard = match (parts.guard, &parts.payload, decoder) {
        (Some(kept), Payload::Sparse { latents, .. }, Some(decoder)) => {
            Some(Guarded { kept, needed: sparse::needed(latents, kernel_dims(dims), decoder)? })
        }
        _ => None,
    };
    Ok(Judgement { same: digest(out) == parts.digest, guard })
}

/// Decodes the ordinary points; the others keep whatever `out` held.
fn decode_ordinary<T: Element>(
    parts: &Parts,
    grid: &Grid,
    map: Option<&ClassMap<T>>,
    decoder: Option<&dyn Decoder>,
    out: &mut [T],
) -> Result<(), Fault> {
    let linear_only = |what| match parts.domain {
        Domain::Linear => Ok(()),
        _ => Err(Fault::Format(FormatError::Code { what })),
    };
    match (parts.method, &parts.payload) {
        (Method::Sparse, Payload::Sparse { exponents, latents, bitmap, deltas }) => {
            linear_only("domain of a sparse frame")?;
            let sections =
                sparse::Sections { exponents: *exponents, latents: *latents, bitmap: *bitmap, deltas: *deltas };
            let mut wide = vec![0.0; out.len()];
            // A network in the loop decodes no blocks.
            let decoder = decoder.filter(|d| d.in_loop().is_none());
            sparse::decode(&sections, grid, precision::<T>(), decoder, &mut wide).map_err(misfit)?;
            fill(out, grid, |i| T::from_f64(wide.get(i).copied().unwrap_or_default()));
        }
        (Method::Constant, Payload::One(bytes)) => {
            linear_only("domain of a constant frame")?;
            let v = T::get_le(bytes).filter(|_| bytes.len() == T::DATA_TYPE.size());
            let v = v.ok_or(FormatError::Count {
                what: "bytes of a constant",
                found: bytes.len() as u64,
                expected: T::DATA_TYPE.size() as u64,
            })?;
            fill(out, grid, |_| v);
        }
        (Method::Raw, Payload::One(bytes)) => {
            linear_only("domain of a raw frame")?;
            let size = T::DATA_TYPE.size();
            let count = (0..out.len()).filter(|i| grid.is_ordinary(*i)).count();
            if count.checked_mul(size) != Some(bytes.len()) {
                let (found, expected) = (bytes.len() as u64, count.saturating_mul(size) as u64);
                return Err(FormatError::Count { what: "bytes of raw values", found, expected }.into());
            }
            let mut values = bytes.chunks_exact(size).filter_map(T::get_le);
            fill(out, grid, |_| values.next().unwrap_or_default());
        }
        (Method::Exact, Payload::One(bytes)) => {
            if parts.domain != Domain::Ordered {
                return Err(FormatError::Code { what: "domain of an exact frame" }.into());
            }
            let mut q = vec![0u64; out.len()];
            exact::decode(bytes, grid, &mut q)?;
            fill(out, grid, |i| T::from_image(q.get(i).copied().unwrap_or_default()));
        }
        (Method::Fast, Payload::One(bytes)) if parts.domain == Domain::Linear => fast::decode(bytes, grid, out)?,
        (method, Payload::One(bytes)) => {
            let table = parts.table.map_or(Ok(Vec::new()), table::read)?;
            let mut wide = vec![0.0; out.len()];
            match method {
                Method::Multilevel => multilevel::decode(bytes, grid, Asked::Nobody, &mut wide)?,
                Method::Network => {
                    let network = decoder.and_then(Decoder::in_loop).ok_or_else(no_network)?;
                    multilevel::decode(bytes, grid, Asked::Trained(network.0), &mut wide)?;
                }
                Method::Learner => multilevel::decode(bytes, grid, Asked::Learner, &mut wide)?,
                Method::Raster => raster::decode(bytes, grid, &mut wide)?,
                _ => fast::decode(bytes, grid, &mut wide)?,
            }
            let negative = map.and_then(negative_points);
            parts.domain.values(&wide, grid.ordinary, negative.as_deref(), &table, out);
        }
        (_, Payload::Sparse { .. }) => return Err(FormatError::Code { what: "frame method" }.into()),
    }
    Ok(())
}

fn no_network() -> FormatError {
    FormatError::ModelMisfit { what: "it needs a network in the loop, and the model is none".to_owned() }
}

/// The model is what its array names: a frame that it does not fit is to blame.
fn misfit(error: Error) -> Fault {
    match error {
        Error::Model(ModelError::Mismatch { what }) => FormatError::ModelMisfit { what }.into(),
        other => other.into(),
    }
}

/// What the paper's pipeline rounds to.
pub(super) fn precision<T: Element>() -> sparse::Precision {
    match T::DATA_TYPE {
        DataType::F32 => sparse::Precision::F32,
        DataType::F64 => sparse::Precision::F64,
    }
}

fn fill<T: Element>(out: &mut [T], grid: &Grid, mut value: impl FnMut(usize) -> T) {
    for (i, o) in out.iter_mut().enumerate() {
        if grid.is_ordinary(i) {
            *o = value(i);
        }
    }
}

/// Which points are of the class of negative values, if there is one.
pub(super) fn negative_points<T: Element>(map: &ClassMap<T>) -> Option<Vec<bool>> {
    let negative: Vec<bool> = map.table.iter().map(|c| matches!(c, Class::Negative)).collect();
    let is_negative = |class: &u8| negative.get(usize::from(*class)).copied().unwrap_or(false);
    negative.contains(&true).then(|| map.image.iter().map(is_negative).collect())
}

/// Writes literals and listed values to the points that are not ordinary.
fn place_others<T: Element>(map: &ClassMap<T>, out: &mut [T]) {
    if let [Class::Ordinary, Class::Literal(v)] = map.table[..] {
        for (o, class) in out.iter_mut().zip(&map.image) {
            *o = if *class == 0 { *o } else { v };
        }
        return;
    }
    let mut listed = map.listed.iter();
    for (o, class) in out.iter_mut().zip(&map.image) {
        match map.table.get(usize::from(*class)) {
            Some(Class::Literal(v)) => *o = *v,
            Some(Class::Listed) => *o = listed.next().copied().unwrap_or_default(),
            _ => {}
        }
    }
}

/// Method of a frame and bytes of each of its sections; they add up to the frame's length.
pub(crate) fn sections(bytes: &[u8]) -> Result<(Method, Vec<(Section, u64)>), Fault> {
    let parts = Parts::read_from(bytes)?;
    let mut list = Vec::new();
    let mut put = |section, bytes: &[u8]| list.push((section, bytes.len() as u64));
    if let Some(b) = parts.classes {
        put(Section::Mask, b);
    }
    if let Some(b) = parts.table {
        put(Section::Table, b);
    }
    if let Some(b) = parts.patches {
        put(Section::Patches, b);
    }
    match parts.payload {
        Payload::One(b) => {
            let stored = matches!(parts.method, Method::Constant | Method::Raw);
            put(if stored { Section::Values } else { Section::Codes }, b);
        }
        Payload::Sparse { exponents, latents, bitmap, deltas } => {
            put(Section::Exponents, exponents);
            put(Section::Latents, latents);
            put(Section::Bitmap, bitmap);
            put(Section::Deltas, deltas);
        }
    }
    let inner: u64 = list.iter().map(|(_, n)| *n).sum();
    list.push((Section::FrameHeader, (bytes.len() as u64).saturating_sub(inner).max(PREFIX_LEN as u64)));
    Ok((parts.method, list))
}

/// Reads only the checksum of a frame: whether its bytes are whole.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut c = Cursor::new(bytes);
    let stored = c.u32("frame checksum")?;
    let computed = crc32fast::hash(c.take_rest());
    if checksum_holds(stored, computed) {
        Ok(())
    } else {
        Err(FormatError::Checksum { what: "frame", stored, computed }.into())
    }
}

impl From<ModelError> for Fault {
    fn from(e: ModelError) -> Self {
        Fault::Other(e.into())
    }
}
