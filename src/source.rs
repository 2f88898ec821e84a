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
        let extent = self.raw_dim().slice().to_vec();
        check(region, &Source::<T>::shape(self), out.len())?;
        if let Some(all) = self.as_slice() {
            let whole = Region { start: vec![0; extent.len()], extent };
            for_each_shared_run(&whole, region, |from, to, n| {
                let run = all.get(from..from.saturating_add(n));
                match (run, out.get_mut(to..to.saturating_add(n))) {
                    // Of a column that stands among others: no call for each value.
                    (Some([value]), Some([to])) => *to = *value,
                    (Some(run), Some(to)) => to.copy_from_slice(run),
                    _ => {}
                }
            });
            return Ok(());
        }
        let mut part = self.view();
        for (d, r) in region.ranges().enumerate() {
            let [start, end] = [r.start, r.end].map(|i| isize::try_from(i).unwrap_or(isize::MAX));
            part.slice_axis_inplace(Axis(d), Slice::from(start..end));
        }
        let wrong = |e| Error::from(ArgumentError::Shape(format!("room for the values of a region: {e}")));
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

/// Fails unless `region` lies in an array of this shape and has `room` values.
pub(crate) fn check(region: &Region, shape: &[u64], room: usize) -> Result<()> {
    let is_inside = region.extent.len() == shape.len()
        && region.start.len() == shape.len()
        && region.ranges().zip(shape).all(|(r, n)| r.end <= *n);
    if !is_inside {
        return Err(ArgumentError::Region("region outside the source".into()).into());
    }
    if region.len() != room {
        let needed = region.len();
        return Err(ArgumentError::Shape(format!("room for {room} values, the region has {needed}")).into());
    }
    Ok(())
}

/// A file of values in C order, little-endian unless it is said otherwise, after a header of any length.
#[derive(Debug)]
pub struct RawFile<T> {
    file: Mutex<File>,
    whole: Region,
    shape: Vec<u64>,
    data_offset: u64,
    big_endian: bool,
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
        Ok(RawFile { file: Mutex::new(file), whole, shape: shape.to_vec(), data_offset, big_endian: false, element })
    }

    /// The same file, whose values are big-endian.
    #[must_use]
    pub fn big_endian(self) -> Self {
        RawFile { big_endian: true, ..self }
    }

    /// Reads the values of a span of the file and puts those of each run where they belong.
    fn read_span(&self, file: &mut File, span: &Span, buffer: &mut Vec<u8>, out: &mut [T]) -> Result<()> {
        let size = T::DATA_TYPE.size();
        let at = (span.start as u64).saturating_mul(size as u64).saturating_add(self.data_offset);
        file.seek(SeekFrom::Start(at))?;
        buffer.resize(span.len.saturating_mul(size), 0);
        file.read_exact(buffer)?;
        if self.big_endian {
            buffer.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        for Run { from, to, len } in &span.runs {
            let values = buffer.get(from.saturating_sub(span.start).saturating_mul(size)..).unwrap_or_default();
            let out = out.get_mut(*to..to.saturating_add(*len)).unwrap_or_default();
            for (o, b) in out.iter_mut().zip(values.chunks_exact(size)) {
                *o = T::get_le(b).unwrap_or_default();
            }
        }
        Ok(())
    }
}

/// Consecutive values, at position `from` of a file and `to` of a buffer.
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

/// Values of a file that are read at once, because little lies between the runs that are needed of them.
#[derive(Default)]
struct Span {
    start: usize,
    len: usize,
    runs: Vec<Run>,
}

impl Span {
    /// Values of a span, at most.
    const MOST: usize = 1 << 16;

    /// Adds a run that follows the others, if it does so closely.
    fn takes(&mut self, run: Run) -> Option<Run> {
        /// Reading so many values takes less than another call.
        const GAP: usize = 1 << 10;
        let end = self.start.saturating_add(self.len);
        let len = run.from.saturating_add(run.len).saturating_sub(self.start);
        let follows = run.from >= end && run.from.saturating_sub(end) <= GAP && len <= Span::MOST;
        if !follows && !self.runs.is_empty() {
            return Some(run);
        }
        self.start = if self.runs.is_empty() { run.from } else { self.start };
        self.len = run.from.saturating_add(run.len).saturating_sub(self.start);
        self.runs.push(run);
        None
    }
}

impl<T: Element> Source<T> for RawFile<T> {
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        check(region, &self.shape, out.len())?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = Vec::new();
        let mut span = Span::default();
        let mut result = Ok(());
        for_each_shared_run(&self.whole, region, |from, to, n| {
            for start in (0..n).step_by(Span::MOST) {
                let (from, to) = (from.saturating_add(start), to.saturating_add(start));
                let run = Run { from, to, len: n.saturating_sub(start).min(Span::MOST) };
                if let Some(run) = span.takes(run) {
                    let full = std::mem::take(&mut span);
                    if result.is_ok() {
                        result = self.read_span(&mut file, &full, &mut buffer, out);
                    }
                    span.takes(run);
                }
            }
        });
        if !span.runs.is_empty() && result.is_ok() {
            result = self.read_span(&mut file, &span, &mut buffer, out);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_what_memory_does() {
        // Rows with little and with much between them, and more values than are read at once.
        for shape in [vec![3usize, 4, 5], vec![2, 30, 3000], vec![150_000], vec![]] {
            let values: Vec<f64> = (0..shape.iter().product::<usize>()).map(|i| i as f64).collect();
            let view = ArrayViewD::from_shape(shape.as_slice(), &values).unwrap();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, b"head").unwrap();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            let extents: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            let raw = RawFile::<f64>::open(file.path(), &extents, 4).unwrap().big_endian();
            for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let start: Vec<usize> = shape.iter().map(|n| n / 3 * from).collect();
                let extent = shape.iter().zip(&start).map(|(n, s)| n - s - n / 3 * to).collect();
                let start = start.iter().map(|s| *s as u64).collect();
                let region = Region { start, extent };
                let (mut a, mut b) = (vec![0.0; region.len()], vec![1.0; region.len()]);
                raw.read(&region, &mut a).unwrap();
                view.read(&region, &mut b).unwrap();
                assert_eq!(a, b, "{region:?}");
                assert!(raw.read(&region, &mut vec![0.0; region.len() + 1]).is_err());
                let beyond = Region { start: region.start.iter().map(|s| s + 1_000_000).collect(), ..region.clone() };
                assert!(shape.is_empty() || raw.read(&beyond, &mut a).is_err());
            }
        }
    }

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
