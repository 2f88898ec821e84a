//! What can be asked on the command line.

use cae::{Bound, DataType};
use cae_train::data::Share;
use cae_train::init::Design;
use cae_train::loss::Loss;
use cae_train::network::Activation;
use cae_train::onnx::Precision;
use clap::{ArgGroup, Parser, ValueEnum};
use std::path::PathBuf;

/// Trains an autoencoder on arrays and writes it as two ONNX files for `cae compress --model`.
#[derive(Debug, Parser)]
#[command(name = "cae train", bin_name = "cae train", version)]
#[command(group(ArgGroup::new("bound").args(["abs", "rel", "pw"])))]
pub struct Args {
    /// Arrays to learn from, as `cae compress` takes them: several variables or steps make one model
    #[arg(required = true)]
    pub input: Vec<PathBuf>,
    /// The files to write: encoder and decoder, or for --kind predictor one
    #[arg(short, long, value_name = "ENC.onnx,DEC.onnx", value_parser = parse_output)]
    pub output: (PathBuf, PathBuf),
    /// What the model is for
    #[arg(long, default_value = "block")]
    pub kind: Kind,
    /// Arrays to be judged on instead of a half of INPUT, which is then all learned from
    #[arg(long, value_name = "INPUT")]
    pub judge: Vec<PathBuf>,
    /// Steps along the first axis to learn from, the others being judged on: half (the first), all, 10, or 1%
    #[arg(long)]
    pub steps: Option<Share>,
    /// Shape of raw input
    #[arg(long, value_name = "41x128x128", value_parser = parse_shape)]
    pub shape: Option<Shape>,
    /// Type of raw input
    #[arg(long)]
    pub dtype: Option<Dtype>,
    /// Value that stands for missing
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    pub fill: Option<f64>,
    /// Scale values linearly instead of normalizing them: the paper's comparison, of no use to archives
    #[arg(long)]
    pub linear: bool,
    /// Learn from the blocks as the archive lays them and from nothing else, undisturbed and none kept back to choose the
    /// state that is kept: the paper's way
    #[arg(long)]
    pub plain: bool,
    /// Values for each latent: the theoretical ratio
    #[arg(long, default_value_t = 512)]
    pub ratio: usize,
    /// Extents of a block; by default one axis of 512 values, or of as many as the ratio if that is more
    #[arg(long, value_name = "512|8x8x8", value_parser = parse_shape)]
    pub block: Option<Shape>,
    /// Layers in all, block and latents included: an odd number from 3 to 11; widths fall by equal factors
    #[arg(long)]
    pub layers: Option<usize>,
    /// Widths of the encoder's hidden layers; the decoder has them in reverse [default: 64,8 for 512 values and a latent]
    #[arg(long, value_name = "64,8", value_delimiter = ',')]
    pub hidden: Option<Vec<usize>>,
    /// Function of the hidden layers
    #[arg(long, default_value = "sigmoid")]
    pub activation: ActivationName,
    /// Function of the latents
    #[arg(long, default_value = "identity")]
    pub latent_activation: ActivationName,
    /// Function of the decoder's last layer; the paper's sigmoid cannot give negative values
    #[arg(long, default_value = "identity")]
    pub output_activation: ActivationName,
    /// Where to start: principal components, or random weights
    #[arg(long, default_value = "pca")]
    pub init: Init,
    /// Go on from these files, made by this or by any framework
    #[arg(long, value_name = "ENC.onnx,DEC.onnx", value_parser = parse_pair)]
    pub from: Option<(PathBuf, PathBuf)>,
    /// Passes over the blocks; by default as many as make about 20,000 steps, fewer for networks of more weights than usual
    #[arg(long, conflicts_with = "seconds")]
    pub epochs: Option<usize>,
    /// Time to train; the result then depends on the machine's speed
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Blocks of a step
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// First learning rate
    #[arg(long, default_value_t = 0.003)]
    pub lr: f64,
    /// Last learning rate over the first; between them it falls along half a cosine
    #[arg(long, default_value_t = 0.01)]
    pub decay: f64,
    /// Decay of weights over the learning rate. Large weights round coarsely, which costs bytes at tight bounds
    #[arg(long, default_value_t = 0.3)]
    pub weight_decay: f64,
    /// What is wanted: mse of normalized values, mae relative to each value, log of the ratio, or few bytes at the bound
    #[arg(long, default_value = "mae")]
    pub loss: LossName,
    /// The bound that --loss bound is for, as in `cae compress`
    #[arg(long, value_name = "E")]
    pub abs: Option<f64>,
    /// A fraction of max - min
    #[arg(long, value_name = "E")]
    pub rel: Option<f64>,
    /// A fraction of each value
    #[arg(long, value_name = "E")]
    pub pw: Option<f64>,
    /// Train for latents stored in so many bits; 0 for exact ones [default: 10 for --loss bound, else 0]
    #[arg(long)]
    pub latent_bits: Option<u32>,
    /// How the decoder's weights are stored; the encoder's are not stored in archives and stay f32 [default: f16; i8 with
    /// --exact]
    #[arg(long)]
    pub weights: Option<PrecisionName>,
    /// Make a decoder in exact arithmetic (SPEC 5.6): the same bits on every machine, and no distance from the bound.
    /// Weights of 8 bits are learned as such; more than i8 means 16
    #[arg(long, conflicts_with = "linear")]
    pub exact: bool,
    /// Of all that is random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Replace the outputs if they exist
    #[arg(long)]
    pub force: bool,
    /// Report as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Blocks of values to latents and back
    Block,
    /// A network in the loop: from decoded neighbors to what is expected of the next value; needs --rel, --abs or --pw,
    /// and takes the arrays, --hidden [default: 32,16], --steps, --seconds, --lr, --seed and --fill
    Predictor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Init {
    Pca,
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    F32,
    F64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    Mse,
    Mae,
    Log,
    Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    F32,
    F16,
    I8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActivationName {
    Sigmoid,
    Tanh,
    Relu,
    LeakyRelu,
    Elu,
    Identity,
}

impl From<Dtype> for DataType {
    fn from(name: Dtype) -> Self {
        match name {
            Dtype::F32 => DataType::F32,
            Dtype::F64 => DataType::F64,
        }
    }
}

impl From<LossName> for Loss {
    fn from(name: LossName) -> Self {
        match name {
            LossName::Mse => Loss::Mse,
            LossName::Mae => Loss::Mae,
            LossName::Log => Loss::Log,
            LossName::Bound => Loss::Bound,
        }
    }
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::F16 => Precision::F16,
            PrecisionName::I8 => Precision::I8,
        }
    }
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Sigmoid => Activation::Sigmoid,
            ActivationName::Tanh => Activation::Tanh,
            ActivationName::Relu => Activation::Relu,
            ActivationName::LeakyRelu => Activation::LeakyRelu,
            ActivationName::Elu => Activation::Elu,
            ActivationName::Identity => Activation::Identity,
        }
    }
}

/// Extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<u64>);

fn parse_shape(text: &str) -> Result<Shape, String> {
    cae::input::parse_shape(text).map(Shape)
}

/// One file stands for the decoder's alone.
fn parse_output(text: &str) -> Result<(PathBuf, PathBuf), String> {
    if text.contains(',') { parse_pair(text) } else { Ok((PathBuf::new(), text.into())) }
}

fn parse_pair(text: &str) -> Result<(PathBuf, PathBuf), String> {
    let (encoder, decoder) = text.split_once(',').ok_or("two files are needed: ENC.onnx,DEC.onnx")?;
    Ok((encoder.into(), decoder.into()))
}

impl Args {
    /// The bound that was given.
    pub fn bound(&self) -> Option<Bound> {
        let kinds = [self.abs.map(Bound::Absolute), self.rel.map(Bound::Range), self.pw.map(Bound::Pointwise)];
        kinds.into_iter().flatten().next()
    }

    /// The layers that were asked for.
    pub fn design(&self) -> Result<Design, String> {
        let default = || vec![self.ratio.max(512)];
        let wide = |n: &u64| usize::try_from(*n).unwrap_or(usize::MAX);
        let block_shape: Vec<usize> = self.block.as_ref().map_or_else(default, |b| b.0.iter().map(wide).collect());
        let block: usize = block_shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).unwrap_or(usize::MAX);
        if block == 0 || block > 1 << 20 {
            return Err("a block holds 1 to 2^20 values".into());
        }
        if self.ratio == 0 || !block.is_multiple_of(self.ratio) {
            return Err(format!("a ratio of {} does not divide blocks of {block} values", self.ratio));
        }
        let latent_len = block / self.ratio;
        let hidden = match (&self.hidden, self.layers) {
            (Some(hidden), layers) => {
                if hidden.contains(&0) || layers.is_some_and(|l| l != 2 * hidden.len() + 3) {
                    return Err("--hidden and --layers do not agree: N widths make 2 N + 3 layers".into());
                }
                hidden.clone()
            }
            (None, layers) => {
                let layers = layers.unwrap_or(7);
                if !(3..=11).contains(&layers) || layers % 2 == 0 {
                    return Err("--layers is an odd number from 3 to 11".into());
                }
                let count = (layers - 3) / 2;
                let width = |i: usize| {
                    let along = i as f64 / (count + 1) as f64;
                    ((block as f64).powf(1.0 - along) * (latent_len as f64).powf(along)).round() as usize
                };
                (1..=count).map(width).collect()
            }
        };
        Ok(Design {
            block_shape,
            hidden,
            latent_len,
            activation: self.activation.into(),
            latent_activation: self.latent_activation.into(),
            output_activation: self.output_activation.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(rest: &[&str]) -> Args {
        let all = ["cae-train", "a.npy", "-o", "e.onnx,d.onnx"];
        Args::try_parse_from(all.iter().chain(rest)).unwrap()
    }

    #[test]
    fn the_arguments_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
        assert!(Args::try_parse_from(["cae-train", "-o", "e.onnx,d.onnx"]).is_err());
        assert_eq!(args(&["--pw", "0.1"]).bound(), Some(Bound::Pointwise(0.1)));
    }

    #[test]
    fn designs_are_those_of_the_paper() {
        assert_eq!(args(&[]).design().unwrap().hidden, [64, 8]);
        assert_eq!(args(&["--layers", "3"]).design().unwrap().hidden, [0; 0]);
        assert_eq!(args(&["--layers", "11"]).design().unwrap().hidden.len(), 4);
        let deep = args(&["--ratio", "16384"]).design().unwrap();
        assert_eq!((deep.block_shape, deep.latent_len), (vec![16384], 1));
        assert_eq!(args(&["--ratio", "128"]).design().unwrap().latent_len, 4);
        let cube = args(&["--block", "8x8x8", "--ratio", "64"]).design().unwrap();
        assert_eq!((cube.block_shape, cube.latent_len), (vec![8, 8, 8], 8));
        assert!(args(&["--ratio", "100"]).design().is_err());
        assert!(args(&["--layers", "4"]).design().is_err());
        assert!(args(&["--layers", "5", "--hidden", "64,8"]).design().is_err());
    }
}
