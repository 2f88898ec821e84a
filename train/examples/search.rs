//! x
#![allow(missing_docs, reason = "x")]
use cae::input::Input;
use cae_train::{Autoencoder, autoencoder::Scale, data, onnx};
use ndarray::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let inp = Input::describe(a[1].as_ref(), None, None).unwrap();
    let (e, b) = onnx::read(&std::fs::read(&a[2]).unwrap(), onnx::Side::Encoder).unwrap();
    let (d, _) = onnx::read(&std::fs::read(&a[3]).unwrap(), onnx::Side::Decoder).unwrap();
    let s = data::read(&[inp], &b, None, None, data::Share::All).unwrap().train;
    let m = Autoencoder::unfolded(b, e, d, Scale::of(&s));
    let z = m.encode(s.inputs.view());
    let lo = z.iter().fold(f32::MAX, |a, b| a.min(*b));
    let hi = z.iter().fold(f32::MIN, |a, b| a.max(*b));
    let (lo, hi) = (lo.max(-6.0), hi.min(6.0));
    for g in [64usize, 256, 1024] {
        let grid = Array2::from_shape_fn((g, 1), |(i, _)| lo + (hi - lo) * i as f32 / (g - 1) as f32);
        let dec = m.decode(grid.view());
        let mut tot = 0.0f64;
        let mut cnt = 0u64;
        for row in s.targets.rows() {
            let n = row.iter().filter(|y| **y != 0.0).count() as u64;
            let mut best = f64::MAX;
            for d in dec.rows() {
                let mut e = 0.0f64;
                for (p, y) in d.iter().zip(row.iter()) {
                    if *y != 0.0 {
                        e += ((p - y).abs() / y.abs()) as f64;
                    }
                }
                best = best.min(e);
            }
            tot += best;
            cnt += n;
        }
        println!("grid {g}: {:.4} (encoder {:.4}, range {lo}..{hi})", tot / cnt as f64, m.mean_relative_error(&s));
    }
}
