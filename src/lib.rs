//! Archives scientific floating-point arrays in few bytes at a proved error bound, in a file that can be read from its
//! specification alone (`SPEC.md`).
//!
//! - [`Writer`] makes a file: models, then arrays, each within a [`Bound`] that every decoded value was checked against.
//! - [`Reader`] opens one, from a path, from bytes or over ranges fetched from elsewhere ([`ReadAt`]), and gives its [`Array`]s, whole or
//!   by region.
//! - [`compress_frame`] and [`decompress_frame`] code one block of values for formats that have a container of their own.
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
mod features;
mod format;
mod frame;
mod grid;
pub mod input;
mod job;
mod lattice;
mod limits;
mod lone;
#[cfg(feature = "mmap")]
mod mmap;
pub mod model;
mod normalize;
pub mod npy;
mod open_file;
mod parallel;
mod plan;
mod read_at;
mod reader;
mod recover;
mod search;
mod slabs;
mod source;
mod sparse;
mod stats;
mod stripes;
mod vector;
mod writer;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

pub use array::{Array, Breakdown};
pub use atomic_file::AtomicFile;
pub use bound::{Bound, ResolvedBound, Tolerance};
pub use certify::{BadFrame, Certificate};
pub use element::{DataType, Element};
pub use error::{ArgumentError, Error, FormatError, ModelError, Place, Resource, Result, Unsupported};
pub use export::Damage;
pub use features::Features;
pub use format::header::VERSION;
pub use frame::Section;
pub use grid::Region;
pub use lattice::multilevel::Samples;
pub use limits::Limits;
pub use lone::{CodedFrame, FrameOptions, compress_frame, decompress_frame, predictor_samples};
pub use open_file::ReadOptions;
pub use plan::Preset;
pub use read_at::ReadAt;
pub use reader::{ModelInfo, Reader};
pub use recover::{Found, Known, Recovered, recover, recover_file};
pub use source::{RawFile, Source};
pub use sparse::GuardPolicy;
pub use stats::ErrorStats;
pub use writer::{ArrayOptions, ArrayReport, ModelId, Writer};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctest;
