//! Frames written byte by byte from SPEC 7 and 9.5, in the forms that this library's writer seldom or never chooses.

use crate::fields::{Random, crc, smooth};
use crate::forge::{self, Array, File, Model, block, frame, onnx, varint};
use cae::{DataType, Element, Error, FormatError, Reader};
use sha2::Digest;
use std::io::Write;

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A length and a bzip2 stream of that many bytes.
fn counted_bzip2(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bzip2(bytes)].concat()
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

fn zigzags(values: impl IntoIterator<Item = i64>) -> Vec<u8> {
    values.into_iter().flat_map(|v| varint(zigzag(v))).collect()
}

/// All first bytes, then all second bytes, and so on.
fn planes(bytes: &[u8], width: usize) -> Vec<u8> {
    (0..width).flat_map(|p| bytes.iter().skip(p).step_by(width).copied()).collect()
}

/// Puts the digest of the values that decode into the first frame of the only array.
fn sealed(mut file: File) -> File {
    let bytes = file.bytes();
    let reader = Reader::new(&bytes).unwrap();
    let array = reader.arrays().next().unwrap();
    let digest = match array.data_type() {
        DataType::F64 => array.read::<f64>().map(|v| crc(&v)),
        _ => array.read::<f32>().map(|v| crc(&v)),
    };
    let digest = match digest {
        Err(Error::Format { kind: FormatError::Digest { computed, .. }, .. }) => computed,
        other => other.unwrap(),
    };
    let frame = &mut file.arrays[0].frames[0];
    frame[4..8].copy_from_slice(&digest.to_le_bytes());
    forge::reseal_frame(frame);
    file
}

/// All arrays of files with at most one model, the same in each.
fn joined(files: Vec<File>) -> Vec<u8> {
    let models = files
        .iter()
        .find(|f| !f.models.is_empty())
        .map(|f| f.models.iter().map(|m| Model { digest: m.digest, bytes: m.bytes.clone() }).collect());
    File { models: models.unwrap_or_default(), arrays: files.into_iter().flat_map(|f| f.arrays).collect() }.bytes()
}

/// Four sections of SPEC 7 without a model, in rows of four points.
fn sparse(name: &str, shape: &[u64], wide: bool, sections: [Vec<u8>; 4]) -> File {
    let [exponents, latents, bitmap, deltas] = sections;
    let payload = [block(&exponents), block(&latents), block(&bitmap), deltas].concat();
    let array = Array { name: name.as_bytes().to_vec(), ..Array::new(shape, frame(0, 5, 0, &payload)) };
    sealed(File::of(if wide { array.f64() } else { array }))
}

const SHAPE: [u64; 4] = [2, 2, 3, 4];
const POINTS: usize = 48;

/// One run of exponent 2.
fn level() -> Vec<u8> {
    [vec![0], varint(2 + zigzag(2)), varint(POINTS as u64 - 1)].concat()
}

fn middle() -> Vec<u8> {
    0.05f32.to_le_bytes().to_vec()
}

const NO_PATCHES: [u8; 1] = [0];

fn halves(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| half::f16::from_f32(0.001 * (i as f32 * 0.7).sin()).to_le_bytes()).collect()
}

fn residuals(n: usize) -> impl Iterator<Item = i64> {
    (0..n as i64).map(|i| i * i % 7 - 3)
}

/// Every form of bitmap, deltas and exponents.
pub fn sparse_forms() -> Vec<u8> {
    let all = || vec![4u8];
    let with = |name: &str, bitmap: Vec<u8>, deltas: Vec<u8>| {
        sparse(name, &SHAPE, name.ends_with("f64"), [level(), middle(), bitmap, deltas])
    };
    let bits = [0b1010_0101u8, 0xff, 0x00, 0x3c, 0x81, 0x10];
    let marked = bits.iter().map(|b| b.count_ones() as usize).sum();
    let plain = |n: usize| [vec![1], halves(n), NO_PATCHES.to_vec()].concat();
    let packed = [vec![2], block(&bzip2(&planes(&halves(POINTS), 2))), NO_PATCHES.to_vec()].concat();
    let values: Vec<f32> = (0..POINTS).map(|i| 5.0 + i as f32 / 8.0).collect();
    let bytes = [vec![0; POINTS], planes(&forge::le_bytes(&values), 4)].concat();
    let patched = [vec![0], varint(POINTS as u64), vec![0], bytes.clone()].concat();
    let patched_small = [vec![0], varint(POINTS as u64), vec![1], counted_bzip2(&bytes)].concat();
    let wide: Vec<u8> = [2.5f64, -7.25].iter().flat_map(|v| v.to_le_bytes()).collect();
    let some = [vec![1], halves(POINTS), varint(2), vec![0, 3, 40], planes(&wide, 8)].concat();
    let mut files = vec![
        with("no bit", vec![3], vec![]),
        with("bits", [vec![0], bits.to_vec()].concat(), plain(marked)),
        with("bits in bzip2", [vec![1], bzip2(&bits)].concat(), plain(marked)),
        with("all bits, halves in bzip2", all(), packed),
        with("patches alone", all(), patched),
        with("patches in bzip2", all(), patched_small),
        with("two patches, f64", all(), some),
    ];
    for (unit, axes) in (0..4u8).flat_map(|u| (0..4u8).map(move |a| (u, a))) {
        let step = if unit == 2 { 0.01f64 } else { 0.002 };
        let head = [vec![4, unit, axes], step.to_le_bytes().to_vec()].concat();
        let raw = zigzags(residuals(POINTS));
        let deltas = [head, varint(raw.len() as u64), block(&bzip2(&raw)), NO_PATCHES.to_vec()].concat();
        let name = format!("unit {unit}, axes {axes}{}", if unit % 2 == 0 { ", f64" } else { "" });
        // Two exponents and both zeros among them.
        let runs = [(2 + zigzag(2), 20), (0, 3), (2 + zigzag(-1), 10), (1, 1), (2 + zigzag(1), POINTS - 34)];
        let runs: Vec<u8> = runs.iter().flat_map(|(c, n)| [varint(*c), varint(*n as u64 - 1)].concat()).collect();
        let exponents = [vec![1], counted_bzip2(&runs)].concat();
        let marked = POINTS - 4;
        let raw = zigzags(residuals(marked));
        let head = [vec![4, unit, axes], step.to_le_bytes().to_vec()].concat();
        let mixed = [head, varint(raw.len() as u64), block(&bzip2(&raw)), NO_PATCHES.to_vec()].concat();
        files.push(with(&name, all(), deltas));
        files.push(sparse(&format!("{name}, runs"), &SHAPE, unit % 2 == 0, [exponents, middle(), all(), mixed]));
    }
    joined(files)
}

/// Every way to store latents, of a network that gives them back.
pub fn latent_forms() -> Vec<u8> {
    let bytes = onnx::chain("Relu", 1, &[4]);
    let digest = sha2::Sha256::digest(&bytes).into();
    let latents: Vec<f32> = (0..POINTS).map(|i| 0.01 + 0.0015 * i as f32).collect();
    let raw = forge::le_bytes(&latents);
    let half: Vec<u8> = latents.iter().flat_map(|z| half::f16::from_f32(*z).to_le_bytes()).collect();
    let pair = |offset: f32, step: f32| [offset.to_le_bytes(), step.to_le_bytes()].concat();
    let one = [varint(1), pair(0.05, 0.001)].concat();
    let each = [varint(4), pair(0.05, 0.001), pair(0.06, 0.002), pair(0.03, 0.0005), pair(0.02, 0.0001)].concat();
    let q = zigzags(residuals(POINTS));
    let ways = [
        ("f32", [vec![0], raw.clone()].concat()),
        ("f16", [vec![1], half.clone()].concat()),
        ("f32 in bzip2", [vec![2], bzip2(&planes(&raw, 4))].concat()),
        ("f16 in bzip2", [vec![3], bzip2(&planes(&half, 2))].concat()),
        ("one step in bzip2", [vec![5], one, counted_bzip2(&q)].concat()),
        ("steps in bzip2", [vec![5], each, counted_bzip2(&q)].concat()),
    ];
    let files = ways.into_iter().map(|(name, section)| {
        let payload = [vec![0; 4], block(&level()), block(&section), block(&[3])].concat();
        let mut array = Array { name: name.as_bytes().to_vec(), ..Array::new(&SHAPE, frame(0, 5, 16, &payload)) };
        (array.flags, array.optional) = (4, vec![0]);
        sealed(File { models: vec![Model { digest, bytes: bytes.clone() }], arrays: vec![array] })
    });
    joined(files.collect())
}

/// Every form of SPEC 9.5; those that a writer need not tell from another are made of that.
#[cfg(feature = "internals")]
pub fn exact_forms() -> Vec<u8> {
    let n = 600;
    let mut random = Random(21);
    let counts: Vec<f64> = smooth::<f64>(&[n], 3).iter().map(|v| (v * 100.0).round()).collect();
    let product: Vec<f64> = counts.iter().map(|c| c * 1e-2).collect();
    let single = |v: &[f64]| v.iter().map(|x| *x as f32).collect::<Vec<f32>>();
    let widened = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let plain: Vec<f64> = smooth::<f64>(&[n], 4).iter().map(|v| v + random.unit() * 1e-9).collect();
    let places: Vec<f64> = (0..n)
        .map(|i| {
            let digits = 100.0 + random.below(900) as f64;
            let power = 10f64.powi((i % 7) as i32);
            let v = if i % 2 == 0 { digits * power } else { digits / power };
            if i % 97 == 5 {
                0.0
            } else if i % 11 == 0 {
                -v
            } else {
                v
            }
        })
        .collect();
    let clusters: Vec<f32> =
        (0..n).map(|i| (1.0 + random.unit() as f32 * 1e-3) * [1e-20f32, 1.0, 3e20][i / 7 % 3]).collect();
    let unpacked: Vec<f32> = (0..n).map(|_| (10_303.25 + 1.725_027_467_5 * random.below(2000) as f64) as f32).collect();
    let mut arrays = vec![
        exact("plain", 0, None, &plain),
        exact("widened", 1, None, &widened(&single(&plain))),
        exact("quotients", 2, None, &counts.iter().map(|c| c / 100.0).collect::<Vec<f64>>()),
        exact("products", 3, None, &product),
        exact("f32 quotients", 4, None, &single(&product)),
        exact("f32 products", 4, Some(5), &single(&product)),
        exact("rounded quotients", 6, None, &widened(&single(&product))),
        exact("rounded products", 6, Some(7), &widened(&single(&product))),
        exact("significant", 8, None, &places),
        exact("f32 significant", 9, None, &single(&places)),
        exact("rounded significant", 10, None, &widened(&single(&places))),
    ];
    arrays.push(exact("gaps", 0, None, &clusters));
    arrays.push(exact("f32 steps", 11, None, &unpacked));
    arrays.push(exact("rounded steps", 12, None, &widened(&unpacked)));
    joined(arrays)
}

/// A frame without loss whose form is `form` as the writer chooses it, stored as `told`.
#[cfg(feature = "internals")]
fn exact<T: Element>(name: &str, form: u8, told: Option<u8>, values: &[T]) -> File {
    let mut bytes =
        cae::internals::frame::encode(values, &[values.len()], cae::Bound::Lossless, None, "exact").unwrap().unwrap();
    assert_eq!((bytes[8], bytes[9], bytes[10]), (6, 2, form), "{name}");
    if let Some(told) = told {
        bytes[10] = told;
        forge::reseal_frame(&mut bytes);
    }
    let array = Array { name: name.as_bytes().to_vec(), ..Array::new(&[values.len() as u64], bytes) };
    sealed(File::of(if T::DATA_TYPE == DataType::F64 { array.f64() } else { array }))
}

/// Patches on one value for all: at both ends, next to each other and far apart.
pub fn patches() -> Vec<u8> {
    let patch = |before: u64, value: &[u8]| [varint(before), value.to_vec()].concat();
    let single = |v: f32| v.to_le_bytes().to_vec();
    let list = [(0, 2.5f32), (0, f32::NAN), (200, -0.0), (96, 1e30)];
    let list = list.iter().flat_map(|(before, v)| patch(*before, &single(*v))).collect::<Vec<u8>>();
    let wide = patch(5, &(-7.25f64).to_le_bytes());
    let file = |name: &str, shape: &[u64], list: &[u8], value: &[u8]| {
        let frame = frame(0, 0, 8, &[block(list), value.to_vec()].concat());
        File::of(Array { name: name.as_bytes().to_vec(), ..Array::new(shape, frame) })
    };
    joined(vec![
        sealed(file("four", &[3, 100], &list, &single(7.5))),
        sealed(File::of(file("one, f64", &[2, 3], &wide, &1.5f64.to_le_bytes()).arrays.remove(0).f64())),
        sealed(file("none", &[4], &[], &single(7.5))),
    ])
}

/// Images of classes in rows of a length of their own, the last of which is short, and in four and five axes.
#[cfg(feature = "internals")]
pub fn class_images() -> Vec<u8> {
    let mut random = Random(41);
    let mut noisy = |class: u8, seldom: u64| if random.bits().is_multiple_of(seldom) { 2 } else { class };
    // A wedge in every row, which begins a little later in each and crosses the end of the last.
    let rows: Vec<u8> = (0..1250u32)
        .map(|i| {
            let (y, x) = (i / 50, i % 50);
            noisy(u8::from(x.abs_diff(y + 12) < 4 || x.abs_diff(49 - y) < 3), if y < 20 { 40 } else { 4 })
        })
        .collect();
    let space: Vec<u8> = (0..3 * 4 * 5 * 6 * 17u32)
        .map(|i| {
            let (z, y, x) = (i / (6 * 17) % 5, i / 17 % 6, i % 17);
            noisy(u8::from((3 * x + 5 * y + 11 * z + i / 510 % 4 * 2) % 19 < 5), 80)
        })
        .collect();
    let file = |name: &str, shape: &[usize], classes: &[u8], rowed: bool| {
        let image = cae::internals::classes::encode(classes, 3, shape);
        assert_eq!(image[0] & 0x40 != 0, rowed, "{name}");
        let special = [f32::NAN.to_le_bytes(), (-1e30f32).to_le_bytes()];
        let table = [vec![3, 0, 2], special[0].to_vec(), vec![2], special[1].to_vec(), block(&image)].concat();
        let frame = frame(0, 0, 4, &[block(&table), forge::le_bytes(&[7.5])].concat());
        let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        sealed(File::of(Array { name: name.as_bytes().to_vec(), ..Array::new(&shape, frame) }))
    };
    // Where a row ends short, only its last points tell which points above it are looked at.
    let rows = (1203..1250).step_by(3).map(|n| file(&format!("rows {n}"), &[n], &rows[..n], true));
    let others = [&[3, 4, 5, 6, 17][..], &[12, 5, 6, 17]].map(|s| file(&format!("{} axes", s.len()), s, &space, false));
    joined(rows.chain(others).collect())
}

/// Branches that smooth fields do not lead a kernel's writer into.
#[cfg(feature = "internals")]
pub fn seldom() -> Vec<u8> {
    let mut random = Random(33);
    let waves = smooth::<f32>(&[16, 20, 10], 9);
    // The mean is good for all but some points in patches: a bitmap that pays to be coded.
    let patchy: Vec<f32> = waves
        .indexed_iter()
        .map(|(at, v)| if (at[0] / 4 + at[1] / 5) % 5 == 0 && at[2] < 7 { 60.0 + v * 0.5 } else { 50.0 + v * 0.02 })
        .collect();
    // Decades that change along curves, and holes.
    let decades: Vec<f64> = (0..24 * 40)
        .map(|i| {
            let (y, x) = (f64::from(i / 40), f64::from(i % 40));
            let decade = ((x * x + 3.0 * y * y) / 300.0).floor() as i32 - 2;
            if (x - 20.0).abs() < 3.0 && y > 9.0 { f64::NAN } else { 10f64.powi(decade) * (2.0 + random.unit() * 5.0) }
        })
        .collect();
    // Multiples of a quarter, less than a step off zero.
    let lattice: Vec<f64> = smooth::<f64>(&[20, 30], 7).iter().map(|v| (v * 4.0).round() / 4.0 + 0.1).collect();
    joined(vec![
        kernel("coded bitmap", "sparse", 2.0, &patchy, &[16, 20, 10]),
        kernel("coded exponents, holes", "sparse", 1e-4, &decades, &[24, 40]),
        kernel("lattice with an offset", "multilevel", 0.05, &lattice, &[20, 30]),
        kernel("lattice with an offset, small", "multilevel small", 0.05, &lattice, &[20, 30]),
    ])
}

/// What a kernel makes of values under an absolute bound.
#[cfg(feature = "internals")]
fn kernel<T: Element>(name: &str, kernel: &str, bound: f64, values: &[T], shape: &[usize]) -> File {
    let frame =
        cae::internals::frame::encode(values, shape, cae::Bound::Absolute(bound), None, kernel).unwrap().unwrap();
    let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
    let bound = [&[1][..], &bound.to_le_bytes()].concat();
    let array = Array { name: name.as_bytes().to_vec(), bound, ..Array::new(&shape, frame) };
    File::of(if T::DATA_TYPE == DataType::F64 { array.f64() } else { array })
}
