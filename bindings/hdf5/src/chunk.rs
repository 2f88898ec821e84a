//! The bytes of a chunk, to a frame and back.

use crate::models::{self, Elsewhere};
use crate::words::{Local, Parameters};
use cae::{DataType, Element, Error, FrameOptions, GuardPolicy, Limits, Unsupported};
use zerocopy::{FromBytes, IntoBytes};

/// Codes the values of a chunk as a frame.
pub fn encode(parameters: &Parameters, models: Elsewhere, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let local = parameters.local()?;
    let needed = local.bytes()?;
    if bytes.len() != needed {
        return Err(format!(
            "the chunk has {} bytes, {needed} expected: no filter may come before this one",
            bytes.len()
        ));
    }
    match local.data_type {
        DataType::F64 => encode_as::<f64>(parameters, local, models, bytes),
        _ => encode_as::<f32>(parameters, local, models, bytes),
    }
}

/// Decodes a frame into `out`, which has room for the values of a chunk and is aligned for them.
pub fn decode(parameters: &Parameters, models: Elsewhere, frame: &[u8], out: &mut [u8]) -> Result<(), String> {
    let local = parameters.local()?;
    match local.data_type {
        DataType::F64 => decode_as::<f64>(parameters, local, models, frame, out),
        _ => decode_as::<f32>(parameters, local, models, frame, out),
    }
}

fn encode_as<T: Element>(
    parameters: &Parameters,
    local: &Local,
    models: Elsewhere,
    bytes: &[u8],
) -> Result<Vec<u8>, String> {
    let size = T::DATA_TYPE.size();
    let value = |b: &[u8]| {
        if local.big_endian {
            let mut little = [0u8; 8];
            little.iter_mut().zip(b.iter().rev()).for_each(|(to, from)| *to = *from);
            T::get_le(&little).unwrap_or_default()
        } else {
            T::get_le(b).unwrap_or_default()
        }
    };
    let values: Vec<T> = bytes.chunks_exact(size).map(value).collect();
    let model = parameters.model.map(|digest| models::for_writing(&digest, models)).transpose()?;
    let mut options = FrameOptions { bound: parameters.bound, preset: parameters.preset, ..FrameOptions::default() };
    options.fill = local.fill;
    // HDF5 may code a chunk when it is too late to ask for another bound.
    options.guard = GuardPolicy::FallBack;
    options.decoder = model.as_ref().map(|m| m.decoder());
    options.encoder = model.as_ref().and_then(|m| m.encoder());
    Ok(cae::compress_frame(&values, &local.shape, &options).map_err(|e| e.to_string())?.bytes)
}

fn decode_as<T: Element + FromBytes + IntoBytes>(
    parameters: &Parameters,
    local: &Local,
    models: Elsewhere,
    frame: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    let model = parameters.model.map(|digest| models::for_reading(&digest, models));
    let decoder = model.as_ref().and_then(|m| m.as_ref().ok()).map(|m| m.decoder());
    let room = <[T]>::mut_from_bytes(out).map_err(|_| "HDF5's memory is not aligned for the values")?;
    let decoded = cae::decompress_frame(frame, &local.shape, decoder, &Limits::default(), room);
    decoded.map_err(|e| match (&model, &e) {
        // Only a frame that needs the model makes it matter that there is none.
        (Some(Err(missing)), Error::Unsupported { kind: Unsupported::ModelNeeded, .. }) => missing.clone(),
        _ => e.to_string(),
    })?;
    if local.big_endian != cfg!(target_endian = "big") {
        out.chunks_exact_mut(T::DATA_TYPE.size()).for_each(<[u8]>::reverse);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cae::{Bound, Preset};

    fn parameters(data_type: DataType, big_endian: bool) -> Parameters {
        let local = Local { data_type, big_endian, fill: Some(-1.0), shape: vec![10, 20] };
        Parameters { bound: Bound::Absolute(1e-3), preset: Preset::Fast, model: None, local: Some(local) }
    }

    #[test]
    fn both_types_and_orders_come_back_within_the_bound() {
        let values: Vec<f64> = (0..200).map(|i| if i % 17 == 0 { -1.0 } else { (f64::from(i) * 0.1).sin() }).collect();
        for big in [false, true] {
            let bytes: Vec<u8> =
                values.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect();
            let p = parameters(DataType::F64, big);
            let frame = encode(&p, &|_| None, &bytes).unwrap();
            let mut out = vec![0u64; 200];
            decode(&p, &|_| None, &frame, out.as_mut_bytes()).unwrap();
            for (x, y) in values.iter().zip(out.as_bytes().as_chunks::<8>().0) {
                let y = if big { f64::from_be_bytes(*y) } else { f64::from_le_bytes(*y) };
                assert!((x - y).abs() <= 1e-3 && (*x != -1.0 || y == -1.0));
            }
            let bytes: Vec<u8> = values
                .iter()
                .map(|v| f32::from_f64(*v))
                .flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() })
                .collect();
            let p = parameters(DataType::F32, big);
            let frame = encode(&p, &|_| None, &bytes).unwrap();
            let mut out = vec![0u64; 100];
            decode(&p, &|_| None, &frame, out.as_mut_bytes()).unwrap();
            let first = |b: &[u8]| *b.first_chunk::<4>().unwrap();
            assert_eq!(first(out.as_bytes()), first(&bytes), "the fill value comes back bit for bit");
        }
    }

    #[test]
    fn wrong_lengths_and_damage_are_refused() {
        let p = parameters(DataType::F32, false);
        assert!(encode(&p, &|_| None, &[0; 799]).unwrap_err().contains("800"));
        let frame = encode(&p, &|_| None, &[0; 800]).unwrap();
        let mut out = vec![0u64; 100];
        for n in 0..frame.len() {
            assert!(decode(&p, &|_| None, &frame[..n], out.as_mut_bytes()).is_err());
        }
    }
}
