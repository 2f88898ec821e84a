//! Constants of a model while it is being vetted: initialisers and what is computed from them alone (SPEC 5.3).

use std::sync::Arc;

use half::f16;

use super::onnx::{Tensor, show};
use super::program::volume;
use super::refused;
use super::wire::malformed;
use crate::error::{Resource, Result};
use crate::limits::{Limits, within};

/// Stands in a constant of integers for the unknown length of the batch axis.
pub(super) const BATCH: i64 = i64::MIN;

/// Element types that a constant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
}

impl Kind {
    /// From `TensorProto.DataType`.
    pub(super) fn from_onnx(data_type: i64) -> Option<Self> {
        Some(match data_type {
            1 => Kind::F32,
            2 => Kind::U8,
            3 => Kind::I8,
            4 => Kind::U16,
            5 => Kind::I16,
            6 => Kind::I32,
            7 => Kind::I64,
            10 => Kind::F16,
            _ => return None,
        })
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F16)
    }

    fn width(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::F16 | Kind::U16 | Kind::I16 => 2,
            Kind::F32 | Kind::I32 => 4,
            Kind::I64 => 8,
        }
    }

    fn integer_range(self) -> (i64, i64) {
        match self {
            Kind::U8 => (0, 255),
            Kind::I8 => (-128, 127),
            Kind::U16 => (0, 65_535),
            Kind::I16 => (-32_768, 32_767),
            Kind::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN.saturating_add(1), i64::MAX),
        }
    }
}

/// Values of a constant; half precision is held as the `f32` that it equals.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Float(Arc<[f32]>),
    Int(Arc<[i64]>),
}

/// A constant tensor.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

/// Greatest rank of any tensor, the batch axis included.
pub(super) const RANK_MAX: usize = 8;

impl Constant {
    pub(super) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Constant { kind: Kind::F32, shape, data: Data::Float(values.into()) }
    }

    pub(super) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Constant { kind: Kind::I64, shape, data: Data::Int(values.into()) }
    }

    /// Reads an initialiser or a tensor attribute called `name`.
    pub(super) fn read(tensor: &Tensor<'_>, name: &str, limits: &Limits) -> Result<Self> {
        let kind = Kind::from_onnx(tensor.data_type).ok_or_else(|| {
            refused(
                name,
                format!(
                    "a constant of element type {}; float, float16 and integers of 8 to 64 bits are allowed",
                    tensor.data_type
                ),
            )
        })?;
        let shape = read_shape(&tensor.dims, name)?;
        let count = volume(&shape).unwrap_or(u64::MAX);
        within(Resource::ModelElements, count, limits.model_elements)?;
        let count = usize::try_from(count).map_err(|_| refused(name, "too many elements for this machine"))?;
        let data = match tensor.raw() {
            Some(raw) => {
                if raw.len() != count.saturating_mul(kind.width()) {
                    return Err(malformed(format!(
                        "`{}` has {} bytes of data, its shape needs {}",
                        show(name),
                        raw.len(),
                        count.saturating_mul(kind.width())
                    )));
                }
                from_raw(kind, raw)
            }
            None => from_typed(kind, tensor, count)?,
        };
        let found = match &data {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        };
        if found != count {
            return Err(malformed(format!("`{}` has {found} values, its shape needs {count}", show(name))));
        }
        if matches!(&data, Data::Int(v) if v.contains(&BATCH)) {
            return Err(refused(name, "a constant holds the integer -2^63"));
        }
        Constant { kind, shape, data }.checked(name)
    }

    /// Refuses values that are not finite, or outside the integer type.
    pub(super) fn checked(self, name: &str) -> Result<Self> {
        match &self.data {
            Data::Float(v) if v.iter().any(|x| !x.is_finite()) => {
                Err(refused(name, "a constant holds a value that is not finite"))
            }
            Data::Int(v) => {
                let (low, high) = self.kind.integer_range();
                let holds_batch = matches!(self.kind, Kind::I32 | Kind::I64);
                if v.iter().any(|&x| (x < low || x > high) && !(x == BATCH && holds_batch)) {
                    return Err(malformed(format!("`{}` holds a value outside its element type", show(name))));
                }
                Ok(self)
            }
            Data::Float(_) => Ok(self),
        }
    }

    /// The integers, for a shape, a list of axes and the like.
    pub(super) fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(v) if self.shape.len() <= 1 => Some(v),
            _ => None,
        }
    }

    pub(super) fn as_floats(&self) -> Option<&Arc<[f32]>> {
        match &self.data {
            Data::Float(v) if self.kind == Kind::F32 => Some(v),
            _ => None,
        }
    }

    /// The only value of a constant that has one.
    pub(super) fn as_scalar(&self) -> Option<f32> {
        match self.as_floats().map(|v| &**v) {
            Some(&[x]) => Some(x),
            _ => None,
        }
    }

    /// The same values as another element type (SPEC 5.3).
    pub(super) fn cast(&self, to: Kind, name: &str) -> Result<Self> {
        let data = match (&self.data, to.is_float()) {
            (Data::Float(v), true) if to == Kind::F16 && self.kind != Kind::F16 => {
                Data::Float(v.iter().map(|&x| f16::from_f32(x).to_f32()).collect())
            }
            (Data::Int(v), true) => {
                if v.contains(&BATCH) {
                    return Err(refused(name, "it computes values from the length of the batch"));
                }
                #[allow(clippy::cast_precision_loss, reason = "rounds to nearest even, as SPEC 5.3 says")]
                Data::Float(
                    v.iter()
                        .map(|&x| if to == Kind::F16 { f16::from_f64(x as f64).to_f32() } else { x as f32 })
                        .collect(),
                )
            }
            (Data::Float(_), false) => {
                return Err(refused(name, "a cast of floating-point values to integers"));
            }
            (same, _) => same.clone(),
        };
        Constant { kind: to, shape: self.shape.clone(), data }.checked(name)
    }
}

/// Legal dimensions of a constant.
fn read_shape(dims: &[i64], name: &str) -> Result<Vec<usize>> {
    if dims.len() > RANK_MAX {
        return Err(refused(name, format!("rank {}, at most {RANK_MAX} is allowed", dims.len())));
    }
    dims.iter()
        .map(|&d| usize::try_from(d).map_err(|_| malformed(format!("`{}` has a dimension of {d}", show(name)))))
        .collect()
}

fn from_raw(kind: Kind, raw: &[u8]) -> Data {
    match kind {
        Kind::F32 => Data::Float(raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        Kind::F16 => Data::Float(raw.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()),
        Kind::U8 => Data::Int(raw.iter().map(|&b| i64::from(b)).collect()),
        Kind::I8 => Data::Int(raw.iter().map(|&b| i64::from(b.cast_signed())).collect()),
        Kind::U16 => Data::Int(raw.as_chunks().0.iter().map(|&b| i64::from(u16::from_le_bytes(b))).collect()),
        Kind::I16 => Data::Int(raw.as_chunks().0.iter().map(|&b| i64::from(i16::from_le_bytes(b))).collect()),
        Kind::I32 => Data::Int(raw.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect()),
        Kind::I64 => Data::Int(raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
    }
}

fn from_typed(kind: Kind, tensor: &Tensor<'_>, count: usize) -> Result<Data> {
    Ok(match kind {
        Kind::F32 => Data::Float(tensor.float_data(count)?.into()),
        Kind::I64 => Data::Int(tensor.int_data(7, count)?.into()),
        Kind::F16 => Data::Float(
            tensor
                .int_data(5, count)?
                .into_iter()
                .map(|bits| u16::try_from(bits).map(|b| f16::from_bits(b).to_f32()))
                .collect::<std::result::Result<_, _>>()
                .map_err(|_| malformed("a float16 value of more than 16 bits"))?,
        ),
        _ => Data::Int(tensor.int_data(5, count)?.into()),
    })
}
