//! Damaged files: the right error or the right data, and what is whole stays readable.

use crate::fields::{bits, masked, smooth};
use crate::forge::{HEADER_LEN, reseal_directory, reseal_frame};
use crate::open::{bits_of, read_all, small, small_limits, testdata, variant};
use cae::{
    ArrayOptions, Bound, Damage, DataType, Element, Error, FormatError, Found, Known, Place, Preset, ReadOptions,
    Reader, Region, Writer,
};
use ndarray::ArrayD;
use std::io::Cursor;

fn options(bound: Bound, preset: Preset) -> ArrayOptions<'static> {
    ArrayOptions { bound, preset, threads: 1, ..ArrayOptions::default() }
}

fn one<T: Element>(values: &ArrayD<T>, options: &ArrayOptions) -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("a", &values.view(), options).unwrap();
    w.finish().unwrap()
}

/// Three arrays, the second in six frames.
fn sample() -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    let fast = options(Bound::Absolute(0.01), Preset::Fast);
    w.add_array("first", &smooth::<f32>(&[8, 9], 1).view(), &fast).unwrap();
    let frames = ArrayOptions {
        frame_shape: Some(vec![4, 5]),
        dim_names: vec!["y".into(), "x".into()],
        attributes: "{\"units\":\"K\"}".into(),
        ..options(Bound::Range(0.01), Preset::Balanced)
    };
    w.add_array("second", &smooth::<f64>(&[12, 10], 2).view(), &frames).unwrap();
    w.add_array("third", &smooth::<f32>(&[5], 3).view(), &options(Bound::Lossless, Preset::Balanced)).unwrap();
    w.finish().unwrap()
}

/// Where the frames end and the directory begins.
fn directory_offset(file: &[u8]) -> usize {
    let reader = Reader::new(file).unwrap();
    HEADER_LEN + reader.arrays().map(|a| a.stored_bytes()).sum::<u64>() as usize
}

fn flipped(file: &[u8], byte: usize, bit: usize) -> Vec<u8> {
    let mut damaged = file.to_vec();
    damaged[byte] ^= 1 << bit;
    damaged
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let file = sample();
    for len in 0..file.len() {
        let error = read_all(&file[..len], small()).unwrap_err();
        let place = match &error {
            Error::Format { place, .. } => *place,
            other => panic!("{len}: {other}"),
        };
        let expected = if len < HEADER_LEN { Place::Header } else { Place::Trailer };
        assert_eq!(place, expected, "{len}");
        let kind = variant(&error);
        assert!(kind == "Format(Truncated)" || (len > HEADER_LEN && kind == "Format(Checksum)"), "{len}: {kind}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut file = sample();
    file.push(0);
    assert!(matches!(read_all(&file, small()), Err(Error::Format { place: Place::Trailer, .. })));
}

#[test]
fn every_flipped_bit_of_the_header_is_named() {
    let file = sample();
    for byte in 0..HEADER_LEN {
        for bit in 0..8 {
            let error = Reader::new(&flipped(&file, byte, bit)).map(|_| ()).unwrap_err();
            let expected = match byte {
                0 => "Format(TextModeDamage)",
                1..4 => "Format(Signature)",
                4..8 => "Format(TextModeDamage)",
                8 | 9 => "Unsupported(Version)",
                _ => "Format(Checksum)",
            };
            assert_eq!(variant(&error), expected, "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn every_flipped_bit_of_directory_and_trailer_is_found() {
    let file = sample();
    for byte in directory_offset(&file)..file.len() {
        for bit in 0..8 {
            let error = Reader::new(&flipped(&file, byte, bit)).map(|_| ()).unwrap_err();
            let kind = variant(&error);
            let length = byte >= file.len() - 8 && byte < file.len() - 4;
            let fits = kind == "Format(Checksum)" || (length && kind == "Format(Truncated)");
            assert!(
                fits && matches!(error, Error::Format { place: Place::Trailer, .. }),
                "byte {byte} bit {bit}: {kind}"
            );
        }
    }
}

#[test]
fn every_flipped_bit_of_a_frame_names_the_frame_and_leaves_the_others() {
    let file = sample();
    let whole: Vec<Vec<u64>> = {
        let r = Reader::new(&file).unwrap();
        let narrow = |name| bits(&r.array(name).unwrap().read::<f32>().unwrap());
        vec![narrow("first"), bits(&r.array("second").unwrap().read::<f64>().unwrap()), narrow("third")]
    };
    for byte in HEADER_LEN..directory_offset(&file) {
        let damaged = flipped(&file, byte, byte % 8);
        let reader = Reader::new_with(&damaged, small()).unwrap();
        let mut bad_frames = 0;
        for (index, (array, whole)) in reader.arrays().zip(&whole).enumerate() {
            let region = Region {
                start: vec![0; array.shape().len()],
                extent: array.shape().iter().map(|n| *n as usize).collect(),
            };
            let (back, bad): (Vec<u64>, _) = if array.name() == "second" {
                let (values, bad) = array.read_salvaged::<f64>(&region).unwrap();
                (bits(&values), bad)
            } else {
                let (values, bad) = array.read_salvaged::<f32>(&region).unwrap();
                (bits(&values), bad)
            };
            let is_bad = |i: usize| {
                let at =
                    |d: usize| (i / array.shape()[d + 1..].iter().product::<u64>() as usize) as u64 % array.shape()[d];
                bad.iter().any(|b| b.region.ranges().enumerate().all(|(d, r)| r.contains(&at(d))))
            };
            for (i, (x, y)) in whole.iter().zip(&back).enumerate() {
                let nan = if array.name() == "second" { f64::NAN.to_bits() } else { f32::NAN.to_bits().into() };
                assert_eq!(*y, if is_bad(i) { nan } else { *x }, "byte {byte}, {} value {i}", array.name());
            }
            assert_eq!(array.verify().unwrap().0.len(), bad.len());
            for b in &bad {
                let place = Place::Frame { array: index as u32, frame: b.frame };
                assert!(
                    matches!(&b.error, Error::Format { place: p, kind: FormatError::Checksum { .. }, .. } if *p == place)
                );
            }
            bad_frames += bad.len();
        }
        assert_eq!(bad_frames, 1, "byte {byte}");
    }
}

#[test]
fn salvage_writes_the_whole_frames_of_a_damaged_array() {
    let file = sample();
    let at = HEADER_LEN + Reader::new(&file).unwrap().array("first").unwrap().stored_bytes() as usize + 5;
    let damaged = flipped(&file, at, 0);
    let reader = Reader::new(&damaged).unwrap();
    let array = reader.array("second").unwrap();
    let region = Region { start: vec![0, 0], extent: vec![12, 10] };
    let mut out = Cursor::new(Vec::new());
    let bad = array.write_values::<f64>(&region, Damage::Salvage, &mut out, &|_| ()).unwrap();
    assert_eq!(bad.iter().map(|b| b.frame).collect::<Vec<_>>(), [0]);
    let mut streamed = Vec::new();
    array.stream_values::<f64>(&region, Damage::Salvage, &mut streamed, &|_| ()).unwrap();
    assert_eq!(out.into_inner(), streamed);
    assert_eq!(streamed.chunks_exact(8).filter(|v| f64::from_le_bytes((*v).try_into().unwrap()).is_nan()).count(), 20);
    assert!(array.write_values::<f64>(&region, Damage::Fail, &mut Cursor::new(Vec::new()), &|_| ()).is_err());
}

/// Flips every bit of a file's only frame and makes the frame's checksum right again: only the decoder and the digest
/// stand between the damage and the values.
fn flip_behind_the_checksum<T: Element>(what: &str, values: &ArrayD<T>, options: &ArrayOptions) {
    let file = one(values, options);
    let whole = bits_of::<T>(&file, "a").unwrap();
    let end = directory_offset(&file);
    for byte in HEADER_LEN + 4..end {
        for bit in 0..8 {
            let mut damaged = flipped(&file, byte, bit);
            reseal_frame(&mut damaged[HEADER_LEN..end]);
            match bits_of::<T>(&damaged, "a") {
                Ok(back) => assert!(back == whole, "{what}: byte {byte} bit {bit} gives other values"),
                Err(Error::Format { .. } | Error::Unsupported { .. } | Error::Model(_)) => {}
                Err(other) => panic!("{what}: byte {byte} bit {bit}: {other}"),
            }
        }
    }
}

#[test]
fn no_flipped_bit_behind_a_right_checksum_changes_a_value_unnoticed() {
    let (abs, pw) = (Bound::Absolute(0.05), Bound::Pointwise(0.01));
    let narrow = smooth::<f32>(&[7, 12], 1);
    for preset in [Preset::Fast, Preset::Balanced, Preset::Small] {
        flip_behind_the_checksum(preset.name(), &narrow, &options(abs, preset));
        flip_behind_the_checksum(preset.name(), &masked::<f64>(&[5, 9], 2, -9.0), &options(pw, preset));
        flip_behind_the_checksum(preset.name(), &smooth::<f32>(&[40], 3), &options(Bound::Lossless, preset));
    }
    flip_behind_the_checksum("exact", &smooth::<f64>(&[4, 8], 4), &options(Bound::Lossless, Preset::Balanced));
    flip_behind_the_checksum("patches", &smooth::<f32>(&[30], 5), &options(Bound::Absolute(4e-7), Preset::Balanced));
}

#[test]
fn no_flipped_bit_of_a_directory_behind_a_right_checksum_panics() {
    let file = sample();
    let offset = directory_offset(&file);
    for byte in offset..file.len() - 8 {
        for bit in 0..8 {
            let mut damaged = flipped(&file, byte, bit);
            reseal_directory(&mut damaged, offset);
            let _ = read_all(&damaged, small());
        }
    }
}

#[test]
fn random_damage_never_panics() {
    let file = sample();
    let mut random = crate::fields::Random(77);
    for _ in 0..2000 {
        let mut damaged = file.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(damaged.len());
            match random.below(3) {
                0 => damaged[at] = random.bits() as u8,
                1 => damaged.truncate(at.max(1)),
                _ => damaged.insert(at, random.bits() as u8),
            }
        }
        let _ = read_all(&damaged, small());
        let array = Known::Array { name: "", data_type: DataType::F32, shape: &[8, 9], frame_shape: None };
        for known in [Known::Nothing, array, Known::Like(&Reader::new(&file).unwrap())] {
            if let Ok((back, _)) = recovered(&damaged, &known) {
                assert!(Reader::new_with(&back, small()).is_ok());
            }
        }
    }
}

fn recovered(damaged: &[u8], known: &Known) -> Result<(Vec<u8>, Found), Error> {
    let mut out = Vec::new();
    let done = cae::recover(damaged, known, &small_limits(), &mut out)?;
    assert_eq!(done.header, damaged.get(..HEADER_LEN) != out.get(..HEADER_LEN));
    Ok((out, done.directory))
}

#[test]
fn a_flipped_bit_of_header_directory_or_trailer_is_turned_back() {
    let file = sample();
    assert!(matches!(recovered(&file, &Known::Nothing), Err(Error::Argument(_))), "nothing to recover");
    for byte in (0..HEADER_LEN).chain(directory_offset(&file)..file.len()) {
        for bit in 0..8 {
            let (back, found) = recovered(&flipped(&file, byte, bit), &Known::Nothing).unwrap();
            assert!(back == file, "byte {byte} bit {bit}");
            let expected = if byte < HEADER_LEN { Found::Whole } else { Found::Bit(byte as u64, bit as u32) };
            assert_eq!(found, expected);
        }
    }
    // The header of another version is no damage.
    let mut other = file;
    other[9] = 200;
    let crc = crc32fast::hash(&other[..HEADER_LEN - 4]).to_le_bytes();
    other[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc);
    assert_eq!(variant(&recovered(&other, &Known::Nothing).unwrap_err()), "Unsupported(Version)");
}

#[test]
fn a_directory_without_its_checksum_is_taken_where_its_lengths_add_up() {
    let file = sample();
    let text = b"units";
    let at = file.windows(text.len()).position(|w| w == text).unwrap();
    let mut damaged = file.clone();
    damaged[at..at + 2].copy_from_slice(b"fl");
    let (back, found) = recovered(&damaged, &Known::Nothing).unwrap();
    assert_eq!(found, Found::Unchecked);
    let (back, whole) = (Reader::new(&back).unwrap(), Reader::new(&file).unwrap());
    let [back, whole] = [&back, &whole].map(|r| r.array("second").unwrap());
    assert_eq!(back.attributes(), "{\"flits\":\"K\"}");
    assert_eq!(back.read::<f64>().unwrap(), whole.read::<f64>().unwrap());
}

#[test]
fn frames_of_a_file_that_was_cut_off_are_found_by_what_another_says() {
    let file = sample();
    let sibling = Reader::new(&file).unwrap();
    let ends: Vec<u64> =
        sibling.arrays().flat_map(|a| (0..a.frame_count()).map(move |f| a.frame_range(f).end)).collect();
    for len in HEADER_LEN..directory_offset(&file) {
        let whole = ends.iter().filter(|end| **end <= len as u64).count() as u64;
        let back = recovered(&file[..len], &Known::Like(&sibling));
        if whole == 0 {
            assert!(matches!(back, Err(Error::Argument(_))), "{len}");
            continue;
        }
        let (back, found) = back.unwrap();
        assert_eq!(found, Found::Frames { whole, all: ends.len() as u64, more: false }, "{len}");
        let reader = Reader::new(&back).unwrap();
        let mut good = 0;
        for (array, before) in reader.arrays().zip(sibling.arrays()) {
            let of = |a: &cae::Array| (a.name().to_owned(), a.attributes().to_owned(), a.bound());
            assert_eq!(of(&array), of(&before));
            let bad: Vec<u64> = array.verify().unwrap().0.iter().map(|b| b.frame).collect();
            for f in (0..array.frame_count()).filter(|f| !bad.contains(f)) {
                assert_eq!(array.frame_bytes(f).unwrap(), before.frame_bytes(f).unwrap());
                good += 1;
            }
        }
        assert_eq!(good, whole, "{len}");
    }
}

#[test]
fn frames_are_found_by_type_and_shape_of_their_array() {
    let values = smooth::<f64>(&[300, 400], 5);
    let cut = |options: &ArrayOptions| {
        let mut file = one(&values, options);
        file.truncate(directory_offset(&file) - 1);
        file
    };
    let known = |frame_shape| Known::Array { name: "v", data_type: DataType::F64, shape: &[300, 400], frame_shape };
    let recovered = |file: &[u8], frame_shape| {
        let mut out = Vec::new();
        let done = cae::recover(file, &known(frame_shape), &cae::Limits::default(), &mut out)?;
        Ok::<_, Error>((out, done.directory))
    };
    let asked = ArrayOptions { frame_shape: Some(vec![75, 400]), ..options(Bound::Absolute(0.01), Preset::Balanced) };
    let (file, found) = recovered(&cut(&asked), Some(&[75, 400])).unwrap();
    assert_eq!(found, Found::Frames { whole: 3, all: 4, more: false });
    let region = Region { start: vec![0, 0], extent: vec![300, 400] };
    let reader = Reader::new(&file).unwrap();
    let (back, bad) = reader.array("v").unwrap().read_salvaged::<f64>(&region).unwrap();
    assert_eq!(bad.iter().map(|b| b.frame).collect::<Vec<_>>(), [3]);
    assert!(back.iter().zip(&values).take(225 * 400).all(|(a, b)| (a - b).abs() <= 0.01));
    assert!(back.iter().skip(225 * 400).all(|v| v.is_nan()));
    for wrong in [Some(&[75, 200][..]), None] {
        assert!(recovered(&cut(&asked), wrong).is_err(), "no writer chooses these frames");
    }
    // As a writer chooses where each point has a bound of its own.
    let bounds = values.mapv(|_| 0.5);
    let by_point = ArrayOptions { bounds: Some(&bounds.view()), ..options(Bound::ByPoint, Preset::Fast) };
    let (file, found) = recovered(&cut(&by_point), None).unwrap();
    let frames = Reader::new(&file).unwrap().array("v").unwrap().frame_count();
    assert!(frames > 1 && found == Found::Frames { whole: frames - 1, all: frames, more: false }, "{found:?}");
}

/// What a transfer or a file system adds.
#[test]
fn bytes_behind_the_end_of_a_file_are_cut_off() {
    let file = sample();
    for (count, fill) in [(1, 0), (4, 7), (8, 0), (512, 0), (1000, 0xff), (5000, 1)] {
        let mut longer = file.clone();
        longer.resize(file.len() + count, fill);
        assert!(matches!(read_all(&longer, small()), Err(Error::Format { place: Place::Trailer, .. })));
        let (back, found) = recovered(&longer, &Known::Nothing).unwrap();
        assert!(back == file, "{count} of {fill}");
        assert_eq!(found, Found::Followed(count as u64));
    }
}

#[test]
fn that_more_frames_follow_than_are_known_is_said() {
    let mut file = sample();
    let first = Reader::new(&file).unwrap().array("first").unwrap().stored_bytes() as usize;
    let known = Known::Array { name: "first", data_type: DataType::F32, shape: &[8, 9], frame_shape: None };
    file.truncate(directory_offset(&file));
    assert_eq!(recovered(&file, &known).unwrap().1, Found::Frames { whole: 1, all: 1, more: true });
    file.truncate(HEADER_LEN + first);
    assert_eq!(recovered(&file, &known).unwrap().1, Found::Frames { whole: 1, all: 1, more: false });
}

/// A model that others have, too, is not lost with the file.
#[test]
fn a_damaged_model_is_found_in_another_file_or_a_folder() {
    let file = std::fs::read(testdata("golden").join("0.1_model_exact512.cae")).unwrap();
    let whole = Reader::new(&file).unwrap();
    let values = |r: &Reader| bits(&r.arrays().find(|a| a.model().is_some()).unwrap().read::<f32>().unwrap());
    let damaged = flipped(&file, HEADER_LEN + 100, 3);
    let reader = Reader::new(&damaged).unwrap();
    let error = |r: &Reader| variant(&r.model_bytes(0).unwrap_err());
    assert_eq!(error(&reader), "Format(ModelDigest)");

    let limits = cae::Limits::default();
    let mut back = Vec::new();
    let refused = cae::recover(&damaged, &Known::Nothing, &limits, &mut back).unwrap_err();
    assert!(refused.to_string().contains("another file"), "{refused}");
    let done = cae::recover(&damaged, &Known::Like(&whole), &limits, &mut back).unwrap();
    assert_eq!((done.header, done.models, done.directory), (false, 1, Found::Whole));
    assert!(back == file);

    // The first folder has another model by that name, the second the right one.
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let digest: String = whole.models().next().unwrap().digest.iter().map(|b| format!("{b:02x}")).collect();
    let paths = folders.each_ref().map(|f| f.path().join(format!("{digest}.onnx")));
    let mut options = ReadOptions::default();
    options.model_dirs = folders.iter().map(|f| f.path().to_owned()).collect();
    std::fs::write(&paths[0], "other").unwrap();
    assert_eq!(error(&Reader::new_with(&damaged, options.clone()).unwrap()), "Format(ModelDigest)");
    std::fs::write(&paths[1], whole.model_bytes(0).unwrap()).unwrap();
    assert_eq!(values(&Reader::new_with(&damaged, options).unwrap()), values(&whole));
}
