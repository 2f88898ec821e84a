//! Latents (SPEC 7.3): the numbers that the network turns into blocks.

use super::arithmetic::{BitCoder, Decoder, Encoder};
use super::bzip;
use super::cursor::{Cursor, put_varint, unzigzag, zigzag};
use super::integers::{Integers, MAGNITUDE_MAX, bit_length};
use crate::error::FormatError;
use half::f16;

const WHAT: &str = "latents";
const F32: u8 = 0;
const F16: u8 = 1;
const F32_PLANES: u8 = 2;
const F16_PLANES: u8 = 3;
const STEPS: u8 = 4;
const STEPS_BZIP2: u8 = 5;

/// How the latents of a frame are stored, as far as it changes their values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Precision {
    /// As they are.
    F32,
    /// Rounded to half precision.
    F16,
    /// Rounded to whole numbers of steps.
    Steps(Vec<Step>),
}

/// The values that a latent may take: `offset + q * step` for integers `q`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) offset: f32,
    pub(crate) step: f32,
}

impl Step {
    /// Integers as they are.
    pub(crate) const INTEGER: Step = Step { offset: 0.0, step: 1.0 };

    /// The latent that `q` stands for.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "SPEC 7.3: f64, rounded to f32")]
    fn value(self, q: i64) -> f32 {
        (f64::from(self.offset) + q as f64 * f64::from(self.step)) as f32
    }

    /// The `q` whose value is nearest to `latent`.
    #[allow(clippy::cast_possible_truncation, reason = "clamped to the integers of f64")]
    fn nearest(self, latent: f32) -> i64 {
        let q = ((f64::from(latent) - f64::from(self.offset)) / f64::from(self.step)).round();
        let most = MAGNITUDE_MAX as f64;
        // NaN becomes 0.
        q.clamp(-most, most) as i64
    }
}

/// The bytes of `latents`, `len` of them per block, and the latents that come back; `len` is at least 1.
///
/// Latents that do not come back finite cannot be decoded. Steps must be positive and finite: one for all latents or one for each of a block's.
pub(crate) fn encode(latents: &[f32], len: usize, precision: &Precision) -> (Vec<u8>, Vec<f32>) {
    match precision {
        Precision::F32 => {
            let raw: Vec<u8> = latents.iter().flat_map(|z| z.to_le_bytes()).collect();
            (shorter(F32, F32_PLANES, raw, 4), latents.to_vec())
        }
        Precision::F16 => {
            let halves: Vec<f16> = latents.iter().map(|z| f16::from_f32(*z)).collect();
            let raw: Vec<u8> = halves.iter().flat_map(|z| z.to_le_bytes()).collect();
            (shorter(F16, F16_PLANES, raw, 2), halves.iter().map(|z| z.to_f32()).collect())
        }
        Precision::Steps(steps) => {
            let step = |i: usize| step_of(steps, i, len);
            let q: Vec<i64> = latents.iter().enumerate().map(|(i, z)| step(i).nearest(*z)).collect();
            let back = q.iter().enumerate().map(|(i, q)| step(i).value(*q)).collect();
            (encode_steps(&q, len, steps), back)
        }
    }
}

/// Raw or, where that is shorter, byte planes in bzip2.
fn shorter(raw_method: u8, planes_method: u8, raw: Vec<u8>, width: usize) -> Vec<u8> {
    match bzip::encode(&to_planes(&raw, width)) {
        Some(packed) if packed.len() < raw.len() => [&[planes_method], packed.as_slice()].concat(),
        _ => [&[raw_method], raw.as_slice()].concat(),
    }
}

/// All first bytes of the `width`-byte items, then all second bytes, and so on.
pub(crate) fn to_planes(bytes: &[u8], width: usize) -> Vec<u8> {
    (0..width).flat_map(|plane| bytes.iter().skip(plane).step_by(width).copied()).collect()
}

/// Inverse of [`to_planes`].
pub(crate) fn from_planes(planes: &[u8], width: usize) -> Vec<u8> {
    let count = planes.len().checked_div(width).unwrap_or(0);
    (0..count).flat_map(|i| planes.iter().skip(i).step_by(count.max(1)).take(width).copied()).collect()
}

/// The step of latent `i` of a frame.
#[inline(always)]
fn step_of(steps: &[Step], i: usize, len: usize) -> Step {
    let at = if steps.len() == 1 { 0 } else { i.checked_rem(len).unwrap_or(0) };
    steps.get(at).copied().unwrap_or(Step::INTEGER)
}

fn encode_steps(q: &[i64], len: usize, steps: &[Step]) -> Vec<u8> {
    let mut head = Vec::new();
    put_varint(&mut head, steps.len() as u64);
    for s in steps {
        head.extend(s.offset.to_le_bytes());
        head.extend(s.step.to_le_bytes());
    }
    let mut best: Option<Vec<u8>> = None;
    for from_last_block in [false, true] {
        let mut io = Encoder::new();
        let mut coded = vec![0; q.len()];
        let done = code(&mut io, &mut coded, len, from_last_block, |i| q.get(i).copied().unwrap_or(0));
        // Two steps within 2^53 may be further apart than what the model codes.
        if done.is_none() || coded != q {
            continue;
        }
        let form = [&[STEPS], head.as_slice(), &[u8::from(from_last_block)], &io.finish()].concat();
        if best.as_ref().is_none_or(|b| form.len() < b.len()) {
            best = Some(form);
        }
    }
    let mut raw = Vec::new();
    for v in q {
        put_varint(&mut raw, zigzag(*v));
    }
    let mut form = [&[STEPS_BZIP2], head.as_slice()].concat();
    put_varint(&mut form, raw.len() as u64);
    form.extend(bzip::encode(&raw).unwrap_or_default());
    match best {
        Some(best) if best.len() <= form.len() => best,
        _ => form,
    }
}

/// Codes whole numbers of steps into or from `coded`. `None` if one is beyond 2^53.
fn code<B: BitCoder>(
    io: &mut B,
    coded: &mut [i64],
    len: usize,
    from_last_block: bool,
    given: impl Fn(usize) -> i64,
) -> Option<()> {
    let mut model = Integers::new([256, 16 * 16, 16 * 16]);
    // What was coded for each latent of the block before.
    let mut before = vec![0u64; len];
    let mut beside = 0u64;
    for i in 0..coded.len() {
        let at = i.checked_rem(len)?;
        let predicted = match (from_last_block, i.checked_sub(len)) {
            (true, Some(j)) => *coded.get(j)?,
            _ => 0,
        };
        let last = before.get_mut(at)?;
        let contexts = [
            at & 255,
            (at.min(15) << 4) | bit_length(*last, 15),
            (bit_length(beside, 15) << 4) | bit_length(*last, 15),
        ];
        let residual = model.code(io, given(i).checked_sub(predicted)?, contexts)?;
        *last = residual.unsigned_abs();
        beside = *last;
        let q = residual.checked_add(predicted).filter(|q| q.unsigned_abs() <= MAGNITUDE_MAX)?;
        *coded.get_mut(i)? = q;
    }
    Some(())
}

/// The `count` latents, `len` per block, from what [`encode`] made.
pub(crate) fn decode(bytes: &[u8], count: usize, len: usize) -> Result<Vec<f32>, FormatError> {
    let mut cursor = Cursor::new(bytes);
    let method = cursor.u8(WHAT)?;
    let latents = match method {
        F32 | F16 => plain(cursor.take_rest(), count, method == F16),
        F32_PLANES | F16_PLANES => {
            let width = if method == F32_PLANES { 4 } else { 2 };
            let planes = bzip::decode(cursor.take_rest(), count.saturating_mul(width), WHAT)?;
            plain(&from_planes(&planes, width), count, width == 2)
        }
        STEPS | STEPS_BZIP2 => decode_steps(cursor, count, len, method == STEPS),
        found => {
            let expected = u64::from(STEPS_BZIP2);
            Err(FormatError::Value { field: "latent method", found: u64::from(found), expected })
        }
    }?;
    // No writer has such latents, and networks may do anything with them.
    if latents.iter().all(|z| z.is_finite()) { Ok(latents) } else { Err(FormatError::Code { what: WHAT }) }
}

fn plain(bytes: &[u8], count: usize, halves: bool) -> Result<Vec<f32>, FormatError> {
    let width = if halves { 2 } else { 4 };
    let expected = count.saturating_mul(width);
    if bytes.len() != expected {
        let (found, expected) = (bytes.len() as u64, expected as u64);
        return Err(FormatError::Count { what: "bytes of latents", found, expected });
    }
    Ok(if halves {
        bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
    } else {
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    })
}

fn decode_steps(mut cursor: Cursor<'_>, count: usize, len: usize, coded: bool) -> Result<Vec<f32>, FormatError> {
    let found = cursor.varint("number of latent steps")?;
    if found != 1 && found != len as u64 {
        return Err(FormatError::Count { what: "latent steps", found, expected: len as u64 });
    }
    let mut steps = Vec::new();
    for _ in 0..found {
        let [offset, step] = [cursor.u32(WHAT)?, cursor.u32(WHAT)?].map(f32::from_bits);
        if !offset.is_finite() {
            return Err(FormatError::number("offset of latents", offset.into(), "a finite number"));
        }
        if !(step.is_finite() && step > 0.0) {
            return Err(FormatError::number("step of latents", step.into(), "a positive finite number"));
        }
        steps.push(Step { offset, step });
    }
    let mut q = vec![0i64; count];
    if coded {
        let from_last_block = match cursor.u8("latent prediction")? {
            0 => false,
            1 => true,
            found => {
                return Err(FormatError::Value { field: "latent prediction", found: u64::from(found), expected: 1 });
            }
        };
        let mut io = Decoder::new(cursor.take_rest());
        code(&mut io, &mut q, len, from_last_block, |_| 0).ok_or(FormatError::Code { what: WHAT })?;
        io.finish(WHAT)?;
    } else {
        // An integer of magnitude 2^53 takes at most 8 bytes.
        let most = (count as u64).saturating_mul(8);
        let raw_len = cursor.varint_max("bytes of latents", most)?;
        let raw_len = usize::try_from(raw_len).map_err(|_| FormatError::Code { what: WHAT })?;
        let raw = bzip::decode(cursor.take_rest(), raw_len, WHAT)?;
        let mut raw = Cursor::new(&raw);
        for q in &mut q {
            *q = unzigzag(raw.varint_max("latent", 2 * MAGNITUDE_MAX)?);
        }
        raw.finish(WHAT)?;
    }
    Ok(q.iter().enumerate().map(|(i, q)| step_of(&steps, i, len).value(*q)).collect())
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn planes_are_inverted() {
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(to_planes(&bytes, 4), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(from_planes(&to_planes(&bytes, 4), 4), bytes);
        assert_eq!(from_planes(&[], 4), [0u8; 0]);
    }

    #[test]
    fn integers_pass_exactly() {
        let latents: Vec<f32> =
            (0..600).map(|i| ((i * i) % 255 - 127) as f32).chain([16_777_215.0, -16_777_216.0]).collect();
        let (bytes, back) = encode(&latents, 2, &Precision::Steps(vec![Step::INTEGER]));
        assert_eq!(back, latents);
        assert_eq!(decode(&bytes, latents.len(), 2).unwrap(), latents);
    }

    #[test]
    fn slowly_varying_blocks_are_predicted_from_the_last() {
        let latents: Vec<f32> = (0..4000).map(|i| ((i % 4) * 200 + (i / 4) / 10) as f32).collect();
        let (bytes, back) = encode(&latents, 4, &Precision::Steps(vec![Step::INTEGER; 4]));
        assert!(bytes.len() < 400, "{}", bytes.len());
        assert_eq!(decode(&bytes, latents.len(), 4).unwrap(), back);
    }

    #[test]
    fn steps_of_zero_and_wrong_counts_are_refused() {
        let steps =
            |n, step| encode(&[1.0, 2.0, 3.0, 4.0], 2, &Precision::Steps(vec![Step { offset: 0.0, step }; n])).0;
        assert!(decode(&steps(2, 0.5), 4, 2).is_ok());
        assert!(matches!(decode(&steps(2, 0.5), 6, 3), Err(FormatError::Count { .. })));
        let mut zero = steps(1, 0.5);
        zero[6..10].fill(0);
        assert!(matches!(decode(&zero, 4, 2), Err(FormatError::Number { field: "step of latents", .. })));
        assert!(decode(&[F32, 0, 0, 0], 1, 1).is_err());
        assert!(decode(&[6], 0, 1).is_err());
        assert!(decode(&[], 0, 1).is_err());
    }

    #[test]
    fn steps_that_are_too_far_apart_for_differences_come_back() {
        let precision = Precision::Steps(vec![Step { offset: 0.0, step: 0.001 }]);
        let latents = [-2.5e20, -6.7e28, 1.6e38];
        let (bytes, back) = encode(&latents, 1, &precision);
        assert_eq!(decode(&bytes, 3, 1), Ok(back));
    }

    fn any_precision(len: usize) -> impl Strategy<Value = Precision> {
        prop_oneof![
            Just(Precision::F32),
            Just(Precision::F16),
            (-2.0f32..2.0, 1e-3f32..10.0).prop_map(|(offset, step)| Precision::Steps(vec![Step { offset, step }])),
            prop::collection::vec((-2.0f32..2.0, 1e-3f32..10.0), len).prop_map(|v| Precision::Steps(
                v.iter().map(|(offset, step)| Step { offset: *offset, step: *step }).collect()
            )),
        ]
    }

    proptest! {
        #[test]
        fn what_encode_announces_comes_back(
            (len, latents, precision) in (1usize..9).prop_flat_map(|len| (
                Just(len),
                prop::collection::vec(prop_oneof![3 => -1.0f32..1.0, 1 => any::<f32>()], 0..30),
                any_precision(len),
            )))
        {
            let latents: Vec<f32> = latents.iter().flat_map(|z| (0..len).map(move |j| z * (j as f32 + 1.0))).collect();
            let (bytes, back) = encode(&latents, len, &precision);
            match decode(&bytes, latents.len(), len) {
                Ok(decoded) => prop_assert_eq!(decoded, back),
                Err(_) => prop_assert!(!back.iter().all(|z| z.is_finite())),
            }
        }

        #[test]
        fn every_method_survives_random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 2..80), method in 0u8..6) {
            bytes[0] = method;
            bytes[1] = 1;
            let _ = decode(&bytes, 24, 3);
        }
    }
}
