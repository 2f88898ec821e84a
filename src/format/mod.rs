//! What is on disk: header, directory, trailer (SPEC 3 and 4). Layout only, read and written side by side.

pub(crate) mod directory;
pub(crate) mod header;
