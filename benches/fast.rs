//! Ratio and throughput of the fast kernel on raw arrays.
//!
//! `cargo bench --no-default-features --features internals --bench fast -- [BOUND]... FILE...`
//!
//! A file is raw little-endian, C order, named `NAME_d0xd1x...f32` or `.f64`; NaN, infinities and magnitudes from 1e19
//! are not ordinary. Bounds are relative to the range of the ordinary values. Each line: file, bound, bytes, ratio, largest error over
//! the bound, megabytes a second of uncompressed data for encoding and decoding (one thread, best of several).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops on bad arguments"
)]

use cae::internals::{Sample, fast_decode, fast_encode, prefix_decode, prefix_encode};
use std::time::Instant;

const USUAL_BOUNDS: [f64; 3] = [1e-2, 1e-3, 1e-4];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (bounds, files): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|a| a.parse::<f64>().is_ok());
    let mut bounds: Vec<f64> = bounds.iter().map(|b| b.parse().unwrap()).collect();
    if bounds.is_empty() {
        bounds = USUAL_BOUNDS.to_vec();
    }
    if files.is_empty() {
        tokens();
        return wave(&bounds);
    }
    for file in files {
        let stem = file.rsplit('_').next().unwrap();
        let (shape, kind) = stem.split_once('.').unwrap();
        let dims: Vec<usize> = shape.split('x').map(|d| d.parse().unwrap()).collect();
        let bytes = std::fs::read(file).unwrap();
        let name = file.rsplit('/').next().unwrap();
        match kind {
            "f32" => {
                let v: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                bounds.iter().for_each(|b| measure(name, &v, &dims, *b));
            }
            "f64" => {
                let v: Vec<f64> = bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
                bounds.iter().for_each(|b| measure(name, &v, &dims, *b));
            }
            _ => panic!("{file}: neither .f32 nor .f64"),
        }
    }
}

/// The entropy coder alone: a million numbers, geometric.
fn tokens() {
    let mut seed = 1u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    for mean in [20, 4, 2] {
        let numbers: Vec<i16> = (0..1 << 20)
            .map(|_| (0..100).find(|_| random() % mean > 0).map_or(0, |n| if n % 2 == 0 { n } else { -n }))
            .collect();
        let (stream, encode) = best(|| prefix_encode(&numbers));
        let (result, decode) = best(|| prefix_decode(&stream, numbers.len()));
        let (back, _) = result.unwrap();
        assert!(back.iter().zip(&numbers).all(|(b, n)| i16::from(b.cast_signed()) == *n));
        let each = 1e9 / numbers.len() as f64;
        println!(
            "prefix {} bytes, {:.2} ns to encode, {:.2} ns to decode a number",
            stream.len(),
            encode * each,
            decode * each
        );
    }
}

/// A smooth field with noise, where no file is given.
fn wave(bounds: &[f64]) {
    let dims = [64, 128, 128];
    let mut seed = 1u32;
    let v: Vec<f32> = (0..dims.iter().product::<usize>())
        .map(|i| {
            let (z, y, x) = ((i >> 14) as f32, (i >> 7 & 127) as f32, (i & 127) as f32);
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x * 0.05).sin() * (y * 0.07 + z * 0.02).cos() + (seed >> 8) as f32 * (0.002 / 16_777_216.0)
        })
        .collect();
    bounds.iter().for_each(|b| measure("wave", &v, &dims, *b));
}

fn measure<T: Sample>(name: &str, values: &[T], dims: &[usize], bound: f64) {
    let ordinary: Vec<bool> = values.iter().map(|v| v.to_f64().abs() < 1e19).collect();
    let mask = ordinary.iter().any(|o| !o).then_some(ordinary.as_slice());
    let kept = || values.iter().zip(&ordinary).filter(|(_, o)| **o).map(|(v, _)| v.to_f64());
    let (low, high) = kept().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let tolerance = bound * (high - low);
    let (bytes, encode) = best(|| fast_encode(values, dims, mask, tolerance));
    let Some(bytes) = bytes else {
        println!("{name} {bound:e} does not suit");
        return;
    };
    let mut out = vec![T::from_f64(0.0); values.len()];
    let (result, decode) = best(|| fast_decode(&bytes, dims, mask, &mut out));
    result.unwrap();
    let points = out.iter().zip(values).zip(&ordinary).filter(|(_, o)| **o);
    let worst = points.map(|((a, b), _)| (a.to_f64() - b.to_f64()).abs()).fold(0.0, f64::max) / tolerance;
    let size = size_of_val(values) as f64;
    println!(
        "{name} {bound:e} {} {:.3} {worst:.4} {:.1} {:.1}",
        bytes.len(),
        size / bytes.len() as f64,
        size / encode / 1e6,
        size / decode / 1e6
    );
}

/// The result, and the least time of at least five runs and 0.4 s.
fn best<R>(mut run: impl FnMut() -> R) -> (R, f64) {
    let start = Instant::now();
    let (mut least, mut runs) = (f64::INFINITY, 0);
    loop {
        let t = Instant::now();
        let result = run();
        least = least.min(t.elapsed().as_secs_f64());
        runs += 1;
        if runs >= 5 && start.elapsed().as_secs_f64() > 0.4 {
            return (result, least);
        }
    }
}
