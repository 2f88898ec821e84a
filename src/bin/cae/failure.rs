//! How a command ends when it does not succeed.

use std::borrow::Cow;
use std::io::Write;
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

/// Prints a line to stdout. Ends the program if nobody reads on, or if there is no room.
pub fn say(line: &str) {
    if let Err(e) = writeln!(std::io::stdout(), "{}", harmless(line)) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("cae: stdout: {e}");
        std::process::exit(BAD.into());
    }
}

/// Without what steers a terminal: names come from files.
pub fn harmless(line: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !line.contains(steers) {
        return line.into();
    }
    let escaped = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    line.chars().map(escaped).collect::<String>().into()
}

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
