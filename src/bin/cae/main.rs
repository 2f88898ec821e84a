//! The command line. Data and JSON go to stdout, messages to stderr; exit status 0 good, 1 bad file or bound not met,
//! 2 usage, 130 interrupted.

/// Prints a line to stdout, as [`failure::say`] does.
macro_rules! say {
    ($($line:tt)*) => { $crate::failure::say(&format!($($line)*)) };
}

mod advise;
mod args;
mod certify;
mod compress;
mod copy;
mod decompress;
mod exact;
mod failure;
mod figures;
mod input;
mod inspect;
mod interrupt;
mod model;
mod progress;
mod recover;
mod train;
mod verify;
mod watched;

use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Wherever it stands: what a command was given wrong is told in the same way as what went wrong.
    let as_json = std::env::args_os().any(|a| a == "--json");
    let command = match args::Args::try_parse() {
        Ok(args) => args.command,
        Err(e) => {
            if as_json && e.use_stderr() {
                let message = e.to_string();
                failure::report(message.strip_prefix("error: ").unwrap_or(&message).trim_end());
            }
            e.exit()
        }
    };
    // There the values have stdout for themselves.
    let as_json = as_json && !matches!(&command, args::Command::Decompress(a) if a.is_to_stdout());
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, status }) => {
            failure::warn(&message);
            if as_json {
                failure::report(&message);
            }
            ExitCode::from(status)
        }
    }
}

fn run(command: &args::Command) -> Result<(), Failure> {
    match command {
        args::Command::Compress(a) => compress::run(a),
        args::Command::Decompress(a) => decompress::run(a),
        args::Command::Copy(a) => copy::run(a),
        args::Command::Inspect(a) => inspect::run(a),
        args::Command::Verify(a) => verify::run(a),
        args::Command::Certify(a) => certify::run(a),
        args::Command::Recover(a) => recover::run(a),
        args::Command::Model(a) => model::run(a),
        args::Command::Advise(a) => advise::run(a),
        args::Command::Train { arguments } => train::run(arguments),
    }
}
