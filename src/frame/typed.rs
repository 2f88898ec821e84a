//! What is done with frames, for each type of values. Generic code is compiled anew in every crate that calls it; this is not.

#![allow(private_interfaces, reason = "part of a sealed trait: nobody outside can name it")]

use super::{Block, Candidate, Encoded, Models};
use crate::error::{Fault, Result};
use crate::lattice::multilevel::Samples;
use crate::model::{Decoder, Predictor};
use crate::parallel::Threads;

type Sizes = Vec<(&'static str, u64)>;
type Decoded = std::result::Result<(), Fault>;

/// A type of values whose frames are coded here.
pub trait Typed: Sized {
    /// Codes a block in the way of the candidate that gives the fewest bytes.
    fn encode_frame(block: &Block<Self>, ways: &[Candidate], models: &Models, threads: Threads) -> Result<Encoded>;
    /// What each way to code a block would take, in bytes.
    fn sizes(block: &Block<Self>, ways: &[Candidate], models: &Models, threads: Threads) -> Result<Sizes>;
    /// Decodes a frame of shape `dims` into `out`.
    fn decode_frame(bytes: &[u8], dims: &[usize], decoder: Option<&dyn Decoder>, out: &mut [Self]) -> Decoded;
    /// What a network in the loop would be asked at the points of a block, and what would be right; `None` if no lattice suits.
    fn samples(block: &Block<Self>, network: Option<&Predictor>) -> Option<Samples>;
}

macro_rules! typed {
    ($t:ty) => {
        impl Typed for $t {
            fn encode_frame(b: &Block<Self>, ways: &[Candidate], models: &Models, threads: Threads) -> Result<Encoded> {
                super::encode::encode(b, ways, models, threads)
            }
            fn sizes(b: &Block<Self>, ways: &[Candidate], models: &Models, threads: Threads) -> Result<Sizes> {
                super::encode::sizes(b, ways, models, threads)
            }
            fn decode_frame(bytes: &[u8], dims: &[usize], decoder: Option<&dyn Decoder>, out: &mut [Self]) -> Decoded {
                super::decode::decode(bytes, dims, decoder, out)
            }
            fn samples(block: &Block<Self>, network: Option<&Predictor>) -> Option<Samples> {
                super::encode::samples(block, network)
            }
        }
    };
}

typed!(f32);
typed!(f64);
