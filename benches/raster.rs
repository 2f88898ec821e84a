//! Bytes and speeds of the raster, exact and class coders on raw arrays.
//!
//! `cargo bench --no-default-features --features internals --bench raster -- classes FILE...`, files named
//! `NAME_d0xd1x...u8`. One line a file.

use std::time::Instant;

fn dims_of(path: &str) -> Vec<usize> {
    let stem = path.rsplit_once('.').map_or(path, |(s, _)| s);
    let shape = stem.rsplit_once('_').map_or(stem, |(_, s)| s);
    shape.split('x').map(|d| d.parse().expect("file name ends in its shape")).collect()
}

fn classes(path: &str) {
    let data = std::fs::read(path).expect("readable file");
    let dims = dims_of(path);
    let alphabet = data.iter().max().map_or(2, |m| (m + 1).max(2));
    let bytes = cae::internals::encode_classes(&data, alphabet, &dims);
    let mut out = vec![0; data.len()];
    let t = Instant::now();
    cae::internals::decode_classes(&bytes, alphabet, &dims, &mut out).expect("own bytes decode");
    let s = t.elapsed().as_secs_f64();
    assert_eq!(out, data, "round trip");
    println!("{path} {} bytes, decodes {:.1} M points/s", bytes.len(), data.len() as f64 / s / 1e6);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.split_first() {
        Some((verb, files)) if verb == "classes" => files.iter().for_each(|f| classes(f)),
        _ => eprintln!("usage: raster classes FILE..."),
    }
}
