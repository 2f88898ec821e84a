//! Arrays in files, as the command line is given them: `.npy` files and raw ones.

use crate::element::{DataType, Element};
use crate::error::{ArgumentError, Error, Result};
use crate::grid::Region;
use crate::npy;
use crate::source::{RawFile, Source};
use ndarray::{ArrayD, IxDyn};
use std::fs::File;
use std::path::{Path, PathBuf};

/// One array in a file, and how it is laid out there.
#[derive(Debug, Clone)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// The file's name up to its shape or extension.
    pub name: String,
    /// Type of the values.
    pub data_type: DataType,
    shape: Vec<u64>,
    data_offset: u64,
    fortran_order: bool,
    big_endian: bool,
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
            data_offset: 0,
            fortran_order: false,
            big_endian: false,
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
            return Ok(Input {
                data_offset: h.data_offset,
                fortran_order: h.fortran_order,
                big_endian: h.descr.starts_with('>'),
                ..of(stem, data_type, h.shape)
            });
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

    /// Extents of the array, C order.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The values, as a source that reads what it is asked for.
    ///
    /// # Errors
    /// As [`RawFile::open`].
    pub fn open<T: Element>(&self) -> Result<Box<dyn Source<T>>> {
        let open = |shape: &[u64]| {
            let file = RawFile::<T>::open(&self.path, shape, self.data_offset)?;
            Ok::<_, Error>(if self.big_endian { file.big_endian() } else { file })
        };
        if !self.fortran_order {
            return Ok(Box::new(open(&self.shape)?));
        }
        // Fortran order is C order of the reversed shape; it is turned round in memory.
        let reversed: Vec<u64> = self.shape.iter().rev().copied().collect();
        let file = open(&reversed)?;
        let extent: Vec<usize> = reversed.iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
        let region = Region { start: vec![0; extent.len()], extent };
        let mut values = vec![T::default(); region.len()];
        file.read(&region, &mut values)?;
        let array = ArrayD::from_shape_vec(IxDyn(&region.extent), values);
        Ok(Box::new(Turned(array.map_err(|e| ArgumentError::Shape(e.to_string()))?)))
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

/// An array whose axes are read in reverse.
struct Turned<T>(ArrayD<T>);

impl<T: Element> Source<T> for Turned<T> {
    fn shape(&self) -> Vec<u64> {
        self.0.shape().iter().rev().map(|n| *n as u64).collect()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> Result<()> {
        self.0.view().reversed_axes().read(region, out)
    }
}
