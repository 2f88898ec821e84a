//! What whole numbers stand for: images of floating-point values, or shorter numbers for these (SPEC 9.5.2).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "digits are within the tables by the checks on the header"
)]

use super::steps;
use crate::codec::cursor::Cursor;
use crate::error::FormatError;

/// Powers of ten that binary64 holds exactly, as a table.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// The nearest binary64 numbers to negative powers of ten.
const TENTHS: [f64; 23] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17,
    1e-18, 1e-19, 1e-20, 1e-21, 1e-22,
];
/// Most significant digits of a ranked number.
const SIGNIFICANT_MAX: u8 = 15;
/// Those that the writer tries on binary32 numbers.
const SIGNIFICANT_OF_SINGLE: u8 = 7;
/// Digits that the writer tries.
const DIGITS_TRIED: u8 = 12;
/// Steps are looked for where numbers are farther apart than this.
const WIDE: u64 = 1 << 17;
/// Decimal numbers are kept below this.
const DECIMAL_MAX: f64 = 4_503_599_627_370_496.0;
/// What a number stands for (SPEC 9.5.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Itself.
    Plain,
    /// The ordered image of a binary32 number, for the ordered image of the same number in binary64.
    Widened,
    /// `n` for the image of `n / 10^digits`, or of `n * 10^-digits`.
    Decimal { source: Source, multiply: bool, digits: u8 },
    /// The rank of a number among those of so many significant decimal digits.
    Significant { source: Source, digits: u8 },
    /// `n` for the image of `offset + step * n`.
    Steps { source: Source, offset: f64, step: f64 },
}

/// What images are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Binary64,
    Binary32,
    /// Binary64 numbers rounded to binary32.
    Rounded,
}

impl Form {
    pub(super) fn code(self) -> u8 {
        match self {
            Form::Plain => 0,
            Form::Widened => 1,
            Form::Decimal { source, multiply, .. } => 2 + 2 * source as u8 + u8::from(multiply),
            Form::Significant { source, .. } => 8 + source as u8,
            Form::Steps { source, .. } => 10 + source as u8,
        }
    }

    /// Appends what follows the code.
    pub(super) fn write_rest(self, out: &mut Vec<u8>) {
        match self {
            Form::Decimal { digits, .. } | Form::Significant { digits, .. } => out.push(digits),
            Form::Steps { offset, step, .. } => [offset, step].iter().for_each(|v| out.extend(v.to_le_bytes())),
            Form::Plain | Form::Widened => {}
        }
    }

    /// Of this code, with what follows it.
    pub(super) fn read_from(code: u8, cursor: &mut Cursor) -> Result<Form, FormatError> {
        let source = match code {
            0 => return Ok(Form::Plain),
            1 => return Ok(Form::Widened),
            2 | 3 | 8 => Source::Binary64,
            4 | 5 | 9 | 11 => Source::Binary32,
            6 | 7 | 10 | 12 => Source::Rounded,
            _ => return Err(FormatError::Value { field: "exact form", found: code.into(), expected: 12 }),
        };
        if code >= 11 {
            let (offset, step) = (cursor.f64("offset of steps")?, cursor.f64("step")?);
            if !offset.is_finite() {
                return Err(FormatError::number("offset of steps", offset, "a finite number"));
            }
            if !(step > 0.0 && step.is_finite()) {
                return Err(FormatError::number("step", step, "a finite number above 0"));
            }
            return Ok(Form::Steps { source, offset, step });
        }
        let digits = cursor.u8("exact digits")?;
        if code >= 8 {
            if !(1..=SIGNIFICANT_MAX).contains(&digits) {
                let expected = SIGNIFICANT_MAX.into();
                return Err(FormatError::Value { field: "exact digits", found: digits.into(), expected });
            }
            return Ok(Form::Significant { source, digits });
        }
        if usize::from(digits) >= TENS.len() {
            return Err(FormatError::Value { field: "exact digits", found: digits.into(), expected: 22 });
        }
        Ok(Form::Decimal { source, multiply: code & 1 == 1, digits })
    }

    /// The number that stands for image `q`, if there is one.
    pub(super) fn shorten(self, q: u64) -> Option<u64> {
        match self {
            Form::Plain => Some(q),
            Form::Widened => {
                let n = image32(float64(q) as f32);
                (self.restore(n) == q).then_some(n)
            }
            Form::Decimal { source, digits, .. } => {
                let n = (source.number(q) * TENS[usize::from(digits)]).round_ties_even();
                self.signed(n, q)
            }
            Form::Steps { source, offset, step } => {
                let n = ((source.number(q) - offset) / step).round_ties_even();
                self.signed(n, q)
            }
            Form::Significant { source, digits } => {
                let x = source.number(q);
                if x == 0.0 {
                    return (self.restore(1 << 63) == q).then_some(1 << 63);
                }
                let lowest = TENS[usize::from(digits) - 1];
                // Logarithms may be off by one near powers of ten.
                let guess = f64::from(digits) - 1.0 - x.abs().log10().floor();
                (-1..=1).find_map(|d| {
                    let k = guess as i32 + d;
                    let tens = *TENS.get(k.unsigned_abs() as usize)?;
                    let n = (if k < 0 { x.abs() / tens } else { x.abs() * tens }).round_ties_even();
                    if !(n >= lowest && n < lowest * 10.0) {
                        return None;
                    }
                    let decade = 9 * lowest as u64;
                    let rank = decade * (22 - k).unsigned_abs() as u64 + (n - lowest) as u64 + 1;
                    let rank = if x < 0.0 { (1 << 63) - rank } else { (1 << 63) + rank };
                    (self.restore(rank) == q).then_some(rank)
                })
            }
        }
    }

    /// The number for a signed whole one, if it stands for image `q`.
    fn signed(self, n: f64, q: u64) -> Option<u64> {
        if n.is_nan() || n.abs() >= DECIMAL_MAX {
            return None;
        }
        let n = ((n as i64).cast_unsigned()).wrapping_add(1 << 63);
        (self.restore(n) == q).then_some(n)
    }

    /// Inverse of [`Form::shorten`].
    pub(super) fn restore(self, n: u64) -> u64 {
        match self {
            Form::Plain => n,
            Form::Widened => image64(float32(n).into()),
            Form::Decimal { source, multiply, digits } => {
                let n = n.wrapping_sub(1 << 63).cast_signed() as f64;
                let d = usize::from(digits);
                source.image(if multiply { n * TENTHS[d] } else { n / TENS[d] })
            }
            Form::Steps { source, offset, step } => {
                let n = n.wrapping_sub(1 << 63).cast_signed() as f64;
                source.image(offset + step * n)
            }
            Form::Significant { source, digits } => {
                let rank = n.abs_diff(1 << 63);
                if rank == 0 {
                    return source.image(0.0);
                }
                let lowest = TENS[usize::from(digits) - 1];
                let decade = 9 * lowest as u64;
                let mantissa = lowest + ((rank - 1) % decade) as f64;
                // Hostile ranks beyond the table stop at its end.
                let place = ((rank - 1) / decade).min(44) as usize;
                let x = if place <= 22 { mantissa / TENS[22 - place] } else { mantissa * TENS[place - 22] };
                source.image(if n < 1 << 63 { -x } else { x })
            }
        }
    }
}

impl Source {
    fn number(self, q: u64) -> f64 {
        match self {
            Source::Binary32 => float32(q).into(),
            Source::Binary64 | Source::Rounded => float64(q),
        }
    }

    fn image(self, x: f64) -> u64 {
        match self {
            Source::Binary64 => image64(x),
            Source::Binary32 => image32(x as f32),
            Source::Rounded => image64((x as f32).into()),
        }
    }
}

/// The ordered image of a binary64 number (SPEC 9.5): images compare as the numbers do.
pub(crate) fn image64(x: f64) -> u64 {
    let b = x.to_bits();
    if b >> 63 == 1 { !b } else { b | 1 << 63 }
}
/// Inverse of [`image64`].
pub(crate) fn float64(q: u64) -> f64 {
    f64::from_bits(if q >> 63 == 1 { q & !(1 << 63) } else { !q })
}
/// The ordered image of a binary32 number.
pub(crate) fn image32(x: f32) -> u64 {
    let b = x.to_bits();
    u64::from(if b >> 31 == 1 { !b } else { b | 1 << 31 })
}
/// Inverse of [`image32`]; bits above the lowest 32 are ignored.
pub(crate) fn float32(q: u64) -> f32 {
    let q = q as u32;
    f32::from_bits(if q >> 31 == 1 { q & !(1 << 31) } else { !q })
}

/// The form in which all of `images` can be told apart with the fewest bits.
pub(super) fn choose(images: &[u64]) -> Form {
    let narrow = images.iter().all(|q| *q <= u64::from(u32::MAX));
    let widened = if narrow { None } else { span(images, Form::Widened) };
    let source = match (narrow, widened) {
        (true, _) => Source::Binary32,
        (false, Some(_)) => Source::Rounded,
        (false, None) => Source::Binary64,
    };
    let mut best = match widened {
        Some(span) => (span, Form::Widened),
        None => (span(images, Form::Plain).unwrap_or(0), Form::Plain),
    };
    let mut fixed =
        (0..=DIGITS_TRIED).flat_map(|digits| [false, true].map(|multiply| Form::Decimal { source, multiply, digits }));
    // So many digits have more numbers than binary32.
    let most = if source == Source::Binary64 { SIGNIFICANT_MAX } else { SIGNIFICANT_OF_SINGLE };
    let mut significant = (1..=most).map(|digits| Form::Significant { source, digits });
    let of = |form| span(images, form).map(|span| (span, form));
    for suits in [fixed.find_map(of), significant.find_map(of)].into_iter().flatten() {
        if suits.0 < best.0 {
            best = suits;
        }
    }
    if source == Source::Binary64 || best.0 < WIDE {
        return best.1;
    }
    let steps = steps::find(images.len(), |i| source.number(images[i]) as f32);
    let steps = steps.and_then(|(offset, step)| of(Form::Steps { source, offset, step }));
    steps.filter(|s| s.0 < best.0 / 4).unwrap_or(best).1
}

/// Difference between the largest and the smallest number that stand for `images`; `None` if one of these has none.
fn span(images: &[u64], form: Form) -> Option<u64> {
    let mut numbers = images.iter().map(|q| form.shorten(*q));
    let first = numbers.next().unwrap_or(Some(0))?;
    let (low, high) = numbers.try_fold((first, first), |(low, high), n| n.map(|n| (low.min(n), high.max(n))))?;
    Some(high - low)
}
