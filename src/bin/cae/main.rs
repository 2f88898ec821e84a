//! The command line. Data and JSON go to stdout, messages to stderr; exit status 0 good, 1 bad file or bound not met,
//! 2 usage.

/// Prints a line to stdout, as [`failure::say`] does.
macro_rules! say {
    ($($line:tt)*) => { $crate::failure::say(&format!($($line)*)) };
}

mod advise;
mod args;
mod certify;
mod compress;
mod decompress;
mod exact;
mod failure;
mod figures;
mod input;
mod inspect;
mod model;
mod progress;
mod recover;
mod train;
mod verify;

use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match args::Args::parse().command {
        args::Command::Compress(a) => compress::run(&a),
        args::Command::Decompress(a) => decompress::run(&a),
        args::Command::Inspect(a) => inspect::run(&a),
        args::Command::Verify(a) => verify::run(&a),
        args::Command::Certify(a) => certify::run(&a),
        args::Command::Recover(a) => recover::run(&a),
        args::Command::Model(a) => model::run(&a),
        args::Command::Advise(a) => advise::run(&a),
        args::Command::Train { arguments } => train::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, status }) => {
            eprintln!("cae: {}", failure::harmless(&message));
            ExitCode::from(status)
        }
    }
}
