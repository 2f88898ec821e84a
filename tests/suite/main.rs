//! The one test binary: what the public API and the command line promise. Files that break the specification on
//! purpose are made in `forge`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::field_reassign_with_default,
    reason = "tests"
)]

mod bound;
mod by_hand;
#[cfg(feature = "cli")]
mod cli;
mod damage;
mod engines;
mod fetched;
mod fields;
mod forge;
mod golden;
mod invalid;
mod io;
mod limits;
mod model;
mod open;
mod region;
mod regressions;
