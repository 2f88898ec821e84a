//! What can be asked on the command line.

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::ops::Range;
use std::path::{Path, PathBuf};

const STATUS: &str = "\
Exit status: 0 where all went well; 1 for a file that is damaged, cannot be read or written, or misses its bound; 2 for a command \
that was given wrong; 130 where a signal ended it, without a report. With --json, what fails without a report prints {\"error\": MESSAGE} on stdout, too.";

/// Archives scientific floating-point arrays in few bytes at a proved error bound.
#[derive(Debug, Parser)]
#[command(name = "cae", version, after_long_help = STATUS)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pack arrays into a .cae file
    Compress(Compress),
    /// Unpack an array, a region of it, or all arrays
    Decompress(Decompress),
    /// Gather arrays of .cae files in one, as they are stored: nothing is coded again
    Copy(Copy),
    /// Say what a .cae file holds
    Inspect(Inspect),
    /// Decode every frame of a .cae file and check it
    Verify(Verify),
    /// Prove from a .cae file alone that every engine decodes it within its bounds
    Certify(Certify),
    /// Make a readable file of one whose header or directory is damaged or cut off
    Recover(Recover),
    /// Check ONNX models, or take them out of a .cae file
    Model(Model),
    /// Say what an array is like and what each way of compressing it would give; without a bound, at --rel 1e-3
    Advise(Advise),
    /// Train an autoencoder on arrays (by the program cae-train)
    #[command(disable_help_flag = true)]
    Train {
        /// What cae-train is asked; --help lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("bound").required(true).args(["abs", "rel", "pw", "rmse", "psnr", "ratio", "bounds", "lossless"])))]
pub struct Compress {
    /// Arrays: NAME.npy, or raw little-endian values named NAME_41x128x128.f32 or given by --shape and --dtype
    #[arg(required = true)]
    pub input: Vec<PathBuf>,
    /// The inputs are one array, behind each other along a new first dimension, such as the steps of a run with a file each: they are
    /// predicted from each other
    #[arg(long)]
    pub stack: bool,
    /// The file to write
    #[arg(short, long)]
    pub output: PathBuf,
    #[command(flatten)]
    pub bound: PointBound,
    /// Largest root of the mean squared error
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub rmse: Option<f64>,
    /// Least peak signal-to-noise ratio in dB
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    pub psnr: Option<f64>,
    /// Least ratio of the bytes of the values to those of the coded frames, at the best quality that fits; the file's header and directory,
    /// and a model, come on top
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// Largest error at each point: a .npy or raw array of the input's shape, f64 or, as .npy or .f32, f32; 0, or what is no bound
    /// (negative, NaN, infinite), keeps every bit of a point
    #[arg(long, value_name = "FILE")]
    pub bounds: Option<PathBuf>,
    /// Keep every bit
    #[arg(long)]
    pub lossless: bool,
    #[command(flatten)]
    pub raw: Raw,
    /// Name of the array in the file; by default the input's name up to its shape or extension
    #[arg(long)]
    pub name: Option<String>,
    /// Model: none, auto (the smallest file, which without a model at hand is none), a network in the loop PREDICTOR.onnx
    /// (used where it saves more than its own bytes), or an autoencoder ENCODER.onnx,DECODER.onnx
    #[arg(long, default_value = "auto")]
    pub model: String,
    /// Store only the digest of the model; readers are given it with --model-dir
    #[arg(long)]
    pub external_model: bool,
    /// What to do where rounding errors of other engines could use up the bound of a model's predictions
    #[arg(long, default_value = "refuse")]
    pub guard: GuardName,
    /// How hard to look for the smallest file
    #[arg(long, default_value = "balanced")]
    pub preset: PresetName,
    /// Threads; 0 for one a processor
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Value that stands for missing: kept bit for bit, like NaN and infinities
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    pub fill: Option<f64>,
    /// Attribute of the array; V is JSON or else text
    #[arg(long, value_name = "K=V")]
    pub attr: Vec<String>,
    /// Names of the dimensions
    #[arg(long, value_name = "t,y,x", value_delimiter = ',')]
    pub dims: Vec<String>,
    /// Extents of a frame, the unit of reading; cut to those of the array. Tables whose columns differ in kind are often smaller with a
    /// frame for each column, such as 100000x1 (tried for last dimensions of at most 32)
    #[arg(long, value_name = "64x64x64", value_parser = parse_shape)]
    pub frame: Option<Shape>,
    /// Keep the source's SHA-256, the command, the version and the measured errors as attributes
    #[arg(long)]
    pub provenance: bool,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Decompress {
    /// The .cae file
    pub file: PathBuf,
    /// OUT.npy; OUT.f32, OUT.f64, OUT.raw, OUT.bin, OUT.dat or a name without an extension for raw little-endian values; - for these on
    /// stdout; DIR/ for NAME.npy of every array; by default NAME.npy here
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Which array, by name or by number from 0; needed if there are several, but for DIR/
    #[arg(long)]
    pub array: Option<String>,
    /// Which part: a range a dimension, or : for all of one
    #[arg(long, value_name = "0:10,5:20,:")]
    pub region: Option<String>,
    /// Fill damaged frames with NaN and go on
    #[arg(long)]
    pub salvage: bool,
    #[command(flatten)]
    pub reading: Reading,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout; on stderr where the values go to stdout
    #[arg(long)]
    pub json: bool,
}

impl Decompress {
    /// Whether the values go to stdout.
    pub fn is_to_stdout(&self) -> bool {
        self.output.as_ref().is_some_and(|o| o.as_os_str() == "-")
    }

    /// The folder that the arrays go to.
    pub fn folder(&self) -> Option<&Path> {
        let is_folder = |o: &&Path| o.is_dir() || o.to_string_lossy().ends_with(std::path::is_separator);
        self.output.as_deref().filter(is_folder)
    }
}

#[derive(Debug, ClapArgs)]
pub struct Copy {
    /// The .cae files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long)]
    pub output: PathBuf,
    /// Copy the arrays of this name; all by default
    #[arg(long, value_name = "NAME")]
    pub array: Vec<String>,
    /// Name of the array in the new file, where a single one is copied
    #[arg(long, conflicts_with = "prefix")]
    pub name: Option<String>,
    /// Put the name of its file before that of each array: step7_wind for `wind` of step7.cae
    #[arg(long)]
    pub prefix: bool,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Inspect {
    /// The .cae file
    pub file: PathBuf,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Verify {
    /// The .cae file
    pub file: PathBuf,
    /// The original to compare with; which array, if there are several, is found by its name. Several files that each have the name of
    /// another array are compared with these; others are those of a stack
    #[arg(long, value_name = "INPUT", num_args = 1..)]
    pub against: Vec<PathBuf>,
    /// The bound of each point, as it was given to `compress`: the file has only the largest
    #[arg(long, value_name = "FILE", requires = "against")]
    pub bounds: Option<PathBuf>,
    #[command(flatten)]
    pub raw: Raw,
    #[command(flatten)]
    pub reading: Reading,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Certify {
    /// The .cae file
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Recover {
    /// The damaged .cae file
    pub file: PathBuf,
    /// The file to write: lost frames have no bytes in it
    #[arg(short, long)]
    pub output: PathBuf,
    /// A whole .cae file written in the same way: the same arrays, shapes, frames and models
    #[arg(long, value_name = "GOOD.cae")]
    pub like: Option<PathBuf>,
    #[command(flatten)]
    pub raw: Raw,
    /// Extents of a frame, if others were asked for than a writer chooses
    #[arg(long, value_name = "64x64x64", value_parser = parse_shape, requires = "shape")]
    pub frame: Option<Shape>,
    /// Name of the array
    #[arg(long, requires = "shape")]
    pub name: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What every command that decodes can be told.
#[derive(Debug, Clone, ClapArgs)]
pub struct Reading {
    /// Threads; 0 for one a processor
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Folder of models kept outside the file, each named by its digest
    #[arg(long, value_name = "DIR")]
    pub model_dir: Vec<PathBuf>,
    /// Lift the limits on what the file may cost: only for files that are trusted
    #[arg(long)]
    pub no_limits: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Advise {
    /// Arrays, as `compress` takes them
    #[arg(required = true)]
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub bound: PointBound,
    #[command(flatten)]
    pub raw: Raw,
    /// Value that stands for missing
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    pub fill: Option<f64>,
    /// An autoencoder to measure too
    #[arg(long, value_name = "ENCODER.onnx,DECODER.onnx")]
    pub model: Option<String>,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What a raw file does not say, if its name does not either.
#[derive(Debug, ClapArgs)]
pub struct Raw {
    /// Shape of raw values
    #[arg(long, value_name = "41x128x128", value_parser = parse_shape)]
    pub shape: Option<Shape>,
    /// Type of raw values
    #[arg(long)]
    pub dtype: Option<Dtype>,
}

/// At most one bound on the error of every point.
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
pub struct PointBound {
    /// Largest error at any point
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub abs: Option<f64>,
    /// Largest error as a fraction of max - min
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub rel: Option<f64>,
    /// Largest error at any point as a fraction of the value there; zeros stay exact
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub pw: Option<f64>,
}

impl PointBound {
    /// The bound that was given.
    pub fn asked(&self) -> Option<cae::Bound> {
        let kinds =
            [self.abs.map(cae::Bound::Absolute), self.rel.map(cae::Bound::Range), self.pw.map(cae::Bound::Pointwise)];
        kinds.into_iter().flatten().next()
    }
}

#[derive(Debug, ClapArgs)]
pub struct Model {
    #[command(subcommand)]
    pub verb: ModelVerb,
}

#[derive(Debug, Subcommand)]
pub enum ModelVerb {
    /// Say whether an ONNX file will do as an encoder or decoder, what it costs, and if two fit together
    Check {
        /// The ONNX file, or encoder and decoder
        #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Report as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Convert a trained autoencoder to one whose decoder gives the same bits on every engine, and compare their files;
    /// without a bound, at --pw 0.01
    Exact(Exact),
    /// Take a model out of a .cae file
    Extract(Extract),
}

#[derive(Debug, ClapArgs)]
pub struct Extract {
    /// The .cae file
    pub file: PathBuf,
    /// Which model, from 0
    #[arg(long, default_value_t = 0)]
    pub index: usize,
    /// The file to write; by default the model's digest and .onnx
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Exact {
    /// ENCODER.onnx,DECODER.onnx, or DECODER.onnx alone
    pub input: String,
    /// Files to write: as many, in the same order
    pub output: String,
    /// Data like those that the model is for: an array, as for `compress`; without an encoder, latents, a row a block
    #[arg(long, value_name = "DATA")]
    pub calibrate: PathBuf,
    #[command(flatten)]
    pub raw: Raw,
    #[command(flatten)]
    pub bound: PointBound,
    /// Bits of a latent, 2 to 16; by default those that give the smallest file
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=16))]
    pub latent_bits: Option<u32>,
    /// Bits of a weight, 8 or 16; by default those that give the smallest file
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=16))]
    pub weight_bits: Option<u32>,
    /// Replace the outputs if they exist
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    F32,
    F64,
}

impl From<Dtype> for cae::DataType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => cae::DataType::F32,
            Dtype::F64 => cae::DataType::F64,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    Fast,
    Balanced,
    Small,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GuardName {
    /// Write nothing
    Refuse,
    /// Code such frames without the model
    FallBack,
}

/// The extents of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<u64>);

/// `41x128x128`; an empty text is a scalar.
pub fn parse_shape(text: &str) -> Result<Shape, String> {
    cae::input::parse_shape(text).map(Shape)
}

/// `0:10,5:20,:` in an array of this shape, whose dimensions may have names.
pub fn parse_region(text: &str, shape: &[u64], names: &[String]) -> Result<Vec<Range<u64>>, String> {
    // A scalar has no dimension, and no range.
    let parts: Vec<&str> = text.split(',').filter(|_| !text.trim().is_empty()).collect();
    if parts.len() != shape.len() {
        return Err(format!("the region has {} ranges, the array {} dimensions", parts.len(), shape.len()));
    }
    let range = |(d, (part, extent)): (usize, (&&str, &u64))| {
        let wrong = || format!("`{part}` is no range; ranges look like 5:20, :20, 5: or :");
        let (a, b) = part.split_once(':').ok_or_else(wrong)?;
        let number = |s: &str, or: u64| if s.is_empty() { Ok(or) } else { s.trim().parse().map_err(|_| wrong()) };
        let range = number(a, 0)?..number(b, *extent)?;
        if range.start <= range.end && range.end <= *extent {
            Ok(range)
        } else {
            let dimension = names.get(d).map_or_else(|| format!("dimension {d}"), |name| format!("dimension `{name}`"));
            Err(format!("range {part} of {dimension} is not in 0:{extent}"))
        }
    };
    parts.iter().zip(shape).enumerate().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
        assert!(Args::try_parse_from(["cae", "compress", "a.npy", "-o", "a.cae"]).is_err());
        assert!(
            Args::try_parse_from(["cae", "compress", "a.npy", "-o", "a.cae", "--rel", "1e-3", "--abs", "1"]).is_err()
        );
        assert!(
            Args::try_parse_from(["cae", "compress", "a.npy", "-o", "a.cae", "--rel", "1e-3", "--fill", "-inf"])
                .is_ok()
        );
    }

    #[test]
    fn shapes_and_regions_parse() {
        assert_eq!(parse_shape("41x128x128").unwrap().0, [41, 128, 128]);
        assert!(parse_shape("41x-1").is_err());
        let region = |text, shape| parse_region(text, shape, &[]);
        assert_eq!(region("1:3,:,5:", &[4, 5, 6]).unwrap(), [1..3, 0..5, 5..6]);
        assert_eq!(region("1:9,:,:", &[4, 5, 6]).unwrap_err(), "range 1:9 of dimension 0 is not in 0:4");
        let named = parse_region(":,7:8", &[4, 5], &["y".into(), "x".into()]);
        assert_eq!(named.unwrap_err(), "range 7:8 of dimension `x` is not in 0:5");
        assert!(region("1:2", &[4, 5]).is_err());
        assert_eq!(region("", &[]), Ok(vec![]));
        assert!(region("", &[4]).is_err() && region(":", &[]).is_err());
    }
}
