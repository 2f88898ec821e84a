//! How a command ends when it does not succeed.

use cae::{Error, FormatError, Place, Unsupported};
use serde_json::json;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether stdout has a line already.
static SAID: AtomicBool = AtomicBool::new(false);

/// Prints a line to stdout. Ends the program if nobody reads on, or if there is no room.
pub fn say(line: &str) {
    SAID.store(true, Ordering::Relaxed);
    if let Err(e) = writeln!(std::io::stdout(), "{}", harmless(line)) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        warn(&format!("stdout: {e}"));
        std::process::exit(BAD.into());
    }
}

/// Prints a message to stderr.
pub fn warn(message: &str) {
    whisper(&format!("cae: {message}"));
}

/// Prints a line to stderr. Where nobody hears it, the exit status speaks.
pub fn whisper(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", harmless(line));
}

/// The message as an object on stdout, unless a report is there already that says what is wrong.
pub fn report(message: &str) {
    if !SAID.load(Ordering::Relaxed) {
        say(&json!({ "error": message }).to_string());
    }
}

/// A line without what ends it, steers a terminal or turns the direction of reading: names come from files. What stands for it
/// is what JSON has for it, so that an object stays one.
pub fn harmless(line: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !line.contains(steers) {
        return line.into();
    }
    let escaped = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if steers(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    line.chars().map(escaped).collect::<String>().into()
}

/// What helps after an error of the file at `path` in what `cae recover` makes anew.
fn advice(path: &Path, error: &Error) -> String {
    // What one byte of the header can look like that is no longer what it was.
    let look =
        |as_what: &str| format!("; or this is no {as_what}, and `cae recover {} -o OUT` reads it", path.display());
    let kind = match error {
        Error::Unsupported { place: Place::Header, kind: Unsupported::Version { .. }, .. } => {
            return look("other version");
        }
        Error::Format { kind: FormatError::TextModeDamage, .. } => return look("such transfer"),
        Error::Format { place: Place::Header | Place::Trailer | Place::Directory, kind, .. } => kind,
        _ => return String::new(),
    };
    match kind {
        FormatError::Truncated { what: "header", .. } => return String::new(),
        // Most likely it never was a .cae file.
        FormatError::Signature if path.extension().is_none_or(|e| e != "cae") => return String::new(),
        _ => {}
    }
    format!(
        ". `cae recover {} -o OUT` may read the rest, best with --like a file written in the same way or with --shape and --dtype",
        path.display()
    )
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
            message: format!("{}: {e}{}", path.display(), advice(path, &e)),
        }
    }

    /// What the operating system said of the file at `path`.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
        move |e| Failure::bad(format!("{}: {e}", path.display()))
    }
}
