//! Every value that comes back is within its bound, whatever the values and whatever the bound.

use crate::fields::{Random, masked, smooth};
use crate::open::in_time;
use cae::{ArrayOptions, Bound, Element, Preset, Reader, Tolerance, Writer};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const PRESETS: [Preset; 3] = [Preset::Fast, Preset::Balanced, Preset::Small];

/// Writes, reads, and compares every value, in f64, with what was asked for.
fn holds<T: Element>(values: &ArrayD<T>, options: &ArrayOptions) -> Result<(), TestCaseError> {
    let mut w = Writer::new(Vec::new()).unwrap();
    let report = w.add_array("a", &values.view(), options).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let array = reader.array("a").unwrap();
    let back = array.read::<T>().map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(back.shape(), values.shape());
    let fill = options.fill.map(|f| T::from_f64(f).to_bits64());
    let ordinary = |v: T| v.to_f64().is_finite() && Some(v.to_bits64()) != fill;
    let (lo, hi) = values
        .iter()
        .filter(|v| ordinary(**v))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v.to_f64()), b.max(v.to_f64())));
    // The widest range exceeds the largest number, a part of it does not.
    let half_range = if lo < hi { hi / 2.0 - lo / 2.0 } else { 0.0 };
    let of_range = |r: f64| (2.0 * r * half_range).min(f64::MAX);
    for (i, (x, y)) in values.iter().zip(&back).enumerate() {
        let same = x.to_bits64() == y.to_bits64();
        let (a, b) = (x.to_f64(), y.to_f64());
        let good = match options.bound {
            _ if !ordinary(*x) => same,
            Bound::Absolute(e) => (a - b).abs() <= e,
            Bound::Range(r) if of_range(r) > 0.0 => (a - b).abs() <= of_range(r),
            // Where products are rounded to few digits, or beyond all numbers, both are brought into the middle first.
            Bound::Pointwise(p) if a != 0.0 => {
                let by = match a.abs() {
                    small if small < 1e-150 => 2f64.powi(500),
                    large if large > 1e150 => 2f64.powi(-300),
                    _ => 1.0,
                };
                b.is_finite() && (a * by - b * by).abs() <= p * (a * by).abs()
            }
            _ => same,
        };
        prop_assert!(good, "value {}: {:?} became {:?}, half the range {:e}, {:?}", i, x, y, half_range, report.chosen);
    }
    prop_assert!(report.stats.max_error_over_bound <= 1.0);
    if let (Bound::Range(r), Tolerance::Absolute(e)) = (options.bound, array.tolerance()) {
        prop_assert_eq!(e, of_range(r));
    }
    let (bad, _) = array.verify().unwrap();
    prop_assert!(bad.is_empty());
    Ok(())
}

#[test]
fn relative_bounds_hold_next_to_zero_and_to_infinity() {
    let mut random = Random(3);
    let mut field = |of: &dyn Fn(u64) -> f64| ArrayD::from_shape_fn(IxDyn(&[40, 50]), |_| of(random.bits()));
    let sign = |r: u64| if r & 1 == 1 { -1.0 } else { 1.0 };
    let least = field(&|r| sign(r) * f64::from_bits(r >> 8 & 0xfff));
    let largest = field(&|r| sign(r) * f64::MAX * (1.0 - (r >> 40) as f64 * 2f64.powi(-28)));
    let ends = field(&|r| sign(r) * f64::MAX);
    for preset in PRESETS {
        for (values, bound) in
            [(&least, 1e-3), (&least, 0.3), (&least, 1.7), (&largest, 1.0001), (&largest, 1.5), (&ends, 3.0)]
        {
            holds(values, &ArrayOptions { bound: Bound::Pointwise(bound), preset, ..ArrayOptions::default() }).unwrap();
        }
    }
}

/// Values of one of several kinds, from benign to absurd.
fn numbers(max: usize) -> impl Strategy<Value = Vec<f64>> {
    let any_bits = any::<u64>().prop_map(f64::from_bits);
    let any_narrow = any::<u32>().prop_map(|b| f64::from(f32::from_bits(b)));
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        f64::from(f32::MAX),
        f64::from(f32::MIN),
        f64::from(f32::MIN_POSITIVE),
        1e-45,
        -1e-45,
        -99.0,
        1e34,
        0.1,
        1.0 + f64::EPSILON,
        f64::from(1.0 + f32::EPSILON),
    ]);
    let wave = |(a, b, c): (f64, f64, f64)| {
        move |i: usize| {
            let t = (i as f64 * b).fract();
            a * t * (1.0 - t) + c
        }
    };
    prop_oneof![
        3 => (1..=max, -1e3..1e3, 0.0..0.3, -1e2..1e2).prop_map(move |(n, a, b, c)| (0..n).map(wave((a, b, c))).collect()),
        2 => prop::collection::vec(-10.0..10.0, 1..=max),
        1 => prop::collection::vec(any_bits, 1..=max),
        1 => prop::collection::vec(any_narrow, 1..=max),
        1 => prop::collection::vec(special.clone(), 1..=max),
        2 => prop::collection::vec(prop_oneof![6 => -5.0..5.0, 1 => special.clone()], 1..=max),
        1 => (prop::collection::vec(special, 1..=2), 1..=max).prop_map(|(s, n)| (0..n).map(|i| s[i % s.len()]).collect()),
        1 => prop::collection::vec((-300i32..300, -9.99..9.99), 1..=max)
            .prop_map(|v| v.iter().map(|(e, m)| m * 10f64.powi(*e)).collect()),
        1 => prop::collection::vec(0u32..5, 1..=max).prop_map(|v| v.iter().map(|q| f64::from(*q) * 0.25).collect()),
    ]
}

fn bounds() -> impl Strategy<Value = Bound> {
    let size = prop_oneof![
        4 => (-6i32..0).prop_map(|e| 10f64.powi(e)),
        1 => (-320i32..308).prop_map(|e| 10f64.powi(e)).prop_filter("positive", |e| *e > 0.0),
        1 => prop::sample::select(vec![5e-324, f64::MIN_POSITIVE, f64::MAX, 1.0, 0.5, 0.75, 0.999, 2.0, 5.96e-8, 1.2e-7, 2.3e-16]),
        1 => 1e-9..1.0,
    ];
    (0..4, size).prop_map(|(kind, e)| match kind {
        0 => Bound::Lossless,
        1 => Bound::Absolute(e),
        2 => Bound::Range(e),
        _ => Bound::Pointwise(e),
    })
}

/// A shape of up to five dimensions and values that fill it.
fn arrays() -> impl Strategy<Value = ArrayD<f64>> {
    (numbers(300), prop::collection::vec(1usize..6, 0..4)).prop_map(|(mut values, inner)| {
        let slab: usize = inner.iter().product();
        let rows = values.len().div_ceil(slab);
        let n = values.len();
        (n..rows * slab).for_each(|i| values.push(values[i % n]));
        ArrayD::from_shape_vec(IxDyn(&[vec![rows], inner].concat()), values).unwrap()
    })
}

fn check(preset: Preset, cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let strategy = (
        arrays(),
        bounds(),
        prop::option::weighted(0.2, prop::sample::select(vec![-99.0, 1e34, 0.0, 0.25])),
        any::<bool>(),
        any::<bool>(),
    );
    let result = TestRunner::new(config).run(&strategy, |(values, bound, fill, wide, cut)| {
        let frame_shape = cut.then(|| values.shape().iter().map(|n| (*n as u64).div_ceil(2)).collect());
        let options = ArrayOptions { bound, preset, fill, frame_shape, threads: 1, ..ArrayOptions::default() };
        if wide { holds(&values, &options) } else { holds(&values.mapv(|v| v as f32), &options) }
    });
    result.unwrap_or_else(|e| panic!("{}: {e}", preset.name()));
}

#[test]
fn the_fast_preset_keeps_every_bound() {
    in_time("fast", || check(PRESETS[0], 400));
}

#[test]
fn the_balanced_preset_keeps_every_bound() {
    in_time("balanced", || check(PRESETS[1], 250));
}

#[test]
fn the_small_preset_keeps_every_bound() {
    in_time("small", || check(PRESETS[2], 60));
}

#[test]
fn zeros_of_both_signs_stay_as_they_are_within_a_pointwise_bound() {
    let values = ArrayD::from_shape_fn(IxDyn(&[6, 7]), |at| match (at[0] + at[1]) % 4 {
        0 => 0.0f32,
        1 => -0.0,
        2 => 3.5 + at[0] as f32,
        _ => -1e-40,
    });
    for preset in PRESETS {
        let options = ArrayOptions { bound: Bound::Pointwise(0.1), preset, ..ArrayOptions::default() };
        holds(&values, &options).unwrap();
    }
}

#[test]
fn bounds_that_are_no_positive_number_are_refused() {
    let values = ArrayD::<f32>::zeros(IxDyn(&[3]));
    for e in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for bound in
            [Bound::Absolute(e), Bound::Range(e), Bound::Pointwise(e), Bound::Rmse(e), Bound::Psnr(e), Bound::Ratio(e)]
        {
            let options = ArrayOptions { bound, ..ArrayOptions::default() };
            assert!(Writer::new(Vec::new()).unwrap().add_array("a", &values.view(), &options).is_err(), "{bound:?}");
        }
    }
}

#[test]
fn bounds_on_the_whole_array_hold_for_the_whole_array() {
    let values = smooth::<f32>(&[20, 33], 3);
    for preset in PRESETS {
        for bound in [
            Bound::Rmse(0.01),
            Bound::Rmse(1e-9),
            Bound::Psnr(45.0),
            Bound::Psnr(400.0),
            Bound::Ratio(4.0),
            Bound::Ratio(30.0),
        ] {
            let mut w = Writer::new(Vec::new()).unwrap();
            let options = ArrayOptions { bound, preset, frame_shape: Some(vec![10, 20]), ..ArrayOptions::default() };
            let report = w.add_array("a", &values.view(), &options).unwrap();
            let file = w.finish().unwrap();
            let reader = Reader::new(&file).unwrap();
            let array = reader.array("a").unwrap();
            assert_eq!(array.bound(), bound);
            let (stats, met) = array.compare::<f32>(&values.view(), None).unwrap();
            assert!(met, "{bound:?}");
            match bound {
                Bound::Rmse(e) => assert!(stats.rmse() <= e, "{} {e}", stats.rmse()),
                Bound::Psnr(p) => assert!(stats.psnr() >= p, "{} {p}", stats.psnr()),
                Bound::Ratio(q) => assert!(report.stored_bytes as f64 * q <= report.input_bytes as f64, "{report:?}"),
                _ => {}
            }
        }
    }
}

/// Root mean square of errors and largest difference of values, over those that are not `fill`; errors in multiples of `unit`.
fn figures<T: Element>(values: &ArrayD<T>, back: &ArrayD<T>, fill: Option<f64>, unit: f64) -> (f64, f64) {
    let kept = values.iter().zip(back).map(|(x, y)| (x.to_f64(), y.to_f64())).filter(|(x, _)| Some(*x) != fill);
    let (mut n, mut sum, mut low, mut high) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    for (x, y) in kept {
        (n, sum) = (n + 1.0, sum + ((x - y) / unit).powi(2));
        (low, high) = (low.min(x), high.max(x));
    }
    ((sum / n).sqrt(), (high / unit) - (low / unit))
}

fn keeps_means<T: Element>(values: &ArrayD<T>, fill: Option<f64>, unit: f64) {
    for preset in PRESETS {
        for bound in [Bound::Psnr(60.0), Bound::Rmse(0.01 * unit)] {
            let mut w = Writer::new(Vec::new()).unwrap();
            let options = ArrayOptions { bound, preset, fill, ..ArrayOptions::default() };
            let report = w.add_array("a", &values.view(), &options).unwrap();
            let file = w.finish().unwrap();
            let array = Reader::new(&file).unwrap();
            let array = array.array("a").unwrap();
            let (rmse, range) = figures(values, &array.read::<T>().unwrap(), fill, unit);
            match bound {
                Bound::Psnr(p) => assert!(20.0 * (range / rmse).log10() >= p * 0.999_999, "{rmse} {range} {preset:?}"),
                _ => assert!(rmse <= 0.010_000_01, "{rmse} {preset:?}"),
            }
            let (again, met) = array.compare::<T>(&values.view(), fill.map(T::from_f64)).unwrap();
            assert!(met);
            for stats in [report.stats, again] {
                assert!((stats.rmse() / unit - rmse).abs() <= 1e-6 * rmse, "{} {rmse}", stats.rmse());
                let psnr = 20.0 * (range / rmse).log10();
                let same = stats.psnr() == psnr || (stats.psnr() - psnr).abs() < 1e-3;
                assert!(same, "{} {psnr}", stats.psnr());
            }
        }
    }
}

#[test]
fn points_that_stand_for_none_do_not_count_in_means() {
    for fill in [1e20, -9999.0] {
        let mut values = smooth::<f32>(&[80, 100], 9);
        values.indexed_iter_mut().filter(|(at, _)| at[1] % 10 < 7).for_each(|(_, v)| *v = fill as f32);
        keeps_means(&values, Some(f64::from(fill as f32)), 1.0);
    }
}

#[test]
fn means_are_kept_where_squares_vanish_or_overflow() {
    for unit in [1e-300, 1e-170, 1e170, 1e300] {
        keeps_means(&smooth::<f64>(&[30, 40], 4).mapv(|v| v * unit), None, unit);
    }
}

#[test]
fn the_largest_values_come_back_in_finite_time() {
    let mut random = Random(8);
    let noise = ArrayD::from_shape_fn(IxDyn(&[40, 50]), |_| (random.unit() - 0.5) * 2.0 * f64::MAX);
    let walk = smooth::<f64>(&[30, 40], 4).mapv(|v| v / 25.0 * f64::MAX);
    for values in [noise, walk] {
        for preset in PRESETS {
            for bound in [Bound::Absolute(1e300), Bound::Absolute(1e305), Bound::Range(1e-3)] {
                holds(&values, &ArrayOptions { bound, preset, ..ArrayOptions::default() }).unwrap();
            }
        }
    }
}

#[test]
fn an_original_of_another_shape_is_refused() {
    let values = smooth::<f32>(&[20, 30], 2);
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("a", &values.view(), &ArrayOptions::default()).unwrap();
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).unwrap();
    for other in [&[30, 20][..], &[20, 29], &[600], &[20, 30, 1]] {
        let other = smooth::<f32>(other, 2);
        assert!(matches!(reader.array("a").unwrap().compare::<f32>(&other.view(), None), Err(cae::Error::Argument(_))));
    }
}

/// The array `a` of a file of its own.
fn file_of(values: &ArrayD<f64>, options: &ArrayOptions) -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("a", &values.view(), options).unwrap();
    w.finish().unwrap()
}

#[test]
fn a_comparison_tells_whether_means_and_fill_values_are_as_promised() {
    let values = masked::<f64>(&[20, 30], 3, 1e20);
    let met = |bound, fill, original: &dyn Fn(f64) -> f64| {
        let file = file_of(&values, &ArrayOptions { bound, fill, ..ArrayOptions::default() });
        let reader = Reader::new(&file).unwrap();
        let array = reader.array("a").unwrap();
        let original = array.read::<f64>().unwrap().mapv(original);
        array.compare(&original.view(), fill).unwrap().1
    };
    // Every point within the bound, but all at its edge.
    let aside = |by: f64| move |v: f64| if v == 1e20 || !v.is_finite() { v } else { v + by };
    let fill = Some(1e20);
    assert!(met(Bound::Rmse(0.1), fill, &aside(0.05)) && !met(Bound::Rmse(0.1), fill, &aside(0.12)));
    assert!(met(Bound::Absolute(0.1), fill, &aside(0.05)) && !met(Bound::Absolute(0.1), fill, &aside(0.12)));
    assert!(met(Bound::Psnr(40.0), fill, &aside(1e-5)) && !met(Bound::Psnr(40.0), fill, &aside(1.0)));
    // What stands for missing keeps its bits, however wide the bound.
    let missing = |v: f64| if v == 1e20 || !v.is_finite() { v } else { -1.0 };
    assert!(met(Bound::Absolute(1e3), fill, &missing) && !met(Bound::Absolute(1e3), Some(-1.0), &missing));
}

#[test]
fn a_ratio_that_is_not_reached_is_refused_and_one_that_is_gives_the_best_quality() {
    let mut w = Writer::new(Vec::new()).unwrap();
    let options = |q| ArrayOptions { bound: Bound::Ratio(q), ..ArrayOptions::default() };
    let constant = ArrayD::from_elem(IxDyn(&[3]), 2.5f32);
    assert!(w.add_array("constant", &constant.view(), &options(100.0)).is_err());
    assert!(w.add_array("nan", &constant.mapv(|_| f32::NAN).view(), &options(100.0)).is_err());
    // Of values of any size, and where most of their bits are kept.
    for (scale, q) in [(1.0, 8.0), (1e-200, 8.0), (1e200, 8.0), (1.0, 2.0)] {
        let values = smooth::<f64>(&[40, 50], 5).mapv(|v| v * scale);
        let report = w.add_array(&format!("{scale} {q}"), &values.view(), &options(q)).unwrap();
        let wanted = report.input_bytes as f64 / q;
        assert!(report.stored_bytes as f64 <= wanted && report.stored_bytes as f64 > 0.9 * wanted, "{scale} {q}");
    }
}

/// What stands side by side in the last dimension may have nothing to do with each other.
#[test]
fn components_of_vectors_are_framed_apart_where_that_is_smaller() {
    let one = smooth::<f32>(&[60, 80, 1], 3);
    let other = ArrayD::from_shape_fn(IxDyn(&[60, 80, 1]), |i| 3.0 * one[[59 - i[0], 79 - i[1], 0]]);
    let vectors = ndarray::concatenate(ndarray::Axis(2), &[one.view(), other.view()]).unwrap();
    for preset in PRESETS {
        let options = ArrayOptions { bound: Bound::Range(1e-4), preset, ..ArrayOptions::default() };
        let mut w = Writer::new(Vec::new()).unwrap();
        w.add_array("vectors", &vectors.view(), &options).unwrap();
        w.add_array("one", &one.view(), &options).unwrap();
        // Steps of one field go together.
        let alike = ArrayD::from_shape_fn(IxDyn(&[60, 80, 2]), |i| one[[i[0], i[1], 0]] * (1.0 + 1e-3 * i[2] as f32));
        w.add_array("alike", &alike.view(), &options).unwrap();
        let file = w.finish().unwrap();
        let reader = Reader::new(&file).unwrap();
        let frames = |name: &str| reader.array(name).unwrap().frame_shape().to_vec();
        assert_eq!(frames("vectors"), [60, 80, 1], "{preset:?}");
        assert_eq!(frames("one"), [60, 80, 1]);
        assert_eq!(frames("alike"), [60, 80, 2], "{preset:?}");
        assert!(reader.array("vectors").unwrap().compare(&vectors.view(), None).unwrap().1);
    }
}

/// A part of a table says that its columns go apart; all of it takes less than their frames.
#[test]
fn a_table_of_a_few_bytes_stays_together() {
    let wave = |i: IxDyn| if i[1] == 0 { (40.0 * i[0] as f32 / 4999.0).sin() } else { 5.0 * i[1] as f32 };
    let table = ArrayD::from_shape_fn(IxDyn(&[5000, 5]), wave);
    let options = ArrayOptions { bound: Bound::Range(1e-2), preset: Preset::Small, ..ArrayOptions::default() };
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("table", &table.view(), &options).unwrap();
    let file = w.finish().unwrap();
    assert_eq!(Reader::new(&file).unwrap().array("table").unwrap().frame_shape(), [5000, 5]);
}

#[test]
fn no_frame_is_larger_than_its_array() {
    for shape in [&[10, 20, 30][..], &[7, 0, 3]] {
        let values = smooth::<f32>(shape, 2);
        let frame_shape = Some(vec![64, 64, 16]);
        let options = ArrayOptions { bound: Bound::Absolute(0.01), frame_shape, ..ArrayOptions::default() };
        holds(&values, &options).unwrap();
    }
}

#[test]
fn a_bound_of_each_point_holds_at_each_point() {
    let values = masked::<f32>(&[24, 30], 3, -99.0);
    let mut random = Random(5);
    let bounds = ArrayD::from_shape_fn(IxDyn(&[24, 30]), |_| {
        [0.0, 1e-3, 0.1, 5.0, f64::NAN, -1.0, f64::INFINITY][random.below(7)]
    });
    for preset in PRESETS {
        for frame in [vec![24, 30], vec![5, 6], vec![1, 2]] {
            let mut w = Writer::new(Vec::new()).unwrap();
            let options = ArrayOptions {
                bound: Bound::ByPoint,
                bounds: Some(&bounds.view()),
                preset,
                frame_shape: Some(frame),
                ..ArrayOptions::default()
            };
            w.add_array("a", &values.view(), &options).unwrap();
            let file = w.finish().unwrap();
            let reader = Reader::new(&file).unwrap();
            let array = reader.array("a").unwrap();
            let (stats, met) = array.compare_by_point(&values.view(), &bounds.view(), None).unwrap();
            assert!(met && stats.max_error_over_bound <= 1.0);
            // A tenth of them is not kept, nor is every bit of what has a bound.
            let tenth = bounds.mapv(|e| e / 10.0);
            let (stats, met) = array.compare_by_point(&values.view(), &tenth.view(), None).unwrap();
            assert!(!met && stats.max_error_over_bound > 1.0);
            let none = bounds.mapv(|_| 0.0);
            assert!(!array.compare_by_point(&values.view(), &none.view(), None).unwrap().1);
            let shorter = ArrayD::from_elem(IxDyn(&[24, 29]), 1.0);
            assert!(array.compare_by_point(&values.view(), &shorter.view(), None).is_err());
            let back = array.read::<f32>().unwrap();
            for ((x, y), e) in values.iter().zip(&back).zip(&bounds) {
                let near = x.is_finite() && *e > 0.0 && (f64::from(*x) - f64::from(*y)).abs() <= *e;
                assert!(near || x.to_bits() == y.to_bits(), "{x} {y} {e}");
            }
        }
    }
}

/// Contexts take a hundred times as long: only who asks for the smallest file, or whose data gain much, waits for them.
#[test]
fn values_without_loss_are_coded_as_quickly_as_the_preset_promises() {
    let mut random = Random(5);
    let noise = ArrayD::from_shape_fn(IxDyn(&[40, 60, 70]), |i| {
        (i[0] as f32 * 0.1).sin() + (i[1] + 2 * i[2]) as f32 * 0.01 + random.bits() as u16 as f32 * 1e-7
    });
    let add = |bound, preset| {
        let mut w = Writer::new(Vec::new()).unwrap();
        let report =
            w.add_array("a", &noise.view(), &ArrayOptions { bound, preset, ..ArrayOptions::default() }).unwrap();
        (report.chosen.into_keys().collect::<Vec<_>>(), report.stored_bytes)
    };
    let [(fast, fast_bytes), (balanced, _), (small, small_bytes)] = PRESETS.map(|p| add(Bound::Lossless, p));
    assert_eq!((fast, balanced), (vec!["differences"], vec!["differences"]));
    assert!(!small.contains(&"differences"), "{small:?}");
    assert!(small_bytes < fast_bytes && fast_bytes < small_bytes * 11 / 10, "{small_bytes} {fast_bytes}");
    // A bound below all that the type can say is no reason for more bytes than without loss.
    let (tight, bytes) = add(Bound::Absolute(1e-9), Preset::Fast);
    assert_eq!(tight, ["differences"]);
    assert!(bytes <= fast_bytes, "{bytes} {fast_bytes}");
}

#[test]
fn arrays_without_values_and_with_one_come_back() {
    for preset in PRESETS {
        for bound in [
            Bound::Lossless,
            Bound::Absolute(0.1),
            Bound::Range(0.1),
            Bound::Pointwise(0.1),
            Bound::Rmse(0.1),
            Bound::Psnr(60.0),
        ] {
            let options = ArrayOptions { bound, preset, ..ArrayOptions::default() };
            for shape in [&[0][..], &[3, 0, 2], &[], &[1, 1, 1, 1, 1, 1, 1, 1]] {
                holds(&ArrayD::from_elem(IxDyn(shape), -2.5f32), &options).unwrap();
                holds(&ArrayD::from_elem(IxDyn(shape), f64::MAX), &options).unwrap();
                holds(&ArrayD::from_elem(IxDyn(shape), f64::NAN), &options).unwrap();
            }
        }
    }
}

#[test]
fn more_than_eight_dimensions_are_refused() {
    let values = ArrayD::<f32>::zeros(IxDyn(&[1; 9]));
    let options = ArrayOptions::default();
    assert!(Writer::new(Vec::new()).unwrap().add_array("a", &values.view(), &options).is_err());
}

#[test]
fn more_effort_makes_no_larger_files() {
    // The second half repeats the first, which no sample shows.
    let mut random = Random(3);
    let mut values = ArrayD::<f32>::zeros(IxDyn(&[20, 64, 100]));
    let n = values.len() / 2;
    let flat = values.as_slice_mut().unwrap();
    for i in 0..n {
        let last = if i % 100 == 0 { 0.0 } else { flat[i - 1] };
        flat[i] = last + random.unit() as f32 - 0.5;
    }
    flat.copy_within(..n, n);
    let bytes = |preset| {
        let mut w = Writer::new(Vec::new()).unwrap();
        let options = ArrayOptions { bound: Bound::Range(1e-3), preset, ..ArrayOptions::default() };
        w.add_array("a", &values.view(), &options).unwrap();
        w.finish().unwrap().len()
    };
    let [fast, balanced, small] = PRESETS.map(bytes);
    assert!(small <= balanced && balanced <= fast, "{small} {balanced} {fast}");
}
