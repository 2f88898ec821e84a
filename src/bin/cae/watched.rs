//! What is seen of values while they are read.

use cae::{Element, Region, Source};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

/// A source that tells afterwards what became of reading it.
pub struct Watched<T> {
    source: Box<dyn Source<T>>,
    fill: Option<T>,
    has_fill: AtomicBool,
    failed: AtomicBool,
    extremes: Mutex<Extremes>,
}

impl<T: Element> Watched<T> {
    pub fn new(source: Box<dyn Source<T>>, fill: Option<T>) -> Self {
        let [has_fill, failed] = [(); 2].map(|()| AtomicBool::new(false));
        Watched { source, fill, has_fill, failed, extremes: Mutex::default() }
    }

    /// Whether a value that was read is the fill value.
    pub fn has_fill(&self) -> bool {
        self.has_fill.load(Ordering::Relaxed)
    }

    /// Whether a value could not be read.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// A value that is no fill value and seems to be one: several are that, and it lies far apart from all others.
    pub fn apart(&self) -> Option<f64> {
        self.extremes.lock().unwrap_or_else(PoisonError::into_inner).apart()
    }
}

impl<T: Element> Source<T> for Watched<T> {
    fn shape(&self) -> Vec<u64> {
        self.source.shape()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> cae::Result<()> {
        self.source.read(region, out).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
        let fill = self.fill.map(T::to_bits64);
        if fill.is_some() && !self.has_fill() && out.iter().any(|v| Some(v.to_bits64()) == fill) {
            self.has_fill.store(true, Ordering::Relaxed);
        }
        if fill.is_none() {
            let seen = Extremes::of(out);
            self.extremes.lock().unwrap_or_else(PoisonError::into_inner).merge(&seen);
        }
        Ok(())
    }
}

/// The least and the greatest finite value, each negated if that makes it the least.
#[derive(Debug, Default)]
struct Extremes {
    ends: [Option<End>; 2],
}

/// An end of the range.
#[derive(Debug, Clone, Copy)]
struct End {
    value: f64,
    /// How many were that among values read at once, at most: they may be read again.
    count: usize,
    /// The value next to it.
    next: f64,
}

impl Extremes {
    fn of<T: Element>(values: &[T]) -> Extremes {
        let finite = || values.iter().map(|v| v.to_f64()).filter(|v| v.is_finite());
        Extremes { ends: [End::of(finite()), End::of(finite().map(|v| -v))] }
    }

    fn merge(&mut self, other: &Extremes) {
        for (mine, theirs) in self.ends.iter_mut().zip(other.ends) {
            *mine = match (*mine, theirs) {
                (Some(a), Some(b)) => Some(a.merged(b)),
                (a, b) => a.or(b),
            };
        }
    }

    fn apart(&self) -> Option<f64> {
        /// So many times as far as all others lie from each other.
        const FAR: f64 = 5.0;
        let [Some(low), Some(high)] = self.ends else { return None };
        let is_apart = |end: End, other: End| {
            let others = -other.value - end.next;
            end.count > 1 && others > 0.0 && end.next - end.value > (FAR - 1.0) * others
        };
        if is_apart(low, high) { Some(low.value) } else { is_apart(high, low).then_some(-high.value) }
    }
}

impl End {
    /// That of the least of values.
    fn of(values: impl Iterator<Item = f64>) -> Option<End> {
        let mut end = End { value: f64::INFINITY, count: 0, next: f64::INFINITY };
        for v in values {
            if v < end.value {
                end = End { value: v, count: 1, next: end.value };
            } else if v == end.value {
                end.count = end.count.saturating_add(1);
            } else if v < end.next {
                end.next = v;
            }
        }
        (end.count > 0).then_some(end)
    }

    fn merged(self, other: End) -> End {
        let (low, high) = if self.value <= other.value { (self, other) } else { (other, self) };
        if low.value == high.value {
            return End { value: low.value, count: low.count.max(high.count), next: low.next.min(high.next) };
        }
        End { next: low.next.min(high.value), ..low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(parts: &[&[f32]]) -> Option<f64> {
        let mut all = Extremes::default();
        parts.iter().for_each(|p| all.merge(&Extremes::of(p)));
        all.apart()
    }

    #[test]
    fn what_several_values_are_and_no_other_is_near_is_apart() {
        assert_eq!(apart(&[&[1.0, 2.0, -999.0], &[f32::NAN, -999.0, -999.0, 3.5]]), Some(-999.0));
        assert_eq!(apart(&[&[1e20, 1.0, 1e20], &[2.0], &[4.0]]), Some(1e20f32.into()));
        // One value; a range that it does not stretch; nothing else; two values; none.
        assert_eq!(apart(&[&[-999.0, 1.0, 2.0, 3.0], &[-999.0, 2.0]]), None);
        assert_eq!(apart(&[&[0.0, 0.0, 1.0, 2.0, 3.0]]), None);
        assert_eq!(apart(&[&[7.0, 7.0]]), None);
        assert_eq!(apart(&[&[0.0, 0.0, 1.0, 1.0]]), None);
        assert_eq!(apart(&[&[f32::NAN], &[]]), None);
    }
}
