//! The writer's choice of mode.

use super::levels::{Options, starts::starts};
use super::parts::Part;
use super::raster::Learned;
use super::scale::Scale;
use super::snapped::Outlook;
use super::{Effort, LEVELS, RASTER, SNAPPED, Sample, background, levels, raster};
use crate::lattice::Grid;

/// Where raster mode takes more bits a point, it is taken: values between those of a coarser grid are seldom known better.
const MOST_BITS: f32 = 1.3;
/// Where levels are estimated to take less than these parts of raster mode's bits, they are tried: at once, or if parts of the
/// frame say so.
const FAR_LESS: f32 = 0.3;
const LESS: f32 = 0.45;
/// Where this part, levels take less than raster mode almost always.
const LESS_IN_HASTE: f32 = 0.2;
/// Raster mode decodes faster: levels must take less than so many hundredths of its bytes.
const WORTH: usize = 95;
/// Of frames of which so many points share a byte more is tried in the levels mode.
const SMOOTHEST: usize = 32;
/// Of what takes fewer bits the coarser levels are coded more finely at once, and no weights are learned.
const VERY_SMOOTH: f32 = 0.025;
/// Frames with fewer points are too small for their parts to tell anything, ...
const FEW: usize = 1 << 18;
/// ... of larger ones parts of one in so many points are looked at.
const PART: usize = 32;
/// Small parts flatter the levels mode by so much.
const FLATTERED: f64 = 1.25;
/// Values spread over more steps than this do not suit modes that predict: single precision would place them too roughly.
const LARGEST_SPREAD: f64 = 80_000.0;

/// What is to be coded.
pub(super) struct Frame<'a, T> {
    pub(super) values: &'a [T],
    pub(super) grid: &'a Grid<'a>,
    /// Least and largest ordinary value.
    pub(super) range: (f64, f64),
    pub(super) tolerance: f64,
    pub(super) effort: Effort,
}

/// What codes a frame, and where in it the codes begin.
struct Coded {
    bytes: Vec<u8>,
    start: usize,
}

/// What estimates prefer.
enum Mode {
    Raster,
    Levels(Options),
    Snapped,
}

impl<T: Sample> Frame<'_, T> {
    /// Codes the values in the mode that takes the fewest bytes, as far as it was tried; `None` if none suits.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let outlook = Outlook::new(self.values, self.grid, self.range, self.tolerance, self.effort);
        let snapped = |codes: Vec<u8>| [&[SNAPPED], codes.as_slice()].concat();
        let alone = |o: Outlook<T>| snapped(o.encode());
        let Some(scale) = self.scale() else { return outlook.map(alone) };
        let learned = raster::learn(self.values, self.grid, &scale);
        let predicted = match self.effort {
            Effort::Thorough => self.predicted(&scale, &learned),
            Effort::Hasty => match self.likeliest(&scale, &learned, outlook.as_ref()) {
                Mode::Snapped => return outlook.map(alone),
                Mode::Levels(options) => {
                    self.levels(&scale, &options).or_else(|| self.raster(&scale, &learned)).map(|c| c.bytes)
                }
                Mode::Raster => self.predicted(&scale, &learned),
            },
        };
        let limit = predicted.as_ref().map_or(usize::MAX, Vec::len);
        let codes = outlook.and_then(|o| o.encode_below(limit));
        codes.map(snapped).or(predicted)
    }

    /// The lattice of modes that predict values; `None` if they do not suit.
    fn scale(&self) -> Option<Scale> {
        let (low, high) = self.range;
        let base = background(self.values, self.grid.ordinary);
        let base = base.unwrap_or_else(|| T::from_f64(low + (high - low) / 2.0).to_f64());
        let scale = Scale::fit::<T>(base, low, high, self.tolerance);
        ((high - low) / scale.step < LARGEST_SPREAD && scale.suits::<T>(low, high)).then_some(scale)
    }

    /// The mode that takes the fewest bytes, as far as estimates tell: snapped mode only if it is so far ahead that no other need be tried.
    fn likeliest(&self, scale: &Scale, learned: &Learned, outlook: Option<&Outlook<T>>) -> Mode {
        /// Estimates of snapped mode and of the others are off by less than this, mostly, ...
        const AHEAD: f32 = 0.85;
        /// ... but levels are estimated too low by more, the smoother the values are.
        const TOO_LOW: f32 = 2.0;
        let Some(bits) = learned.bits else { return Mode::Raster };
        let (options, estimate) = self.options(scale);
        let most = f64::from(bits.min(TOO_LOW * estimate) * AHEAD) * self.values.len() as f64 / 8.0;
        let is_ahead = |o: &Outlook<T>| o.is_below(most) && o.bytes() < most;
        if outlook.is_some_and(is_ahead) {
            Mode::Snapped
        } else if estimate < bits * LESS_IN_HASTE {
            Mode::Levels(options)
        } else {
            Mode::Raster
        }
    }

    /// Codes the values in raster mode, or in levels where they are that smooth.
    fn predicted(&self, scale: &Scale, learned: &Learned) -> Option<Vec<u8>> {
        let Some(raster) = self.raster(scale, learned) else {
            return self.levels(scale, &self.options(scale).0).map(|c| c.bytes);
        };
        let bits = 8.0 * raster.bytes.len() as f32 / self.values.len() as f32;
        if bits < MOST_BITS {
            let (options, estimate) = self.options(scale);
            if self.levels_suit(scale, bits, estimate, &options)
                && let Some(levels) = self.levels(scale, &options)
                && let levels = self.smoothest(levels, scale, &options)
                && levels.bytes.len() * 100 < raster.bytes.len() * WORTH
            {
                return Some(levels.bytes);
            }
        }
        Some(raster.bytes)
    }

    /// Whether levels mode is worth a try where raster mode takes so many bits a point.
    fn levels_suit(&self, scale: &Scale, bits: f32, estimate: f32, options: &Options) -> bool {
        if self.effort == Effort::Hasty {
            return estimate < bits * LESS_IN_HASTE;
        }
        let parts_suit = || {
            let parts = self.parts();
            let levels = parts.bytes(|p| p.levels(scale, options)).unwrap_or(f64::INFINITY);
            parts
                .bytes(|p| p.raster(scale, &raster::learn(p.values, p.grid, scale)))
                .is_none_or(|raster| levels * FLATTERED < raster)
        };
        estimate < bits * FAR_LESS || self.values.len() >= FEW && estimate < bits * LESS && parts_suit()
    }

    fn raster(&self, scale: &Scale, learned: &Learned) -> Option<Coded> {
        let mut bytes = vec![RASTER];
        scale.write(&mut bytes);
        let start = raster::encode(self.values, self.grid, scale, learned, &mut bytes)?;
        Some(Coded { bytes, start })
    }

    fn levels(&self, scale: &Scale, options: &Options) -> Option<Coded> {
        let mut bytes = vec![LEVELS];
        scale.write(&mut bytes);
        let start = levels::encode(self.values, self.grid, scale, options, &mut bytes)?;
        Some(Coded { bytes, start })
    }

    /// The options of the levels mode that suit, and how many bits a point takes then, about.
    fn options(&self, scale: &Scale) -> (Options, f32) {
        let (starts, bits) = starts(self.values, self.grid, scale);
        let smooth = self.effort == Effort::Hasty && bits < VERY_SMOOTH;
        (Options { starts, finer: smooth, learned: !smooth }, bits)
    }

    /// What compresses well is worth more tries, which take little time.
    fn smoothest(&self, first: Coded, scale: &Scale, options: &Options) -> Coded {
        let mut best = first;
        if self.effort == Effort::Thorough && best.bytes.len() * SMOOTHEST <= self.values.len() {
            for finer in [false, true] {
                let options = Options { finer, learned: false, ..*options };
                if let Some(tried) = self.levels(scale, &options)
                    && tried.bytes.len() < best.bytes.len()
                {
                    best = tried;
                }
            }
        }
        best
    }

    /// Two parts: what is in the middle of a grid may be nowhere else.
    fn parts(&self) -> Parts<'_, T> {
        let points = self.values.len() / PART / 2;
        Parts { whole: self, parts: [1, 3].map(|quarters| Part::cut(self.values, self.grid, points, quarters)) }
    }
}

/// Parts of a frame by which the whole is judged.
struct Parts<'a, T> {
    whole: &'a Frame<'a, T>,
    parts: [Part<T>; 2],
}

impl<T: Sample> Parts<'_, T> {
    /// Bytes that a mode gives for the whole, about, by what it gives for the parts; `None` if it does not suit.
    fn bytes(&self, mode: impl Fn(&Frame<T>) -> Option<Coded>) -> Option<f64> {
        // Points without an earlier neighbor along some axis take about twice the bits, and are more of a part.
        let border = |dims: &[usize]| 2.0 - dims.iter().map(|d| 1.0 - 1.0 / *d as f64).product::<f64>();
        let mut bytes = 0.0;
        for p in &self.parts {
            let grid = Grid { dims: &p.dims, ordinary: p.ordinary.as_deref() };
            let coded = mode(&Frame { values: &p.values, grid: &grid, ..*self.whole })?;
            let factor = self.whole.values.len() as f64 / p.values.len() as f64 / 2.0;
            let codes = (coded.bytes.len() - coded.start) as f64 * factor;
            bytes += coded.start as f64 / 2.0 + codes * border(self.whole.grid.dims) / border(&p.dims);
        }
        Some(bytes)
    }
}
