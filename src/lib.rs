//! Archives scientific floating-point arrays in few bytes at a proved error bound, in a file that can be read from its
//! specification alone (`SPEC.md`).
//!
//! - [`Writer`] makes a file: models, then arrays, each within a [`Bound`] that every decoded value was checked against.
//! - [`Reader`] opens one, from a path or from bytes, and gives its [`Array`]s, whole or by region.
//! - [`Limits`] bound what a hostile file may cost; [`Error`] says who must act.
//!
//! Layers, each knowing only those below it: `codec` (slices in, slices out), `lattice`, `fast` and `sparse` (values of
//! one block, given a prediction), `frame` (one block of an array), `format` (the container's layout), reader and writer.

mod array;
mod atomic_file;
mod bound;
mod certify;
mod codec;
pub mod convert;
mod element;
pub mod error;
mod export;
mod fast;
mod format;
mod frame;
mod grid;
mod lattice;
mod limits;
#[cfg(feature = "mmap")]
mod mmap;
pub mod model;
mod normalize;
mod parallel;
mod plan;
mod reader;
mod search;
mod source;
mod sparse;
mod stats;
mod writer;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

pub use array::{Array, BadFrame, Breakdown};
pub use atomic_file::AtomicFile;
pub use bound::{Bound, ResolvedBound, Tolerance};
pub use certify::Certificate;
pub use element::{DataType, Element};
pub use error::{ArgumentError, Error, FormatError, ModelError, Place, Resource, Result, Unsupported};
pub use export::Damage;
pub use format::header::VERSION;
pub use frame::Section;
pub use grid::Region;
pub use limits::Limits;
pub use plan::Preset;
pub use reader::{ModelInfo, ReadOptions, Reader};
pub use source::{RawFile, Source};
pub use sparse::GuardPolicy;
pub use stats::ErrorStats;
pub use writer::{ArrayOptions, ArrayReport, ModelId, Writer};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctest;
