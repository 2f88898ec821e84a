//! Values to test with, the same on every machine: integers and basic IEEE operations only.

use cae::Element;
use ndarray::{ArrayD, IxDyn};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// Waves along every dimension with a little noise: between about -20 and 20.
pub fn smooth<T: Element>(shape: &[usize], seed: u64) -> ArrayD<T> {
    let mut random = Random(seed);
    let wave = |x: f64, d: usize| {
        let t = x * (0.031 + 0.017 * d as f64) + 0.1 * d as f64;
        let t = t - t.floor();
        t * (1.0 - t) * (0.5 - t) * 120.0
    };
    ArrayD::from_shape_fn(IxDyn(shape), |at| {
        let mut v = 1.0;
        for d in 0..shape.len() {
            v += wave(at[d] as f64 + if d > 0 { 0.3 * at[d - 1] as f64 } else { 0.0 }, d);
        }
        T::from_f64(v + 0.02 * (random.unit() - 0.5))
    })
}

/// `smooth` with NaNs of two payloads, infinities of both signs, zeros of both signs and `fill` strewn in.
pub fn masked<T: Element>(shape: &[usize], seed: u64, fill: f64) -> ArrayD<T> {
    let mut random = Random(seed ^ 0x5a5a);
    let nan = T::from_f64(f64::NAN).to_bits64();
    let mut values = smooth::<T>(shape, seed);
    let row = shape.last().copied().unwrap_or(1);
    for (i, v) in values.iter_mut().enumerate() {
        // A coast: the first third of every row is missing.
        if i % row < row / 3 {
            *v = T::from_f64(fill);
        }
        match random.below(40) {
            0 => *v = T::from_bits64(nan),
            1 => *v = T::from_bits64(nan | 0x1234),
            2 => *v = T::from_f64(f64::INFINITY),
            3 => *v = T::from_f64(f64::NEG_INFINITY),
            4 => *v = T::from_f64(0.0),
            5 => *v = T::from_f64(-0.0),
            _ => {}
        }
    }
    values
}

/// The bit patterns of all values.
pub fn bits<'a, T: Element>(values: impl IntoIterator<Item = &'a T>) -> Vec<u64> {
    values.into_iter().map(|v| v.to_bits64()).collect()
}

/// CRC-32 of the little-endian bytes of all values.
pub fn crc<'a, T: Element>(values: impl IntoIterator<Item = &'a T>) -> u32 {
    let mut bytes = Vec::new();
    values.into_iter().for_each(|v| v.put_le(&mut bytes));
    crc32fast::hash(&bytes)
}
