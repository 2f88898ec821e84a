//! What the fuzz targets share: limits, and grids out of the first bytes of an input.

use cae::{DataType, Element, Error, Limits, ReadOptions, Reader};

/// Most points of a grid, so that a second is enough for many inputs.
const MAX_POINTS: usize = 4096;

/// Small limits, one thread.
pub fn options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.limits = limits();
    options.threads = 1;
    options
}

/// What a hostile file of a few kilobytes may cost here.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory = 1 << 21;
    limits.array_bytes = 1 << 18;
    limits.directory_bytes = 1 << 16;
    limits.frame_values = 1 << 13;
    limits.model_bytes = 1 << 20;
    limits.model_elements = 1 << 16;
    limits.model_operations = 1 << 20;
    limits
}

/// The bits of every array, whole and by frame; the first error ends it.
pub fn read(reader: &Reader) -> Result<Vec<Vec<u64>>, Error> {
    for index in 0..reader.models().len() {
        reader.model_bytes(index)?;
    }
    let mut all = Vec::new();
    for array in reader.arrays() {
        array.breakdown()?;
        let values: Vec<u64> = match array.data_type() {
            DataType::F64 => array.read::<f64>()?.iter().map(|v| v.to_bits64()).collect(),
            _ => array.read::<f32>()?.iter().map(|v| v.to_bits64()).collect(),
        };
        all.push(values);
        array.verify()?;
    }
    Ok(all)
}

/// A grid, and the bytes of the input that follow it.
#[derive(Debug)]
pub struct Layout<'a> {
    pub dims: Vec<usize>,
    pub ordinary: Option<Vec<bool>>,
    pub rest: &'a [u8],
}

impl<'a> Layout<'a> {
    /// Reads a count of dimensions, the extents and how the mask is made.
    pub fn read(data: &'a [u8]) -> Option<Layout<'a>> {
        let (head, rest) = data.split_first()?;
        let (dims, rest) = rest.split_at_checked(usize::from(head % 5) + 1)?;
        let (mask, rest) = rest.split_first()?;
        let dims: Vec<usize> = dims.iter().map(|d| usize::from(*d).max(1)).collect();
        let points = dims.iter().product::<usize>();
        if points > MAX_POINTS {
            return None;
        }
        let hash = |i: usize| (i * 2_654_435_761 + usize::from(*mask)) >> 7;
        let ordinary = (*mask != 0).then(|| (0..points).map(|i| hash(i) % 256 >= usize::from(*mask)).collect());
        Some(Layout { dims, ordinary, rest })
    }

    /// The bytes that [`Layout::read`] takes for this grid, and `rest`.
    pub fn write(dims: &[u8], mask: u8, rest: &[u8]) -> Vec<u8> {
        let count = (dims.len() - 1) as u8;
        [&[count][..], dims, &[mask], rest].concat()
    }

    pub fn points(&self) -> usize {
        self.dims.iter().product()
    }

    pub fn ordinary(&self) -> Option<&[bool]> {
        self.ordinary.as_deref()
    }
}
