//! Where a writer takes an array's values from, a box at a time.

use crate::element::Element;
use crate::error::{ArgumentError, Error, Result};
use crate::grid::{Region, for_each_shared_run};
use ndarray::{ArrayViewD, ArrayViewMutD, Axis, Dimension, Slice};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// An array that may be larger than memory.
pub trait Source<T: Element>: Sync {
    /// The extent of each dimension, C order.
    fn shape(&self) -> Vec<u64>;

    /// Reads the values of `region` into `out`, C order, which has just that many places.
    ///
    /// # Errors
    /// [`Error::Io`], or whatever the source makes of a region outside it.
    fn read(&self, region: &Region, out: &mut [T]) -> Result<()>;

    /// The values of `region`, if they stand in memory one after another in C order: that spares a copy of them.
    fn lend(&self, _region: &Region) -> Option<&[T]> {
        None
    }
}

impl<T: Element> Source<T> for ArrayViewD<'_, T> {
    fn shape(&self) -> Vec<u64> {
        self.raw_dim().slice().iter().map(|n| *n as u64).collect()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        let mut part = self.view();
        for (d, r) in region.ranges().enumerate() {
            let outside = |_| Error::from(ArgumentError::Region("region outside the source".into()));
            let bounds = isize::try_from(r.start).map_err(outside)?..isize::try_from(r.end).map_err(outside)?;
            part.slice_axis_inplace(Axis(d), Slice::from(bounds));
        }
        let wrong = |e| Error::from(ArgumentError::Shape(format!("room for the values of a region: {e}")));
        if let Some(values) = part.as_slice()
            && values.len() == out.len()
        {
            out.copy_from_slice(values);
            return Ok(());
        }
        ArrayViewMutD::from_shape(part.raw_dim(), out).map_err(wrong)?.assign(&part);
        Ok(())
    }

    fn lend(&self, region: &Region) -> Option<&[T]> {
        let all = self.as_slice()?;
        let (mut first, mut stride, mut len, mut whole) = (0usize, 1usize, 1usize, true);
        let dims = self.raw_dim();
        for ((range, extent), n) in
            region.ranges().zip(&region.extent).zip(dims.slice()).collect::<Vec<_>>().iter().rev()
        {
            // Beside a dimension that is cut, slower ones must not go on.
            if (!whole && **extent != 1) || range.end > **n as u64 {
                return None;
            }
            whole &= extent == n;
            first = first.checked_add(usize::try_from(range.start).ok()?.checked_mul(stride)?)?;
            len = len.checked_mul(**extent)?;
            stride = stride.checked_mul(**n)?;
        }
        all.get(first..first.checked_add(len)?)
    }
}

/// A file of little-endian values in C order, after a header of any length.
#[derive(Debug)]
pub struct RawFile<T> {
    file: Mutex<File>,
    whole: Region,
    shape: Vec<u64>,
    data_offset: u64,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> RawFile<T> {
    /// Opens the file at `path`, whose values begin at byte `data_offset`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`ArgumentError::Shape`] if the file's length is not what the shape needs.
    pub fn open(path: impl AsRef<Path>, shape: &[u64], data_offset: u64) -> Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        let values = shape.iter().try_fold(1u64, |n, e| n.checked_mul(*e));
        let needed = values.and_then(|n| n.checked_mul(T::DATA_TYPE.size() as u64)?.checked_add(data_offset));
        if needed != Some(found) {
            let needed = needed.map_or("more than 2^64".to_owned(), |n| n.to_string());
            let name = T::DATA_TYPE.name();
            return Err(ArgumentError::Shape(format!(
                "the file has {found} bytes, {needed} needed for shape {shape:?} of {name}"
            ))
            .into());
        }
        let extent = shape.iter().map(|n| usize::try_from(*n)).collect::<std::result::Result<Vec<_>, _>>();
        let extent = extent.map_err(|_| ArgumentError::Shape("the array is too large for this machine".into()))?;
        let whole = Region { start: vec![0; shape.len()], extent };
        let element = std::marker::PhantomData;
        Ok(RawFile { file: Mutex::new(file), whole, shape: shape.to_vec(), data_offset, element })
    }

    fn read_run(&self, file: &mut File, from: usize, out: &mut [T], buffer: &mut Vec<u8>) -> Result<()> {
        let size = T::DATA_TYPE.size();
        let at = (from as u64).saturating_mul(size as u64).saturating_add(self.data_offset);
        file.seek(SeekFrom::Start(at))?;
        for chunk in out.chunks_mut(1 << 16) {
            buffer.resize(chunk.len().saturating_mul(size), 0);
            file.read_exact(buffer)?;
            for (o, b) in chunk.iter_mut().zip(buffer.chunks_exact(size)) {
                *o = T::get_le(b).unwrap_or_default();
            }
        }
        Ok(())
    }
}

impl<T: Element> Source<T> for RawFile<T> {
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = Vec::new();
        let mut result = Ok(());
        for_each_shared_run(&self.whole, region, |from, to, n| {
            if let Some(out) = out.get_mut(to..to.saturating_add(n))
                && result.is_ok()
            {
                result = self.read_run(&mut file, from, out, &mut buffer);
            }
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_what_is_read() {
        let values: Vec<f32> = (0..60u8).map(f32::from).collect();
        let view = ArrayViewD::from_shape(&[3, 4, 5][..], &values).unwrap();
        let mut lent = 0;
        let boxes = |n: usize| (0..n).flat_map(move |s| (1..=n - s).map(move |e| (s as u64, e)));
        for ((a, i), (b, j), (c, k)) in
            boxes(3).flat_map(|a| boxes(4).flat_map(move |b| boxes(5).map(move |c| (a, b, c))))
        {
            let region = Region { start: vec![a, b, c], extent: vec![i, j, k] };
            let mut out = vec![0.0; i * j * k];
            view.read(&region, &mut out).unwrap();
            if let Some(slice) = view.lend(&region) {
                assert_eq!(slice, out);
                lent += 1;
            }
            assert_eq!(view.lend(&region).is_some(), (k == 5 || i * j == 1) && (k == 5 && j == 4 || i == 1));
        }
        assert!(lent > 0 && view.lend(&Region { start: vec![2, 0, 0], extent: vec![2, 4, 5] }).is_none());
        assert!(view.t().into_dyn().lend(&Region { start: vec![0; 3], extent: vec![5, 4, 3] }).is_none());
    }
}
