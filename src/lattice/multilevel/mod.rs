//! Multilevel kernel (SPEC 9.2): points are refined level by level, each predicted from known ones on both sides.

mod balanced;
mod learning;
mod links;
mod network;
mod pass;
mod quantizer;
mod small;
mod stencil;
mod survey;
mod weights;

use crate::codec::arithmetic::{BitCoder, Decoder, Encoder};
use crate::codec::cursor::{Cursor, put_varint, unzigzag, zigzag};
use crate::error::FormatError;
use crate::lattice::Grid;
use crate::lattice::learner::Learner;
use crate::model::Predictor;
use network::Network;
pub use network::Samples;
use pass::{AXES, Order, Shape, halvings};
use quantizer::Quantizer;
use small::Setup;
use survey::round_robin;

/// What the writer is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The fewest bytes; about a million values a second.
    Small,
    /// Few bytes at ten times that speed.
    Balanced,
}

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) profile: Profile,
}

const FLAG_SNAPPED: u8 = 1;
/// An order of halvings follows; otherwise it is [`round_robin`].
const FLAG_ORDER: u8 = 2;
/// The step is stored in 8 bytes instead of its upper 4.
const FLAG_LONG_STEP: u8 = 4;
/// Nothing follows the origin, which is the value of every point.
const FLAG_FLAT: u8 = 8;
/// Level factors: two bits.
const FACTORS_SHIFT: u8 = 4;
/// The offset of a snapped lattice follows; otherwise it is 0.
const FLAG_OFFSET: u8 = 0x40;
/// The corrections are coded by the balanced profile.
const FLAG_BALANCED: u8 = 0x80;

/// Step sizes of levels 0, 1, 2 and 3 up, as factors of the finest.
const FACTORS: [[f64; 4]; 4] =
    [[1.0, 1.0, 1.0, 1.0], [1.0, 0.8, 0.64, 0.5], [1.0, 0.75, 0.5, 0.375], [1.0, 0.625, 0.375, 0.25]];

/// 4 * 2^(i / 2) rounded: weights of a squared distance.
const WEIGHTS: [u32; 16] = [4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724];

#[derive(Debug, Clone)]
struct Header {
    profile: Profile,
    snapped: bool,
    factors: usize,
    step: f64,
    offset: f64,
    /// Whole number of steps from zero to the prediction of the first point.
    origin: i64,
    /// Empty for a flat frame.
    order: Order,
    /// How much farther than along the smoothest neighbors count as being along each axis, in half octaves.
    weights: [u8; AXES],
}

/// Bound on the origin, so that it is exact in a binary64.
const ORIGIN_MAX: u64 = 1 << 52;

impl Header {
    fn write_to(&self, out: &mut Vec<u8>, shape: &Shape) {
        let bits = self.step.to_bits();
        let long = bits & 0xffff_ffff != 0;
        let flat = self.order.is_empty();
        let ordered = !flat && (self.order != round_robin(shape) || self.weights != [0; AXES]);
        let mut flags = u8::try_from(self.factors & 3).unwrap_or(0) << FACTORS_SHIFT;
        for (set, flag) in [
            (self.snapped, FLAG_SNAPPED),
            (ordered, FLAG_ORDER),
            (long, FLAG_LONG_STEP),
            (flat, FLAG_FLAT),
            (self.offset != 0.0, FLAG_OFFSET),
            (self.profile == Profile::Balanced, FLAG_BALANCED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        let [b0, b1, b2, b3, b4, b5, b6, b7] = bits.to_le_bytes();
        if long {
            out.extend([b0, b1, b2, b3]);
        }
        out.extend([b4, b5, b6, b7]);
        if self.offset != 0.0 {
            out.extend(self.offset.to_le_bytes());
        }
        put_varint(out, zigzag(self.origin));
        if ordered {
            write_order(out, &self.order, &self.weights, shape);
        }
    }

    fn read_from(c: &mut Cursor, shape: &Shape) -> Result<Self, FormatError> {
        let flags = c.u8("multilevel flags")?;
        let is = |flag: u8| flags & flag != 0;
        if is(FLAG_FLAT) && is(FLAG_ORDER) {
            return Err(FormatError::Code { what: "multilevel flags" });
        }
        let step = if is(FLAG_LONG_STEP) {
            c.f64("multilevel step")?
        } else {
            f64::from_bits(u64::from(c.u32("multilevel step")?) << 32)
        };
        if !(step > 0.0 && step < f64::INFINITY) {
            return Err(FormatError::number("multilevel step", step, "a positive finite number"));
        }
        let offset = if is(FLAG_OFFSET) { c.f64("multilevel offset")? } else { 0.0 };
        if !offset.is_finite() || is(FLAG_OFFSET) && !(is(FLAG_SNAPPED) && offset != 0.0) {
            return Err(FormatError::Code { what: "multilevel offset" });
        }
        let origin = unzigzag(c.varint("multilevel origin")?);
        if origin.unsigned_abs() > ORIGIN_MAX {
            let found = origin.unsigned_abs();
            return Err(FormatError::Value {
                field: "magnitude of the multilevel origin",
                found,
                expected: ORIGIN_MAX,
            });
        }
        let (order, weights) = if is(FLAG_FLAT) {
            (Order::new(), [0; AXES])
        } else if is(FLAG_ORDER) {
            read_order(c, shape)?
        } else {
            (round_robin(shape), [0; AXES])
        };
        let profile = if is(FLAG_BALANCED) { Profile::Balanced } else { Profile::Small };
        Ok(Header {
            profile,
            snapped: is(FLAG_SNAPPED),
            factors: usize::from(flags >> FACTORS_SHIFT & 3),
            step,
            offset,
            origin,
            order,
            weights,
        })
    }

    fn setup(&self, tolerance: f64) -> Setup {
        Setup {
            order: self.order.clone(),
            weights: self.weights.map(|w| WEIGHTS.get(usize::from(w)).copied().unwrap_or(1)),
            quantizer: if self.snapped {
                Quantizer::snapped(self.step, self.offset)
            } else {
                Quantizer::new(self.step)
            },
            origin: self.first(),
            factors: FACTORS.get(self.factors).copied().unwrap_or([1.0; 4]),
            step: self.step,
            tolerance,
        }
    }

    fn run<C: BitCoder>(
        &self,
        coder: &mut C,
        values: Option<&[f64]>,
        grid: &Grid,
        tolerance: f64,
        company: Company,
        recon: &mut [f64],
    ) -> Result<(), FormatError> {
        let setup = self.setup(tolerance);
        match (self.profile, company) {
            (Profile::Small, Company::Nobody) => small::run(coder, values, grid, &setup, None, recon),
            (Profile::Small, Company::Learner) => {
                small::run(coder, values, grid, &setup, Some(&mut Learner::new()), recon)
            }
            (Profile::Balanced, Company::Nobody) => balanced::run(coder, values, grid, &setup, None, recon),
            (Profile::Balanced, Company::Network(n)) => balanced::run(coder, values, grid, &setup, Some(n), recon),
            _ => Err(FormatError::Code { what: "multilevel profile" }),
        }
    }

    /// Prediction of the first point.
    fn first(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "the origin is below 2^53")]
        let origin = self.origin as f64;
        self.offset + origin * self.step
    }
}

/// Bits per entry of an order among `axes` axes.
fn order_bits(axes: usize) -> u32 {
    axes.next_power_of_two().trailing_zeros()
}

/// Entries of an order as places among the real axes, then four bits of weight for each of these, lowest bits of
/// each byte first (SPEC 9.2.1).
fn write_order(out: &mut Vec<u8>, order: &Order, weights: &[u8; AXES], shape: &Shape) {
    let axes: Vec<usize> = shape.real_axes().collect();
    let bits = order_bits(axes.len());
    let places = order.iter().map(|entry| {
        let place = axes.iter().position(|a| *a == usize::from(*entry)).unwrap_or(0);
        (u32::try_from(place).unwrap_or(0), bits)
    });
    let weights = axes.iter().map(|a| (weights.get(*a).copied().unwrap_or(0).into(), WEIGHT_BITS));
    let (mut pending, mut count) = (0u32, 0u32);
    for (value, bits) in places.chain(weights) {
        pending |= value << count;
        count = count.wrapping_add(bits);
        while count >= 8 {
            let [low, ..] = pending.to_le_bytes();
            out.push(low);
            pending >>= 8;
            count = count.wrapping_sub(8);
        }
    }
    if count > 0 {
        let [low, ..] = pending.to_le_bytes();
        out.push(low);
    }
}

/// Bits of an index into [`WEIGHTS`].
const WEIGHT_BITS: u32 = 4;

fn read_order(c: &mut Cursor, shape: &Shape) -> Result<(Order, [u8; AXES]), FormatError> {
    let bad = || FormatError::Code { what: "multilevel order" };
    let axes: Vec<usize> = shape.real_axes().collect();
    let mut left = shape.extents.map(halvings);
    let (mut pending, mut count) = (0u32, 0u32);
    let mut read = |bits: u32| {
        while count < bits {
            pending |= u32::from(c.u8("multilevel order")?) << count;
            count = count.wrapping_add(8);
        }
        let value = pending & !(u32::MAX << bits);
        pending >>= bits;
        count = count.wrapping_sub(bits);
        Ok::<_, FormatError>((value, pending))
    };
    let mut order = Order::new();
    for _ in 0..left.iter().sum() {
        let (place, _) = read(order_bits(axes.len()))?;
        let axis = *usize::try_from(place).ok().and_then(|p| axes.get(p)).ok_or_else(bad)?;
        let rest = left.get_mut(axis).ok_or_else(bad)?;
        *rest = rest.checked_sub(1).ok_or_else(bad)?;
        order.push(u8::try_from(axis).map_err(|_| bad())?);
    }
    let mut weights = [0; AXES];
    let mut unused = 0;
    for a in &axes {
        let (weight, rest) = read(WEIGHT_BITS)?;
        unused = rest;
        if let Some(w) = weights.get_mut(*a) {
            *w = u8::try_from(weight).map_err(|_| bad())?;
        }
    }
    if unused != 0 || order == round_robin(shape) && weights == [0; AXES] {
        return Err(bad());
    }
    Ok((order, weights))
}

/// Who is asked at every point beside the stencil.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    Nobody,
    /// A network that was trained before; in the balanced profile.
    Trained(&'a Predictor),
    /// A network that learns on the way; in the small profile.
    Learner,
}

/// The same, at work.
enum Company<'a, 'b> {
    Nobody,
    Network(&'a mut Network<'b>),
    Learner,
}

impl<'b> Company<'_, 'b> {
    fn again(&mut self) -> Company<'_, 'b> {
        match self {
            Company::Nobody => Company::Nobody,
            Company::Network(n) => Company::Network(n),
            Company::Learner => Company::Learner,
        }
    }
}

impl Asked<'_> {
    /// Does something in the company of who is asked.
    fn meet<R>(self, then: impl FnOnce(Company) -> R) -> R {
        match self {
            Asked::Nobody => then(Company::Nobody),
            Asked::Trained(predictor) => then(Company::Network(&mut Network::new(predictor))),
            Asked::Learner => then(Company::Learner),
        }
    }
}

/// Tries headers for the ordinary points of `values` on a part of them.
/// `None` if the values do not suit: corrections too large, or the tolerance below their precision.
pub(crate) fn choose(values: &[f64], grid: &Grid, tolerance: f64, options: &Options, asked: Asked) -> Option<Choice> {
    // A learner has learned too little on a sample to tell: what is chosen without it serves both.
    let asked = if matches!(asked, Asked::Learner) { Asked::Nobody } else { asked };
    asked.meet(|company| try_headers(values, grid, tolerance, options, company))
}

/// Encodes the ordinary points of `values` as [`choose`] chose for them; `recon` receives what [`decode`] will give,
/// within `tolerance`. `None` as there.
pub(crate) fn encode(
    values: &[f64],
    grid: &Grid,
    tolerance: f64,
    Choice { header, other, whole }: &Choice,
    asked: Asked,
    recon: &mut [f64],
) -> Option<Vec<u8>> {
    if header.order.is_empty() {
        recon.fill(header.first());
        let mut out = Vec::new();
        header.write_to(&mut out, &Shape::new(grid.dims));
        return Some(out);
    }
    if let Some(whole) = whole.as_ref().filter(|_| !matches!(asked, Asked::Learner)) {
        recon.copy_from_slice(&whole.recon);
        return Some(whole.bytes.clone());
    }
    let run = |header: &Header, recon: &mut [f64]| {
        asked.meet(|company| header.encode(values, grid, tolerance, company, recon))
    };
    let bytes = run(header, recon)?;
    let Some(other) = other else { return Some(bytes) };
    let mut second = vec![0.0; recon.len()];
    match run(other, &mut second) {
        Some(better) if better.len() < bytes.len() => {
            recon.copy_from_slice(&second);
            Some(better)
        }
        _ => Some(bytes),
    }
}

/// What a network is asked at the points of `values`, and what would have been right. The answers of `network` are used
/// on the way, so that one can be trained on what it meets itself.
pub(crate) fn samples(values: &[f64], grid: &Grid, tolerance: f64, network: Option<&Predictor>) -> Option<Samples> {
    let options = Options { profile: Profile::Balanced };
    let mut recon = vec![0.0; values.len()];
    let asked = network.map_or(Asked::Nobody, Asked::Trained);
    let header = choose(values, grid, tolerance, &options, asked)?.header;
    let mut samples = Samples::default();
    if !header.order.is_empty() {
        let mut recorder = Network::recorded(network, &mut samples);
        header.encode(values, grid, tolerance, Company::Network(&mut recorder), &mut recon)?;
    }
    Some(samples)
}

/// What is known of the headers after they were tried.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The one under which the fewest bytes are expected; it has no order if a constant will do.
    header: Header,
    /// Another one, if that is worth the time where a sample cannot tell which of both is better.
    other: Option<Header>,
    /// What the header gave, if it was tried on all points.
    whole: Option<Coded>,
}

#[derive(Debug)]
struct Coded {
    bytes: Vec<u8>,
    recon: Vec<f64>,
}

fn try_headers(values: &[f64], grid: &Grid, tolerance: f64, options: &Options, mut company: Company) -> Option<Choice> {
    let shape = Shape::new(grid.dims);
    let plain = Header::plain(values, grid, tolerance, options.profile)?;
    let constant = plain.first();
    if values.iter().enumerate().all(|(i, v)| !grid.is_ordinary(i) || (v - constant).abs() <= tolerance) {
        return Some(Choice { header: plain, other: None, whole: None });
    }
    let weights = survey::distances(values, grid, &shape, plain.step);
    let plain = Header { order: survey::greedy(values, grid, &shape, plain.step), weights, ..plain };
    if plain.order.is_empty() {
        return None;
    }
    let candidates = plain.candidates(values, grid, tolerance);
    let size = sample_size(options.profile, grid.len());
    let whole = grid.len() <= size;
    let (extents, corner) = survey::block(grid, size);
    let sample: Vec<f64> = survey::pick(grid.dims, &extents, &corner).filter_map(|i| values.get(i).copied()).collect();
    let mask: Vec<bool> = survey::pick(grid.dims, &extents, &corner).map(|i| grid.is_ordinary(i)).collect();
    let block = Grid { dims: &extents, ordinary: grid.ordinary.map(|_| &mask[..]) };
    // The best that is not snapped, and the best that is.
    let mut best: [Option<(Header, Coded)>; 2] = [None, None];
    let mut recon = vec![0.0; sample.len()];
    for header in candidates {
        let tried = if whole { header.clone() } else { header.restricted(&sample, &block) };
        let Some(bytes) = tried.encode(&sample, &block, tolerance, company.again(), &mut recon) else { continue };
        let [plain, snapped] = &mut best;
        match if header.snapped { snapped } else { plain } {
            Some((_, coded)) if coded.bytes.len() <= bytes.len() => {}
            Some((kept, coded)) => {
                *kept = header;
                coded.bytes = bytes;
                coded.recon.copy_from_slice(&recon);
            }
            none => *none = Some((header, Coded { bytes, recon: recon.clone() })),
        }
    }
    let sure = |(header, coded)| Choice { header, other: None, whole: whole.then_some(coded) };
    let [Some(plain), Some(snapped)] = best else {
        return best.into_iter().flatten().next().map(sure);
    };
    // The sample of a smooth field costs next to nothing either way, and is no picture of the edges elsewhere. There a
    // snapped lattice may cost many times as much, while it seldom gains more than it shows.
    let unsure = sample.len().checked_div(MARGIN).unwrap_or(0);
    let (n, m) = (plain.1.bytes.len(), snapped.1.bytes.len());
    Some(match options.profile {
        _ if n <= m => sure(plain),
        _ if whole || m.saturating_add(unsure) < n => sure(snapped),
        Profile::Small => Choice { other: Some(snapped.0), ..sure(plain) },
        Profile::Balanced => sure(plain),
    })
}

/// A snapped lattice must gain a byte in so many points of a sample: 1/32 bit a point.
const MARGIN: usize = 256;

/// How many of the points candidates are tried on.
fn sample_size(profile: Profile, points: usize) -> usize {
    match profile {
        Profile::Small => 49_152,
        Profile::Balanced => (points / 16).clamp(4096, 16_384),
    }
}

impl Header {
    /// As many steps as the tolerance allows around a plain prediction; no order yet.
    fn plain(values: &[f64], grid: &Grid, tolerance: f64, profile: Profile) -> Option<Self> {
        let step = f64::from_bits((2.0 * tolerance).to_bits() & !0xffff_ffff);
        if !(step > 0.0 && step < f64::INFINITY) {
            return None;
        }
        let header = Header {
            profile,
            snapped: false,
            factors: 0,
            step,
            offset: 0.0,
            origin: 0,
            order: Order::new(),
            weights: [0; AXES],
        };
        let header = header.placed(values, grid);
        (header.origin.unsigned_abs() <= ORIGIN_MAX).then_some(header)
    }

    /// With the origin at the first ordinary value.
    fn placed(mut self, values: &[f64], grid: &Grid) -> Self {
        let first = values.iter().enumerate().find(|(i, _)| grid.is_ordinary(*i)).map_or(self.offset, |(_, v)| *v);
        #[allow(clippy::cast_possible_truncation, reason = "saturates, and is checked against the largest origin")]
        let origin = ((first - self.offset) / self.step).round_ties_even() as i64;
        self.origin = origin;
        self
    }

    /// This header for a block of the array.
    fn restricted(&self, values: &[f64], grid: &Grid) -> Self {
        let mut left = Shape::new(grid.dims).extents.map(halvings);
        let mut order = Order::new();
        for axis in &self.order {
            if let Some(n) = left.get_mut(usize::from(*axis)).filter(|n| **n > 0) {
                *n = n.saturating_sub(1);
                order.push(*axis);
            }
        }
        for (axis, n) in (0u8..).zip(left) {
            order.extend((0..n).map(|_| axis));
        }
        Header { order, ..self.clone() }.placed(values, grid)
    }

    /// What may be smaller than this plain header.
    fn candidates(&self, values: &[f64], grid: &Grid, tolerance: f64) -> Vec<Self> {
        let mut all: Vec<Self> = (0..3).map(|factors| Header { factors, ..self.clone() }).collect();
        let mut snapped = Header { snapped: true, ..self.clone() };
        if let Some((spacing, low)) = survey::native(values, grid) {
            let largest = values.iter().enumerate().filter(|(i, _)| grid.is_ordinary(*i)).map(|(_, v)| v.abs());
            let slack = largest.fold(0.0, f64::max) / 4_194_304.0;
            let many = ((2.0 * (tolerance - slack)).max(0.0) / spacing).floor() + 1.0;
            if many <= 256.0 {
                snapped.step = many * spacing;
                // Each cell covers `many` lattice values, its center is that of the lattice values.
                snapped.offset = low + (many - 1.0) * 0.5 * spacing;
                snapped = snapped.placed(values, grid);
            }
        }
        all.push(snapped);
        all
    }

    fn encode(
        &self,
        values: &[f64],
        grid: &Grid,
        tolerance: f64,
        company: Company,
        recon: &mut [f64],
    ) -> Option<Vec<u8>> {
        let mut coder = Encoder::new();
        self.run(&mut coder, Some(values), grid, tolerance, company, recon).ok()?;
        let mut out = Vec::new();
        self.write_to(&mut out, &Shape::new(grid.dims));
        out.extend(coder.finish());
        Some(out)
    }
}

/// Decodes what [`encode`] made for the same grid, asking the same.
///
/// # Errors
/// If the bytes are not what some encoder could have made, as far as that is seen.
pub(crate) fn decode(bytes: &[u8], grid: &Grid, asked: Asked, out: &mut [f64]) -> Result<(), FormatError> {
    let shape = Shape::new(grid.dims);
    let mut c = Cursor::new(bytes);
    let header = Header::read_from(&mut c, &shape)?;
    if header.order.is_empty() {
        out.fill(header.first());
        return c.finish("multilevel header");
    }
    let mut coder = Decoder::new(c.take_rest());
    asked.meet(|company| header.run(&mut coder, None, grid, 0.0, company, out))?;
    coder.finish("multilevel payload")
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small test data")]
mod tests;
