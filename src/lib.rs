//! Archives scientific floating-point arrays in few bytes at a proved error bound.
pub mod error;
pub mod limits;
pub mod model;

mod codec;
mod lattice;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

pub use error::{ArgumentError, Error, FormatError, ModelError, Place, Resource, Result, Unsupported};
pub use limits::Limits;
