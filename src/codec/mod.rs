//! Coders: slices in, slices out. They know nothing of models, frames or files.
//!
//! Every decoder is told how much it must produce, consumes its input exactly, and answers bad input with a
//! [`FormatError`](crate::FormatError).
#![allow(dead_code, reason = "not wired into the writer and the reader yet")]

pub(crate) mod arithmetic;
pub(crate) mod classes;
pub(crate) mod cursor;
pub(crate) mod mix;
pub(crate) mod period;
