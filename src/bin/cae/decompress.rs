//! `cae decompress`.

use crate::args::{Decompress, Reading, parse_region};
use crate::failure::{self, Failure};
use crate::figures::count;
use crate::input;
use crate::interrupt;
use crate::progress;
use cae::{Array, BadFrame, Damage, DataType, Element, Limits, ReadOptions, Reader, Region, npy};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How the values are written.
enum Target {
    Npy(PathBuf),
    Raw(PathBuf),
    Stdout,
}

impl Target {
    fn path(&self) -> &Path {
        match self {
            Target::Npy(path) | Target::Raw(path) => path,
            Target::Stdout => Path::new("-"),
        }
    }
}

pub fn run(args: &Decompress) -> Result<(), Failure> {
    let reader = open(&args.file, &args.reading)?;
    let arrays = match (args.folder(), &args.array) {
        (Some(_), None) => reader.arrays().collect(),
        (_, wanted) => vec![pick(&reader, wanted.as_deref(), &args.file)?],
    };
    // What is wrong with one of them is found before the first is written.
    let mut jobs = Vec::new();
    let mut taken = HashSet::new();
    for array in arrays {
        let (region, target) = (region_of(args, &array)?, target(args, &array)?);
        if !taken.insert(as_the_system_has_it(target.path())) {
            return Err(Failure::usage(format!(
                "{}: another array than `{}` goes to {}, too; take each with --array to a file of its own",
                args.file.display(),
                array.name(),
                target.path().display()
            )));
        }
        jobs.push((array, region, target));
    }
    if let Some(folder) = args.folder() {
        std::fs::create_dir_all(folder).map_err(Failure::io(folder))?;
    }
    let mut reports = Vec::new();
    let mut bad = 0u64;
    for (array, region, target) in &jobs {
        let (report, bad_here) = one(args, array, region, target)?;
        reports.push(report);
        bad = bad.saturating_add(bad_here);
    }
    let report = match reports.as_slice() {
        [only] if args.folder().is_none() => only.clone(),
        all => json!({ "arrays": all }),
    };
    if args.json && args.is_to_stdout() {
        // The values have stdout for themselves.
        failure::whisper(&report.to_string());
    } else if args.json {
        say!("{report}");
    }
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::bad(format!("{}: {}", args.file.display(), count(bad, "damaged frame"))))
}

/// A path, the same for all that name one file: some systems do not tell upper case from lower.
fn as_the_system_has_it(path: &Path) -> String {
    let path = path.to_string_lossy();
    if cfg!(any(windows, target_os = "macos")) { path.to_lowercase() } else { path.into_owned() }
}

/// Writes an array, and tells people of it; the report, and how many frames are damaged.
fn one(args: &Decompress, array: &Array, region: &Region, target: &Target) -> Result<(Value, u64), Failure> {
    let begin = Instant::now();
    let bad = match array.data_type() {
        DataType::F64 => write::<f64>(args, array, region, target)?,
        _ => write::<f32>(args, array, region, target)?,
    };
    for b in &bad {
        failure::warn(&format!("{}: {}; filled with NaN: {}", args.file.display(), b.error, ranges(&b.region)));
    }
    let bytes = (region.len() as u64).saturating_mul(array.data_type().size() as u64);
    let seconds = begin.elapsed().as_secs_f64();
    let layout = match target {
        Target::Raw(_) => ", raw little-endian in C order",
        _ => "",
    };
    if !args.json && !args.is_to_stdout() {
        say!("{}: {bytes} bytes of {}{layout}, {seconds:.2} s", target.path().display(), array.name());
    }
    let report = json!({
        "array": array.name(),
        "dtype": array.data_type().name(),
        "region": ranges(region),
        "shape": region.extent,
        "output": target.path().display().to_string(),
        "bytes": bytes,
        "seconds": seconds,
        "bad_frames": list(&bad),
    });
    Ok((report, bad.len() as u64))
}

/// Opens a file as the user wants it read.
pub fn open(path: &Path, reading: &Reading) -> Result<Reader<'static>, Failure> {
    let mut options = ReadOptions::default();
    if reading.no_limits {
        options.limits = Limits::none();
    }
    options.threads = reading.threads;
    options.model_dirs.clone_from(&reading.model_dir);
    open_with(path, options)
}

/// The same with the library's options.
pub fn open_with(path: &Path, options: ReadOptions) -> Result<Reader<'static>, Failure> {
    input::must_be_a_file(path)?;
    Reader::open_with(path, options).map_err(Failure::at(path))
}

/// The array that is meant: by name, by number, or the only one.
fn pick<'r>(reader: &'r Reader<'r>, wanted: Option<&str>, path: &Path) -> Result<Array<'r>, Failure> {
    let names = || {
        /// Names that a message has room for.
        const SOME: usize = 20;
        let some = reader.arrays().take(SOME).map(|a| a.name().to_owned()).collect::<Vec<_>>().join(", ");
        if reader.arrays().len() > SOME { format!("{some}, ..") } else { some }
    };
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    match wanted {
        Some(w) => reader
            .arrays()
            .find(|a| a.name() == w)
            .or_else(|| reader.arrays().nth(w.parse().ok()?))
            .ok_or_else(|| wrong(format!("no array `{w}`; there are {}", names()))),
        None if reader.arrays().len() == 1 => {
            reader.arrays().next().ok_or_else(|| wrong("the file holds no array".into()))
        }
        None => {
            let count = reader.arrays().len();
            Err(wrong(format!(
                "the file holds {count} arrays ({}); pick one with --array, or take all with -o DIR/",
                names()
            )))
        }
    }
}

fn region_of(args: &Decompress, array: &Array) -> Result<Region, Failure> {
    let ranges = match &args.region {
        None => Ok(array.shape().iter().map(|n| 0..*n).collect()),
        Some(text) => parse_region(text, array.shape(), array.dim_names()),
    };
    let wrong = |what| Failure::usage(format!("{}: array `{}`: {what}", args.file.display(), array.name()));
    Region::from_ranges(&ranges.map_err(wrong)?).map_err(|e| wrong(e.to_string()))
}

fn target(args: &Decompress, array: &Array) -> Result<Target, Failure> {
    let path = match (&args.output, args.folder()) {
        _ if args.is_to_stdout() => return Ok(Target::Stdout),
        (Some(p), None) => p.clone(),
        (_, folder) => {
            // The name comes from the file: no part of it may lead elsewhere.
            let safe = |c: char| if c.is_alphanumeric() || "._-+".contains(c) { c } else { '_' };
            let name: String = array.name().chars().map(safe).collect();
            let name = name.trim_start_matches('.');
            // An array without a name has that of its file.
            let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
            folder.unwrap_or(Path::new("")).join(format!("{}.npy", if name.is_empty() { &stem } else { name }))
        }
    };
    input::not_replaced(&args.file, &path)?;
    input::not_taken(&path, args.force)?;
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let held = array.data_type().name();
    match extension.as_str() {
        "npy" => Ok(Target::Npy(path)),
        "" | "raw" | "bin" | "dat" => Ok(Target::Raw(path)),
        e if e == held => Ok(Target::Raw(path)),
        "f32" | "f64" => Err(Failure::usage(format!("{}: the array holds {held}", path.display()))),
        // Raw values in a file that is named like one of another format would be taken for that.
        e => Err(Failure::usage(format!(
            "{}: .{e} cannot be written, but .npy, and raw values as .{held}, .raw, .bin, .dat or without an extension",
            path.display()
        ))),
    }
}

fn write<T: Element>(
    args: &Decompress,
    array: &Array,
    region: &Region,
    target: &Target,
) -> Result<Vec<BadFrame>, Failure> {
    let bar = progress::bar(array.name(), region.len() as u64);
    let show = |done| bar.set_position(done);
    let damage = if args.salvage { Damage::Salvage } else { Damage::Fail };
    let (path, is_npy) = match target {
        Target::Stdout => {
            let mut out = std::io::stdout().lock();
            let bad = array.stream_values::<T>(region, damage, &mut out, &show);
            let bad = bad.map_err(|e| failed(&args.file, Path::new("stdout"), e))?;
            out.flush().map_err(Failure::io(Path::new("stdout")))?;
            return Ok(bad);
        }
        Target::Npy(path) => (path, true),
        Target::Raw(path) => (path, false),
    };
    let io = Failure::io(path);
    let mut file = interrupt::create(path)?;
    if is_npy {
        let descr = if array.data_type() == DataType::F64 { "<f8" } else { "<f4" };
        let shape: Vec<u64> = region.extent.iter().map(|n| *n as u64).collect();
        npy::write_header(&mut file, descr, &shape).map_err(&io)?;
    }
    let bad = array.write_values::<T>(region, damage, &mut file, &show);
    let bad = bad.map_err(|e| failed(&args.file, path, e))?;
    bar.finish_and_clear();
    input::not_taken(path, args.force)?;
    file.commit().map_err(io)?;
    Ok(bad)
}

/// What ended the copying of values from one file to another: the operating system complains of the second.
pub fn failed(from: &Path, to: &Path, error: cae::Error) -> Failure {
    match error {
        cae::Error::Io(e) => Failure::io(to)(e),
        other => Failure::at(from)(other),
    }
}

fn ranges(region: &Region) -> String {
    region.ranges().map(|r| format!("{}:{}", r.start, r.end)).collect::<Vec<_>>().join(",")
}

/// Damaged frames, for `--json`.
pub fn list(bad: &[BadFrame]) -> Vec<Value> {
    bad.iter().map(|b| json!({"frame": b.frame, "region": ranges(&b.region), "error": b.error.to_string()})).collect()
}
