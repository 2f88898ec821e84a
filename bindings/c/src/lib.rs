//! The C interface of `cae`: what `include/cae.h` declares.
//!
//! Every function checks its pointers, runs inside [`boundary::call`], which stops panics and keeps the message of an
//! error, and hands the work to the library's public interface. The documentation here is that of the header.

mod boundary;
mod frame;
mod model;
mod read;
mod value;
mod write;

pub use boundary::{Status, cae_error_message, cae_format_version, cae_status_name, cae_version};
pub use frame::{FrameOptions, cae_compress_frame, cae_decompress_frame};
pub use model::{Model, cae_close_model, cae_load_model, cae_model_digest};
pub use read::{
    ArrayInfo, MAX_DIMS, ReadAt, ReadOptions, Reader, cae_array_count, cae_close, cae_describe_array, cae_find_array,
    cae_model_bytes, cae_open, cae_open_memory, cae_open_read_at, cae_read, cae_read_region, cae_salvage_region,
    cae_verify,
};
pub use value::{Bound, BoundKind, Bytes, Limits, Preset, Report, Type, cae_default_limits, cae_free_bytes};
pub use write::{
    ArrayOptions, Fetch, Progress, Writer, cae_abandon, cae_add_array, cae_add_model, cae_add_source, cae_commit,
    cae_create, cae_create_memory, cae_finish_memory, cae_set_attributes,
};
