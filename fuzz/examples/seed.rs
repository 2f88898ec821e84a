//! Writes a first corpus for every target, from testdata and from small waves: `cargo run --example seed`, in this folder.

use cae::Bound;
use cae::internals as kernels;
use cae::internals::multilevel::Way;
use cae_fuzz::Layout;
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = root.join("corpus");
    for folder in ["golden", "invalid", "regressions"] {
        for entry in fs::read_dir(root.join("../testdata").join(folder))? {
            let path = entry?.path();
            if let (Some(name), Some("cae")) = (path.file_name(), path.extension().and_then(|e| e.to_str())) {
                let bytes = fs::read(&path)?;
                if bytes.len() > 16 << 10 {
                    continue;
                }
                for target in ["read", "mapped"] {
                    fs::create_dir_all(corpus.join(target))?;
                    fs::write(corpus.join(target).join(name), &bytes)?;
                }
                fs::create_dir_all(corpus.join("recover"))?;
                // By itself, and by what the same file was before its end was cut off.
                let len = u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
                let cut = &bytes[..bytes.len() - bytes.len() / 8];
                let alike = [&[1][..], &len, &bytes, cut].concat();
                for (suffix, seed) in [("alone", [&[0][..], &bytes].concat()), ("alike", alike)] {
                    fs::write(corpus.join("recover").join(format!("{}-{suffix}", name.to_string_lossy())), seed)?;
                }
            }
        }
    }
    let put = |target: &str, name: &str, bytes: Vec<u8>| {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(name), bytes)
    };
    for (n, dims) in [&[60][..], &[9, 12], &[5, 6, 7], &[3, 4, 2, 5]].into_iter().enumerate() {
        let points: usize = dims.iter().map(|d| usize::from(*d)).product();
        let shape: Vec<usize> = dims.iter().map(|d| usize::from(*d)).collect();
        let wave = |i: usize| ((i % shape[shape.len() - 1]) as f64 * 0.4).sin() * 5.0 + (i as f64 * 0.01).cos();
        let wide: Vec<f64> = (0..points).map(wave).collect();
        let narrow: Vec<f32> = wide.iter().map(|v| *v as f32).collect();
        for mask in [0, 90] {
            let l = Layout::write(dims, mask, &[]);
            let ordinary = Layout::read(&l).and_then(|l| l.ordinary);
            let ordinary = ordinary.as_deref();
            let name = |what: &str| format!("{n}-{mask}-{what}");
            let with = |rest: &[u8]| Layout::write(dims, mask, rest);
            for e in [0.5, 1e-2, 1e-5] {
                for flag in [false, true] {
                    let way = if flag { Way::Small } else { Way::Balanced };
                    if let Some((b, _)) = kernels::multilevel::encode(&wide, &shape, ordinary, e, way) {
                        put("multilevel", &name(&format!("{e}-{flag}")), with(&b))?;
                    }
                    if let Some((b, _)) = kernels::raster::encode(&wide, &shape, ordinary, e, flag, &[]) {
                        put("raster", &name(&format!("{e}-{flag}")), with(&b))?;
                    }
                }
                if let Some(b) = kernels::fast_encode(&narrow, &shape, ordinary, e) {
                    put("fast", &name(&format!("{e}")), with(&b))?;
                }
                for kernel in ["multilevel", "raster", "raster snapped", "fast", "sparse"] {
                    for bound in [Bound::Absolute(e), Bound::Pointwise(e)] {
                        let f = kernels::frame::encode(&narrow, &shape, bound, None, kernel);
                        if let (0, Ok(Some(f))) = (mask, f) {
                            put("frame", &name(&format!("{kernel} {bound:?}")), with(&f))?;
                        }
                    }
                }
                for how in 0..64u8 {
                    let values: Vec<u8> = narrow.iter().flat_map(|v| v.to_le_bytes()).collect();
                    put(
                        "roundtrip",
                        &name(&format!("{e}-{how}")),
                        with(&[&[how][..], &e.to_le_bytes(), &values].concat()),
                    )?;
                }
                let s = kernels::encode_sparse(&wide, &shape, mask == 0, e, false, None);
                if let Ok([a, b, c, d]) = s
                    && a.len().max(b.len()).max(c.len()) < 256
                {
                    let lengths = [a.len() as u8, b.len() as u8, c.len() as u8];
                    put("sparse", &name(&format!("{e}")), with(&[&lengths[..], &a, &b, &c, &d].concat()))?;
                }
            }
            let images: Vec<u64> = wide.iter().map(|v| kernels::exact::image64(*v)).collect();
            put("exact", &name("64"), with(&kernels::exact::encode(&images, &shape, ordinary)))?;
            let images: Vec<u64> = narrow.iter().map(|v| kernels::exact::image32(*v)).collect();
            put("exact", &name("32"), with(&kernels::exact::encode(&images, &shape, ordinary)))?;
            if let Ok(Some(f)) = kernels::frame::encode(&wide, &shape, Bound::Lossless, None, "exact") {
                put("frame", &name("exact"), with(&f))?;
            }
            for alphabet in [2u8, 3, 16] {
                let classes: Vec<u8> = (0..points).map(|i| (i / 7 % usize::from(alphabet)) as u8).collect();
                let coded = kernels::classes::encode(&classes, alphabet, &shape);
                put("classes", &name(&format!("{alphabet}")), with(&[&[alphabet - 1][..], &coded].concat()))?;
            }
        }
    }
    for entry in fs::read_dir(root.join("../testdata/models")).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            put("model", &path.file_name().unwrap_or_default().to_string_lossy(), fs::read(&path)?)?;
        }
    }
    Ok(())
}
