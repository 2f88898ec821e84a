//! A progress bar on a terminal, nothing elsewhere.

use crate::failure::harmless;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar over `total` values.
pub fn bar(what: &str, total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(total).with_message(harmless(what).into_owned());
    match ProgressStyle::with_template("{msg} [{bar:40}] {percent}% {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
