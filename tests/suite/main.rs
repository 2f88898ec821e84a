//! The one test binary.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::field_reassign_with_default,
    reason = "tests"
)]

mod model;
