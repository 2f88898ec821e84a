//! A source that is asked for one column after another: what is read of it is read once for all of them.

use crate::element::Element;
use crate::error::Result;
use crate::grid::Region;
use crate::source::Source;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Slabs that are held, at most: threads that go on to the next one leave others behind in the last.
const HELD: usize = 2;

/// Keeps all columns of the rows of which one was asked for, until each had its turn.
pub(crate) struct Slabs<'s, T> {
    source: &'s dyn Source<T>,
    held: Mutex<VecDeque<Slab<T>>>,
}

struct Slab<T> {
    /// Rows with all of their columns.
    region: Region,
    values: Arc<Vec<T>>,
    /// Columns that were not asked for yet.
    left: usize,
}

impl<'s, T: Element> Slabs<'s, T> {
    pub(crate) fn new(source: &'s dyn Source<T>) -> Self {
        Slabs { source, held: Mutex::default() }
    }

    /// The values of `region`, whose last dimension is whole.
    fn slab(&self, region: Region, columns: usize) -> Result<Arc<Vec<T>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|s| s.region == region)
            && let Some(slab) = held.get_mut(at)
        {
            slab.left = slab.left.saturating_sub(1);
            let (values, left) = (Arc::clone(&slab.values), slab.left);
            if left == 0 {
                held.remove(at);
            }
            return Ok(values);
        }
        held.truncate(HELD.saturating_sub(1));
        let mut values = vec![T::default(); region.len()];
        self.source.read(&region, &mut values)?;
        let values = Arc::new(values);
        held.push_front(Slab { region, values: Arc::clone(&values), left: columns.saturating_sub(1) });
        Ok(values)
    }
}

impl<T: Element> Source<T> for Slabs<'_, T> {
    fn shape(&self) -> Vec<u64> {
        self.source.shape()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        let columns = self.shape().last().and_then(|n| usize::try_from(*n).ok()).unwrap_or(1);
        let mut rows = region.clone();
        let (Some(first), Some(extent)) = (rows.start.last_mut(), rows.extent.last_mut()) else {
            return self.source.read(region, out);
        };
        if *extent != 1 || columns < 2 {
            return self.source.read(region, out);
        }
        let column = usize::try_from(*first).unwrap_or(usize::MAX);
        (*first, *extent) = (0, columns);
        let values = self.slab(rows, columns)?;
        out.iter_mut().zip(values.iter().skip(column).step_by(columns)).for_each(|(to, v)| *to = *v);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, ArrayViewD};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted<'a>(ArrayViewD<'a, f32>, AtomicUsize);

    impl Source<f32> for Counted<'_> {
        fn shape(&self) -> Vec<u64> {
            Source::<f32>::shape(&self.0)
        }
        fn read(&self, region: &Region, out: &mut [f32]) -> Result<()> {
            self.1.fetch_add(region.len(), Ordering::Relaxed);
            self.0.read(region, out)
        }
    }

    #[test]
    fn columns_are_read_once_and_are_those_of_the_array() {
        let array = ArrayD::from_shape_fn(vec![40, 3, 7], |i| (i[0] * 100 + i[1] * 10 + i[2]) as f32);
        let source = Counted(array.view(), AtomicUsize::new(0));
        let slabs = Slabs::new(&source);
        for first in [0, 16, 32] {
            for column in 0..7 {
                let extent = vec![16.min(40 - first), 3, 1];
                let region = Region { start: vec![first as u64, 0, column], extent };
                let (mut found, mut expected) = (vec![0.0; region.len()], vec![0.0; region.len()]);
                slabs.read(&region, &mut found).unwrap();
                array.view().read(&region, &mut expected).unwrap();
                assert_eq!(found, expected);
            }
        }
        assert_eq!(source.1.load(Ordering::Relaxed), array.len());
        assert!(slabs.held.lock().unwrap().is_empty());
        let all = Region { start: vec![0; 3], extent: vec![40, 3, 7] };
        let mut found = vec![0.0; array.len()];
        slabs.read(&all, &mut found).unwrap();
        assert_eq!(found, array.as_slice().unwrap());
    }
}
