//! Rows of square matrices in blocks of four columns, four rows at a time.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "rows are as long as the caller says")]

use fearless_simd::Simd;

/// Columns of a block and rows of a band.
pub(super) const BLOCK: usize = 4;

/// The widest band, in blocks.
pub(super) const WIDTH_MAX: usize = 10;

/// Adds `by[r] * x` to the first `width` blocks of each row `r` of a band; rows are `stride` blocks apart.
#[inline(always)]
pub(super) fn add_to_band<S: Simd>(
    simd: S,
    width: usize,
    band: &mut [[f64; BLOCK]],
    stride: usize,
    by: [f64; BLOCK],
    x: &[[f64; BLOCK]],
) {
    // Loops whose lengths are constants leave nothing but the arithmetic.
    match width {
        1 => add_blocks::<S, 1>(simd, band, stride, by, x),
        2 => add_blocks::<S, 2>(simd, band, stride, by, x),
        3 => add_blocks::<S, 3>(simd, band, stride, by, x),
        4 => add_blocks::<S, 4>(simd, band, stride, by, x),
        5 => add_blocks::<S, 5>(simd, band, stride, by, x),
        6 => add_blocks::<S, 6>(simd, band, stride, by, x),
        7 => add_blocks::<S, 7>(simd, band, stride, by, x),
        8 => add_blocks::<S, 8>(simd, band, stride, by, x),
        9 => add_blocks::<S, 9>(simd, band, stride, by, x),
        _ => add_blocks::<S, WIDTH_MAX>(simd, band, stride, by, x),
    }
}

#[inline(always)]
fn add_blocks<S: Simd, const WIDTH: usize>(
    simd: S,
    band: &mut [[f64; BLOCK]],
    stride: usize,
    by: [f64; BLOCK],
    x: &[[f64; BLOCK]],
) {
    let x: [_; WIDTH] = std::array::from_fn(|c| simd.load_array_ref_f64x4(&x[c]));
    for (r, by) in by.into_iter().enumerate() {
        let by = simd.splat_f64x4(by);
        let row = &mut band[r * stride..][..WIDTH];
        for (block, x) in row.iter_mut().zip(x) {
            let sum = simd.add_f64x4(simd.load_array_ref_f64x4(block), simd.mul_f64x4(by, x));
            simd.store_array_f64x4(sum, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::Fallback;

    #[test]
    fn bands_of_every_width_are_added_to_whole() {
        for width in 1..=WIDTH_MAX {
            let mut band = [[1.0; BLOCK]; BLOCK * WIDTH_MAX];
            let x = [[2.0; BLOCK]; WIDTH_MAX];
            add_to_band(Fallback::new(), width, &mut band, WIDTH_MAX, [1.0, 2.0, 3.0, 4.0], &x);
            for (i, block) in band.iter().enumerate() {
                let by = if i % WIDTH_MAX < width { [1.0, 2.0, 3.0, 4.0][i / WIDTH_MAX] } else { 0.0 };
                assert_eq!(*block, [1.0 + 2.0 * by; BLOCK], "{width} {i}");
            }
        }
    }
}
