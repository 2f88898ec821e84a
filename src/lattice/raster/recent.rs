//! The values seen last, each once (SPEC 9.3.5).

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "at most `MOST` values are counted")]

/// Values that are remembered.
const MOST: usize = 5;

/// Distinct values, that of the last point first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    values: [f64; MOST],
    len: usize,
}

impl Recent {
    /// Those remembered, the latest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = f64> {
        self.values.into_iter().take(self.len)
    }

    /// Moves `value` to the front; where it is new, the oldest may be forgotten.
    #[inline(always)]
    pub(super) fn put(&mut self, value: f64) {
        #[allow(clippy::float_cmp, reason = "values are remembered, not computed anew")]
        let known = self.iter().position(|v| v == value);
        let from = known.unwrap_or(self.len.min(MOST - 1));
        self.values.copy_within(0..from, 1);
        self.values[0] = value;
        self.len = self.len.max(from + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_five_come_first_and_once() {
        let mut recent = Recent::default();
        let seen = |r: &Recent| r.iter().collect::<Vec<_>>();
        assert!(seen(&recent).is_empty());
        for v in [0.0, 1.0, 0.0, 2.0] {
            recent.put(v);
        }
        assert_eq!(seen(&recent), [2.0, 0.0, 1.0]);
        for v in [4.0, 5.0, 6.0, 0.0] {
            recent.put(v);
        }
        assert_eq!(seen(&recent), [0.0, 6.0, 5.0, 4.0, 2.0]);
    }
}
