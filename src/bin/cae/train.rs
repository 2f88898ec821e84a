//! `cae train`: the program `cae-train`, as a reader needs nothing of it.

use crate::failure::Failure;
use std::ffi::OsString;
use std::process::Command;

const PROGRAM: &str = "cae-train";

/// Runs `cae-train`, found beside this program or else on the path.
pub fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join(&name))).filter(|p| p.is_file());
    let mut command = Command::new(beside.unwrap_or_else(|| name.into()));
    command.args(arguments);
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    };
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!(
            "training is a program of its own, {PROGRAM}, found neither beside cae nor on the path; \
             `cargo install --path train` in its sources installs it"
        )),
        _ => Failure::bad(format!("{PROGRAM}: {error}")),
    })
}
