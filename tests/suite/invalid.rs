//! One file a defect, each made here field by field and kept in testdata/invalid, where other readers find them too.
//! `CAE_UPDATE_GOLDENS=1` writes them anew.

use crate::forge::{
    Array, File, Model, assemble, block, frame, header, le_bytes, onnx, raw_frame, reseal_frame, trailer, varint,
};
use crate::open::{cae_files, read_all, small, testdata, variant};
use sha2::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The defects: name of the file, variant of the error that reading it under small limits gives, the bytes.
fn defects() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut all = container();
    all.extend(directory());
    all.extend(frames());
    all.extend(limits());
    all.extend(models());
    all
}

fn good() -> Array {
    Array::new(&[2, 2], raw_frame(&[1.0, -2.5, 3.0, 0.25]))
}

/// The good array, changed.
fn array(change: impl FnOnce(&mut Array)) -> Vec<u8> {
    let mut a = good();
    change(&mut a);
    File::of(a).bytes()
}

/// Two arrays and a model, changed.
fn file(change: impl FnOnce(&mut File)) -> Vec<u8> {
    let second = Array { name: b"b".to_vec(), ..good() };
    let model = Model { digest: [7; 32], bytes: Vec::new() };
    let mut f = File { models: vec![model], arrays: vec![good(), second] };
    change(&mut f);
    f.bytes()
}

/// The bytes of the good file, changed.
fn raw(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = File::of(good()).bytes();
    change(&mut bytes);
    bytes
}

/// The good array's directory, changed and sealed.
fn entry(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let f = File::of(good());
    let mut directory = f.directory();
    change(&mut directory);
    assemble(&f.body(), &directory)
}

fn container() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let with_header = |h: Vec<u8>| raw(|b| drop(b.splice(..16, h)));
    vec![
        ("empty_file", "Format(Truncated)", Vec::new()),
        ("header_truncated", "Format(Truncated)", raw(|b| b.truncate(12))),
        ("signature", "Format(Signature)", raw(|b| b[1] = b'K')),
        ("text_mode_line_ends", "Format(TextModeDamage)", raw(|b| drop(b.splice(4..6, *b"\n")))),
        ("text_mode_high_bit", "Format(TextModeDamage)", raw(|b| b[0] = 9)),
        ("header_checksum", "Format(Checksum)", raw(|b| b[13] ^= 1)),
        ("version_newer", "Unsupported(Version)", with_header(header((cae::VERSION.0 + 1, 0), 0))),
        ("header_flags", "Unsupported(Variant)", with_header(header(cae::VERSION, 0x8000))),
        ("trailer_missing", "Format(Truncated)", raw(|b| b.truncate(16))),
        ("trailer_cut", "Format(Truncated)", raw(|b| b.truncate(b.len() - 1))),
        (
            "directory_longer_than_file",
            "Format(Truncated)",
            raw(|b| {
                let at = b.len() - 8;
                b.splice(at.., trailer(&[], u32::MAX));
            }),
        ),
        (
            "directory_checksum",
            "Format(Checksum)",
            raw(|b| {
                let at = b.len() - 12;
                b[at] ^= 4
            }),
        ),
        ("hole_before_directory", "Format(Count)", {
            let f = File::of(good());
            assemble(&[f.body(), vec![0]].concat(), &f.directory())
        }),
        ("frames_overlap_directory", "Format(Count)", {
            let f = File::of(good());
            let body = f.body();
            assemble(&body[..body.len() - 1], &f.directory())
        }),
        ("model_digest", "Format(ModelDigest)", file(|f| f.models[0].bytes = b"not the model".to_vec())),
        ("model_missing", "Unsupported(ModelMissing)", file(|_| ())),
    ]
}

fn directory() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let abs = |e: f64| [&[1][..], &e.to_le_bytes()].concat();
    let f = File { models: vec![Model { digest: [7; 32], bytes: vec![] }], arrays: vec![good()] };
    let after = {
        let d = f.directory();
        let (model, entry) = d[1..].split_at(34);
        assemble(&f.body(), &[&[2], entry, model].concat())
    };
    vec![
        ("directory_empty", "Format(Truncated)", assemble(&[], &[])),
        ("part_count_beyond_bytes", "Format(Value)", assemble(&[], &varint(1000))),
        ("part_kind_unknown", "Unsupported(Variant)", entry(|d| d[1] = 3)),
        ("part_missing", "Format(Truncated)", assemble(&[], &[1, 2, 1])),
        ("directory_trailing_bytes", "Format(TrailingBytes)", entry(|d| d.push(0))),
        ("varint_not_minimal", "Format(Varint)", entry(|d| drop(d.splice(..1, [0x81, 0])))),
        ("varint_beyond_64_bits", "Format(Varint)", long_extent()),
        ("model_after_array", "Format(Forbidden)", after),
        ("name_not_utf8", "Format(Text)", array(|a| a.name = vec![0xc3, 0x28])),
        ("name_with_nul", "Format(Text)", array(|a| a.name = b"a\0b".to_vec())),
        ("name_twice", "Format(DuplicateName)", file(|f| f.arrays[1].name = b"a".to_vec())),
        ("data_type_unknown", "Unsupported(Variant)", array(|a| a.data_type = 3)),
        ("array_flags_unknown", "Unsupported(Variant)", array(|a| a.flags = 16)),
        ("nine_dimensions", "Format(Value)", array(|a| a.shape = vec![1; 9])),
        ("extents_overflow", "Format(Value)", array(|a| a.shape = vec![1 << 40; 3])),
        ("bound_kind_unknown", "Unsupported(Variant)", array(|a| a.bound = vec![9])),
        ("bound_zero", "Format(Number)", array(|a| a.bound = abs(0.0))),
        ("bound_negative", "Format(Number)", array(|a| a.bound = abs(-1.0))),
        ("bound_nan", "Format(Number)", array(|a| a.bound = abs(f64::NAN))),
        ("bound_infinite", "Format(Number)", array(|a| a.bound = abs(f64::INFINITY))),
        (
            "bound_resolved_negative",
            "Format(Number)",
            array(|a| {
                a.bound = [&[2][..], &0.1f64.to_le_bytes(), &(-0.0f64).to_le_bytes()].concat();
            }),
        ),
        (
            "dimension_name_not_utf8",
            "Format(Text)",
            array(|a| (a.flags, a.optional) = (1, [block(b"y"), block(&[0xff])].concat())),
        ),
        ("attributes_with_nul", "Format(Text)", array(|a| (a.flags, a.optional) = (2, block(b"{}\0")))),
        ("model_index_without_models", "Format(Count)", array(|a| (a.flags, a.optional) = (4, vec![0]))),
        (
            "model_index_beyond_models",
            "Format(Value)",
            file(|f| (f.arrays[0].flags, f.arrays[0].optional) = (4, vec![1])),
        ),
        ("frame_extent_zero", "Format(Value)", array(|a| (a.flags, a.optional) = (8, vec![0, 2]))),
        ("frame_extent_beyond_array", "Format(Value)", array(|a| (a.flags, a.optional) = (8, vec![3, 2]))),
        ("frame_lengths_missing", "Format(Truncated)", array(|a| (a.flags, a.optional) = (8, vec![1, 1]))),
        ("frame_length_overflows", "Format(Value)", {
            let f = File::of(good());
            let mut d = f.directory();
            d.pop();
            d.extend(varint(u64::MAX));
            assemble(&f.body(), &d)
        }),
    ]
}

/// A file whose only extent is the ten bytes of 2^64 or more.
fn long_extent() -> Vec<u8> {
    let f = File::of(Array { shape: vec![1], ..good() });
    let mut d = f.directory();
    // Part count, part kind, name, type, flags and number of dimensions stand before the extent.
    let at = 7;
    assert_eq!(d[at], 1);
    d.splice(at..=at, [[0xff; 9].as_slice(), &[2]].concat());
    assemble(&f.body(), &d)
}

fn frames() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let of = |f: Vec<u8>| File::of(Array::new(&[2, 2], f)).bytes();
    let values = le_bytes(&[1.0, -2.5, 3.0, 0.25]);
    let digest = crc32fast::hash(&values);
    let classes = |map: Vec<u8>| of(frame(0, 1, 4, &[block(&map), values.clone()].concat()));
    let patches = |list: &[u8]| of(frame(digest, 1, 8, &[block(list), values.clone()].concat()));
    let mut resealed = raw_frame(&[1.0, -2.5, 3.0, 0.25]);
    resealed[12] ^= 1;
    reseal_frame(&mut resealed);
    vec![
        ("frame_empty", "Format(Truncated)", of(vec![])),
        (
            "frame_truncated",
            "Format(Truncated)",
            of({
                let mut f = frame(0, 0, 0, &[])[..9].to_vec();
                reseal_frame(&mut f);
                f
            }),
        ),
        ("frame_checksum", "Format(Checksum)", array(|a| a.frames[0][11] ^= 1)),
        ("frame_digest", "Format(Digest)", of(resealed)),
        ("frame_method_unknown", "Unsupported(Variant)", of(frame(digest, 255, 0, &values))),
        ("frame_flags_unknown", "Unsupported(Variant)", of(frame(digest, 1, 32, &values))),
        (
            "raw_in_table_domain",
            "Format(Code)",
            of(frame(digest, 1, 3, &[&[5, 0x10, 3, 0x80, 0x86, 2][..], &values].concat())),
        ),
        ("table_empty", "Format(Code)", of(frame(digest, 3, 3, &[3, 0, 0, 0]))),
        ("table_beyond_the_type", "Format(Code)", of(frame(digest, 3, 3, &[3, 63, 1, 2]))),
        ("raw_too_short", "Format(Count)", of(frame(digest, 1, 0, &values[..15]))),
        ("raw_too_long", "Format(Count)", of(frame(digest, 1, 0, &[values.clone(), vec![0]].concat()))),
        ("raw_in_log_domain", "Format(Code)", of(frame(digest, 1, 1, &values))),
        ("constant_too_long", "Format(Count)", of(frame(digest, 0, 0, &values[..5]))),
        ("constant_in_ordered_domain", "Format(Code)", of(frame(digest, 0, 2, &values[..4]))),
        ("exact_in_linear_domain", "Format(Code)", of(frame(digest, 6, 0, &values))),
        ("guard_of_raw_values", "Format(Forbidden)", of(frame(digest, 1, 16, &[vec![0; 4], values.clone()].concat()))),
        ("sparse_bzip2", "Format(Bzip2)", of(frame(digest, 5, 0, &[block(&[1, 4, b'B', b'Z']), vec![0, 0]].concat()))),
        ("sparse_in_log_domain", "Format(Code)", of(frame(digest, 5, 1, &[0, 0, 0]))),
        ("multilevel_empty", "Format(Truncated)", of(frame(digest, 2, 0, &[]))),
        ("raster_empty", "Format(Truncated)", of(frame(digest, 3, 0, &[]))),
        ("fast_empty", "Format(Truncated)", of(frame(digest, 4, 0, &[]))),
        ("fast_mode_unknown", "Format(Value)", of(frame(digest, 4, 0, &[0xff]))),
        ("class_map_missing", "Format(Truncated)", of(frame(digest, 1, 4, &[]))),
        ("class_count_zero", "Format(Value)", classes(vec![0])),
        ("class_count_17", "Format(Value)", classes(vec![17])),
        ("class_kind_unknown", "Format(Value)", classes(vec![1, 4])),
        ("class_image_of_unknown_class", "Format(Value)", classes([vec![2, 0, 3], block(&[2])].concat())),
        ("class_listed_values_missing", "Format(Count)", classes([vec![2, 0, 3], block(&[1]), vec![0; 15]].concat())),
        ("class_image_of_short_rows", "Format(TooSmall)", classes([vec![2, 0, 3], block(&[0x80, 3, 0])].concat())),
        ("class_trailing_bytes", "Format(Count)", classes([vec![1, 0], block(&[]), vec![0]].concat())),
        ("patch_beyond_frame", "Format(Value)", patches(&[4, 0, 0, 0, 0])),
        ("patch_position_overflows", "Format(Value)", patches(&[varint(u64::MAX), vec![0; 4]].concat())),
        ("patch_truncated", "Format(Truncated)", patches(&[0, 0, 0])),
    ]
}

/// Models that the array's only frame, a sparse one, cannot be decoded with.
fn models() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let guarded = |model: Vec<u8>, flags: u8, guard: &[u8]| {
        // One run of an exponent, so that the network is asked for a prediction.
        let exponents = [vec![0], varint(2), varint(3)].concat();
        let sections = [block(&exponents), block(&[]), block(&[])].concat();
        let mut array = Array::new(&[4], frame(0, 5, flags, &[guard, sections.as_slice()].concat()));
        (array.flags, array.optional) = (4, vec![0]);
        let digest = sha2::Sha256::digest(&model).into();
        File { models: vec![Model { digest, bytes: model }], arrays: vec![array] }.bytes()
    };
    let with = |model: Vec<u8>| guarded(model, 16, &[0; 4]);
    let sigmoid = onnx::chain("Sigmoid", 1, &[4]);
    let predictor = |kind: &str, shape: &[u64]| {
        let entry = |k: &[u8], v: &[u8]| onnx::bytes(14, &[onnx::bytes(1, k), onnx::bytes(2, v)].concat());
        let metadata = [entry(b"cae.kind", kind.as_bytes()), entry(b"cae.latent_range", b"-1023,1023")].concat();
        with([onnx::chain("Relu", 1, shape), metadata].concat())
    };
    vec![
        ("guard_missing", "Format(Forbidden)", guarded(sigmoid.clone(), 0, &[])),
        ("guard_infinite", "Format(Number)", guarded(sigmoid.clone(), 16, &f32::INFINITY.to_le_bytes())),
        ("guard_negative", "Format(Number)", guarded(sigmoid, 16, &(-1.0f32).to_le_bytes())),
        ("model_of_unknown_kind", "Model(Refused)", predictor("oracle", &[4])),
        ("network_of_wrong_shape", "Model(Refused)", predictor("predictor", &[46])),
        ("network_missing", "Format(NoModel)", File::of(Array::new(&[4], frame(0, 7, 0, &[0; 8]))).bytes()),
        ("model_not_onnx", "Model(Malformed)", with(b"no protocol buffer".to_vec())),
        ("model_operator_refused", "Model(Refused)", with(onnx::chain("Loop", 1, &[4]))),
        ("model_blocks_of_more_axes", "Format(ModelMisfit)", with(onnx::chain("Relu", 1, &[2, 3]))),
        ("model_latents_missing", "Format(Truncated)", with(onnx::chain("Relu", 1, &[4]))),
        ("over_model_nodes", "Limit(ModelNodes)", with(onnx::chain("Relu", 100, &[4]))),
        ("over_model_elements", "Limit(ModelElements)", with(onnx::chain("Relu", 1, &[(1 << 16) + 1]))),
        ("over_model_operations", "Limit(ModelOperations)", with(onnx::chain("Relu", 40, &[1 << 13]))),
    ]
}

/// Valid, but over the small limits.
fn limits() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let constant = |shape: &[u64]| Array::new(shape, frame(0, 0, 0, &[0; 4]));
    let mut rows = constant(&[300, 1000]);
    (rows.flags, rows.optional) = (8, [varint(1), varint(1000)].concat());
    rows.frames = vec![rows.frames[0].clone(); 300];
    vec![
        ("over_frame_values", "Limit(FrameValues)", File::of(constant(&[1 << 16, 2])).bytes()),
        ("over_memory", "Limit(Memory)", File::of(constant(&[1 << 16])).bytes()),
        ("over_array_bytes", "Limit(ArrayBytes)", File::of(rows).bytes()),
        ("over_directory_bytes", "Limit(DirectoryBytes)", array(|a| (a.flags, a.optional) = (2, block(&[b' '; 8192])))),
        ("over_model_bytes", "Limit(ModelBytes)", file(|f| f.models[0].bytes = vec![0; (64 << 10) + 1])),
    ]
}

#[test]
fn every_defect_gives_its_error() {
    for (name, expected, bytes) in defects() {
        match read_all(&bytes, small()) {
            Ok(()) => panic!("{name} is read without an error"),
            Err(e) => assert_eq!(variant(&e), expected, "{name}: {e}"),
        }
    }
}

#[test]
fn the_invalid_files_are_those_made_here() {
    let folder = testdata("invalid");
    let made: BTreeMap<String, Vec<u8>> = defects().into_iter().map(|(n, _, b)| (format!("{n}.cae"), b)).collect();
    if std::env::var_os("CAE_UPDATE_GOLDENS").is_some() {
        for (name, _) in cae_files("invalid") {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        made.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
        let manifest: String = defects().iter().map(|(name, error, _)| format!("{name}.cae\t{error}\n")).collect();
        std::fs::write(folder.join("manifest.tsv"), manifest).unwrap();
    }
    let kept: BTreeMap<String, Vec<u8>> = cae_files("invalid").into_iter().collect();
    assert_eq!(kept.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>());
    for (name, bytes) in &kept {
        assert!(*bytes == made[name], "{name}");
    }
}

#[test]
fn the_file_that_the_defects_are_made_from_is_good() {
    read_all(&File::of(good()).bytes(), small()).unwrap();
    read_all(&file(|f| f.models.clear()), small()).unwrap();
}

/// Variants of `name` in the library's source, so that one added there is missed here at once.
fn variants(name: &str) -> Vec<String> {
    let source = include_str!("../../src/error.rs");
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let own = |line: &str| line.strip_prefix("    ").filter(|l| l.starts_with(char::is_uppercase)).map(str::to_owned);
    body.lines().filter_map(own).map(|l| l.split(['(', ' ', ',']).next().unwrap().to_owned()).collect()
}

/// Errors that no file is known to cause: a model that passes the vetting and fails nonetheless, one that a caller gave to what it does not
/// fit, and what only lone frames need.
const ELSEWHERE: [&str; 3] = ["Model(Engine)", "Model(Mismatch)", "Unsupported(ModelNeeded)"];

#[test]
fn every_error_that_a_file_can_cause_has_a_file() {
    let covered: BTreeSet<&str> = defects().iter().map(|(_, variant, _)| *variant).chain(ELSEWHERE).collect();
    let mut missing = Vec::new();
    for (arm, name) in
        [("Format", "FormatError"), ("Unsupported", "Unsupported"), ("Limit", "Resource"), ("Model", "ModelError")]
    {
        let list = variants(name);
        assert!(list.len() >= 3, "{name}");
        missing.extend(list.iter().map(|v| format!("{arm}({v})")).filter(|v| !covered.contains(v.as_str())));
    }
    assert!(missing.is_empty(), "{missing:?}");
}
