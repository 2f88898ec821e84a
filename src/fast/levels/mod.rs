//! Levels mode: values between those of a coarser grid are interpolated, axis by axis or along several at once (SPEC 9.4.6).

mod codes;
mod fit;
mod header;
mod interpolate;
mod pyramid;
pub(super) mod starts;

use crate::codec::cursor::Cursor;
use crate::error::FormatError;
use crate::fast::Sample;
use crate::fast::scale::{ROUND, Scale};
use crate::fast::streams::MOST_MAGNITUDE;
use crate::lattice::Grid;
use crate::vector::vectorize;
use codes::{Codes, Reader, activities, is_coded};
use fearless_simd::Simd;
use fit::fit;
use header::{Header, Passes};
use interpolate::{Tap, Weights};
use pyramid::{AXES, LEFT, Level, ROW, STEP, axes, levels};
use std::cell::Cell;

/// Codes beyond this do not suit.
const WIDEST: f32 = 32_767.0;

/// Room for the parts of all rows of a level.
fn room(level: &Level) -> usize {
    level.parts() * level.rows() * level.pitch()
}

thread_local! {
    /// Values of a finest level that are no longer needed: new pages take longer than what is done with them.
    static SPARE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// At least `n` values, whatever they are.
fn take_spare(n: usize) -> Vec<f32> {
    let mut values = SPARE.take();
    if values.len() < n {
        values.resize(n, 0.0);
    }
    values
}

fn give_spare(values: Vec<f32>) {
    /// More is not kept.
    const MOST: usize = 1 << 20;
    if values.capacity() <= MOST {
        SPARE.set(values);
    }
}

/// The parts of the rows of each level, from those of the finest one.
#[inline(always)]
fn pyramid<V: Copy + Default>(all: &[Level], finest: Vec<V>) -> Vec<Vec<V>> {
    let mut out: Vec<Vec<V>> = Vec::with_capacity(all.len() + 1);
    out.push(finest);
    for pair in all.windows(2) {
        let (level, coarse) = (&pair[0], &pair[1]);
        let mut next = vec![V::default(); room(coarse)];
        let fine = &out[out.len() - 1];
        for (c, r) in level.kept().enumerate() {
            split(coarse, c, &fine[r * level.pitch() + LEFT..][..coarse.dims[ROW]], &mut next);
        }
        out.push(next);
    }
    out
}

/// Puts the points of row `r` into its parts.
#[inline(always)]
fn split<V: Copy>(level: &Level, r: usize, row: &[V], to: &mut [V]) {
    let pitch = level.pitch();
    let start = r * pitch + LEFT;
    if level.parts() == 1 {
        to[start..start + row.len()].copy_from_slice(row);
        return;
    }
    let odd = level.part(1, r) * pitch + LEFT;
    let (evens, odds) = to.split_at_mut(odd);
    let (pairs, last) = row.as_chunks::<2>();
    let (e, o) = (&mut evens[start..][..level.even()], &mut odds[..level.odd()]);
    for ((e, o), p) in e.iter_mut().zip(o).zip(pairs) {
        (*e, *o) = (p[0], p[1]);
    }
    if let ([v], Some(e)) = (last, e.last_mut()) {
        *e = *v;
    }
}

/// The values of a level and the magnitudes of their codes.
#[derive(Debug)]
struct Field {
    data: Vec<f32>,
    magnitudes: Vec<u16>,
}

/// The part of a row that is to be coded.
struct Part<'a> {
    /// Number of the level, from the finest on.
    number: usize,
    level: &'a Level,
    /// Its number among all parts.
    index: usize,
    points: usize,
    taps: &'a [Tap],
    step: f32,
    activities: &'a [u16],
}

trait Task {
    /// The place for the values of level `number`, with what the task keeps there until a part is at hand.
    fn place(&mut self, number: usize, level: &Level) -> Vec<f32>;
    fn part<S: Simd>(&mut self, simd: S, part: &Part<'_>, field: &mut Field) -> Result<(), FormatError>;
}

impl Field {
    fn new(level: &Level, data: Vec<f32>) -> Self {
        Field { data, magnitudes: vec![0; level.parts() * level.rows() * level.block_pitch()] }
    }

    /// Takes the even points of the rows of `level` that the coarser one has from there.
    #[inline(always)]
    fn inherit(&mut self, level: &Level, coarse: &Level, from: &Field) {
        let pitch = level.pitch();
        let (blocks, few) = (level.block_pitch(), coarse.block_pitch());
        for (c, r) in level.kept().enumerate() {
            let row = &mut self.data[r * pitch..(r + 1) * pitch];
            join(coarse, c, &from.data, &mut row[LEFT..][..coarse.dims[ROW]]);
            interpolate::extend(row, level.even());
            let to = &mut self.magnitudes[r * blocks + 1..][..blocks - 2];
            let even = &from.magnitudes[c * few + 1..][..few - 2];
            if coarse.parts() == 1 {
                to.iter_mut().zip(even).for_each(|(to, e)| *to = *e >> 1);
            } else {
                let odd = &from.magnitudes[coarse.part(1, c) * few + 1..][..few - 2];
                for (b, to) in to.iter_mut().enumerate() {
                    *to = (even[b / 2] + odd[b / 2]) >> 2;
                }
            }
        }
    }
}

/// Joins the parts of row `r`.
#[inline(always)]
fn join(level: &Level, r: usize, data: &[f32], to: &mut [f32]) {
    let pitch = level.pitch();
    let even = &data[r * pitch + LEFT..][..level.even()];
    if level.parts() == 1 {
        to.copy_from_slice(even);
        return;
    }
    let odd = &data[level.part(1, r) * pitch + LEFT..][..level.odd()];
    let (pairs, last) = to.as_chunks_mut::<2>();
    for (p, (e, o)) in pairs.iter_mut().zip(even.iter().zip(odd)) {
        *p = [*e, *o];
    }
    if let ([to], Some(e)) = (last, even.last()) {
        *to = *e;
    }
}

/// Goes through all levels from the coarsest on; returns the finest.
#[inline(always)]
fn run<S: Simd>(simd: S, all: &[Level], header: &Header, task: &mut impl Task) -> Result<Field, FormatError> {
    let steps = header.steps(all.len());
    let mut field = Field::new(&Level::TOP, task.place(all.len(), &Level::TOP));
    let step = steps.last().copied().unwrap_or(1.0);
    let part = Part { number: all.len(), level: &Level::TOP, index: 0, points: 1, taps: &[], step, activities: &[0] };
    task.part(simd, &part, &mut field)?;
    let mut coarse = &Level::TOP;
    let (mut taps, mut sources) = (Vec::new(), Vec::new());
    for (number, level) in all.iter().enumerate().rev() {
        let mut fine = Field::new(level, task.place(number, level));
        fine.inherit(level, coarse, &field);
        let (pitch, strides, block_pitch) = (level.pitch(), level.strides(), level.block_pitch());
        let mut sums = vec![0; block_pitch];
        let mut activity = vec![0; block_pitch - 2];
        for pass in level.passes() {
            let odd = pass >> ROW & 1;
            let weights = header.weights(number, pass);
            let points = if odd == 1 { level.odd() } else { level.even() };
            let blocks = points.div_ceil(STEP);
            let mut inside = None;
            for position in level.positions(pass) {
                let r: usize = (0..ROW).map(|a| position[a] * strides[a]).sum();
                // From one row away from the ends of axis 2 to the next all places move alike.
                let here = level.is_inside(pass, position[2]).then_some((position[0], position[1], r));
                match (inside, here) {
                    (Some((slow, middle, before)), Some((a, b, here))) if (slow, middle) == (a, b) => {
                        taps.iter_mut().for_each(|(place, _)| *place += (here - before) * pitch);
                        sources.iter_mut().for_each(|place| *place += (here - before) * block_pitch);
                    }
                    _ => {
                        interpolate::taps(level, pass, &weights, position, &mut taps);
                        codes::sources(level, pass, position, &mut sources);
                    }
                }
                inside = here;
                activities(&fine.magnitudes, &sources, &mut sums, &mut activity);
                let index = level.part(odd, r);
                let part = Part {
                    number,
                    level,
                    index,
                    points,
                    taps: &taps,
                    step: steps[number],
                    activities: &activity[..blocks],
                };
                task.part(simd, &part, &mut fine)?;
                if odd == 0 {
                    interpolate::extend(&mut fine.data[r * pitch..(r + 1) * pitch], level.even());
                }
            }
        }
        field = fine;
        coarse = level;
    }
    Ok(field)
}

/// Finds codes.
struct Encoder {
    /// The values of each level, which give way to the reconstructed ones.
    targets: Vec<Vec<f32>>,
    ordinary: Option<Vec<Vec<bool>>>,
    codes: Codes,
    /// Largest magnitudes of codes, lane by lane.
    widest: [f32; STEP],
}

/// The points of a part that are ordinary, unless all are.
fn ordinary<'a>(all: Option<&'a Vec<Vec<bool>>>, part: &Part<'_>) -> Option<&'a [bool]> {
    let level = all?.get(part.number)?;
    level.get(part.index * part.level.pitch() + LEFT..)?.get(..part.points)
}

impl Task for Encoder {
    fn place(&mut self, number: usize, _: &Level) -> Vec<f32> {
        self.targets.get_mut(number).map(std::mem::take).unwrap_or_default()
    }

    #[inline(always)]
    fn part<S: Simd>(&mut self, simd: S, part: &Part<'_>, field: &mut Field) -> Result<(), FormatError> {
        self.codes.begin(part.activities);
        let start = part.index * part.level.pitch() + LEFT;
        let mask = ordinary(self.ordinary.as_ref(), part);
        let block = part.index * part.level.block_pitch() + 1;
        let inverse = 1.0 / part.step;
        let round = simd.splat_f32x8(ROUND);
        let mut widest = simd.load_array_f32x8(self.widest);
        for b in 0..part.points.div_ceil(STEP) {
            let x = b * STEP;
            let n = (part.points - x).min(STEP);
            let p = interpolate::sum(simd, &field.data, part.taps, x);
            let Some(t) = field.data.get(start + x..).and_then(<[f32]>::first_chunk::<STEP>) else {
                break;
            };
            let t = simd.load_array_ref_f32x8(t);
            let open = simd.mul_f32x8(simd.sub_f32x8(t, p), simd.splat_f32x8(inverse));
            let mut code = simd.round_ties_even_f32x8(open);
            if n < STEP || mask.is_some() {
                let mut c = simd.as_array_f32x8(code);
                for (j, c) in c.iter_mut().enumerate() {
                    let counts = j < n && mask.is_none_or(|m| m[x + j]);
                    *c = if counts { *c } else { 0.0 };
                }
                code = simd.load_array_f32x8(c);
            }
            let v = simd.add_f32x8(p, simd.mul_f32x8(simd.splat_f32x8(part.step), code));
            if let Some(to) = field.data.get_mut(start + x..).and_then(<[f32]>::first_chunk_mut::<STEP>) {
                simd.store_array_f32x8(v, to);
            }
            let m = simd.abs_f32x8(code);
            // A code that is no number is as bad as a wide one.
            widest = simd.select_f32x8(simd.simd_le_f32x8(m, widest), widest, m);
            // The lower halves hold the codes.
            let whole = simd.as_array_f32x8(simd.add_f32x8(code, round)).map(|c| c.to_bits() as i16);
            let magnitude: u16 = whole.map(|c| c.unsigned_abs().min(MOST_MAGNITUDE as u16)).iter().sum();
            field.magnitudes[block + b] = magnitude;
            self.codes.push(b, whole, magnitude, n, is_coded(mask, b));
        }
        self.widest = simd.as_array_f32x8(widest);
        Ok(())
    }
}

/// Which points are ordinary, in the places of the values.
fn masks(all: &[Level], grid: &Grid) -> Option<Vec<Vec<bool>>> {
    let o = grid.ordinary?;
    let mut masks = Vec::new();
    // A single point has the level of its own alone.
    if let Some(finest) = all.first() {
        let mut split_up = vec![false; room(finest)];
        for (r, row) in o.chunks_exact(finest.dims[ROW]).enumerate() {
            split(finest, r, row, &mut split_up);
        }
        masks = pyramid(all, split_up);
    }
    masks.push(vec![grid.is_ordinary(0); room(&Level::TOP)]);
    Some(masks)
}

/// What an encoder may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// The level at which each axis is first halved.
    pub(super) starts: [u8; AXES],
    /// Whether coarser levels are coded in finer steps.
    pub(super) finer: bool,
    /// Whether weights are learned.
    pub(super) learned: bool,
}

/// Appends what codes `values` and returns where the codes begin; `None` if one is too wide.
pub(super) fn encode<T: Sample>(
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    options: &Options,
    out: &mut Vec<u8>,
) -> Option<usize> {
    vectorize!(simd => encode_levels(simd, values, grid, scale, options, out))
}

/// Weights for the finest levels.
fn learn(all: &[Level], targets: &[Vec<f32>], ordinary: Option<&Vec<Vec<bool>>>) -> Vec<Passes> {
    /// Levels whose weights are learned at most, and points that they have at least.
    const MOST: usize = 2;
    const FEWEST: usize = 2048;
    let levels = all.iter().take(MOST).take_while(|l| l.rows() * l.dims[ROW] >= FEWEST);
    let learn = |(number, level): (usize, &Level)| {
        let mut passes = [Weights::default(); 1 << AXES];
        for pass in level.passes() {
            passes[pass] = fit(level, pass, &targets[number], ordinary.map(|o| o[number].as_slice()));
        }
        passes
    };
    levels.enumerate().map(learn).collect()
}

#[inline(always)]
fn encode_levels<S: Simd, T: Sample>(
    simd: S,
    values: &[T],
    grid: &Grid,
    scale: &Scale,
    options: &Options,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let all = levels(axes(grid.dims), options.starts);
    let finest = all.first()?;
    let mut split_up = take_spare(room(finest));
    let mut places = vec![0.0; finest.dims[ROW]];
    for (r, row) in values.chunks_exact(finest.dims[ROW]).enumerate() {
        for (p, v) in places.iter_mut().zip(row) {
            *p = scale.place(*v);
        }
        split(finest, r, &places, &mut split_up);
    }
    let mut targets = pyramid(&all, split_up);
    targets.push(vec![scale.place(*values.first()?); room(&Level::TOP)]);
    let ordinary = masks(&all, grid);
    let weights = if options.learned { learn(&all, &targets, ordinary.as_ref()) } else { Vec::new() };
    let (ratio, least) = if options.finer { (50, 32) } else { (64, 64) };
    let header = Header { starts: options.starts, ratio, least, weights };
    header.write(&all, out);
    let start = out.len();
    let mut e = Encoder { targets, ordinary, codes: Codes::with_room(values.len() / STEP), widest: [0.0; STEP] };
    let field = run(simd, &all, &header, &mut e).ok()?;
    give_spare(field.data);
    if !e.widest.iter().all(|w| *w <= WIDEST) {
        return None;
    }
    e.codes.write(out);
    Some(start)
}

/// Gives values for codes.
struct Decoder {
    ordinary: Option<Vec<Vec<bool>>>,
    reader: Reader,
    codes: Vec<[f32; STEP]>,
}

impl Task for Decoder {
    fn place(&mut self, number: usize, level: &Level) -> Vec<f32> {
        if number == 0 { take_spare(room(level)) } else { vec![0.0; room(level)] }
    }

    #[inline(always)]
    fn part<S: Simd>(&mut self, simd: S, part: &Part<'_>, field: &mut Field) -> Result<(), FormatError> {
        let start = part.index * part.level.pitch() + LEFT;
        let mask = ordinary(self.ordinary.as_ref(), part);
        let blocks = part.points.div_ceil(STEP);
        let block = part.index * part.level.block_pitch() + 1;
        let codes = &mut self.codes[..blocks];
        let magnitudes = &mut field.magnitudes[block..block + blocks];
        self.reader.row(part.points, part.activities, mask, codes, magnitudes)?;
        let step = simd.splat_f32x8(part.step);
        for (b, codes) in codes.iter().enumerate() {
            let x = b * STEP;
            let p = interpolate::sum(simd, &field.data, part.taps, x);
            let v = simd.add_f32x8(p, simd.mul_f32x8(step, simd.load_array_ref_f32x8(codes)));
            if let Some(to) = field.data.get_mut(start + x..).and_then(<[f32]>::first_chunk_mut::<STEP>) {
                simd.store_array_f32x8(v, to);
            }
        }
        Ok(())
    }
}

pub(super) fn decode<T: Sample>(
    cursor: &mut Cursor<'_>,
    grid: &Grid,
    scale: &Scale,
    out: &mut [T],
) -> Result<(), FormatError> {
    vectorize!(simd => decode_levels(simd, cursor, grid, scale, out))
}

#[inline(always)]
fn decode_levels<S: Simd, T: Sample>(
    simd: S,
    cursor: &mut Cursor<'_>,
    grid: &Grid,
    scale: &Scale,
    out: &mut [T],
) -> Result<(), FormatError> {
    let dims = axes(grid.dims);
    let (header, all) = Header::read(cursor, |starts| levels(dims, starts))?;
    let reader = Reader::new(cursor, grid.len())?;
    let codes = vec![[0.0; STEP]; dims[ROW].div_ceil(STEP)];
    let mut d = Decoder { ordinary: masks(&all, grid), reader, codes };
    let field = run(simd, &all, &header, &mut d)?;
    d.reader.finish()?;
    let level = all.first().unwrap_or(&Level::TOP);
    let mut row = vec![0.0; dims[ROW]];
    for (r, to) in out.chunks_exact_mut(dims[ROW]).enumerate() {
        join(level, r, &field.data, &mut row);
        for (to, v) in to.iter_mut().zip(&row) {
            *to = T::from_f64(scale.value(f64::from(*v)));
        }
    }
    give_spare(field.data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast::raster;
    use proptest::prelude::*;

    /// A smooth field with noise of the given amplitude.
    fn field(dims: &[usize], noise: f64, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..dims.iter().product())
            .map(|i: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (mut rest, mut v) = (i, 0.0);
                for (a, d) in dims.iter().enumerate().rev() {
                    let x = (rest % d) as f64 / *d as f64 - 0.4;
                    v += x * x * (1.0 + x) / (1.0 + a as f64);
                    rest /= d;
                }
                v + noise * ((state >> 40) as f64 / f64::from(1u32 << 24) - 0.5)
            })
            .collect()
    }

    fn round_trip(values: &[f64], grid: &Grid, tolerance: f64, options: &Options) -> Vec<u8> {
        let scale = Scale::fit::<f64>(0.0, -2.0, 2.0, tolerance);
        let mut bytes = Vec::new();
        encode(values, grid, &scale, options, &mut bytes).unwrap();
        let mut out = vec![1.0; values.len()];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(decode(&mut cursor, grid, &scale, &mut out), Ok(()));
        assert_eq!(cursor.remaining(), 0);
        for (i, (v, a)) in values.iter().zip(&out).enumerate() {
            assert!(!grid.is_ordinary(i) || (v - a).abs() <= tolerance, "point {i}: {v} became {a}");
        }
        bytes
    }

    #[test]
    fn smooth_fields_take_less_than_half_of_what_they_take_in_raster_mode() {
        for dims in [&[150, 150][..], &[30, 30, 30]] {
            let values = field(dims, 0.0, 0);
            let grid = Grid { dims, ordinary: None };
            let options = Options { starts: [0; AXES], finer: false, learned: false };
            let bytes = round_trip(&values, &grid, 1e-3, &options);
            let mut other = Vec::new();
            let scale = Scale::fit::<f64>(0.0, -2.0, 2.0, 1e-3);
            raster::encode(&values, &grid, &scale, &raster::learn(&values, &grid, &scale), &mut other).unwrap();
            assert!(bytes.len() * 2 < other.len(), "{dims:?}: {} {}", bytes.len(), other.len());
        }
    }

    fn shapes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1usize..5, 1usize..40], 1..6)
            .prop_filter("small", |d| (2..20_000).contains(&d.iter().product::<usize>()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_field_round_trips(
            dims in shapes(),
            noise in prop_oneof![Just(0.0), 1e-4f64..1.0],
            tolerance in prop_oneof![1e-4f64..1e-2, 1e-2f64..0.3],
            holes in prop::option::of(2u64..50),
            starts in prop::array::uniform4(prop_oneof![0u8..4, Just(15u8)]),
            finer in any::<bool>(),
            learned in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut values = field(&dims, noise, seed);
            let ordinary: Vec<bool> = (0..values.len() as u64).map(|i| holes.is_none_or(|h| i * i / 7 % h != 0)).collect();
            values.iter_mut().zip(&ordinary).filter(|(_, o)| !**o).for_each(|(v, _)| *v = f64::NAN);
            let grid = Grid { dims: &dims, ordinary: holes.map(|_| ordinary.as_slice()) };
            round_trip(&values, &grid, tolerance, &Options { starts, finer, learned });
        }

        #[test]
        fn damaged_bytes_end_without_a_panic(
            dims in shapes(),
            seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            learned in any::<bool>(),
        ) {
            let values = field(&dims, 0.02, seed);
            let grid = Grid { dims: &dims, ordinary: None };
            let options = Options { starts: [0, 1, 0, 15], finer: true, learned };
            let mut bytes = round_trip(&values, &grid, 1e-3, &options);
            for (at, byte) in damage {
                let i = at.index(bytes.len());
                bytes[i] ^= byte;
            }
            let scale = Scale::new(0.0, 1e-3);
            let _ = decode(&mut Cursor::new(&bytes), &grid, &scale, &mut values.clone());
        }
    }
}
