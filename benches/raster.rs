//! Bytes and speeds of the raster, exact and class coders on raw arrays.
//!
//! `cargo bench --no-default-features --features internals --bench raster -- VERB FILE...`, one line a file:
//! - `classes` on files named `NAME_d0xd1x...u8`
//! - `exact` on files named `NAME_d0xd1x...f32` or `.f64`, without loss
//! - `raster [--bounds=B,B..] [--pointwise] [--snapped] [--inner=ROWxPLANE..] [--encode-only]` on the same; bounds are relative to the range unless point-wise.
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

use cae::internals::{classes, exact, raster};
use std::time::Instant;

fn dims_of(path: &str) -> Vec<usize> {
    let stem = path.rsplit_once('.').map_or(path, |(s, _)| s);
    let shape = stem.rsplit_once('_').map_or(stem, |(_, s)| s);
    shape.split('x').map(|d| d.parse().expect("file name ends in its shape")).collect()
}

fn measure_classes(path: &str) {
    let data = std::fs::read(path).expect("readable file");
    let dims = dims_of(path);
    let alphabet = data.iter().max().map_or(2, |m| (m + 1).max(2));
    let bytes = classes::encode(&data, alphabet, &dims);
    let t = Instant::now();
    let out = classes::decode(&bytes, alphabet, &dims).expect("own bytes decode");
    let s = t.elapsed().as_secs_f64();
    assert_eq!(out, data, "round trip");
    println!("{path} {} bytes, decodes {:.1} M points/s", bytes.len(), data.len() as f64 / s / 1e6);
}

/// Reads a raw array as f64.
fn values_of(path: &str) -> Vec<f64> {
    let data = std::fs::read(path).expect("readable file");
    if path.ends_with(".f32") {
        data.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().expect("four bytes")).into()).collect()
    } else {
        data.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().expect("eight bytes"))).collect()
    }
}

/// One file at one bound: of its range, or point-wise, which is a bound on log2 of the magnitude.
fn measure_raster(path: &str, bound: f64, pointwise: bool, snapped: bool, inner: &[usize], decodes: bool) {
    let dims = dims_of(path);
    let mut values = values_of(path);
    let mut mask_bytes = 0;
    let mut ordinary: Vec<bool> = values.iter().map(|x| x.is_finite() && x.abs() < 1e19).collect();
    let tolerance = if pointwise {
        let classes: Vec<u8> = values
            .iter()
            .map(|x| {
                if *x == 0.0 {
                    0
                } else if *x > 0.0 {
                    1
                } else {
                    2
                }
            })
            .collect();
        mask_bytes += classes::encode(&classes, 3, &dims).len();
        ordinary.iter_mut().zip(&values).for_each(|(o, x)| *o &= *x != 0.0);
        values.iter_mut().for_each(|x| *x = x.abs().log2());
        (1.0 + bound).log2() * (1.0 - 1e-9)
    } else {
        let kept = || values.iter().zip(&ordinary).filter(|(_, o)| **o).map(|(x, _)| *x);
        (kept().fold(f64::MIN, f64::max) - kept().fold(f64::MAX, f64::min)) * bound
    };
    let classes: Vec<u8> = ordinary.iter().map(|o| u8::from(!*o)).collect();
    let mask = classes.contains(&1).then_some(ordinary.as_slice());
    if !pointwise {
        mask_bytes += classes::encode(&classes, 2, &dims).len();
    }
    let t = Instant::now();
    let Some((bytes, recon)) = raster::encode(&values, &dims, mask, tolerance, snapped, inner) else {
        println!("{path} {bound} does not suit");
        return;
    };
    let encode_s = t.elapsed().as_secs_f64();
    let mut decode_s = f64::NAN;
    if decodes {
        let t = Instant::now();
        let out = raster::decode(&bytes, &dims, mask).expect("own bytes decode");
        decode_s = t.elapsed().as_secs_f64();
        assert!(out.iter().zip(&recon).all(|(a, b)| a.to_bits() == b.to_bits()), "decodes as reconstructed");
    }
    let worst = (0..values.len()).filter(|i| ordinary[*i]).map(|i| (recon[i] - values[i]).abs() / tolerance);
    let m = values.len() as f64 / 1e6;
    println!(
        "{path} {bound} {} bytes with mask {mask_bytes}, worst {:.6}, {:.2} M/s in, {:.2} M/s out",
        bytes.len() + mask_bytes,
        worst.fold(0.0, f64::max),
        m / encode_s,
        m / decode_s
    );
}

/// One file without loss.
fn measure_exact(path: &str) {
    let dims = dims_of(path);
    let values = values_of(path);
    let ordinary: Vec<bool> = values.iter().map(|x| x.is_finite() && x.abs() < 1e19).collect();
    let absent: Vec<u8> = ordinary.iter().map(|o| u8::from(!*o)).collect();
    let mask = absent.contains(&1).then_some(ordinary.as_slice());
    let mask_bytes = classes::encode(&absent, 2, &dims).len();
    let narrow = path.ends_with(".f32");
    let image = |x: &f64| if narrow { exact::image32(*x as f32) } else { exact::image64(*x) };
    let q: Vec<u64> = values.iter().map(image).collect();
    let t = Instant::now();
    let bytes = exact::encode(&q, &dims, mask);
    let encode_s = t.elapsed().as_secs_f64();
    let t = Instant::now();
    let out = exact::decode(&bytes, &dims, mask).expect("own bytes decode");
    let decode_s = t.elapsed().as_secs_f64();
    assert!((0..q.len()).all(|i| q[i] == out[i] || !ordinary[i]), "round trip");
    let m = values.len() as f64 / 1e6;
    let total = bytes.len() + mask_bytes;
    let ratio = (values.len() * if narrow { 4 } else { 8 }) as f64 / total as f64;
    println!(
        "{path} exact {total} bytes, ratio {ratio:.3}, header {:?}, {:.2} M/s in, {:.2} M/s out",
        &bytes[..bytes.len().min(4)],
        m / encode_s,
        m / decode_s
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.split_first() {
        Some((verb, files)) if verb == "classes" => files.iter().for_each(|f| measure_classes(f)),
        Some((verb, files)) if verb == "exact" => files.iter().for_each(|f| measure_exact(f)),
        Some((verb, rest)) if verb == "raster" => {
            let flags: Vec<&String> = rest.iter().filter(|a| a.starts_with("--")).collect();
            let has = |f: &str| flags.iter().any(|a| *a == f);
            let option = |f: &str| flags.iter().find_map(|a| a.strip_prefix(f));
            let bounds = option("--bounds=").unwrap_or("1e-2").split(',').map(|b| b.parse().expect("number"));
            let inner: Vec<usize> =
                option("--inner=").map_or(Vec::new(), |i| i.split('x').map(|n| n.parse().expect("extent")).collect());
            for bound in bounds {
                for file in rest.iter().filter(|a| !a.starts_with("--")) {
                    measure_raster(file, bound, has("--pointwise"), has("--snapped"), &inner, !has("--encode-only"));
                }
            }
        }
        _ => eprintln!("usage: raster classes|exact|raster FILE... (see the top of the source)"),
    }
}
