#![allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "small numbers of tests")]

use super::*;
use crate::codec::latents::Step;
use proptest::prelude::*;

/// Blocks are described by the means of `latent_len` equal parts.
struct Means {
    shape: Vec<usize>,
    latent_len: usize,
    /// Multiplies means before they are rounded, and divides them again.
    scale: Option<f32>,
}

impl Means {
    fn part(&self) -> usize {
        self.shape.iter().product::<usize>() / self.latent_len
    }
}

impl Encoder for Means {
    fn latent_len(&self) -> usize {
        self.latent_len
    }
    fn block_shape(&self) -> &[usize] {
        &self.shape
    }
    fn encode(&self, blocks: &[f32], latents: &mut [f32]) -> Result<()> {
        assert_eq!(blocks.len(), latents.len() * self.part());
        for (part, z) in blocks.chunks(self.part()).zip(latents) {
            let mean = part.iter().sum::<f32>() / part.len() as f32;
            *z = self.scale.map_or(mean, |s| (mean * s).round());
        }
        Ok(())
    }
}

impl Decoder for Means {
    fn latent_len(&self) -> usize {
        self.latent_len
    }
    fn block_shape(&self) -> &[usize] {
        &self.shape
    }
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), latents.len() * self.part());
        for (part, z) in out.chunks_mut(self.part()).zip(latents) {
            part.fill(self.scale.map_or(*z, |s| *z / s));
        }
        Ok(())
    }
}

/// Gives nothing usable.
struct Broken;

impl Decoder for Broken {
    fn latent_len(&self) -> usize {
        1
    }
    fn block_shape(&self) -> &[usize] {
        &[4]
    }
    fn decode(&self, _: &[f32], out: &mut [f32]) -> Result<()> {
        for (i, v) in out.iter_mut().enumerate() {
            *v = [f32::NAN, f32::INFINITY, -1e30, 1e-40][i % 4];
        }
        Ok(())
    }
}

impl Encoder for Broken {
    fn latent_len(&self) -> usize {
        1
    }
    fn block_shape(&self) -> &[usize] {
        &[4]
    }
    fn encode(&self, _: &[f32], latents: &mut [f32]) -> Result<()> {
        latents.fill(f32::NAN);
        Ok(())
    }
}

/// Adds to what another decoder gives.
struct Off<'a>(&'a dyn Decoder, f32);

impl Decoder for Off<'_> {
    fn latent_len(&self) -> usize {
        self.0.latent_len()
    }
    fn block_shape(&self) -> &[usize] {
        self.0.block_shape()
    }
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> Result<()> {
        self.0.decode(latents, out)?;
        for (i, v) in out.iter_mut().enumerate() {
            *v += if i % 3 == 0 { self.1 } else { -self.1 };
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Absolute(f64),
    PointWise(f64),
}

impl Bound {
    fn allows(self, x: f64, v: f64) -> bool {
        match self {
            Bound::Absolute(e) => (v - x).abs() <= e,
            Bound::PointWise(e) => (v - x).abs() <= e * x.abs(),
        }
    }
}

/// Compresses, decompresses with `reader`, checks every point; NaN marks points that are not ordinary.
fn round_trip_guarded(
    values: &[f64],
    dims: &[usize],
    precision: Precision,
    bound: Bound,
    models: Option<(&dyn Encoder, &dyn Decoder)>,
    reader: Option<&dyn Decoder>,
    guard: f32,
) -> Sections<Vec<u8>> {
    let ordinary: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
    let grid = Grid { dims, ordinary: Some(&ordinary) };
    let ok = |i: usize, v: f64| {
        assert!(v.is_finite());
        bound.allows(values[i], v)
    };
    let target = Target { values, grid: &grid, precision, ok: &ok };
    let options = Options { latents: None, unproved: Some(guard), ..Options::default() };
    let coded = encode(&target, models.map(|m| m.0), models.map(|m| m.1), &options).unwrap().unwrap();
    assert_eq!(coded.guard.is_some(), models.is_some());
    let sections = coded.sections;
    let mut out = vec![f64::NAN; values.len()];
    decode(&sections.as_slices(), &grid, precision, reader, &mut out).unwrap();
    for (i, (x, v)) in values.iter().zip(&out).enumerate() {
        if x.is_finite() {
            assert!(bound.allows(*x, *v), "point {i}: {x:e} became {v:e} under {bound:?}");
            assert_eq!(precision.round(*v).to_bits(), v.to_bits());
            if *x == 0.0 {
                assert_eq!(v.to_bits(), x.to_bits());
            }
        } else {
            assert!(v.is_nan());
        }
    }
    sections
}

fn round_trip(
    values: &[f64],
    dims: &[usize],
    precision: Precision,
    bound: Bound,
    models: Option<(&dyn Encoder, &dyn Decoder)>,
) -> Sections<Vec<u8>> {
    round_trip_guarded(values, dims, precision, bound, models, models.map(|m| m.1), 0.0)
}

fn wave(n: usize) -> Vec<f64> {
    (0..n).map(|i| 3.0 + (i as f64 * 0.01).sin() + 0.01 * (i as f64 * 1.7).sin()).collect()
}

#[test]
fn extremes_meet_every_bound() {
    let values = [
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        0.0,
        -0.0,
        f64::NAN,
        1.0,
        -1e-300,
        1e300,
        0.1,
        -0.01,
        0.009_999_999_999_999_999,
        123_456.789,
        f64::INFINITY,
        -3.5,
    ];
    let means = Means { shape: vec![4], latent_len: 1, scale: None };
    for models in [None, Some((&means as &dyn Encoder, &means as &dyn Decoder)), Some((&Broken, &Broken))] {
        for bound in [0.5, 1e-6, 1e-12, 0.0] {
            round_trip(&values, &[17], Precision::F64, Bound::PointWise(bound), models);
            round_trip(&values, &[17], Precision::F64, Bound::Absolute(bound), models);
            let single: Vec<f64> = values.iter().map(|v| f64::from(*v as f32)).collect();
            round_trip(&single, &[17], Precision::F32, Bound::PointWise(bound), models);
            round_trip(&single, &[17], Precision::F32, Bound::Absolute(bound), models);
        }
    }
}

#[test]
fn frames_of_zeros_holes_or_one_value() {
    let none = round_trip(&[f64::NAN; 5], &[5], Precision::F64, Bound::Absolute(0.1), None);
    assert_eq!(none.len(), 0);
    let zeros = round_trip(&[0.0; 5], &[5], Precision::F32, Bound::Absolute(0.1), None);
    assert_eq!(zeros.len(), zeros.exponents.len());
    round_trip(&[-7.25], &[1], Precision::F64, Bound::PointWise(1e-9), None);
    round_trip(&[-7.25], &[1, 1, 1], Precision::F64, Bound::PointWise(0.5), Some((&Broken, &Broken)));
}

#[test]
fn a_good_network_leaves_little_to_correct() {
    let means = Means { shape: vec![64], latent_len: 8, scale: None };
    let values = wave(8000);
    let with = round_trip(&values, &[8000], Precision::F64, Bound::PointWise(0.02), Some((&means, &means)));
    assert!(with.bitmap.len() + with.deltas.len() < 100, "{} {}", with.bitmap.len(), with.deltas.len());
    assert!(with.latents.len() < 1000, "{}", with.latents.len());
}

/// Means, but the encoder is wrong by as much as latents are moved at most.
struct Wrong(Means);

impl Encoder for Wrong {
    fn latent_len(&self) -> usize {
        self.0.latent_len
    }
    fn block_shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn encode(&self, blocks: &[f32], latents: &mut [f32]) -> Result<()> {
        self.0.encode(blocks, latents)?;
        latents.iter_mut().enumerate().for_each(|(i, z)| *z += if i % 3 == 0 { 0.004 } else { -0.003 });
        Ok(())
    }
}

#[test]
fn latents_better_than_the_encoder_s_are_found() {
    let values = wave(8000);
    let bytes = |encoder: &dyn Encoder, decoder: &dyn Decoder| {
        round_trip(&values, &[8000], Precision::F64, Bound::PointWise(0.02), Some((encoder, decoder))).len()
    };
    for (shape, latent_len) in [(8, 1), (64, 8)] {
        let means = || Means { shape: vec![shape], latent_len, scale: None };
        let (right, wrong) = (bytes(&means(), &means()), bytes(&Wrong(means()), &means()));
        assert!(wrong < right + right / 3, "{latent_len}: {wrong} {right}");
    }
}

#[test]
fn integer_latents_pass_exactly() {
    let means = Means { shape: vec![2, 8], latent_len: 4, scale: Some(4096.0) };
    let values = wave(32 * 40);
    let dims = [5, 8, 32];
    let sections = round_trip(&values, &dims, Precision::F32, Bound::Absolute(0.01), Some((&means, &means)));
    let blocks = Blocks::new(&dims, &means.shape).unwrap();
    let got = latents::decode(&sections.latents, blocks.count * 4, 4).unwrap();
    assert!(got.iter().all(|z| z.fract() == 0.0));
    let grid = Grid { dims: &dims, ordinary: None };
    let target = Target { values: &values, grid: &grid, precision: Precision::F32, ok: &|_, _| true };
    let y = Frame::new(&target).unwrap().filled(&grid);
    let given = encode_blocks(&means, &blocks, &y).unwrap();
    let off: f32 = got.iter().zip(&given).map(|(a, b)| (a - b).abs()).sum();
    assert!(off <= got.len() as f32 * 40.0, "a hundredth of the values' scale: {off}");
}

#[test]
fn the_guard_covers_networks_that_differ_a_little() {
    let means = Means { shape: vec![16], latent_len: 2, scale: None };
    let values: Vec<f64> =
        wave(3000).iter().enumerate().map(|(i, v)| if i % 5 == 0 { -v * 30.0 } else { *v }).collect();
    for bound in [Bound::PointWise(1e-3), Bound::Absolute(0.05), Bound::PointWise(0.2)] {
        for off in [0.9e-5f32, -0.9e-5] {
            let models: Option<(&dyn Encoder, &dyn Decoder)> = Some((&means, &means));
            round_trip_guarded(&values, &[3000], Precision::F64, bound, models, Some(&Off(&means, off)), 1e-5);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let grid = Grid { dims: &[4], ordinary: None };
    let target = |values| Target { values, grid: &grid, precision: Precision::F64, ok: &|_, _| true };
    let means = Means { shape: vec![4], latent_len: 1, scale: None };
    let wide = Means { shape: vec![2, 2], latent_len: 1, scale: None };
    let options = Options::default();
    let four = [1.0; 4];
    assert!(matches!(encode(&target(&[1.0; 3]), None, None, &options), Err(Error::Argument(_))));
    assert!(matches!(encode(&target(&[1.0, f64::NAN, 0.0, 0.0]), None, None, &options), Err(Error::Argument(_))));
    assert!(matches!(encode(&target(&four), None, Some(&means), &options), Err(Error::Argument(_))));
    assert!(matches!(encode(&target(&four), Some(&wide), Some(&wide), &options), Err(Error::Model(_))));
    assert!(matches!(encode(&target(&four), Some(&means), Some(&wide), &options), Err(Error::Model(_))));
    // Nothing is known of how engines differ on it.
    assert!(matches!(encode(&target(&four), Some(&means), Some(&means), &options), Ok(None)));
}

fn decoded(sections: [&[u8]; 4], dims: &[usize], precision: Precision) -> Vec<f64> {
    let [exponents, latents, bitmap, deltas] = sections;
    let mut out = vec![0.0; dims.iter().product()];
    let sections = Sections { exponents, latents, bitmap, deltas };
    decode(&sections, &Grid { dims, ordinary: None }, precision, None, &mut out).unwrap();
    out
}

#[test]
fn the_examples_of_spec_7_6_decode_to_their_values() {
    let half: [&[u8]; 4] =
        [&[0, 6, 1, 0, 0, 2, 0], &[0x0e, 0x74, 0x5a, 0xbb], &[4], &[1, 0xd4, 0x22, 0xf9, 0x25, 0xb1, 0xa8, 0]];
    let values = [1.000_284_822_657_704_4, 1.999_735_506_251_454_4, 0.0, -3.998_494_474_217_295_6];
    assert_eq!(decoded(half, &[4], Precision::F64), values);

    let deltas = [3, 0, 2, 0x88, 0x82, 7, 0x53, 0x9d, 0x5f, 0x50, 0x3f, 4, 0x90, 0x28, 0xc2, 0x45, 0];
    let lattice: [&[u8]; 4] = [&[0, 6, 11], &[0xf6, 0x28, 0x5c, 0x3d], &[2, 0x35], &deltas];
    let values: [f32; 12] = [
        4.9752564, 5.275064, 5.474936, 5.275064, 5.0751925, 5.375, 5.574872, 5.375, 5.1751285, 5.474936, 5.6748075,
        5.474936,
    ];
    assert_eq!(decoded(lattice, &[3, 4], Precision::F32), values.map(f64::from));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 1.0f64..2.0,
        3 => -1e4f64..1e4,
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => any::<f64>(),
    ]
}

fn any_bound() -> impl Strategy<Value = Bound> {
    (-12.0f64..-0.3, any::<bool>()).prop_map(|(e, relative)| {
        let bound = 10f64.powf(e);
        if relative { Bound::PointWise(bound) } else { Bound::Absolute(bound) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_bound_is_met(
        values in prop::collection::vec(any_value(), 1..200), width in 1usize..9, bound in any_bound(),
        single: bool, model in 0usize..4)
    {
        let mut values = values;
        let width = width.min(values.len());
        values.truncate(values.len() / width * width);
        let precision = if single { Precision::F32 } else { Precision::F64 };
        for v in &mut values {
            *v = precision.round(*v);
        }
        let flat = Means { shape: vec![12], latent_len: 3, scale: None };
        let tile = Means { shape: vec![2, 4], latent_len: 2, scale: Some(1000.0) };
        let models: Option<(&dyn Encoder, &dyn Decoder)> = match model {
            0 => None,
            1 => Some((&flat, &flat)),
            2 => Some((&tile, &tile)),
            _ => Some((&Broken, &Broken)),
        };
        round_trip(&values, &[values.len() / width, width], precision, bound, models);
    }

    #[test]
    fn damaged_sections_never_panic(
        which in 0usize..4, at: prop::sample::Index, value: u8, cut: bool, model: bool)
    {
        let values: Vec<f64> = wave(600).iter().enumerate().map(|(i, v)| if i % 50 == 7 { 0.0 } else { v * 4.0 }).collect();
        let means = Means { shape: vec![32], latent_len: 2, scale: None };
        let grid = Grid { dims: &[20, 30], ordinary: None };
        let ok = |i: usize, v: f64| (v - values[i]).abs() <= 1e-3;
        let target = Target { values: &values, grid: &grid, precision: Precision::F64, ok: &ok };
        let options = Options { latents: Some(latents::Precision::Steps(vec![Step { offset: 0.0, step: 1e-3 }])), unproved: Some(0.0), ..Options::default() };
        let encoder: Option<&dyn Encoder> = if model { Some(&means) } else { None };
        let decoder: Option<&dyn Decoder> = if model { Some(&means) } else { None };
        let mut sections = encode(&target, encoder, decoder, &options).unwrap().unwrap().sections;
        let section = [&mut sections.exponents, &mut sections.latents, &mut sections.bitmap, &mut sections.deltas]
            .into_iter().nth(which).unwrap();
        let at = at.index(section.len());
        if cut {
            section.truncate(at);
        } else {
            section[at] = value;
        }
        let mut out = vec![0.0; 600];
        let _ = decode(&sections.as_slices(), &grid, Precision::F64, decoder, &mut out);
    }
}

#[test]
fn latents_are_bounded_by_the_points_of_a_frame() {
    let blocks = Blocks::new(&[100_000], &[100]).unwrap();
    assert_eq!(latent_count(&blocks, 8).unwrap(), 8000);
    assert!(latent_count(&blocks, 865).is_ok() && latent_count(&blocks, 866).is_err());
    assert!(latent_count(&blocks, 0).is_err() && latent_count(&blocks, usize::MAX).is_err());
}
