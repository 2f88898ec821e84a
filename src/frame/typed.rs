//! What is done with frames, for each type of values. Generic code is compiled anew in every crate that calls it; this is not.

#![allow(private_interfaces, reason = "part of a sealed trait: nobody outside can name it")]

use super::{Block, Candidate, Encoded, Models};
use crate::element::Element;
use crate::error::{Fault, Result};
use crate::lattice::multilevel::Samples;
use crate::model::{Decoder, Predictor};
use crate::parallel::Threads;

/// A type of values whose frames are coded here.
pub trait Typed: Sized {
    #[doc(hidden)]
    fn encode(block: &Block<Self>, candidates: &[Candidate], models: &Models, threads: Threads) -> Result<Encoded>;
    #[doc(hidden)]
    fn decode(
        bytes: &[u8],
        dims: &[usize],
        decoder: Option<&dyn Decoder>,
        out: &mut [Self],
    ) -> std::result::Result<(), Fault>;
    #[doc(hidden)]
    fn samples(block: &Block<Self>, network: Option<&Predictor>) -> Option<Samples>;
}

macro_rules! typed {
    ($t:ty) => {
        impl Typed for $t {
            fn encode(
                block: &Block<Self>,
                candidates: &[Candidate],
                models: &Models,
                threads: Threads,
            ) -> Result<Encoded> {
                super::encode::encode(block, candidates, models, threads)
            }
            fn decode(
                bytes: &[u8],
                dims: &[usize],
                decoder: Option<&dyn Decoder>,
                out: &mut [Self],
            ) -> std::result::Result<(), Fault> {
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

/// Codes a block in the way of the candidate that gives the fewest bytes.
pub(crate) fn encode<T: Element>(
    block: &Block<T>,
    candidates: &[Candidate],
    models: &Models,
    threads: Threads,
) -> Result<Encoded> {
    <T as Typed>::encode(block, candidates, models, threads)
}

/// Decodes a frame of shape `dims` into `out`.
pub(crate) fn decode<T: Element>(
    bytes: &[u8],
    dims: &[usize],
    decoder: Option<&dyn Decoder>,
    out: &mut [T],
) -> std::result::Result<(), Fault> {
    <T as Typed>::decode(bytes, dims, decoder, out)
}

/// What a network in the loop would be asked at the points of a block, and what would be right; `None` if no lattice suits.
pub(crate) fn samples<T: Element>(block: &Block<T>, network: Option<&Predictor>) -> Option<Samples> {
    <T as Typed>::samples(block, network)
}
