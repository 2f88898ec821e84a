//! What a dataset being created says about its chunks, and whether the filter can serve it.

use crate::FILTER_ID;
use crate::host::Hdf5;
use crate::models;
use crate::symbols::Hid;
use crate::words::{Local, MAX_DIMS, Parameters};
use cae::{Bound, DataType};

/// Type of the values, and whether the most significant byte comes first.
pub fn type_of(hdf5: &Hdf5, datatype: Hid) -> Result<(DataType, bool), String> {
    match hdf5.float_type(datatype)? {
        Some(0) => Ok((DataType::F32, false)),
        Some(1) => Ok((DataType::F32, true)),
        Some(2) => Ok((DataType::F64, false)),
        Some(3) => Ok((DataType::F64, true)),
        _ => Err("the dataset's type is not an IEEE float of 32 or 64 bits".into()),
    }
}

/// The words for a dataset: the user's part of `given`, and a new part about the dataset.
pub fn describe(hdf5: &Hdf5, given: &[u32], dcpl: Hid, datatype: Hid) -> Result<Vec<u32>, String> {
    let mut parameters = Parameters::parse(given)?;
    let (data_type, big_endian) = type_of(hdf5, datatype)?;
    if hdf5.first_filter(dcpl)? != FILTER_ID {
        return Err("another filter comes first, which would change the values: leave out shuffle and the like".into());
    }
    let chunk = hdf5.chunk(dcpl)?;
    if chunk.len() > MAX_DIMS {
        return Err(format!("a chunk of {} dimensions, at most {MAX_DIMS} are possible", chunk.len()));
    }
    let fill = hdf5.fill(dcpl, datatype)?;
    let of_all = matches!(parameters.bound, Bound::Range(_) | Bound::Rmse(_) | Bound::Psnr(_) | Bound::Ratio(_));
    // HDF5 tells a filter nothing of the dataset's extents, so any chunk may be one that is padded.
    if of_all && !fill.is_some_and(|(_, written)| written) {
        return Err(
            "the bound depends on all values of a chunk, and HDF5 pads chunks at a dataset's edge with zeros unless \
                    it has a fill value: give one (NaN will do), or an absolute or point-wise bound"
                .into(),
        );
    }
    if let Some(digest) = &parameters.model {
        // A chunk is often coded only when its file is closed, and a failure there can end the process.
        models::for_writing(digest, &|name| hdf5.model(name))?;
    }
    let local = Local {
        data_type,
        big_endian,
        fill: fill.map(|(bytes, _)| number(bytes, data_type, big_endian)),
        shape: chunk.iter().map(|e| usize::try_from(*e)).collect::<Result<_, _>>().map_err(|e| e.to_string())?,
    };
    local.bytes()?;
    parameters.local = Some(local);
    Ok(parameters.words())
}

/// The value of the first bytes.
fn number(bytes: [u8; 8], data_type: DataType, big_endian: bool) -> f64 {
    let [a, b, c, d, ..] = bytes;
    match (data_type, big_endian) {
        (DataType::F64, false) => f64::from_le_bytes(bytes),
        (DataType::F64, true) => f64::from_be_bytes(bytes),
        (_, false) => f64::from(f32::from_le_bytes([a, b, c, d])),
        (_, true) => f64::from(f32::from_be_bytes([a, b, c, d])),
    }
}
