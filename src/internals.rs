//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.

/// The multilevel kernel (SPEC 9.2).
pub mod multilevel {
    use crate::error::FormatError;
    use crate::lattice::Grid;
    use crate::lattice::multilevel::{self, Options, Profile};

    /// The bytes, and what they decode to.
    pub fn encode(
        values: &[f64],
        dims: &[usize],
        ordinary: Option<&[bool]>,
        tolerance: f64,
        small: bool,
    ) -> Option<(Vec<u8>, Vec<f64>)> {
        let mut recon = vec![0.0; values.len()];
        let profile = if small { Profile::Small } else { Profile::Balanced };
        let bytes = multilevel::encode(values, &Grid { dims, ordinary }, tolerance, &Options { profile }, &mut recon)?;
        Some((bytes, recon))
    }

    /// The values of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], dims: &[usize], ordinary: Option<&[bool]>) -> Result<Vec<f64>, FormatError> {
        let mut out = vec![0.0; dims.iter().product()];
        multilevel::decode(bytes, &Grid { dims, ordinary }, &mut out)?;
        Ok(out)
    }
}
