//! How a command ends when it does not succeed.

use std::path::Path;

/// A message for stderr and an exit status.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub status: u8,
}

/// A bad file, or a bound that is not met.
pub const BAD: u8 = 1;
/// The command was given wrong.
pub const USAGE: u8 = 2;

impl Failure {
    /// A wrong command.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), status: USAGE }
    }

    /// A bad file.
    pub fn bad(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), status: BAD }
    }

    /// What the library said of the file at `path`.
    pub fn at(path: &Path) -> impl Fn(cae::Error) -> Failure {
        move |e| Failure {
            status: if matches!(e, cae::Error::Argument(_)) { USAGE } else { BAD },
            message: format!("{}: {e}", path.display()),
        }
    }

    /// What the operating system said of the file at `path`.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
        move |e| Failure::bad(format!("{}: {e}", path.display()))
    }
}
