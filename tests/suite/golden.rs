//! Every golden decodes to the values recorded when it was written. Goldens are named by the format version that wrote
//! them and stay as they are; `CAE_UPDATE_GOLDENS=1 cargo test --features internals golden` writes those of a draft anew.

use crate::fields::{crc, masked, smooth};
#[cfg(feature = "internals")]
use crate::forge;
use crate::open::{cae_files, small, testdata};
use cae::{ArrayOptions, Bound, DataType, Element, Preset, Reader, Writer};
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeSet;
use std::fmt::Write;

const MANIFEST: &str = "manifest.tsv";

/// What the manifest says of one array: everything that a reader of the file must find.
fn describe(file: &str, reader: &Reader) -> String {
    let mut lines = String::new();
    for a in reader.arrays() {
        let methods: Vec<&str> = a.breakdown().unwrap().methods.into_keys().collect();
        let (checksum, some) = match a.data_type() {
            DataType::F64 => values_of(&a.read::<f64>().unwrap()),
            _ => values_of(&a.read::<f32>().unwrap()),
        };
        let shape: Vec<String> = a.shape().iter().map(u64::to_string).collect();
        let kind = match a.bound() {
            Bound::Lossless => "lossless",
            Bound::Absolute(_) => "abs",
            Bound::Range(_) => "rel",
            Bound::Pointwise(_) => "pw",
            Bound::Rmse(_) => "rmse",
            Bound::Psnr(_) => "psnr",
            Bound::Ratio(_) => "ratio",
            _ => "by_point",
        };
        let bound = a.bound().parameter().map_or(kind.to_owned(), |e| format!("{kind}={e:e}"));
        let fields = [
            file,
            a.name(),
            a.data_type().name(),
            &shape.join("x"),
            &bound,
            &methods.join(","),
            &a.dim_names().join(","),
            a.attributes(),
            &format!("{checksum:08x}"),
            &some,
        ];
        writeln!(lines, "{}", fields.join("\t")).unwrap();
    }
    lines
}

/// Lines of the manifest less what is said of values, the last two columns.
fn without_values(lines: &str) -> Vec<Vec<&str>> {
    lines.lines().map(|l| l.split('\t').take(8).collect()).collect()
}

/// CRC-32 of all values, and four of them as index:bits.
fn values_of<T: Element>(values: &ArrayD<T>) -> (u32, String) {
    let flat: Vec<T> = values.iter().copied().collect();
    let digits = 2 * T::DATA_TYPE.size();
    let picks: BTreeSet<usize> = [0, flat.len() / 3, flat.len() * 2 / 3, flat.len().saturating_sub(1)].into();
    let some = picks.iter().filter(|i| **i < flat.len()).map(|i| format!("{i}:{:0digits$x}", flat[*i].to_bits64()));
    (crc(&flat), some.collect::<Vec<_>>().join(" "))
}

#[test]
fn every_golden_decodes_to_the_recorded_values() {
    update::goldens_if_asked();
    let manifest = std::fs::read_to_string(testdata("golden").join(MANIFEST)).unwrap();
    let files = cae_files("golden");
    assert!(!files.is_empty());
    for (name, bytes) in &files {
        let expected: String =
            manifest.lines().filter(|l| l.split('\t').next() == Some(name)).map(|l| format!("{l}\n")).collect();
        let reader = Reader::new_with(bytes, small()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = describe(name, &reader);
        // Values of float networks are those of the engine that recorded them, on its processor; `engines` holds all engines to the
        // bound that is stored.
        if name.contains("_model_") && !name.contains("exact") {
            assert_eq!(without_values(&found), without_values(&expected), "{name}");
        } else {
            assert_eq!(found, expected, "{name}");
        }
        for a in reader.arrays() {
            assert!(a.verify().unwrap().0.is_empty(), "{name}");
        }
    }
    let listed: BTreeSet<&str> = manifest.lines().skip(1).filter_map(|l| l.split('\t').next()).collect();
    let present: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(listed.is_subset(&present), "missing: {:?}", listed.difference(&present));
}

#[test]
fn goldens_cover_every_method_bound_type_and_number_of_dimensions() {
    update::goldens_if_asked();
    let manifest = std::fs::read_to_string(testdata("golden").join(MANIFEST)).unwrap();
    let column = |i: usize| manifest.lines().skip(1).filter_map(move |l| l.split('\t').nth(i));
    let methods: BTreeSet<&str> = column(5).flat_map(|m| m.split(',')).collect();
    for m in ["constant", "raw", "multilevel", "raster", "fast", "exact", "sparse"] {
        assert!(methods.contains(m), "{m}");
    }
    let bounds: BTreeSet<&str> = column(4).filter_map(|b| b.split('=').next()).collect();
    assert_eq!(bounds, ["abs", "by_point", "lossless", "psnr", "pw", "ratio", "rel", "rmse"].into());
    assert_eq!(column(2).collect::<BTreeSet<_>>(), ["f32", "f64"].into());
    let dims: BTreeSet<usize> = column(3).map(|s| s.split('x').filter(|n| !n.is_empty()).count()).collect();
    assert_eq!(dims, (0..=8).collect());
}

/// Pairs of `models/` and shapes of the goldens that they predict.
pub const PREDICTED: [(&str, &[usize]); 3] =
    [("exact512", &[3, 700]), ("conv16", &[2, 24, 40]), ("sigmoid512", &[1500])];

/// Smooth data in [0.01, 0.1), which those networks were made for.
pub fn predicted_values(shape: &[usize]) -> ArrayD<f32> {
    smooth::<f32>(shape, 12).mapv(|v| 0.055 + v * 0.002)
}

/// Writing the goldens. Kernels that no preset is sure to choose are asked for by name through `internals`.
pub mod update {
    use super::*;

    pub fn goldens_if_asked() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        if std::env::var_os("CAE_UPDATE_GOLDENS").is_some() {
            ONCE.call_once(write_all);
        }
    }

    fn write_all() {
        if cfg!(not(feature = "internals")) {
            panic!("the goldens of single kernels need --features internals");
        }
        let (major, minor) = cae::VERSION;
        let folder = testdata("golden");
        let own = format!("{major}.{minor}_");
        let mut manifest = String::from(
            "file\tarray\tdtype\tshape\tbound\tmethods\tdims\tattributes\tcrc32 of little-endian values\tindex:bits\n",
        );
        for (name, bytes) in cae_files("golden") {
            if name.starts_with(&own) {
                std::fs::remove_file(folder.join(&name)).unwrap();
            } else {
                manifest += &describe(&name, &Reader::new_with(&bytes, small()).unwrap());
            }
        }
        let mut all: Vec<(String, Vec<u8>)> = by_preset().into_iter().map(|(name, b)| (name.to_owned(), b)).collect();
        all.push(("sparse_forms".to_owned(), crate::by_hand::sparse_forms()));
        all.push(("latent_forms".to_owned(), crate::by_hand::latent_forms()));
        all.push(("patches".to_owned(), crate::by_hand::patches()));
        #[cfg(feature = "internals")]
        all.extend(
            [
                ("exact_forms", crate::by_hand::exact_forms()),
                ("seldom", crate::by_hand::seldom()),
                ("class_images", crate::by_hand::class_images()),
            ]
            .map(|(name, bytes)| (name.to_owned(), bytes)),
        );
        all.extend(PREDICTED.iter().map(|(pair, shape)| (format!("model_{pair}"), predicted(pair, shape))));
        #[cfg(feature = "internals")]
        all.extend(by_kernel().into_iter().map(|(name, b)| (name.to_owned(), b)));
        for (name, bytes) in all {
            let name = format!("{own}{name}.cae");
            manifest += &describe(&name, &Reader::new_with(&bytes, small()).unwrap());
            std::fs::write(folder.join(&name), bytes).unwrap();
        }
        std::fs::write(folder.join(MANIFEST), manifest).unwrap();
    }

    fn file(fill: impl FnOnce(&mut Writer<Vec<u8>>)) -> Vec<u8> {
        let mut w = Writer::new(Vec::new()).unwrap();
        fill(&mut w);
        w.finish().unwrap()
    }

    fn with(bound: Bound, preset: Preset) -> ArrayOptions<'static> {
        ArrayOptions { bound, preset, threads: 1, ..ArrayOptions::default() }
    }

    fn add<T: Element>(w: &mut Writer<Vec<u8>>, name: &str, values: &ArrayD<T>, options: &ArrayOptions) {
        w.add_array(name, &values.view(), options).unwrap();
    }

    fn one<T: Element>(values: ArrayD<T>, options: ArrayOptions) -> Vec<u8> {
        file(|w| add(w, "field", &values, &options))
    }

    fn by_preset() -> Vec<(&'static str, Vec<u8>)> {
        let (abs, pw) = (Bound::Absolute(0.01), Bound::Pointwise(1e-3));
        let noise = |n: usize| {
            let mut random = crate::fields::Random(9);
            ArrayD::from_shape_fn(IxDyn(&[n]), |_| f32::from_bits(random.bits() as u32 & 0xbfff_ffff))
        };
        vec![
            ("no_arrays", file(|_| ())),
            ("constant", one(ArrayD::from_elem(IxDyn(&[5, 4]), 7.5f32), with(Bound::Lossless, Preset::Balanced))),
            ("constant_within_bound", one(smooth::<f64>(&[6, 7], 1), with(Bound::Absolute(100.0), Preset::Balanced))),
            ("raw", one(noise(40), with(Bound::Lossless, Preset::Fast))),
            (
                "one_value",
                file(|w| {
                    add(w, "f32", &ArrayD::from_elem(IxDyn(&[1, 1]), 1.5f32), &with(abs, Preset::Small));
                    add(w, "f64", &ArrayD::from_elem(IxDyn(&[1]), -2.5f64), &with(pw, Preset::Fast));
                    add(w, "nan", &ArrayD::from_elem(IxDyn(&[1]), f64::NAN), &with(abs, Preset::Balanced));
                }),
            ),
            (
                "empty",
                file(|w| {
                    add(w, "flat", &ArrayD::<f32>::zeros(IxDyn(&[0])), &with(abs, Preset::Balanced));
                    add(w, "deep", &ArrayD::<f64>::zeros(IxDyn(&[3, 0, 2])), &with(Bound::Range(0.1), Preset::Small));
                }),
            ),
            (
                "dimensions",
                file(|w| {
                    let shape = [4, 3, 2, 3, 2, 2, 3, 2];
                    for n in 0..=8 {
                        let values = smooth::<f32>(&shape[..n], n as u64);
                        add(w, &format!("d{n}"), &values, &with(abs, Preset::Balanced));
                    }
                }),
            ),
            (
                "masks_f32",
                file(|w| {
                    let values = masked::<f32>(&[7, 9, 12], 2, -99.5);
                    for (name, bound, preset) in masks() {
                        add(w, name, &values, &ArrayOptions { fill: Some(-99.5), ..with(bound, preset) });
                    }
                }),
            ),
            (
                "masks_f64",
                file(|w| {
                    let values = masked::<f64>(&[11, 30], 3, 1e34);
                    for (name, bound, preset) in masks() {
                        add(w, name, &values, &ArrayOptions { fill: Some(1e34), ..with(bound, preset) });
                    }
                }),
            ),
            (
                "many_specials",
                file(|w| {
                    let mut values = smooth::<f32>(&[200], 4);
                    for i in 0..40 {
                        values[i * 5] = f32::from_bits(0x7f80_0001 + i as u32);
                    }
                    add(w, "listed", &values, &with(abs, Preset::Balanced));
                }),
            ),
            (
                "table",
                file(|w| {
                    // Counts that went through a curve.
                    let curved = smooth::<f64>(&[60, 90], 13).mapv(|v| {
                        let count = (v * 20.0).round();
                        250.0 + count * 0.37 + count * count * 0.0011
                    });
                    add(w, "abs", &curved.mapv(|v| v as f32), &with(abs, Preset::Balanced));
                    add(w, "pw", &curved, &with(Bound::Pointwise(1e-5), Preset::Small));
                    add(w, "lossless", &curved, &with(Bound::Lossless, Preset::Balanced));
                }),
            ),
            (
                "snapped",
                file(|w| {
                    for (name, shape) in [("line", &[2400][..]), ("plane", &[40, 70]), ("space", &[9, 14, 31])] {
                        add(w, name, &terraces(shape), &with(Bound::Absolute(0.4), Preset::Fast));
                    }
                    let mut holes = terraces(&[30, 90]).mapv(f64::from);
                    holes.iter_mut().step_by(7).for_each(|v| *v = 0.0);
                    add(w, "holes", &holes, &with(pw, Preset::Fast));
                }),
            ),
            ("next_to_rounding", one(smooth::<f32>(&[9, 40], 5), with(Bound::Absolute(4e-7), Preset::Balanced))),
            (
                "frames",
                file(|w| {
                    let values = smooth::<f32>(&[9, 14, 11], 6);
                    let frame_shape = Some(vec![4, 5, 11]);
                    add(
                        w,
                        "wind",
                        &values,
                        &ArrayOptions { frame_shape, ..with(Bound::Range(1e-3), Preset::Balanced) },
                    );
                }),
            ),
            ("bounds", file(bounds)),
            (
                "metadata",
                file(|w| {
                    let options = ArrayOptions {
                        dim_names: vec!["time".into(), "y".into()],
                        attributes: "{\"units\":\"m/s\",\"level\":850}".into(),
                        ..with(Bound::Range(0.01), Preset::Small)
                    };
                    add(w, "u wind", &smooth::<f32>(&[12, 20], 7), &options);
                    add(w, "h\u{f6}he", &smooth::<f64>(&[30], 8), &with(Bound::Lossless, Preset::Balanced));
                }),
            ),
        ]
    }

    /// Steps with noise, parts of which come again: for the snapped mode of the fast kernel.
    fn terraces(shape: &[usize]) -> ArrayD<f32> {
        let mut random = crate::fields::Random(31);
        let field = ArrayD::from_shape_fn(IxDyn(shape), |at| {
            let i = ndarray::Dimension::slice(&at);
            let slope: usize = i.iter().map(|x| x / 6).sum();
            (100 + 3 * slope) as f32 + if random.bits().is_multiple_of(8) { (random.bits() % 5) as f32 } else { 0.0 }
        });
        let mut flat: Vec<f32> = field.iter().copied().collect();
        let n = flat.len();
        flat.copy_within(n / 8..n / 8 + n / 3, n / 2);
        ArrayD::from_shape_vec(IxDyn(shape), flat).unwrap()
    }

    /// Bounds that a writer resolves by trial, and one that changes from point to point.
    fn bounds(w: &mut Writer<Vec<u8>>) {
        let values = smooth::<f32>(&[12, 30], 11);
        for (name, bound) in [("rmse", Bound::Rmse(0.02)), ("psnr", Bound::Psnr(50.0)), ("ratio", Bound::Ratio(6.0))] {
            add(w, name, &values, &with(bound, Preset::Balanced));
        }
        let tight = ArrayD::from_shape_fn(IxDyn(&[12, 30]), |at| [0.0, 0.01, 0.1][(at[0] / 4 + at[1] / 10) % 3]);
        let options = ArrayOptions {
            bounds: Some(&tight.view()),
            frame_shape: Some(vec![4, 10]),
            ..with(Bound::ByPoint, Preset::Balanced)
        };
        add(w, "by point", &values, &options);
    }

    fn predicted(pair: &str, shape: &[usize]) -> Vec<u8> {
        file(|w| {
            let read = |half| std::fs::read(testdata("models").join(format!("{pair}-{half}.onnx"))).unwrap();
            let model = Some(w.add_model(&read("decoder"), Some(&read("encoder")), true).unwrap());
            let values = predicted_values(shape);
            for (name, bound) in [("pointwise", Bound::Pointwise(0.01)), ("absolute", Bound::Absolute(1e-4))] {
                add(w, name, &values, &ArrayOptions { model, ..with(bound, Preset::Balanced) });
            }
        })
    }

    fn masks() -> [(&'static str, Bound, Preset); 6] {
        [
            ("lossless", Bound::Lossless, Preset::Balanced),
            ("absolute", Bound::Absolute(0.02), Preset::Balanced),
            ("absolute fast", Bound::Absolute(0.02), Preset::Fast),
            ("absolute small", Bound::Absolute(0.02), Preset::Small),
            ("pointwise", Bound::Pointwise(0.01), Preset::Balanced),
            ("pointwise fast", Bound::Pointwise(0.01), Preset::Fast),
        ]
    }

    /// One file a kernel, profile and type, in each domain that it codes.
    #[cfg(feature = "internals")]
    fn by_kernel() -> Vec<(&'static str, Vec<u8>)> {
        let kernels = [
            ("kernel_multilevel_balanced", "multilevel"),
            ("kernel_multilevel_small", "multilevel small"),
            ("kernel_learner", "learner"),
            ("kernel_raster", "raster"),
            ("kernel_raster_snapped", "raster snapped"),
            ("kernel_fast", "fast"),
            ("kernel_exact", "exact"),
            ("kernel_differences", "differences"),
            ("kernel_sparse", "sparse"),
        ];
        let plain = |(name, kernel): &(&'static str, &str)| (*name, kernel_arrays(kernel, None));
        // Passes long enough for stencils of their own.
        let file = |(name, arrays)| (name, forge::File { models: vec![], arrays }.bytes());
        let kernels = kernels
            .iter()
            .map(plain)
            .chain([
                ("kernel_multilevel_stencils", stencils("multilevel", None)),
                ("kernel_fast_levels", levels()),
                ("kernel_fast_raster", rough()),
                ("kernel_fast_level", unrelated()),
                ("kernel_raster_places", places()),
                ("kernel_raster_learner", bent()),
                ("kernel_holes", holes()),
            ])
            .map(file);
        kernels.chain([("kernel_network", in_loop())]).collect()
    }

    #[cfg(feature = "internals")]
    fn stencils(kernel: &str, network: Option<&dyn cae::model::Decoder>) -> Vec<forge::Array> {
        let coarse = kernel_array::<f32>(kernel, network, Bound::Absolute(0.01), &[24, 30, 34]);
        let fine = kernel_array::<f64>(kernel, network, Bound::Absolute(1e-3), &[150, 160]);
        coarse.into_iter().chain(fine).collect()
    }

    /// Fields that the fast kernel interpolates, of every rank: smooth ones, wavy ones that need weights of their own, and
    /// ones whose slices have little in common.
    #[cfg(feature = "internals")]
    fn levels() -> Vec<forge::Array> {
        let hump = |t: f64| (t - t.floor()) * (1.0 - (t - t.floor()));
        let field = |shape: &[usize], period: f64, apart: bool| -> Vec<f64> {
            let mut random = crate::fields::Random(7);
            let shifts: Vec<f64> = (0..shape[0]).map(|_| if apart { random.unit() } else { 0.0 }).collect();
            let value = |at: IxDyn| {
                let along = (0..shape.len()).map(|d| at[d] as f64 / (period + d as f64) + shifts[at[0]]);
                along.map(hump).sum::<f64>()
            };
            ArrayD::from_shape_fn(IxDyn(shape), value).into_iter().collect()
        };
        let mut arrays = Vec::new();
        for (shape, bound) in [
            (&[700][..], 0.02),
            (&[61, 74], 0.02),
            (&[17, 20, 27], 0.02),
            (&[2, 9, 14, 20], 0.02),
            (&[3, 2, 2, 11, 13], 0.02),
        ] {
            for (period, apart) in [(200.0, false), (16.0, false), (40.0, true)] {
                let values = field(shape, period, apart);
                let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                arrays.extend(array_of(&single, "fast", None, Bound::Absolute(bound), shape));
                arrays.extend(array_of(&values, "fast", None, Bound::Absolute(bound / 16.0), shape));
            }
        }
        numbered(arrays)
    }

    /// Fields that the fast kernel predicts from the points before, of every rank: each value follows from its neighbors
    /// before it, and something new.
    #[cfg(feature = "internals")]
    fn rough() -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for shape in [&[1500][..], &[61, 74], &[13, 20, 37], &[3, 5, 14, 40], &[2, 3, 3, 12, 33]] {
            let mut random = crate::fields::Random(19);
            let mut field = ArrayD::<f64>::zeros(IxDyn(shape));
            for at in ndarray::indices(IxDyn(shape)) {
                let mut value = random.unit();
                // Twice the value before less the one before that, a little damped, along each axis.
                for d in 0..shape.len() {
                    for (back, weight) in [(1, 1.4), (2, -0.5)] {
                        let mut near = at.clone();
                        if at[d] >= back {
                            near[d] -= back;
                            value += weight / shape.len() as f64 * field[&near];
                        }
                    }
                }
                field[&at] = value;
            }
            let values: Vec<f64> = field.into_iter().collect();
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            arrays.extend(array_of(&single, "fast", None, Bound::Absolute(0.1), shape));
            arrays.extend(array_of(&values, "fast", None, Bound::Absolute(0.01), shape));
        }
        numbered(arrays)
    }

    /// Values of all sizes that have nothing to do with each other, a third of them 0: for the one integer that the fast kernel may
    /// expect everywhere, and for escapes.
    #[cfg(feature = "internals")]
    fn unrelated() -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for shape in [&[1700][..], &[40, 50], &[9, 14, 15]] {
            let mut random = crate::fields::Random(29);
            let mut value = || {
                let size = (random.unit() * 12.0).exp2() - 1.0;
                [0.0, size, -size][random.bits() as usize % 3]
            };
            let values: Vec<f64> = (0..shape.iter().product()).map(|_| value()).collect();
            let array = array_of(&values, "fast", None, Bound::Absolute(0.5), shape).unwrap();
            // The mode, after ten bytes that all frames have, and the form, after base and step.
            assert_eq!((array.frames[0][10], array.frames[0][27]), (3, 16), "{shape:?}");
            arrays.push(array);
        }
        numbered(arrays)
    }

    /// Each value follows from the ones before it along the axes, and from a little chance, by a rule with a bend: for the learner of the
    /// raster kernel. The last is mirrored, so that there are copies, too.
    #[cfg(feature = "internals")]
    fn bent() -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for shape in [&[2500][..], &[50, 60], &[14, 16, 16], &[3, 8, 12, 14], &[2, 3, 6, 10, 12], &[24, 20, 16]] {
            let mut random = crate::fields::Random(29);
            let mut field = ArrayD::<f64>::zeros(IxDyn(shape));
            for at in ndarray::indices(IxDyn(shape)) {
                let before = |d: usize| {
                    let mut near = at.clone();
                    near[d] = at[d].checked_sub(1)?;
                    field.get(near).copied()
                };
                let along = before(shape.len() - 1).unwrap_or(0.4);
                let across = (0..shape.len()).filter_map(before).sum::<f64>() / shape.len() as f64;
                let mut value = 1.0 - 1.8 * (0.8 * along + 0.2 * across).abs() + 0.01 * random.unit();
                if shape.len() == 3 && shape[0] == 24 && at[0] >= 12 {
                    let mut mirrored = at.clone();
                    mirrored[0] = 23 - at[0];
                    value = field.get(mirrored).copied().unwrap_or(value);
                }
                field[&at] = value;
            }
            let values: Vec<f64> = field.into_iter().collect();
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            arrays.extend(array_of(&single, "raster", None, Bound::Absolute(0.02), shape));
            arrays.extend(array_of(&values, "raster snapped", None, Bound::Absolute(1e-3), shape));
        }
        numbered(arrays)
    }

    /// Rows that hold few values each, other ones in every row: for the places of the raster kernel.
    #[cfg(feature = "internals")]
    fn places() -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for shape in [&[1500][..], &[24, 70], &[3, 12, 40]] {
            let mut random = crate::fields::Random(23);
            let row = shape[shape.len() - 1].min(50);
            let mut unit = 0.0;
            let mut value = |i: usize| {
                if i.is_multiple_of(row) {
                    unit = (1.0 + 90.0 * random.unit()).round();
                }
                unit * (random.bits() % 16).saturating_sub(12) as f64
            };
            let values: Vec<f64> = (0..shape.iter().product()).map(&mut value).collect();
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            arrays.extend(array_of(&single, "raster snapped", None, Bound::Absolute(0.4), shape));
            arrays.extend(array_of(&values, "raster snapped", None, Bound::Absolute(0.4), shape));
        }
        numbered(arrays)
    }

    /// Fields with holes, in every kernel that adapts: what is missing is passed over in its own way by each.
    #[cfg(feature = "internals")]
    fn holes() -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for kernel in
            ["multilevel", "multilevel small", "learner", "raster", "raster snapped", "fast", "exact", "differences"]
        {
            for shape in [&[900][..], &[30, 34], &[9, 12, 14]] {
                let mut random = crate::fields::Random(37);
                let mut values: Vec<f64> = smooth::<f64>(shape, 21).into_iter().collect();
                // Single ones, the first among them, and runs.
                let mut left = 2;
                for v in &mut values {
                    left = if left > 0 {
                        left - 1
                    } else {
                        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5][random.bits() as usize % 12]
                    };
                    *v = if left > 0 { f64::NAN } else { *v };
                }
                let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                let named = |mut a: forge::Array| {
                    a.name.extend(format!(" {kernel}").bytes());
                    a
                };
                let bound =
                    if matches!(kernel, "exact" | "differences") { Bound::Lossless } else { Bound::Absolute(3e-3) };
                arrays.extend(array_of(&single, kernel, None, bound, shape).map(named));
                arrays.extend(array_of(&values, kernel, None, bound, shape).map(named));
            }
        }
        arrays
    }

    /// Gives each array a name of its own.
    #[cfg(feature = "internals")]
    fn numbered(mut arrays: Vec<forge::Array>) -> Vec<forge::Array> {
        for (i, a) in arrays.iter_mut().enumerate() {
            a.name.extend(format!(" {i}").bytes());
        }
        arrays
    }

    /// Frames with a network in the loop, which is embedded.
    #[cfg(feature = "internals")]
    fn in_loop() -> Vec<u8> {
        let bytes = std::fs::read(testdata("models").join("predictor.onnx")).unwrap();
        let network = cae::model::load_decoder(&bytes, &cae::Limits::default()).unwrap();
        let mut arrays = kernel_arrays("network", Some(network.as_ref()));
        arrays.extend(numbered(stencils("network", Some(network.as_ref()))));
        arrays.iter_mut().for_each(|a| (a.flags, a.optional) = (4, vec![0]));
        let model = forge::Model { digest: cae::model::digest(&bytes), bytes };
        forge::File { models: vec![model], arrays }.bytes()
    }

    #[cfg(feature = "internals")]
    fn kernel_arrays(kernel: &str, network: Option<&dyn cae::model::Decoder>) -> Vec<forge::Array> {
        let mut arrays = Vec::new();
        for bound in [Bound::Absolute(0.01), Bound::Absolute(1e-4), Bound::Pointwise(1e-3), Bound::Lossless] {
            for shape in [&[16, 20][..], &[6, 9, 12], &[300]] {
                arrays.extend(kernel_array::<f32>(kernel, network, bound, shape));
                arrays.extend(kernel_array::<f64>(kernel, network, bound, shape));
            }
        }
        arrays
    }

    #[cfg(feature = "internals")]
    fn kernel_array<T: Element>(
        kernel: &str,
        network: Option<&dyn cae::model::Decoder>,
        bound: Bound,
        shape: &[usize],
    ) -> Option<forge::Array> {
        let values: Vec<T> = smooth::<T>(shape, shape.len() as u64).into_iter().collect();
        array_of(&values, kernel, network, bound, shape)
    }

    #[cfg(feature = "internals")]
    fn array_of<T: Element>(
        values: &[T],
        kernel: &str,
        network: Option<&dyn cae::model::Decoder>,
        bound: Bound,
        shape: &[usize],
    ) -> Option<forge::Array> {
        let frame = cae::internals::frame::encode(values, shape, bound, network, kernel).unwrap()?;
        let (text, bound) = match bound {
            Bound::Absolute(e) => (format!("abs {e:e}"), [&[1][..], &e.to_le_bytes()].concat()),
            Bound::Pointwise(e) => (format!("pw {e:e}"), [&[3][..], &e.to_le_bytes()].concat()),
            _ => ("lossless".into(), forge::LOSSLESS.to_vec()),
        };
        let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        let type_name = T::DATA_TYPE.name();
        let name = format!("{type_name} {}-d {text}", shape.len()).into_bytes();
        let array = forge::Array { name, bound, ..forge::Array::new(&shape, frame) };
        Some(if T::DATA_TYPE == DataType::F64 { array.f64() } else { array })
    }
}
