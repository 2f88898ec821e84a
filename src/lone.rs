//! Frames without a container (SPEC 6.7): for formats that have arrays, shapes and indices of their own, and want the coding.

use crate::bound::{Bound, ResolvedBound};
use crate::element::Element;
use crate::error::{ArgumentError, Error, Place, Resource, Result};
use crate::format::directory::MAX_DIMS;
use crate::frame::{Block, Models};
use crate::grid::FrameGrid;
use crate::job::Job;
use crate::lattice::multilevel::Samples;
use crate::limits::{Limits, frame_memory, within};
use crate::model::{Decoder, Encoder};
use crate::parallel::Threads;
use crate::plan::Preset;
use crate::sparse::GuardPolicy;
use crate::stats::ErrorStats;
use ndarray::ArrayViewD;

/// What is asked for one frame.
#[derive(Clone, Copy)]
pub struct FrameOptions<'a> {
    /// The error that is accepted, but [`Bound::ByPoint`]. A range, mean or ratio is that of the frame. Default: lossless.
    pub bound: Bound,
    /// How hard to look for the fewest bytes. Default: balanced.
    pub preset: Preset,
    /// A value that stands for "missing": it comes back bit for bit and disturbs no neighbor.
    pub fill: Option<f64>,
    /// The decoder to predict with; the same must be given to [`decompress_frame`].
    pub decoder: Option<&'a dyn Decoder>,
    /// What makes the decoder's latents.
    pub encoder: Option<&'a dyn Encoder>,
    /// What to do where the rounding error of the decoder leaves nothing of the bound. Default: refuse.
    pub guard: GuardPolicy,
    /// Threads that try ways of coding side by side; 0 for one a processor. Default: 1.
    pub threads: usize,
}

impl Default for FrameOptions<'_> {
    fn default() -> Self {
        FrameOptions {
            bound: Bound::Lossless,
            preset: Preset::Balanced,
            fill: None,
            decoder: None,
            encoder: None,
            guard: GuardPolicy::Refuse,
            threads: 1,
        }
    }
}

/// A coded frame.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CodedFrame {
    /// The frame, as a container would hold it. Neither type, shape nor bound are in it.
    pub bytes: Vec<u8>,
    /// The bound as it was asked for and as it holds at each point.
    pub bound: ResolvedBound,
    /// Errors of the decoded values, every one checked.
    pub stats: ErrorStats,
    /// The way of coding that gave the fewest bytes.
    pub chosen: &'static str,
    /// Whether [`decompress_frame`] needs the decoder.
    pub needs_decoder: bool,
}

/// What a network in the loop (SPEC 5.8) is asked at the points of `values`, and what would have been right: for those who
/// train one. A predictor in `options` is asked on the way, so that one can go on with what it meets itself. Nothing where
/// no lattice suits or one value does for all.
///
/// # Errors
/// As [`compress_frame`].
pub fn predictor_samples<T: Element>(values: &[T], shape: &[usize], options: &FrameOptions) -> Result<Samples> {
    with_job(values, shape, options, |job, bound| {
        let block = Block { values, dims: shape, tolerance: bound.tolerance, fill: job.fill, kept: None };
        Ok(T::samples(&block, job.models.in_loop()).unwrap_or_default())
    })
}

/// Codes `values`, C order, of an array of shape `shape` (none for a scalar) as one frame. It was decoded with the reader's
/// code, and every value compared with its bound, when this returns.
///
/// # Errors
/// [`ArgumentError`] for a shape that is not that of the values or holds none, or a bound that is no positive number or is by
/// point; [`Error::Limit`](crate::Error::Limit) for more than [`Limits::frame_values`] values;
/// [`Error::Model`](crate::Error::Model).
pub fn compress_frame<T: Element>(values: &[T], shape: &[usize], options: &FrameOptions) -> Result<CodedFrame> {
    with_job(values, shape, options, |job, bound| {
        let plan = job.plan(bound.tolerance, options.preset, options.guard)?;
        let coded = job.encode(&job.grid.whole()?, bound.tolerance, &plan, &mut Vec::new())?;
        let needs_decoder = coded.method.is_by_model();
        Ok(CodedFrame { bytes: coded.bytes, bound, stats: coded.stats, chosen: coded.chosen, needs_decoder })
    })
}

fn wrong_shape(shape: &[usize], values: usize) -> Error {
    let axes = shape.len();
    ArgumentError::Shape(format!("shape {shape:?} of {axes} dimensions, at most {MAX_DIMS}, for {values} values"))
        .into()
}

/// Does something with an array of one frame and its bound.
fn with_job<T: Element, R>(
    values: &[T],
    shape: &[usize],
    options: &FrameOptions,
    then: impl FnOnce(&Job<T>, ResolvedBound) -> Result<R>,
) -> Result<R> {
    let view = ArrayViewD::from_shape(shape, values);
    let wrong = |e| ArgumentError::Shape(format!("shape {shape:?} for {} values: {e}", values.len()));
    let view = view.map_err(wrong)?;
    if values.is_empty() {
        return Err(ArgumentError::Shape("a frame needs at least one value".into()).into());
    }
    if shape.len() > MAX_DIMS {
        return Err(wrong_shape(shape, values.len()));
    }
    within(Resource::FrameValues, values.len() as u64, Limits::default().frame_values)?;
    if options.bound == Bound::ByPoint {
        return Err(ArgumentError::Bound("a lone frame takes one bound for all points".into()).into());
    }
    let extents: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
    let grid = FrameGrid::new(extents.clone(), &extents)?;
    let job = Job {
        source: &view,
        grid: &grid,
        threads: Threads::new(options.threads),
        fill: options.fill.map(T::from_f64),
        bounds: None,
        models: Models { encoder: options.encoder, decoder: options.decoder },
    };
    let bound = job.resolve(options.bound.validate()?, options.preset)?;
    then(&job, bound)
}

/// Decodes a frame of shape `shape` into `out`, C order.
///
/// # Errors
/// [`ArgumentError::Shape`] if `out` is not that long; [`Error::Format`](crate::Error::Format) for damaged bytes, a type or a
/// shape that is not the frame's; [`Error::Unsupported`](crate::Error::Unsupported) for a frame that needs a decoder which is not
/// given ([`ModelNeeded`](crate::Unsupported::ModelNeeded)) or a newer reader; [`Error::Limit`](crate::Error::Limit); [`Error::Model`](crate::Error::Model). `out` holds nothing of use then.
pub fn decompress_frame<T: Element>(
    bytes: &[u8],
    shape: &[usize],
    decoder: Option<&dyn Decoder>,
    limits: &Limits,
    out: &mut [T],
) -> Result<()> {
    let values = shape.iter().try_fold(1usize, |n, e| n.checked_mul(*e));
    if values != Some(out.len()) || out.is_empty() || shape.len() > MAX_DIMS {
        return Err(wrong_shape(shape, out.len()));
    }
    let each = frame_memory(out.len() as u64, limits)?;
    within(Resource::Memory, each.saturating_add(decoder.map_or(0, Decoder::working_bytes)), limits.memory)?;
    T::decode_frame(bytes, shape, decoder, out).map_err(|fault| fault.at(Place::LoneFrame, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FormatError;

    fn wave() -> Vec<f32> {
        (0u16..600).map(|i| (f32::from(i) * 0.05).sin()).collect()
    }

    #[test]
    fn every_bound_holds_without_a_container() {
        let values = wave();
        let mut out = vec![0f32; 600];
        for bound in
            [Bound::Lossless, Bound::Absolute(1e-3), Bound::Range(1e-3), Bound::Pointwise(0.01), Bound::Psnr(60.0)]
        {
            let options = FrameOptions { bound, ..FrameOptions::default() };
            let coded = compress_frame(&values, &[20, 30], &options).unwrap();
            assert!(coded.stats.max_error_over_bound <= 1.0 && !coded.needs_decoder);
            decompress_frame(&coded.bytes, &[20, 30], None, &Limits::default(), &mut out).unwrap();
            assert!(values.iter().zip(&out).all(|(x, y)| coded.bound.tolerance.allows(*x, *y)), "{bound:?}");
        }
    }

    #[test]
    fn wrong_arguments_and_damage_are_told_apart() {
        let values = wave();
        let options = FrameOptions { bound: Bound::Absolute(1e-3), ..FrameOptions::default() };
        let argument = |e: Error| assert!(matches!(e, Error::Argument(_)), "{e}");
        argument(compress_frame(&values, &[20, 31], &options).unwrap_err());
        argument(compress_frame::<f32>(&[], &[0], &options).unwrap_err());
        argument(compress_frame(&values, &[600], &FrameOptions { bound: Bound::ByPoint, ..options }).unwrap_err());
        argument(compress_frame(&values, &[2, 3, 100, 1, 1, 1, 1, 1, 1], &options).unwrap_err());
        let coded = compress_frame(&values, &[600], &options).unwrap();
        let mut out = vec![0f32; 600];
        let axes = [1, 1, 1, 1, 1, 1, 1, 1, 600];
        argument(decompress_frame(&coded.bytes, &axes, None, &Limits::default(), &mut out).unwrap_err());
        let mut decode = |bytes: &[u8], limits: &Limits, len: usize| {
            decompress_frame(bytes, &[600], None, limits, out.get_mut(..len).unwrap_or_default())
        };
        argument(decode(&coded.bytes, &Limits::default(), 599).unwrap_err());
        let tight = Limits { frame_values: 599, ..Limits::default() };
        assert!(matches!(decode(&coded.bytes, &tight, 600), Err(Error::Limit { .. })));
        let mut bent = coded.bytes.clone();
        *bent.last_mut().unwrap() ^= 1;
        let damaged = decode(&bent, &Limits::default(), 600);
        assert!(matches!(
            damaged,
            Err(Error::Format { place: Place::LoneFrame, kind: FormatError::Checksum { .. }, .. })
        ));
    }
}
