//! Arrays in stores of zarrs.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]

use cae_zarrs::{CaeCodec, CaeCodecConfiguration};
use std::sync::Arc;
use zarrs::array::{Array, ArrayBuilder, DataType, FillValue, data_type};
use zarrs::filesystem::FilesystemStore;

const SHAPE: [u64; 3] = [20, 37, 72];

fn field() -> Vec<f32> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/raw/navy_uwnd_20x37x72.f32");
    std::fs::read(path).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn codec(configuration: &str) -> CaeCodec {
    let configuration: CaeCodecConfiguration = serde_json::from_str(configuration).unwrap();
    CaeCodec::new(configuration).unwrap()
}

fn create(
    folder: &std::path::Path,
    chunks: [u64; 3],
    inner: Option<Vec<u64>>,
    data_type: DataType,
    fill: impl Into<FillValue>,
    codec: CaeCodec,
) -> Array<FilesystemStore> {
    let store = Arc::new(FilesystemStore::new(folder).unwrap());
    let mut builder = ArrayBuilder::new(SHAPE.to_vec(), chunks.to_vec(), data_type, fill.into());
    builder.array_to_bytes_codec(Arc::new(codec));
    if let Some(inner) = inner {
        builder.subchunk_shape(inner);
    }
    let array = builder.build(store, "/").unwrap();
    array.store_metadata().unwrap();
    array
}

#[test]
fn chunks_are_frames_that_open_again() {
    let values = field();
    let folder = tempfile::tempdir().unwrap();
    let bound = r#"{"bound": {"kind": "abs", "value": 0.05}}"#;
    let array = create(folder.path(), [10, 37, 72], None, data_type::float32(), 0f32, codec(bound));
    array.store_array_subset(&array.subset_all(), &values).unwrap();
    let options = cae::FrameOptions { bound: cae::Bound::Absolute(0.05), ..Default::default() };
    let frame = cae::compress_frame(&values[values.len() / 2..], &[10, 37, 72], &options).unwrap();
    assert_eq!(std::fs::read(folder.path().join("c/1/0/0")).unwrap(), frame.bytes);

    let store = Arc::new(FilesystemStore::new(folder.path()).unwrap());
    let again = Array::open(store, "/").unwrap();
    let decoded: Vec<f32> = again.retrieve_array_subset(&again.subset_all()).unwrap();
    assert!(values.iter().zip(&decoded).all(|(x, y)| (x - y).abs() <= 0.05));
    let part: Vec<f32> = again.retrieve_array_subset(&[3..4, 5..6, 0..72]).unwrap();
    assert_eq!(part, decoded[(3 * 37 + 5) * 72..(3 * 37 + 6) * 72]);
}

#[test]
fn shards_hold_frames_and_every_bound_is_kept() {
    let values: Vec<f64> = field().into_iter().map(f64::from).collect();
    for (bound, limit) in [
        (r#"{"bound": {"kind": "pw", "value": 0.01}, "preset": "fast"}"#, 0.01),
        (r#"{"bound": {"kind": "lossless"}, "preset": "fast"}"#, 0.0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let inner = Some(vec![5, 37, 72]);
        let array = create(folder.path(), [20, 37, 72], inner, data_type::float64(), f64::NAN, codec(bound));
        array.store_array_subset(&array.subset_all(), &values).unwrap();
        let decoded: Vec<f64> = array.retrieve_array_subset(&array.subset_all()).unwrap();
        assert!(values.iter().zip(&decoded).all(|(x, y)| (x - y).abs() <= limit * x.abs()));
        let part: Vec<f64> = array.retrieve_array_subset(&[7..8, 0..37, 0..72]).unwrap();
        assert_eq!(part, decoded[7 * 37 * 72..8 * 37 * 72]);
    }
}

#[test]
fn the_fill_value_comes_back_bit_for_bit() {
    let mut values = field();
    values.iter_mut().step_by(7).for_each(|v| *v = 1e20);
    let folder = tempfile::tempdir().unwrap();
    let bound = r#"{"bound": {"kind": "abs", "value": 0.05}}"#;
    let array = create(folder.path(), [20, 37, 72], None, data_type::float32(), 1e20f32, codec(bound));
    array.store_array_subset(&array.subset_all(), &values).unwrap();
    let decoded: Vec<f32> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert!(decoded.iter().step_by(7).all(|v| v.to_bits() == 1e20f32.to_bits()));
}

#[test]
fn a_model_is_found_by_its_digest() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    let read = |half: &str| std::fs::read(models.join(format!("exact512-{half}.onnx"))).unwrap();
    let (encoder, decoder) = (read("encoder"), read("decoder"));
    let bound = |digest: &str| format!(r#"{{"bound": {{"kind": "pw", "value": 0.1}}, "model": "{digest}"}}"#);
    let values: Vec<f32> = field().iter().map(|v| 0.05 + v.clamp(-30.0, 30.0) / 1000.0).collect();
    let folder = tempfile::tempdir().unwrap();
    let unknown = create(folder.path(), SHAPE, None, data_type::float32(), 0f32, codec(&bound(&"0".repeat(64))));
    assert!(unknown.store_array_subset(&unknown.subset_all(), &values).unwrap_err().to_string().contains("model"));
    let digest = cae_zarrs::models::add(&decoder, Some(&encoder)).unwrap();
    let array = create(folder.path(), SHAPE, None, data_type::float32(), 0f32, codec(&bound(&digest)));
    array.store_array_subset(&array.subset_all(), &values).unwrap();
    let decoded: Vec<f32> = array.retrieve_array_subset(&array.subset_all()).unwrap();
    assert!(values.iter().zip(&decoded).all(|(x, y)| (x - y).abs() <= 0.1 * x.abs()));
}

#[test]
fn wrong_configurations_types_and_chunks_are_refused() {
    for wrong in [
        "{}",
        r#"{"bound": {"kind": "rel", "value": 0.1}}"#,
        r#"{"bound": {"kind": "abs", "value": 0.1}, "level": 3}"#,
        r#"{"bound": {"kind": "abs"}}"#,
        r#"{"bound": {"kind": "abs", "value": -1}}"#,
        r#"{"bound": {"kind": "lossless", "value": 1}}"#,
    ] {
        let parsed: Result<CaeCodecConfiguration, _> = serde_json::from_str(wrong);
        assert!(parsed.is_err() || CaeCodec::new(parsed.unwrap()).is_err(), "{wrong}");
    }
    let bound = r#"{"bound": {"kind": "abs", "value": 0.05}, "preset": "fast"}"#;
    let folder = tempfile::tempdir().unwrap();
    let array = create(folder.path(), SHAPE, None, data_type::int32(), 0i32, codec(bound));
    assert!(array.store_array_subset(&array.subset_all(), vec![1i32; 53280]).is_err());

    let array = create(folder.path(), SHAPE, None, data_type::float32(), 0f32, codec(bound));
    array.store_array_subset(&array.subset_all(), field()).unwrap();
    let path = folder.path().join("c/0/0/0");
    let good = std::fs::read(&path).unwrap();
    for bad in [good[..good.len() - 1].to_vec(), vec![0; good.len()], [good.as_slice(), b"x"].concat()] {
        std::fs::write(&path, bad).unwrap();
        let error = array.retrieve_array_subset::<Vec<f32>>(&array.subset_all()).unwrap_err();
        assert!(error.to_string().contains("cae"), "{error}");
    }
}
