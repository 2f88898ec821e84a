use super::*;
use proptest::prelude::*;

/// A network in the loop that was trained on winds.
fn network() -> &'static Predictor {
    static NETWORK: std::sync::OnceLock<Box<dyn crate::model::Decoder>> = std::sync::OnceLock::new();
    let decoder = NETWORK.get_or_init(|| {
        let model = include_bytes!("../../../testdata/models/predictor.onnx");
        crate::model::load_decoder(model, &crate::limits::Limits::default()).unwrap()
    });
    decoder.in_loop().map(|n| n.0).unwrap()
}

/// All profiles and who may be asked in them.
fn ways() -> [(Profile, Asked<'static>); 4] {
    [
        (Profile::Small, Asked::Nobody),
        (Profile::Balanced, Asked::Nobody),
        (Profile::Small, Asked::Learner),
        (Profile::Balanced, Asked::Trained(network())),
    ]
}

/// The bytes of each of the [`ways`].
fn round_trip(values: &[f64], dims: &[usize], ordinary: Option<&[bool]>, tolerance: f64) -> [Vec<u8>; 4] {
    let grid = Grid { dims, ordinary };
    ways().map(|(profile, asked)| {
        let mut recon = vec![0.0; values.len()];
        let choice = choose(values, &grid, tolerance, &Options { profile }, asked).unwrap();
        let bytes = encode(values, &grid, tolerance, &choice, asked, &mut recon).unwrap();
        let mut out = vec![0.0; values.len()];
        decode(&bytes, &grid, asked, &mut out).unwrap();
        for i in 0..values.len() {
            if grid.is_ordinary(i) {
                assert_eq!(out[i].to_bits(), recon[i].to_bits());
                assert!((values[i] - out[i]).abs() <= tolerance);
            }
        }
        bytes
    })
}

#[test]
fn a_network_in_the_loop_round_trips_and_is_not_asked_of_other_frames() {
    let wave = |i: i32| (f64::from(i % 50) * 0.3).sin() * 3.0 + (f64::from(i / 50) * 0.2).cos() * f64::from(i % 3);
    let values: Vec<f64> = (0..3000).map(wave).collect();
    let ordinary: Vec<bool> = (0..3000).map(|i| i % 11 != 4).collect();
    let asked = ways().into_iter().skip(2);
    for ((profile, asked), ordinary) in asked.flat_map(|a| [(a, None), (a, Some(&ordinary[..]))]) {
        let grid = Grid { dims: &[5, 12, 50], ordinary };
        let options = Options { profile };
        let mut recon = vec![0.0; 3000];
        let choice = choose(&values, &grid, 0.01, &options, asked).unwrap();
        let bytes = encode(&values, &grid, 0.01, &choice, asked, &mut recon).unwrap();
        let mut out = vec![0.0; 3000];
        decode(&bytes, &grid, asked, &mut out).unwrap();
        for i in (0..3000).filter(|i| grid.is_ordinary(*i)) {
            assert_eq!(out[i].to_bits(), recon[i].to_bits());
            assert!((values[i] - out[i]).abs() <= 0.01);
        }
        // Without the network other numbers come out, and no panic.
        let _ = decode(&bytes, &grid, Asked::Nobody, &mut out);
        assert_ne!(out, recon);
        // Nobody is asked at the first point and where all is quiet.
        for network in [None, Some(network())] {
            let asked = samples(&values, &grid, 0.01, network).unwrap();
            let points = (0..3000).filter(|i| grid.is_ordinary(*i)).count();
            assert!((points / 2..points).contains(&asked.misses.len()), "{} {points}", asked.misses.len());
            assert_eq!(asked.inputs.len(), asked.misses.len() * crate::model::PREDICTOR_INPUTS);
        }
    }
}

#[test]
fn a_constant_costs_a_few_bytes() {
    for bytes in round_trip(&[273.15; 10000], &[10, 10, 100], None, 0.01) {
        assert!(bytes.len() <= 8, "{}", bytes.len());
    }
}

#[test]
fn a_smooth_field_is_small() {
    let values: Vec<f64> = (0..40_000i32).map(|i| f64::from(i % 200).sqrt() + f64::from(i / 200) * 0.02).collect();
    for bytes in round_trip(&values, &[200, 200], None, 0.01) {
        assert!(bytes.len() < 800, "{}", bytes.len());
    }
}

#[test]
fn an_empty_frame_and_a_frame_without_ordinary_points() {
    round_trip(&[], &[0], None, 1.0);
    round_trip(&[1.0, 2.0], &[2], Some(&[false, false]), 1.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn anything_round_trips(
        dims in prop::collection::vec(1usize..7, 1..7),
        seed in prop::collection::vec((-1e3f64..1e3, any::<bool>()), 1..64),
        tolerance in 1e-4f64..1e2,
        masked in any::<bool>(),
    ) {
        let n: usize = dims.iter().product();
        let values: Vec<f64> = (0..n).map(|i| seed[i % seed.len()].0 * (i / seed.len() + 1) as f64).collect();
        let ordinary: Vec<bool> = (0..n).map(|i| seed[(i * 7) % seed.len()].1).collect();
        round_trip(&values, &dims, masked.then_some(&ordinary[..]), tolerance);
    }

    #[test]
    fn damage_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 8..120),
        plain_header in any::<bool>(),
        dims in prop::collection::vec(1usize..9, 1..5),
    ) {
        if plain_header {
            bytes[0] &= FLAG_BALANCED | FLAG_SNAPPED;
        }
        let mut out = vec![0.0; dims.iter().product()];
        for (_, asked) in ways() {
            let _ = decode(&bytes, &Grid { dims: &dims, ordinary: None }, asked, &mut out);
        }
    }
}
