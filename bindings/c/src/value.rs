//! Plain values that cross the boundary, and what they mean to the library.

use crate::boundary::{Failure, Status, call, put};
use cae::{DataType, ErrorStats, ResolvedBound, Tolerance};

/// Type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Type {
    /// IEEE 754 binary32, "float".
    F32 = 1,
    /// IEEE 754 binary64, "double".
    F64 = 2,
}

/// The kinds of bound, with the numbers of the specification (SPEC.md 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum BoundKind {
    /// Every value comes back bit for bit.
    Lossless = 0,
    /// |x - y| <= value at every point.
    Absolute = 1,
    /// |x - y| <= value * (max - min).
    Range = 2,
    /// |x - y| <= value * |x| at every point; zeros come back bit for bit.
    Pointwise = 3,
    /// The root of the mean squared error is at most value.
    Rmse = 4,
    /// The peak signal-to-noise ratio is at least value, in dB.
    Psnr = 5,
    /// The bytes of the values are at least value times those of the frames.
    Ratio = 6,
    /// |x - y| <= a bound of each point's own, which an array of the same shape gives.
    ByPoint = 7,
}

/// How hard to look for the fewest bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Preset {
    /// One kernel with context coding.
    Balanced = 0,
    /// The fast kernel alone: for data on the move.
    Fast = 1,
    /// Every kernel with all its contexts: for archives.
    Small = 2,
}

/// A bound and its number.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Bound {
    /// A cae_bound_kind.
    pub kind: u32,
    /// The number, positive and finite; of no meaning for the kinds lossless and by point.
    pub value: f64,
}

/// Bytes that the library allocated; freed with cae_free_bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Bytes {
    /// The first byte; NULL if there are none.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
}

/// What became of the values that were coded. Every one was decoded and compared with its bound.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Report {
    /// Bytes of the values.
    pub input_bytes: u64,
    /// Bytes of the frame or frames.
    pub stored_bytes: u64,
    /// The bound as it holds at each point: lossless, absolute or point-wise.
    pub tolerance: Bound,
    /// Largest |x - y|.
    pub max_error: f64,
    /// Largest error as a multiple of the bound at its point, at most 1; 0 for lossless.
    pub max_error_over_bound: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Whether reading needs the model.
    pub needs_model: bool,
}

/// Bounds on what reading may cost. cae_default_limits gives the defaults; UINT64_MAX lifts a limit.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Limits {
    /// Bytes of memory that one call may hold beside the caller's buffer.
    pub memory: u64,
    /// Bytes of an array or region that one call returns.
    pub array_bytes: u64,
    /// Bytes of the directory.
    pub directory_bytes: u64,
    /// Values of one frame.
    pub frame_values: u64,
    /// Bytes of one model.
    pub model_bytes: u64,
    /// Nodes of one model.
    pub model_nodes: u64,
    /// Elements of the largest tensor that a model makes for one block.
    pub model_elements: u64,
    /// Multiply-adds that a model spends on one block.
    pub model_operations: u64,
}

/// Writes the default limits to `limits`. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_default_limits(limits: *mut Limits) -> Status {
    call(|| {
        let l = cae::Limits::default();
        let value = Limits {
            memory: l.memory,
            array_bytes: l.array_bytes,
            directory_bytes: l.directory_bytes,
            frame_values: l.frame_values,
            model_bytes: l.model_bytes,
            model_nodes: l.model_nodes,
            model_elements: l.model_elements,
            model_operations: l.model_operations,
        };
        // SAFETY: the caller promises that a pointer that is not NULL points to room for the struct.
        unsafe { put(limits, value, "limits") }
    })
}

/// Frees bytes that the library allocated, and sets `bytes` to none; NULL and none are allowed. Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cae_free_bytes(bytes: *mut Bytes) {
    call(|| {
        if bytes.is_null() {
            return Ok(());
        }
        // SAFETY: not NULL; the caller promises that it points to what a function of this library wrote, or to zeros.
        let old = unsafe { bytes.replace(Bytes::NONE) };
        if !old.data.is_null() {
            let all = std::ptr::slice_from_raw_parts_mut(old.data, old.len);
            // SAFETY: `Bytes::new` made pointer and length from a boxed slice, and nothing freed it before.
            drop(unsafe { Box::from_raw(all) });
        }
        Ok(())
    });
}

impl Bytes {
    pub(crate) const NONE: Bytes = Bytes { data: std::ptr::null_mut(), len: 0 };

    pub(crate) fn new(bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::NONE;
        }
        let bytes = Box::leak(bytes.into_boxed_slice());
        Bytes { data: bytes.as_mut_ptr(), len: bytes.len() }
    }
}

impl Limits {
    pub(crate) fn to_library(self) -> cae::Limits {
        let mut l = cae::Limits::default();
        l.memory = self.memory;
        l.array_bytes = self.array_bytes;
        l.directory_bytes = self.directory_bytes;
        l.frame_values = self.frame_values;
        l.model_bytes = self.model_bytes;
        l.model_nodes = self.model_nodes;
        l.model_elements = self.model_elements;
        l.model_operations = self.model_operations;
        l
    }
}

impl Bound {
    fn of(kind: BoundKind, value: Option<f64>) -> Bound {
        Bound { kind: kind as u32, value: value.unwrap_or(0.0) }
    }

    pub(crate) fn to_library(self) -> Result<cae::Bound, Failure> {
        let v = self.value;
        Ok(match self.kind {
            0 => cae::Bound::Lossless,
            1 => cae::Bound::Absolute(v),
            2 => cae::Bound::Range(v),
            3 => cae::Bound::Pointwise(v),
            4 => cae::Bound::Rmse(v),
            5 => cae::Bound::Psnr(v),
            6 => cae::Bound::Ratio(v),
            7 => cae::Bound::ByPoint,
            other => return Err(Failure::argument(format!("bound kind {other}, 0 to 7 are known"))),
        })
    }

    pub(crate) fn asked(bound: cae::Bound) -> Result<Bound, Failure> {
        let kind = match bound {
            cae::Bound::Lossless => BoundKind::Lossless,
            cae::Bound::Absolute(_) => BoundKind::Absolute,
            cae::Bound::Range(_) => BoundKind::Range,
            cae::Bound::Pointwise(_) => BoundKind::Pointwise,
            cae::Bound::Rmse(_) => BoundKind::Rmse,
            cae::Bound::Psnr(_) => BoundKind::Psnr,
            cae::Bound::Ratio(_) => BoundKind::Ratio,
            cae::Bound::ByPoint => BoundKind::ByPoint,
            _ => return Err(Failure::internal("a kind of bound that this interface does not know")),
        };
        Ok(Bound::of(kind, bound.parameter()))
    }

    pub(crate) fn resolved(tolerance: Tolerance) -> Bound {
        match tolerance {
            Tolerance::Lossless => Bound::of(BoundKind::Lossless, None),
            Tolerance::Absolute(e) => Bound::of(BoundKind::Absolute, Some(e)),
            Tolerance::Pointwise(b) => Bound::of(BoundKind::Pointwise, Some(b)),
        }
    }
}

impl Report {
    pub(crate) fn new(input: u64, stored: u64, bound: &ResolvedBound, stats: &ErrorStats, needs_model: bool) -> Report {
        Report {
            input_bytes: input,
            stored_bytes: stored,
            tolerance: Bound::resolved(bound.tolerance),
            max_error: stats.max_error,
            max_error_over_bound: stats.max_error_over_bound,
            rmse: stats.rmse(),
            needs_model,
        }
    }
}

/// A preset from its number.
pub(crate) fn preset(number: u32) -> Result<cae::Preset, Failure> {
    match number {
        0 => Ok(cae::Preset::Balanced),
        1 => Ok(cae::Preset::Fast),
        2 => Ok(cae::Preset::Small),
        other => Err(Failure::argument(format!("preset {other}, 0 to 2 are known"))),
    }
}

/// What is done where a model's rounding errors leave nothing of the bound.
pub(crate) fn guard_policy(fall_back: bool) -> cae::GuardPolicy {
    if fall_back { cae::GuardPolicy::FallBack } else { cae::GuardPolicy::Refuse }
}

/// A type from its number.
pub(crate) fn data_type(number: u32) -> Result<DataType, Failure> {
    match number {
        1 => Ok(DataType::F32),
        2 => Ok(DataType::F64),
        other => Err(Failure::argument(format!("type {other}, 1 (float) and 2 (double) are known"))),
    }
}
