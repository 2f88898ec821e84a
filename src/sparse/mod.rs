#![allow(dead_code, unused_variables, reason = "stub")]
use crate::{
    DataType,
    error::Fault,
    lattice::Grid,
    model::{Decoder, Encoder},
};
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {}
pub(crate) struct Sections<'a> {
    pub(crate) exponents: &'a [u8],
    pub(crate) latents: &'a [u8],
    pub(crate) bitmap: &'a [u8],
    pub(crate) deltas: &'a [u8],
}
pub(crate) struct OwnedSections {
    pub(crate) exponents: Vec<u8>,
    pub(crate) latents: Vec<u8>,
    pub(crate) bitmap: Vec<u8>,
    pub(crate) deltas: Vec<u8>,
}
impl OwnedSections {
    pub(crate) fn as_sections(&self) -> Sections<'_> {
        Sections { exponents: &self.exponents, latents: &self.latents, bitmap: &self.bitmap, deltas: &self.deltas }
    }
}
pub(crate) struct Target<'a> {
    pub(crate) values: &'a [f64],
    pub(crate) grid: &'a Grid<'a>,
    pub(crate) data_type: DataType,
    pub(crate) ok: &'a dyn Fn(usize, f64) -> bool,
}
pub(crate) fn encode(
    t: &Target,
    e: Option<&dyn Encoder>,
    d: Option<&dyn Decoder>,
    o: &Options,
) -> crate::Result<OwnedSections> {
    Err(crate::ArgumentError::Other("stub".into()).into())
}
pub(crate) fn decode(
    s: &Sections,
    grid: &Grid,
    t: DataType,
    d: Option<&dyn Decoder>,
    out: &mut [f64],
) -> Result<(), Fault> {
    Ok(())
}
