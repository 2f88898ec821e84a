//! Code compiled for vectors of several widths, chosen where it runs. The results are the same to the bit: no operation is fused
//! or reordered.

use fearless_simd::Level;
use std::sync::OnceLock;

/// The widest vectors that there are.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(Level::new)
}

/// Returns what `$op` gives, with `$simd` standing for the vectors. All that is to use them must be inlined.
macro_rules! vectorize {
    ($simd:ident => $op:expr) => {{
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some($simd) = $crate::vector::level().as_avx2() {
            return fearless_simd::Simd::vectorize(
                $simd,
                #[inline(always)]
                || $op,
            );
        }
        #[cfg(target_arch = "aarch64")]
        if let Some($simd) = $crate::vector::level().as_neon() {
            return fearless_simd::Simd::vectorize(
                $simd,
                #[inline(always)]
                || $op,
            );
        }
        let $simd = fearless_simd::Fallback::new();
        $op
    }};
}
pub(crate) use vectorize;
