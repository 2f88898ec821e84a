//! An array larger than memory should need: packs and unpacks 4 GiB through the command line and prints the largest
//! anonymous memory (`RssAnon`) of each process, which must stay below 512 MiB.
//!
//! `cargo bench --bench large -- [--gib 4] [--preset fast] [--dir DIR] [--threads 2]`; needs twice the size on disk. Linux only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark may end where it stands"
)]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ALLOWED: u64 = 512 << 20;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: &str| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|i| args.get(i + 1)).cloned().unwrap_or_else(|| default.to_owned())
    };
    let gib: usize = option("--gib", "4").parse().unwrap();
    let dir = std::path::PathBuf::from(option("--dir", std::env::temp_dir().to_str().unwrap()));
    let (preset, threads) = (option("--preset", "fast"), option("--threads", "0"));
    let shape = [gib << 8, 1024, 1024];
    let raw = dir.join(format!("large_{}x{}x{}.f32", shape[0], shape[1], shape[2]));
    let (packed, back) = (dir.join("large.cae"), dir.join("large_back.f32"));
    generate(&raw, shape);

    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let compress = ["compress", &path(&raw), "-o", &path(&packed), "--rel", "1e-3", "--preset", &preset, "--threads"]
        .map(str::to_owned);
    let (seconds, memory) = run(compress.iter().cloned().chain([threads.clone(), "--force".into()]));
    report("compress", gib, seconds, memory);
    let (seconds, memory) =
        run(["decompress", &path(&packed), "-o", &path(&back), "--threads", &threads, "--force"].map(str::to_owned));
    report("decompress", gib, seconds, memory);
    let (seconds, memory) =
        run(["verify", &path(&packed), "--against", &path(&raw), "--threads", &threads].map(str::to_owned));
    report("verify", gib, seconds, memory);
    println!("{} bytes packed", std::fs::metadata(&packed).unwrap().len());
    for p in [raw, packed, back] {
        std::fs::remove_file(p).unwrap();
    }
}

/// A smooth field with fine structure that differs everywhere.
fn generate(path: &Path, shape: [usize; 3]) {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let wave: Vec<f32> = (0..8192).map(|i| (i as f32 * std::f32::consts::TAU / 8192.0).sin()).collect();
    let mut noise = 1u32;
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let at = |k: usize| wave.get(k % 8192).copied().unwrap_or(0.0);
                let v = at(x * 23 + z * 7) + at(y * 31 + x) * at(z * 17 + y * 5) + (noise >> 20) as f32 * 1e-6;
                out.write_all(&v.to_le_bytes()).unwrap();
            }
        }
    }
    out.flush().unwrap();
}

/// Seconds and peak anonymous memory in bytes of one run of the command line.
fn run(args: impl IntoIterator<Item = String>) -> (f64, u64) {
    let begin = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cae"))
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .expect("the command line runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text
            .lines()
            .find_map(|l| l.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(code) = child.try_wait().unwrap() {
            assert!(code.success(), "the command failed");
            return (begin.elapsed().as_secs_f64(), peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn report(what: &str, gib: usize, seconds: f64, memory: u64) {
    let speed = (gib << 10) as f64 * 1.048_576 / seconds;
    println!("{what}: {seconds:.1} s, {speed:.0} MB/s, peak anonymous memory {} MiB", memory >> 20);
    assert!(memory < ALLOWED, "{memory} bytes are over the {ALLOWED} allowed");
}
