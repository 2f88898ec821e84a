//! Copies a Zarr array of the codec `cae`, chunk by chunk: `copy FROM TO`. Decoding and coding a decoded chunk anew at the same
//! bound shows that another implementation's arrays are read and that it can read ours.

use std::error::Error;
use std::sync::Arc;
use zarrs::array::{Array, ArrayBytes};
use zarrs::filesystem::FilesystemStore;

// Links the codec, which registers itself.
use cae_zarrs as _;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else { return Err("copy FROM TO".into()) };
    let from = Array::open(Arc::new(FilesystemStore::new(from)?), "/")?;
    let to = from.builder().build(Arc::new(FilesystemStore::new(to)?), "/")?;
    to.store_metadata()?;
    let all = from.subset_all();
    let values: ArrayBytes = from.retrieve_array_subset(&all)?;
    to.store_array_subset(&all, values)?;
    Ok(())
}
