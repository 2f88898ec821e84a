//! Speed of whole arrays in memory, by the public API: no process, no files.
//!
//! `cargo bench --no-default-features --bench throughput -- --rel 1e-3 --preset balanced --threads 1 --repeat 5 FILE...`
//!
//! A file is a `.npy` of version 1 in C order, or raw little-endian values named `NAME_41x128x128.f32` or `.f64`; without one a
//! smooth field with noise is made. For each, one line of JSON: megabytes a second of uncompressed data, encoding (which
//! decodes and checks every value) and decoding into the caller's buffer; medians over the repeats. With `--busy` (Linux, one thread)
//! times are means of what the thread itself ran, over 0.15 seconds at least: for a machine that others use too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops on bad arguments"
)]

use cae::{ArrayOptions, Bound, Element, Preset, ReadOptions, Reader, Region, Writer};
use ndarray::ArrayViewD;
use std::time::Instant;

struct Job {
    bound: Bound,
    preset: Preset,
    fill: Option<f64>,
    threads: usize,
    repeat: usize,
    busy: bool,
}

fn main() {
    let mut job =
        Job { bound: Bound::Range(1e-3), preset: Preset::Balanced, fill: None, threads: 1, repeat: 3, busy: false };
    let mut files = Vec::new();
    // `cargo bench` adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(a) = arguments.next() {
        let mut number = || arguments.next().and_then(|v| v.parse::<f64>().ok()).expect("a number after the option");
        match a.as_str() {
            "--rel" => job.bound = Bound::Range(number()),
            "--pw" => job.bound = Bound::Pointwise(number()),
            "--abs" => job.bound = Bound::Absolute(number()),
            "--busy" => job.busy = true,
            "--lossless" => job.bound = Bound::Lossless,
            "--fill" => job.fill = Some(number()),
            "--threads" => job.threads = count(number()),
            "--repeat" => job.repeat = count(number()).max(1),
            "--preset" => job.preset = preset(&arguments.next().expect("a preset")),
            _ => files.push(a),
        }
    }
    if files.is_empty() {
        let (values, shape) = wave();
        job.measure("wave", &values, &shape);
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let (shape, kind, values) = layout(&file, &bytes);
        match kind {
            "f32" => job.measure::<f32>(&file, &decode(values), &shape),
            "f64" => job.measure::<f64>(&file, &decode(values), &shape),
            _ => panic!("{file}: neither f32 nor f64"),
        }
    }
}

#[allow(clippy::cast_sign_loss, reason = "counts on a command line")]
fn count(v: f64) -> usize {
    v as usize
}

/// Seconds that this thread has run.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux keeps account of threads");
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds first") * 1e-9
}

fn preset(name: &str) -> Preset {
    let known = [Preset::Fast, Preset::Balanced, Preset::Small];
    known.into_iter().find(|p| p.name() == name).expect("a preset: fast, balanced or small")
}

/// Shape, type and values of a file, by its name or its `.npy` header.
fn layout<'a>(file: &str, bytes: &'a [u8]) -> (Vec<usize>, &'static str, &'a [u8]) {
    let extents = |text: &str, by| text.split(by).filter_map(|n: &str| n.trim().parse().ok()).collect();
    let (stem, extension) = file.rsplit_once('.').expect("an extension");
    if extension != "npy" {
        let shape = extents(stem.rsplit(['_', '/']).next().unwrap_or_default(), 'x');
        return (shape, if extension == "f32" { "f32" } else { "f64" }, bytes);
    }
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + len]).expect("a header of version 1");
    assert!(bytes[6] == 1 && header.contains("'fortran_order': False"), "{file}: version 1 and C order are read");
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    (extents(shape, ','), if header.contains("<f4") { "f32" } else { "f64" }, &bytes[10 + len..])
}

fn decode<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(T::DATA_TYPE.size()).map(|b| T::get_le(b).unwrap()).collect()
}

fn wave() -> (Vec<f32>, Vec<usize>) {
    let shape = vec![64, 128, 128];
    let mut seed = 1u32;
    let value = |i: usize| {
        let (z, y, x) = ((i >> 14) as f32, (i >> 7 & 127) as f32, (i & 127) as f32);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x * 0.05).sin() * (y * 0.07 + z * 0.02).cos() + (seed >> 8) as f32 * (0.002 / 16_777_216.0)
    };
    ((0..shape.iter().product()).map(value).collect(), shape)
}

impl Job {
    fn measure<T: Element>(&self, name: &str, values: &[T], shape: &[usize]) {
        let view = ArrayViewD::from_shape(shape, values).expect("as many values as the shape needs");
        let mut options = ArrayOptions::default();
        (options.bound, options.preset) = (self.bound, self.preset);
        (options.fill, options.threads) = (self.fill, self.threads);
        let (file, encode) = self.median(|| {
            let mut writer = Writer::new(Vec::new()).unwrap();
            writer.add_array("x", &view, &options).unwrap();
            writer.finish().unwrap()
        });
        let mut reading = ReadOptions::default();
        reading.threads = self.threads;
        let whole = Region { start: vec![0; shape.len()], extent: shape.to_vec() };
        let mut out = vec![T::default(); values.len()];
        let ((), decode) = self.median(|| {
            let reader = Reader::new_with(&file, reading.clone()).unwrap();
            reader.array("x").unwrap().read_into(&whole, &mut out).unwrap();
        });
        let size = size_of_val(values);
        let rate = |seconds: f64| size as f64 / seconds / 1e6;
        println!(
            "{{\"file\":{name:?},\"preset\":\"{}\",\"input_bytes\":{size},\"output_bytes\":{},\"threads\":{},\
             \"repeat\":{},\"encode_mb_s\":{:.3},\"decode_mb_s\":{:.3}}}",
            self.preset.name(),
            file.len(),
            self.threads,
            self.repeat,
            rate(encode),
            rate(decode),
        );
    }

    /// What `run` gave last, and the median of its times in seconds.
    fn median<R>(&self, mut run: impl FnMut() -> R) -> (R, f64) {
        if self.busy {
            /// The clock of a thread ticks in milliseconds.
            const LEAST: f64 = 0.15;
            run();
            let begin = processor_seconds();
            let (mut result, mut count) = (run(), 1);
            while count < self.repeat || processor_seconds() < begin + LEAST {
                result = run();
                count += 1;
            }
            return (result, (processor_seconds() - begin) / count as f64);
        }
        let mut once = || {
            let begin = Instant::now();
            let result = run();
            (result, begin.elapsed().as_secs_f64())
        };
        let (mut result, first) = once();
        let mut times = vec![first];
        for _ in 1..self.repeat {
            let (again, time) = once();
            result = again;
            times.push(time);
        }
        times.sort_by(f64::total_cmp);
        let n = times.len();
        (result, (times[(n - 1) / 2] + times[n / 2]) / 2.0)
    }
}
