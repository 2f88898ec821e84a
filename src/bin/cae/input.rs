//! Arrays that the command line is given.

use crate::args::Raw;
use crate::failure::Failure;
pub use cae::input::Input;
use cae::{DataType, Element, Region, Source};
use std::path::{Path, PathBuf};

/// Finds out what `path` holds; `raw` is what the user said of raw files.
pub fn describe(path: &Path, raw: &Raw) -> Result<Input, Failure> {
    let data_type = raw.dtype.map(DataType::from);
    let input = describe_as(path, raw.shape.as_ref().map(|s| s.0.as_slice()), data_type)?;
    let contradiction = match (&raw.shape, data_type) {
        (Some(asked), _) if asked.0 != input.shape() => {
            format!("--shape is {:?}, the file has {:?}", asked.0, input.shape())
        }
        (_, Some(asked)) if asked != input.data_type => {
            format!("--dtype is {}, the file has {}", asked.name(), input.data_type.name())
        }
        _ => return Ok(input),
    };
    Err(Failure::usage(format!("{}: {contradiction}", path.display())))
}

fn describe_as(path: &Path, shape: Option<&[u64]>, data_type: Option<DataType>) -> Result<Input, Failure> {
    must_be_a_file(path)?;
    Input::describe(path, shape, data_type).map_err(Failure::at(path))
}

/// Refuses folders, and what can be read only once, from front to back.
pub fn must_be_a_file(path: &Path) -> Result<(), Failure> {
    let wrong = match path.metadata() {
        _ if path.as_os_str() == "-" => true,
        Ok(m) if m.is_dir() => return Err(Failure::usage(format!("{}: a folder, not a file", path.display()))),
        Ok(m) => !m.is_file(),
        // Whoever opens it says what is wrong.
        Err(_) => false,
    };
    if wrong {
        return Err(Failure::usage(format!(
            "{}: a pipe or device cannot be read; save it to a file first",
            path.display()
        )));
    }
    Ok(())
}

/// Refuses a fill value that the type of the values does not have.
pub fn check_fill(fill: Option<f64>, input: &Input) -> Result<(), Failure> {
    match fill {
        Some(v) if input.data_type == DataType::F32 && v.is_finite() && f32::from_f64(v).is_infinite() => {
            Err(Failure::usage(format!("{}: --fill {v:e} is beyond the range of its f32", input.path.display())))
        }
        _ => Ok(()),
    }
}

/// Several arrays as one.
pub fn stack(parts: Vec<Input>) -> Result<Input, Failure> {
    Input::stack(parts).map_err(|e| Failure::usage(e.to_string()))
}

/// Opens bounds of the points of `values`, binary64 whatever the values are. A raw file has the shape of the values where the command
/// says what that is, else that of its name.
pub fn open_bounds(path: &Path, raw: &Raw, values: &Input) -> Result<Box<dyn Source<f64>>, Failure> {
    let is_single = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("f32"));
    let data_type = if is_single { DataType::F32 } else { DataType::F64 };
    let bounds = describe_as(path, raw.shape.as_ref().map(|_| values.shape()), Some(data_type))?;
    if bounds.shape() != values.shape() {
        let (has, needs) = (bounds.shape(), values.shape());
        return Err(Failure::usage(format!(
            "{}: bounds of shape {has:?}, {} has {needs:?}",
            path.display(),
            values.path.display()
        )));
    }
    let here = Failure::at(path);
    match bounds.data_type {
        DataType::F32 => Ok(Box::new(Widened(bounds.open().map_err(here)?))),
        _ => bounds.open().map_err(here),
    }
}

/// Single values as double ones.
struct Widened(Box<dyn Source<f32>>);

impl Source<f64> for Widened {
    fn shape(&self) -> Vec<u64> {
        self.0.shape()
    }

    fn read(&self, region: &Region, out: &mut [f64]) -> cae::Result<()> {
        let mut single = vec![0.0; out.len()];
        self.0.read(region, &mut single)?;
        out.iter_mut().zip(single).for_each(|(out, v)| *out = v.into());
        Ok(())
    }
}

/// Two files of which the first is given before the second, though its name comes after: numbers count as such, whether 1.10 is more
/// than 1.9 or less.
pub fn out_of_order(files: &[PathBuf]) -> Option<(&Path, &Path)> {
    let names: Vec<_> = files.iter().map(|f| f.to_string_lossy()).collect();
    let descend = |a: &str, b: &str| [true, false].iter().all(|decimals| pieces(a, *decimals) > pieces(b, *decimals));
    let at = names.windows(2).position(|pair| matches!(pair, [a, b] if descend(a, b)))?;
    Some((files.get(at)?, files.get(at.checked_add(1)?)?))
}

/// A name's text and numbers, in the order of which names are: of numbers without their first zeros the longer is the larger, but for
/// decimals behind a point.
fn pieces(name: &str, decimals: bool) -> Vec<(bool, usize, &str)> {
    let mut pieces: Vec<(bool, usize, &str)> = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(end);
        let digits = piece.trim_start_matches('0');
        let is_decimal = decimals && matches!(pieces.as_slice(), [.., (false, ..), (true, _, ".")]);
        pieces.push(match is_number {
            false => (true, 0, piece),
            true if is_decimal => (false, 0, piece),
            true => (false, digits.len(), digits),
        });
        rest = more;
    }
    pieces
}

/// Refuses to replace a file, unless told to. Asked again before a file gets its name, which may have been given away meanwhile.
pub fn not_taken(path: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} exists; --force replaces it", path.display())));
    }
    Ok(())
}

/// Refuses to write over a file that is read.
pub fn not_replaced(read: &Path, written: &Path) -> Result<(), Failure> {
    match (read.canonicalize(), written.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => {
            Err(Failure::usage(format!("{} is read: it cannot be written at once", written.display())))
        }
        _ => Ok(()),
    }
}
