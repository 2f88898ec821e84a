//! Sums of products of samples: square matrices whose rows are blocks of four columns.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "rows are as long as the caller says")]

use fearless_simd::Simd;

/// Columns of a block and rows of a band.
pub(super) const BLOCK: usize = 4;

/// The widest rows, in blocks.
pub(super) const WIDTH_MAX: usize = 10;

/// Adds the products of `inputs`, times `weight`, to the lower triangle of `gram` up to the end of the block on the diagonal, and
/// theirs with `target` to `sums`. Of inputs there may be fewer than `WIDTH` blocks: further rows stay.
#[inline(always)]
pub(super) fn add_sample<S: Simd, const WIDTH: usize>(
    simd: S,
    gram: &mut [[[f64; BLOCK]; WIDTH]],
    sums: &mut [[f64; BLOCK]],
    inputs: &[[f64; BLOCK]],
    target: f64,
    weight: f64,
) {
    const { assert!(WIDTH <= WIDTH_MAX, "a band for each block") };
    let (weight, target) = (simd.splat_f64x4(weight), simd.splat_f64x4(target));
    let mut x = [simd.splat_f64x4(0.0); WIDTH];
    for (x, inputs) in x.iter_mut().zip(inputs) {
        *x = simd.load_array_ref_f64x4(inputs);
    }
    // Unrolled: loops whose lengths are constants leave nothing but the arithmetic.
    macro_rules! bands {
        ($($b:literal)*) => {$(
            if $b < WIDTH && $b < inputs.len() {
                let scaled = simd.mul_f64x4(weight, x[$b]);
                let sum = simd.add_f64x4(simd.load_array_ref_f64x4(&sums[$b]), simd.mul_f64x4(scaled, target));
                simd.store_array_f64x4(sum, &mut sums[$b]);
                for (row, by) in gram[$b * BLOCK..][..BLOCK].iter_mut().zip(simd.as_array_f64x4(scaled)) {
                    let by = simd.splat_f64x4(by);
                    for (block, x) in row[..=$b].iter_mut().zip(&x) {
                        let sum = simd.add_f64x4(simd.load_array_ref_f64x4(block), simd.mul_f64x4(by, *x));
                        simd.store_array_f64x4(sum, block);
                    }
                }
            }
        )*};
    }
    bands!(0 1 2 3 4 5 6 7 8 9);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::Fallback;

    #[test]
    fn products_of_every_pair_up_to_the_diagonal_are_added() {
        const WIDTH: usize = 7;
        for used in 0..=WIDTH {
            let mut gram = [[[1.0; BLOCK]; WIDTH]; BLOCK * WIDTH];
            let mut sums = [[2.0; BLOCK]; WIDTH];
            let mut inputs = [[0.0; BLOCK]; WIDTH];
            (1u8..).zip(inputs.as_flattened_mut()).for_each(|(i, x)| *x = f64::from(i));
            add_sample(Fallback::new(), &mut gram, &mut sums, &inputs[..used], 3.0, 0.5);
            let x = inputs.as_flattened();
            for (i, row) in gram.iter().enumerate() {
                for (j, product) in row.as_flattened().iter().enumerate() {
                    let there = i / BLOCK < used && j / BLOCK <= i / BLOCK;
                    let added = if there { 0.5 * x[i] * x[j] } else { 0.0 };
                    assert!((*product - 1.0 - added).abs() < 1e-9, "{used} {i} {j}");
                }
                let added = if i / BLOCK < used { 0.5 * x[i] * 3.0 } else { 0.0 };
                assert!((sums.as_flattened()[i] - 2.0 - added).abs() < 1e-9, "{used} {i}");
            }
        }
    }
}
