//! What benchmarks and fuzz targets may call; no part of the public API, no promise of stability.

pub use crate::fast::Sample;
pub use crate::sparse::internals::{
    Decoder, Encoder, NormalizedBlocks, decode_sparse, denormalize, encode_sparse, normalized_blocks,
};

use crate::codec::cursor::Cursor;
use crate::codec::prefix;
use crate::error::FormatError;
use crate::lattice::Grid;

/// The frames that the balanced preset would cut an array into where values do not recur.
///
/// # Errors
/// As for arrays with too many values.
pub fn frames(shape: &[u64]) -> crate::Result<Vec<crate::Region>> {
    use crate::plan::{self, Preset};
    let values = shape.iter().fold(1u64, |n, e| n.saturating_mul(*e));
    let preset = Preset::Balanced;
    let target = plan::frame_values(preset, crate::Bound::Lossless, values, || Ok(false))?;
    let frames = crate::grid::frame_shape(shape, target, plan::cut(preset));
    let grid = crate::grid::FrameGrid::new(shape.to_vec(), &frames)?;
    Ok((0..grid.frame_count()).map(|f| grid.frame(f)).collect())
}

/// A decoder on the plain evaluator of SPEC 5.4, whatever the build's engine is.
///
/// # Errors
/// As for [`crate::model::load_decoder`].
pub fn plain_decoder(bytes: &[u8], limits: &crate::Limits) -> crate::Result<Box<dyn Decoder>> {
    crate::model::load_plain_decoder(bytes, limits)
}

/// Class images (SPEC 8.3).
pub mod classes {
    use crate::codec::classes;
    use crate::error::FormatError;
    use crate::fast::images;

    /// The bytes of an image of classes below `alphabet`.
    pub fn encode(image: &[u8], alphabet: u8, dims: &[usize]) -> Vec<u8> {
        classes::encode(image, alphabet, dims)
    }

    /// The same as bits (SPEC 6.3), less the first byte.
    pub fn encode_bits(image: &[u8], alphabet: u8, dims: &[usize]) -> Vec<u8> {
        images::encode(image, alphabet, dims).split_off(1)
    }

    /// Inverts [`encode_bits`].
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode_bits(bytes: &[u8], count: u8, points: usize) -> Result<Vec<u8>, FormatError> {
        let mut out = vec![0; points];
        images::decode(bytes, count, &mut out)?;
        Ok(out)
    }

    /// The classes of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], alphabet: u8, dims: &[usize]) -> Result<Vec<u8>, FormatError> {
        let mut out = vec![0; dims.iter().product()];
        classes::decode(bytes, alphabet, dims, &mut out)?;
        Ok(out)
    }
}

/// The multilevel kernel (SPEC 9.2).
pub mod multilevel {
    use crate::error::FormatError;
    use crate::lattice::Grid;
    use crate::lattice::multilevel::{self, Asked, Options, Profile};

    /// A profile, and who is asked beside it.
    #[derive(Clone, Copy)]
    pub enum Way<'a> {
        /// Nobody is asked.
        Balanced,
        /// The balanced profile with a network in the loop.
        Network(&'a dyn crate::model::Decoder),
        /// Nobody is asked.
        Small,
        /// The small profile with a network that learns on the way.
        Learner,
    }

    impl<'a> Way<'a> {
        fn asked(self) -> Asked<'a> {
            match self {
                Way::Balanced | Way::Small => Asked::Nobody,
                Way::Network(model) => model.in_loop().map_or(Asked::Nobody, |n| Asked::Trained(n.0)),
                Way::Learner => Asked::Learner,
            }
        }

        fn profile(self) -> Profile {
            if matches!(self, Way::Small | Way::Learner) { Profile::Small } else { Profile::Balanced }
        }
    }

    /// The bytes, and what they decode to.
    pub fn encode(
        values: &[f64],
        dims: &[usize],
        ordinary: Option<&[bool]>,
        tolerance: f64,
        way: Way,
    ) -> Option<(Vec<u8>, Vec<f64>)> {
        let mut recon = vec![0.0; values.len()];
        let grid = Grid { dims, ordinary };
        let options = Options { profile: way.profile() };
        let choice = multilevel::choose(values, &grid, tolerance, &options, way.asked())?;
        let bytes = multilevel::encode(values, &grid, tolerance, &choice, way.asked(), &mut recon)?;
        Some((bytes, recon))
    }

    /// The values of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], dims: &[usize], ordinary: Option<&[bool]>, way: Way) -> Result<Vec<f64>, FormatError> {
        let mut out = vec![0.0; dims.iter().product()];
        multilevel::decode(bytes, &Grid { dims, ordinary }, way.asked(), &mut out)?;
        Ok(out)
    }
}

/// The raster kernel (SPEC 9.3).
pub mod raster {
    use crate::error::FormatError;
    use crate::lattice::Grid;
    use crate::lattice::raster::{self, Options};

    /// The bytes, and what they decode to.
    pub fn encode(
        values: &[f64],
        dims: &[usize],
        ordinary: Option<&[bool]>,
        tolerance: f64,
        snapped: bool,
        inner: &[usize],
    ) -> Option<(Vec<u8>, Vec<f64>)> {
        let options = Options { snapped, inner: inner.to_vec(), ..Options::default() };
        let mut recon = vec![0.0; values.len()];
        let bytes = raster::encode(values, &Grid { dims, ordinary }, tolerance, &options, &mut recon)?;
        Some((bytes, recon))
    }

    /// The values of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], dims: &[usize], ordinary: Option<&[bool]>) -> Result<Vec<f64>, FormatError> {
        let mut out = vec![0.0; dims.iter().product()];
        raster::decode(bytes, &Grid { dims, ordinary }, &mut out)?;
        Ok(out)
    }
}

/// Whole numbers without loss (SPEC 9.5).
pub mod exact {
    use crate::error::FormatError;
    use crate::lattice::{Grid, exact};

    /// The ordered image of a number.
    pub fn image64(x: f64) -> u64 {
        exact::image64(x)
    }

    /// The ordered image of a number.
    pub fn image32(x: f32) -> u64 {
        exact::image32(x)
    }

    /// The bytes.
    pub fn encode(q: &[u64], dims: &[usize], ordinary: Option<&[bool]>) -> Vec<u8> {
        exact::encode(q, &Grid { dims, ordinary }, exact::Coding::Contexts)
    }

    /// The numbers of all points.
    ///
    /// # Errors
    /// If the bytes are damaged.
    pub fn decode(bytes: &[u8], dims: &[usize], ordinary: Option<&[bool]>) -> Result<Vec<u64>, FormatError> {
        let mut out = vec![0; dims.iter().product()];
        exact::decode(bytes, &Grid { dims, ordinary }, &mut out)?;
        Ok(out)
    }
}

/// [`crate::fast::encode`].
pub fn fast_encode<T: Sample>(
    values: &[T],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    tolerance: f64,
) -> Option<Vec<u8>> {
    let range = crate::fast::range(values, ordinary).unwrap_or_default();
    crate::fast::encode(values, &Grid { dims, ordinary }, range, tolerance, crate::fast::Effort::Hasty)
}

/// [`crate::fast::decode`].
///
/// # Errors
/// What breaks the specification.
pub fn fast_decode<T: Sample>(
    bytes: &[u8],
    dims: &[usize],
    ordinary: Option<&[bool]>,
    out: &mut [T],
) -> Result<(), FormatError> {
    crate::fast::decode(bytes, &Grid { dims, ordinary }, out)
}

/// Lone frames (SPEC 6).
pub mod frame {
    use crate::fast::Effort;
    use crate::frame::{Block, Candidate, Kernel, Models, View};
    use crate::lattice::exact::Coding;
    use crate::lattice::multilevel::{Options, Profile};
    use crate::lattice::raster;
    use crate::parallel::Threads;
    use crate::{ArgumentError, Bound, Element, Place, ResolvedBound, Result, sparse};

    /// A frame coded in one way, or `None` if that way does not suit the bound, which is not relative to the range. The way
    /// `network` needs a network in the loop.
    ///
    /// # Errors
    /// If the way is unknown, or the frame misses its bound.
    pub fn encode<T: Element>(
        values: &[T],
        dims: &[usize],
        bound: Bound,
        network: Option<&dyn crate::model::Decoder>,
        kernel: &str,
    ) -> Result<Option<Vec<u8>>> {
        let raster = |snapped| Kernel::Raster(raster::Options { snapped, ..raster::Options::default() });
        let kernel = match kernel {
            "multilevel" => Kernel::Multilevel(Options { profile: Profile::Balanced }),
            "multilevel small" => Kernel::Multilevel(Options { profile: Profile::Small }),
            "raster" => raster(false),
            "raster snapped" => raster(true),
            "fast" => Kernel::Fast(Effort::Thorough),
            "fast hasty" => Kernel::Fast(Effort::Hasty),
            "exact" => Kernel::Exact(Coding::Contexts),
            "differences" => Kernel::Exact(Coding::Differences),
            "sparse" => Kernel::Sparse(sparse::Options::default()),
            "network" => Kernel::Network,
            "learner" => Kernel::Learner,
            other => return Err(ArgumentError::Other(format!("no kernel `{other}`")).into()),
        };
        let candidates = [Candidate { label: "asked", kernel, view: View::Plain }];
        let e = if let Bound::Absolute(e) = bound { e } else { 0.0 };
        let tolerance = ResolvedBound::new(bound.validate()?, e).tolerance;
        let block = Block { values, dims, tolerance, fill: None, kept: None };
        let models = Models { encoder: None, decoder: network };
        let encoded = T::encode_frame(&block, &candidates, &models, Threads::new(1))?;
        Ok((encoded.chosen == "asked").then_some(encoded.bytes))
    }

    /// # Errors
    /// What is wrong with the frame.
    pub fn decode<T: Element>(bytes: &[u8], dims: &[usize], out: &mut [T]) -> Result<()> {
        T::decode_frame(bytes, dims, None, out).map_err(|fault| fault.at(Place::LoneFrame, 0))
    }
}

/// One stream through [`crate::codec::prefix`].
pub fn prefix_encode(numbers: &[i16]) -> Vec<u8> {
    let mut out = Vec::new();
    prefix::write(&[prefix::encode(&prefix::Images::of(numbers))], &mut out);
    out
}

/// Inverts [`prefix_encode`] for at most `most` numbers: those below 128 in magnitude as bytes, then padding, and the others.
///
/// # Errors
/// What breaks the specification.
pub fn prefix_decode(bytes: &[u8], most: usize) -> Result<(Vec<u8>, Vec<i32>), FormatError> {
    let streams = prefix::read(&mut Cursor::new(bytes), 1, most)?;
    Ok(streams.into_iter().map(|s| (s.numbers, s.wide)).next().unwrap_or_default())
}
