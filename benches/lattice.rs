//! Sizes and speeds of the lattice kernels on raw arrays named `NAME_d0xd1x...f32` or `.f64`.
//!
//! `cargo bench --features internals --bench lattice -- 1e-2,1e-3 FILE..`: bounds are relative to the range of
//! each file's finite values. One line per file, bound and profile. With `--no-decode` only sizes;
//! `--no-small`, `--no-learner` and `--no-balanced` leave one out; `--network=FILE` adds the balanced profile with a network in the loop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "a benchmark may end where it stands"
)]

use cae::internals::multilevel::{self, Way};
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (options, args): (Vec<String>, Vec<String>) = args.into_iter().partition(|a| a.starts_with("--"));
    let has = |o: &str| options.iter().any(|a| a == o);
    let network = options.iter().find_map(|o| o.strip_prefix("--network=")).map(|file| {
        let model = std::fs::read(file).unwrap();
        cae::model::load_decoder(&model, &cae::Limits::default()).unwrap()
    });
    let Some((bounds, files)) = args.split_first() else { return };
    println!("file bound profile bytes ratio bits_per_value worst enc_Mvalues/s dec_Mvalues/s");
    for file in files {
        let path = Path::new(file);
        let (values, dims, width) = load(path);
        let ordinary: Vec<bool> = values.iter().map(|v| v.is_finite() && v.abs() < 1e19).collect();
        let all = ordinary.iter().all(|o| *o);
        let mask = (!all).then_some(&ordinary[..]);
        let good = || values.iter().zip(&ordinary).filter(|(_, o)| **o).map(|(v, _)| *v);
        let (low, high) = good().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        for bound in bounds.split(',') {
            let tolerance = bound.parse::<f64>().unwrap() * (high - low);
            let network = network.as_deref().map(|n| ("network", Way::Network(n)));
            let ways = [("small", Way::Small), ("learner", Way::Learner), ("balanced", Way::Balanced)];
            for (profile, way) in ways.into_iter().chain(network) {
                if has(&format!("--no-{profile}")) {
                    continue;
                }
                let start = Instant::now();
                let Some((bytes, recon)) = multilevel::encode(&values, &dims, mask, tolerance, way) else {
                    println!("{} {bound} {profile} none", path.display());
                    continue;
                };
                let encoding = start.elapsed().as_secs_f64();
                let start = Instant::now();
                let decoded = if has("--no-decode") {
                    recon.clone()
                } else {
                    multilevel::decode(&bytes, &dims, mask, way).unwrap()
                };
                let decoding = start.elapsed().as_secs_f64();
                let mut worst = 0f64;
                for (((v, r), d), o) in values.iter().zip(&recon).zip(&decoded).zip(&ordinary) {
                    if *o {
                        assert_eq!(r.to_bits(), d.to_bits(), "decoder and encoder differ");
                        worst = worst.max((v - r).abs() / tolerance);
                    }
                }
                let n = values.len() as f64;
                println!(
                    "{} {bound} {profile} {} {:.2} {:.4} {worst:.4} {:.2} {:.2}",
                    path.display(),
                    bytes.len(),
                    n * width as f64 / bytes.len() as f64,
                    bytes.len() as f64 * 8.0 / n,
                    n / encoding * 1e-6,
                    n / decoding * 1e-6
                );
            }
        }
    }
}

fn load(path: &Path) -> (Vec<f64>, Vec<usize>, usize) {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let dims = name.rsplit('_').next().unwrap().split('x').map(|d| d.parse().unwrap()).collect();
    let bytes = std::fs::read(path).unwrap();
    let single = path.extension().unwrap() == "f32";
    let values = if single {
        bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    } else {
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    (values, dims, if single { 4 } else { 8 })
}
