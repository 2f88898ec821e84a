//! What can go wrong, by who must act.

use std::fmt;

/// Result of every fallible public function.
pub type Result<T> = std::result::Result<T, Error>;

/// Where in a file something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The file header (SPEC 3).
    Header,
    /// The trailer at the end of the file (SPEC 3).
    Trailer,
    /// The directory (SPEC 4).
    Directory,
    /// The embedded model with this index (SPEC 5).
    Model(u32),
    /// Frame `frame` of array `array` (SPEC 6).
    Frame {
        /// Index of the array in the directory.
        array: u32,
        /// Index of the frame in C order of the array's frame grid.
        frame: u64,
    },
    /// A frame that was given to the library outside any file.
    LoneFrame,
}

/// An error of this crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The bytes break the specification; no reader will do better.
    Format {
        /// The part of the file.
        place: Place,
        /// Absolute byte offset of that part in the file; 0 for a lone frame.
        offset: u64,
        /// What is wrong with it.
        kind: FormatError,
    },
    /// Valid, but needs a newer reader or something that is not there.
    Unsupported {
        /// The part of the file.
        place: Place,
        /// Absolute byte offset of that part in the file; 0 for a lone frame.
        offset: u64,
        /// What is needed.
        kind: Unsupported,
    },
    /// Valid, but over the caller's [`Limits`](crate::Limits).
    Limit {
        /// What there would be too much of.
        resource: Resource,
        /// How much the file asks for.
        wanted: u64,
        /// How much the limits allow.
        allowed: u64,
    },
    /// An ONNX model was refused or failed to run.
    Model(ModelError),
    /// The caller's argument is wrong; the file is not to blame.
    Argument(ArgumentError),
    /// Reading or writing failed.
    Io(std::io::Error),
}

/// What breaks the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the part needs.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        available: u64,
    },
    /// Bytes left over after a part was decoded.
    TrailingBytes {
        /// What was being read.
        what: &'static str,
        /// How many bytes are left.
        count: u64,
    },
    /// The first eight bytes are not the signature.
    Signature,
    /// The signature was changed by a text-mode transfer.
    TextModeDamage,
    /// A stored CRC-32 is not that of the bytes it covers.
    Checksum {
        /// What the checksum covers.
        what: &'static str,
        /// The checksum that is stored.
        stored: u32,
        /// The checksum of the bytes there.
        computed: u32,
    },
    /// The values decoded from a frame are not those that its writer checked.
    Digest {
        /// The digest that is stored.
        stored: u32,
        /// The digest of the decoded values.
        computed: u32,
    },
    /// An embedded model's bytes do not have the digest that names it.
    ModelDigest,
    /// A field holds a value outside its legal range.
    Value {
        /// Name of the field in the specification.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The largest legal value, or the only one.
        expected: u64,
    },
    /// A field holds a floating-point number outside its legal range.
    Number {
        /// Name of the field in the specification.
        field: &'static str,
        /// The bits of the number there.
        bits: u64,
        /// What would be legal.
        needed: &'static str,
    },
    /// A field holds a number that is too small.
    TooSmall {
        /// Name of the field in the specification.
        field: &'static str,
        /// The value there.
        found: u64,
        /// The smallest legal value, but perhaps for 0.
        least: u64,
    },
    /// Two counts that must agree do not.
    Count {
        /// What was counted.
        what: &'static str,
        /// The count there.
        found: u64,
        /// The count required.
        expected: u64,
    },
    /// A text field is not valid UTF-8, or holds a forbidden character.
    Text {
        /// Name of the field.
        field: &'static str,
    },
    /// Two arrays have the same name.
    DuplicateName,
    /// A frame needs a model, and its array names none.
    NoModel,
    /// A frame cannot be what the model of its array decodes.
    ModelMisfit {
        /// What does not fit.
        what: String,
    },
    /// Something is where it must not be, or missing where it must be.
    Forbidden {
        /// What it is.
        what: &'static str,
    },
    /// A variable-length integer is over-long or exceeds 64 bits.
    Varint {
        /// Name of the field.
        field: &'static str,
    },
    /// A bzip2 stream is damaged or of the wrong length.
    Bzip2 {
        /// What it should hold.
        what: &'static str,
    },
    /// A coded stream decodes to something impossible.
    Code {
        /// What was being decoded.
        what: &'static str,
    },
}

impl FormatError {
    /// A number that is not what is needed.
    pub(crate) fn number(field: &'static str, found: f64, needed: &'static str) -> Self {
        FormatError::Number { field, bits: found.to_bits(), needed }
    }
}

/// What this build or this version cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// The file has another version of the format than this reader knows.
    Version {
        /// Version of the file.
        found: (u8, u8),
        /// Newest version that this reader knows.
        newest: (u8, u8),
    },
    /// A field names a variant that this reader does not know.
    Variant {
        /// Name of the field.
        field: &'static str,
        /// The value there.
        found: u64,
    },
    /// The array needs a model that is neither in the file nor in the model store.
    ModelMissing {
        /// SHA-256 of the model's bytes.
        digest: [u8; 32],
    },
    /// A lone frame needs a model, and the caller gave none.
    ModelNeeded,
}

/// A resource that [`Limits`](crate::Limits) bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Bytes of memory at one time.
    Memory,
    /// Bytes of the array or region asked for.
    ArrayBytes,
    /// Bytes of the directory.
    DirectoryBytes,
    /// Values of one frame.
    FrameValues,
    /// Bytes of one model.
    ModelBytes,
    /// Nodes of one model.
    ModelNodes,
    /// Elements of the largest tensor that a model makes for one block.
    ModelElements,
    /// Multiply-adds of a model for one block.
    ModelOperations,
}

/// Why an ONNX model was refused, or how it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes are not an ONNX model.
    Malformed {
        /// What was wrong.
        what: String,
    },
    /// The model does something outside SPEC 5.
    Refused {
        /// Name of the node or tensor, or empty for the whole graph.
        node: String,
        /// What the node does and what would be allowed.
        reason: String,
    },
    /// The engine could not load or run the model.
    Engine {
        /// The engine's own message.
        message: String,
    },
    /// The model's inputs or outputs do not fit the array.
    Mismatch {
        /// What does not fit.
        what: String,
    },
}

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ArgumentError {
    /// No array has this name or index.
    NoSuchArray(String),
    /// Two arrays of one file may not share a name.
    DuplicateName(String),
    /// The array holds another type of value.
    DataType {
        /// Type of the array.
        array: &'static str,
        /// Type that was asked for.
        asked: &'static str,
    },
    /// The shape does not fit the number of values, or has too many dimensions.
    Shape(String),
    /// The region does not lie in the array.
    Region(String),
    /// The bound is not a positive finite number, or cannot be met.
    Bound(String),
    /// Some other argument is wrong; the text says which and why.
    Other(String),
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::Io(e)
    }
}
impl From<ModelError> for Error {
    fn from(e: ModelError) -> Self {
        Error::Model(e)
    }
}
impl From<ArgumentError> for Error {
    fn from(e: ArgumentError) -> Self {
        Error::Argument(e)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header => write!(f, "header"),
            Place::Trailer => write!(f, "trailer"),
            Place::Directory => write!(f, "directory"),
            Place::Model(i) => write!(f, "model {i}"),
            Place::Frame { array, frame } => write!(f, "frame {frame} of array {array}"),
            Place::LoneFrame => write!(f, "frame"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Format { place, offset, kind } => write!(f, "{place} at byte {offset}: {kind}"),
            Error::Unsupported { place, offset, kind } => write!(f, "{place} at byte {offset}: {kind}"),
            Error::Limit { resource, wanted, allowed } => {
                write!(f, "{resource} limit: the file needs {wanted}, {allowed} allowed")
            }
            Error::Model(m) => write!(f, "model: {m}"),
            Error::Argument(a) => a.fmt(f),
            Error::Io(e) => e.fmt(f),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Truncated { what, needed, available } => {
                write!(f, "{what} needs {needed} bytes, {available} left")
            }
            FormatError::TrailingBytes { what, count } => write!(f, "{count} bytes left over after {what}"),
            FormatError::Signature => write!(f, "not a .cae file: the signature is missing"),
            FormatError::TextModeDamage => {
                write!(f, "the signature was damaged by a text-mode transfer; transfer the file again in binary mode")
            }
            FormatError::Checksum { what, stored, computed } => {
                write!(f, "checksum of {what} is {computed:08x}, {stored:08x} stored")
            }
            FormatError::Digest { stored, computed } => {
                write!(f, "digest of the decoded values is {computed:08x}, {stored:08x} stored")
            }
            FormatError::ModelDigest => write!(f, "the bytes of the model do not have the digest that names it"),
            FormatError::Value { field, found, expected } if found > expected => {
                write!(f, "{field} is {found}, at most {expected} is legal")
            }
            FormatError::Value { field, found, expected } => {
                write!(f, "{field} is {found}, which is not legal; the greatest legal value is {expected}")
            }
            FormatError::Number { field, bits, needed } => {
                write!(f, "{field} is {}, not {needed}", f64::from_bits(*bits))
            }
            FormatError::TooSmall { field, found, least } => write!(f, "{field} is {found}, at least {least} is legal"),
            FormatError::Count { what, found, expected } => write!(f, "{found} {what}, {expected} required"),
            FormatError::Text { field } => write!(f, "{field} is not legal UTF-8 text"),
            FormatError::DuplicateName => write!(f, "two arrays have the same name"),
            FormatError::NoModel => write!(f, "the frame needs a model, and its array names none"),
            FormatError::ModelMisfit { what } => write!(f, "the model does not fit the frame: {what}"),
            FormatError::Forbidden { what } => write!(f, "{what}, which the specification forbids"),
            FormatError::Varint { field } => write!(f, "{field} is not a minimal variable-length integer of 64 bits"),
            FormatError::Bzip2 { what } => write!(f, "the bzip2 stream of {what} is damaged"),
            FormatError::Code { what } => write!(f, "{what} decodes to an impossible value"),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Version { found, newest } => write!(
                f,
                "the file has format version {}.{}, this reader knows {}.{}; {} cae is needed",
                found.0,
                found.1,
                newest.0,
                newest.1,
                if found > newest { "a newer" } else { "an older" }
            ),
            Unsupported::Variant { field, found } => {
                write!(f, "{field} {found} is unknown to this reader; a newer cae may know it")
            }
            Unsupported::ModelMissing { digest } => {
                write!(f, "the model is not in the file; give the folder that holds {}.onnx", hex(digest))
            }
            Unsupported::ModelNeeded => write!(f, "it needs the model that it was written with, and none was given"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Memory => "memory",
            Resource::ArrayBytes => "array size",
            Resource::DirectoryBytes => "directory size",
            Resource::FrameValues => "values per frame",
            Resource::ModelBytes => "model size",
            Resource::ModelNodes => "model nodes",
            Resource::ModelElements => "model tensor elements",
            Resource::ModelOperations => "model operations",
        })
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelError::Malformed { what } => write!(f, "not a readable ONNX model: {what}"),
            ModelError::Refused { node, reason } if node.is_empty() => write!(f, "refused: {reason}"),
            ModelError::Refused { node, reason } => write!(f, "refused at `{node}`: {reason}"),
            ModelError::Engine { message } => write!(f, "the engine failed: {message}"),
            ModelError::Mismatch { what } => f.write_str(what),
        }
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentError::NoSuchArray(name) => write!(f, "no array `{name}` in the file"),
            ArgumentError::DuplicateName(name) => write!(f, "two arrays are named `{name}`"),
            ArgumentError::DataType { array, asked } => write!(f, "the array holds {array}, {asked} was asked for"),
            ArgumentError::Shape(s) | ArgumentError::Region(s) | ArgumentError::Bound(s) | ArgumentError::Other(s) => {
                f.write_str(s)
            }
        }
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What a part of a file can be refused for, before its place in the file is known.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It breaks the specification.
    Format(FormatError),
    /// It needs what is not there.
    Unsupported(Unsupported),
    /// Anything else, complete as it is.
    Other(Error),
}

impl Fault {
    /// A variant that this reader does not know.
    pub(crate) fn unknown(field: &'static str, found: impl Into<u64>) -> Fault {
        Fault::Unsupported(Unsupported::Variant { field, found: found.into() })
    }

    /// The error, now that the place is known.
    pub(crate) fn at(self, place: Place, offset: u64) -> Error {
        match self {
            Fault::Format(FormatError::NoModel) if place == Place::LoneFrame => {
                Error::Unsupported { place, offset, kind: Unsupported::ModelNeeded }
            }
            // Who decodes a lone frame gave the model.
            Fault::Format(FormatError::ModelMisfit { what }) if place == Place::LoneFrame => {
                ModelError::Mismatch { what }.into()
            }
            Fault::Format(kind) => Error::Format { place, offset, kind },
            Fault::Unsupported(kind) => Error::Unsupported { place, offset, kind },
            Fault::Other(e) => e,
        }
    }
}

impl From<FormatError> for Fault {
    fn from(e: FormatError) -> Self {
        Fault::Format(e)
    }
}
impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        match e {
            Error::Format { kind, .. } => Fault::Format(kind),
            Error::Unsupported { kind, .. } => Fault::Unsupported(kind),
            other => Fault::Other(other),
        }
    }
}
