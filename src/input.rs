//! Arrays in files, as the command line is given them: `.npy` files and raw ones, or steps of a run with a file each.

use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Error, Result};
use crate::grid::Region;
use crate::npy;
use crate::source::{self, RawFile, Source};
use ndarray::{ArrayViewD, ArrayViewMutD};
use std::fs::File;
use std::path::{Path, PathBuf};

/// One array in a file, or in several, and how it is laid out there.
#[derive(Debug, Clone)]
pub struct Input {
    /// The file, or the first of several.
    pub path: PathBuf,
    /// The file's name up to its shape or extension; of several, what they have in common up to a number.
    pub name: String,
    /// Type of the values.
    pub data_type: DataType,
    shape: Vec<u64>,
    layout: Layout,
}

/// Where the values are.
#[derive(Debug, Clone)]
enum Layout {
    File { data_offset: u64, fortran_order: bool, big_endian: bool },
    Stack(Vec<Input>),
}

impl Input {
    /// Finds out what `path` holds: a `.npy` file, or raw little-endian values in C order named like
    /// `NAME_41x128x128.f32` or described by `shape` and `data_type`.
    ///
    /// # Errors
    /// [`Error::Io`], also where a `.npy` header is damaged; [`ArgumentError::Other`] where type or
    /// shape are not known or not supported.
    pub fn describe(path: &Path, shape: Option<&[u64]>, data_type: Option<DataType>) -> Result<Self> {
        let wrong = |what: &str| ArgumentError::Other(what.to_owned());
        let file_name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, extension) = file_name.rsplit_once('.').unwrap_or((&file_name, ""));
        let of = |name: &str, data_type, shape| Input {
            path: path.to_owned(),
            name: name.to_owned(),
            data_type,
            shape,
            layout: Layout::File { data_offset: 0, fortran_order: false, big_endian: false },
        };
        let extension = extension.to_lowercase();
        if extension == "npy" {
            let h = npy::read_header(std::io::BufReader::new(File::open(path)?))
                .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
            let data_type = match h.descr.as_str() {
                "<f4" | ">f4" => DataType::F32,
                "<f8" | ">f8" => DataType::F64,
                other => return Err(wrong(&format!("values of type {other}; f4 and f8 are supported")).into()),
            };
            let (data_offset, fortran_order) = (h.data_offset, h.fortran_order);
            let layout = Layout::File { data_offset, fortran_order, big_endian: h.descr.starts_with('>') };
            return Ok(Input { layout, ..of(stem, data_type, h.shape) });
        }
        let named = stem.rsplit_once('_').and_then(|(name, s)| Some((name, parse_shape(s).ok()?)));
        let data_type = data_type.or(match extension.as_str() {
            "f32" => Some(DataType::F32),
            "f64" => Some(DataType::F64),
            _ => None,
        });
        let data_type = data_type.ok_or_else(|| wrong("of what type? Name it .f32, .f64 or .npy, or give --dtype"))?;
        let (name, shape) = match (shape, named) {
            (Some(s), Some((name, _))) => (name, s.to_vec()),
            (Some(s), None) => (stem, s.to_vec()),
            (None, Some((name, s))) => (name, s),
            (None, None) => {
                return Err(wrong("of what shape? Name it like NAME_41x128x128.f32, or give --shape").into());
            }
        };
        Ok(of(name, data_type, shape))
    }

    /// Arrays of one shape and type as one, behind each other along a new first dimension.
    ///
    /// # Errors
    /// [`ArgumentError::Shape`] if there is none, or one has another shape or type than the first.
    pub fn stack(parts: Vec<Input>) -> Result<Self> {
        let wrong = |what: String| Error::from(ArgumentError::Shape(what));
        let first = parts.first().ok_or_else(|| wrong("a stack needs an array".into()))?;
        for part in &parts {
            if (&part.shape, part.data_type) != (&first.shape, first.data_type) {
                let what = |i: &Input| format!("{} is {:?} of {}", i.path.display(), i.shape, i.data_type.name());
                return Err(wrong(format!(
                    "a stack needs arrays of one shape and type: {}, {}",
                    what(first),
                    what(part)
                )));
            }
        }
        let shape = std::iter::once(parts.len() as u64).chain(first.shape.iter().copied()).collect();
        let (path, name, data_type) = (first.path.clone(), common_name(&parts), first.data_type);
        Ok(Input { path, name, data_type, shape, layout: Layout::Stack(parts) })
    }

    /// Extents of the array, C order.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The files, in the order of the values.
    pub fn files(&self) -> Vec<&Path> {
        match &self.layout {
            Layout::File { .. } => vec![&self.path],
            Layout::Stack(parts) => parts.iter().flat_map(Input::files).collect(),
        }
    }

    /// The values, as a source that reads what it is asked for.
    ///
    /// # Errors
    /// As [`RawFile::open`].
    pub fn open<T: Element>(&self) -> Result<Box<dyn Source<T>>> {
        let (data_offset, fortran_order, big_endian) = match &self.layout {
            Layout::File { data_offset, fortran_order, big_endian } => (*data_offset, *fortran_order, *big_endian),
            Layout::Stack(parts) => {
                // What is wrong with a file is found before the first value is read.
                parts.iter().try_for_each(|part| part.open::<T>().map(drop).map_err(|e| of_file(part, e)))?;
                return Ok(Box::new(Stack { shape: self.shape.clone(), parts: parts.clone() }));
            }
        };
        let open = |shape: &[u64]| {
            let file = RawFile::<T>::open(&self.path, shape, data_offset)?;
            Ok::<_, Error>(if big_endian { file.big_endian() } else { file })
        };
        if !fortran_order {
            return Ok(Box::new(open(&self.shape)?));
        }
        // Fortran order is C order of the reversed shape.
        let reversed: Vec<u64> = self.shape.iter().rev().copied().collect();
        Ok(Box::new(Turned(open(&reversed)?)))
    }
}

/// Extents written like `41x128x128`; an empty text is a scalar.
///
/// # Errors
/// A message for people, where `text` is no shape.
pub fn parse_shape(text: &str) -> std::result::Result<Vec<u64>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let extent = |s: &str| s.parse::<u64>().map_err(|_| format!("`{s}` is no extent; a shape looks like 41x128x128"));
    text.split('x').map(extent).collect()
}

/// What the names of `parts` begin with, without the digits and separators that it ends in; the first name if that is nothing.
fn common_name(parts: &[Input]) -> String {
    let mut names = parts.iter().map(|p| p.name.as_str());
    let first = names.next().unwrap_or_default();
    let alike = |a: &str, b: &str| a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map(|((i, _), _)| i);
    let common = names.fold(first, |common, name| {
        let end = alike(common, name).unwrap_or(common.len().min(name.len()));
        common.get(..end).unwrap_or_default()
    });
    let ends = |c: char| c.is_ascii_digit() || "_-. ".contains(c);
    let common = if parts.len() > 1 { common.trim_end_matches(ends) } else { common };
    if common.is_empty() { first.to_owned() } else { common.to_owned() }
}

/// An error that says in which of several files it is.
fn of_file(input: &Input, e: Error) -> Error {
    let path = input.path.display();
    match e {
        Error::Io(e) => std::io::Error::new(e.kind(), format!("{path}: {e}")).into(),
        Error::Argument(ArgumentError::Shape(what)) => ArgumentError::Shape(format!("{path}: {what}")).into(),
        e => e,
    }
}

/// Arrays behind each other along a new first dimension. Their files are open while they are read only: there may be more of them than a
/// process may have open.
struct Stack {
    shape: Vec<u64>,
    parts: Vec<Input>,
}

impl<T: Element> Source<T> for Stack {
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        source::check(region, &self.shape, out.len())?;
        let (Some(steps), Some((_, start)), Some((_, extent))) =
            (region.ranges().next(), region.start.split_first(), region.extent.split_first())
        else {
            return Ok(());
        };
        let inner = Region { start: start.to_vec(), extent: extent.to_vec() };
        let part = |step: u64| usize::try_from(step).ok().and_then(|step| self.parts.get(step));
        for (part, out) in steps.filter_map(part).zip(out.chunks_mut(inner.len().max(1))) {
            part.open::<T>().and_then(|source| source.read(&inner, out)).map_err(|e| of_file(part, e))?;
        }
        Ok(())
    }
}

/// An array whose axes are read in reverse.
struct Turned<T>(RawFile<T>);

impl<T: Element> Source<T> for Turned<T> {
    fn shape(&self) -> Vec<u64> {
        self.0.shape().into_iter().rev().collect()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        let reversed = Region {
            start: region.start.iter().rev().copied().collect(),
            extent: region.extent.iter().rev().copied().collect(),
        };
        let wrong = |e: ndarray::ShapeError| Error::from(ArgumentError::Shape(e.to_string()));
        let mut values = vec![T::default(); out.len()];
        self.0.read(&reversed, &mut values)?;
        let values = ArrayViewD::from_shape(reversed.extent, &values).map_err(wrong)?;
        ArrayViewMutD::from_shape(region.extent.as_slice(), out).map_err(wrong)?.assign(&values.reversed_axes());
        Ok(())
    }
}
