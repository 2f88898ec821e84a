#![allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "small numbers of tests")]

use super::*;
use proptest::prelude::*;

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::None => "patches",
        Kind::Half(_) => "half",
        Kind::Lattice(..) => "lattice",
    }
}

/// Encodes corrections of `predicted` to `values` within `bound`, decodes, checks every point; the form and its size.
fn round_trip(values: &[f64], predicted: &[f64], width: usize, bound: &dyn Fn(f64) -> f64) -> (&'static str, usize) {
    let (normalized, exponents): (Vec<f64>, Vec<i16>) = values.iter().map(|v| crate::normalize::apply(*v)).unzip();
    let dims = [values.len() / width, width];
    let at: Vec<usize> = (0..values.len()).collect();
    let points = Points { dims: &dims, exponents: &exponents, phases: &[] };
    let marks = Marks { points, at: &at };
    let inside = |i: usize, v: f64| (v - values[i]).abs() <= bound(values[i]);
    let lands = |i: usize, d: &dyn Fn(f64) -> f64| inside(i, invert(d(predicted[i]), exponents[i]));
    let wanted = Wanted { predicted, normalized: &normalized, values, lands: &lands, single: false };
    let bytes = encode(&marks, &wanted);
    let deltas = decode(&bytes, &marks, false).unwrap();
    let mut out: Vec<f64> = (0..values.len()).map(|i| deltas.corrected(i, predicted[i], exponents[i])).collect();
    for (i, v) in &deltas.patches {
        out[*i] = *v;
    }
    for (i, v) in out.iter().enumerate() {
        assert!(inside(i, *v), "point {i}: {} became {v}", values[i]);
    }
    for cut in 0..bytes.len().min(200) {
        assert!(decode(&bytes[..cut], &marks, false).is_err());
    }
    (kind_name(&deltas.kind), bytes.len())
}

#[test]
fn smooth_values_without_a_network_cost_a_fraction_of_a_byte() {
    let values: Vec<f64> =
        (0..4096).map(|i| 5.0 + (f64::from(i % 64) * 0.1).sin() + f64::from(i / 64) * 0.01).collect();
    let (kind, len) = round_trip(&values, &vec![0.05; 4096], 64, &|_| 1e-3);
    assert_eq!(kind, "lattice");
    assert!(len < 4096, "{len}");
}

#[test]
fn each_form_wins_somewhere() {
    assert_eq!(round_trip(&[1.0], &[0.05], 1, &|_| 0.0).0, "patches");
    assert_eq!(round_trip(&[1.0], &[0.05], 1, &|_| 0.01).0, "half");
}

#[test]
fn wrong_fields_are_refused() {
    let points = Points { dims: &[2], exponents: &[0; 2], phases: &[] };
    let marks = Marks { points, at: &[0, 1] };
    let step = 1.0f64.to_le_bytes();
    let good = [&[LATTICE, 0, 0], step.as_slice(), &[0, 0]].concat();
    assert!(decode(&good, &marks, false).is_ok());
    for (at, value) in [(0, 5), (1, 4), (2, 4), (10, 0xff), (12, 3)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(decode(&bad, &marks, false).is_err(), "{at}");
    }
    // Infinite half; patches that do not ascend past the last mark; a patch short.
    assert!(decode(&[HALF, 0, 0x7c, 0, 0, 0], &marks, true).is_err());
    assert!(decode(&[HALF, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0], &marks, true).is_err());
    assert!(decode(&[PATCHES_ONLY, 1, 0, 0, 0, 0, 0, 0], &marks, true).is_err());
    assert!(decode(&[PATCHES_ONLY, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], &marks, true).is_ok());
}

proptest! {
    #[test]
    fn every_bound_is_met(
        values in prop::collection::vec(prop_oneof![3 => 0.5f64..2.0, 2 => -1e3f64..1e3, 1 => any::<f64>()], 1..80),
        spread in 0.0f64..0.1, exponent in -13i32..0, relative: bool)
    {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite() && *v != 0.0).collect();
        let predicted: Vec<f64> = values.iter().enumerate()
            .map(|(i, v)| crate::normalize::apply(*v).0 + spread * (i as f64 * 0.7).sin()).collect();
        let bound = 10f64.powi(exponent);
        if relative {
            round_trip(&values, &predicted, 1, &|v| v.abs() * bound);
        } else {
            round_trip(&values, &predicted, 1, &|_| bound);
        }
    }

    #[test]
    fn every_form_survives_random_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 2..120), form in 0u8..5, tail: bool)
    {
        bytes[0] = form;
        if form >= LATTICE && bytes.len() > 12 {
            bytes[1] &= 3;
            bytes[2] &= 3;
            bytes[10] = 0x3f;
            bytes[11] = bytes.len() as u8 - 12 - u8::from(tail);
        }
        let points = Points { dims: &[3, 5], exponents: &[1; 15], phases: &[] };
        let at: Vec<usize> = (0..15).step_by(2).collect();
        let _ = decode(&bytes, &Marks { points, at: &at }, tail);
    }
}
