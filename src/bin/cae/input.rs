//! Arrays that the command line is given: `.npy` files and raw ones.

use crate::args::{Dtype, Shape, parse_shape};
use crate::failure::Failure;
use crate::npy;
use cae::{Element, RawFile, Region, Source};
use ndarray::{ArrayD, IxDyn};
use std::fs::File;
use std::path::{Path, PathBuf};

/// One input and how it is laid out.
#[derive(Debug, Clone)]
pub struct Input {
    pub path: PathBuf,
    /// The file's name up to its shape or extension.
    pub name: String,
    pub dtype: Dtype,
    shape: Vec<u64>,
    data_offset: u64,
    fortran_order: bool,
}

/// Finds out what `path` holds; `shape` and `dtype` are what the user said of raw files.
pub fn describe(path: &Path, shape: Option<&Shape>, dtype: Option<Dtype>) -> Result<Input, Failure> {
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let file_name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, extension) = file_name.rsplit_once('.').unwrap_or((&file_name, ""));
    if extension == "npy" {
        let file = File::open(path).map_err(Failure::io(path))?;
        let h = npy::read_header(std::io::BufReader::new(file))
            .map_err(|e| Failure::bad(format!("{}: {e}", path.display())))?;
        let dtype = match h.descr.as_str() {
            "<f4" => Dtype::F32,
            "<f8" => Dtype::F64,
            other => return Err(wrong(format!("values of type {other}; <f4 and <f8 are supported"))),
        };
        let (data_offset, fortran_order) = (h.data_offset, h.fortran_order);
        return Ok(Input {
            path: path.to_owned(),
            name: stem.to_owned(),
            dtype,
            shape: h.shape,
            data_offset,
            fortran_order,
        });
    }
    let named = stem.rsplit_once('_').and_then(|(name, s)| Some((name, parse_shape(s).ok()?)));
    let dtype = dtype.or(match extension {
        "f32" => Some(Dtype::F32),
        "f64" => Some(Dtype::F64),
        _ => None,
    });
    let dtype = dtype.ok_or_else(|| wrong("of what type? Name it .f32, .f64 or .npy, or give --dtype".into()))?;
    let (name, shape) = match (shape, named) {
        (Some(s), Some((name, _))) => (name, s.clone()),
        (Some(s), None) => (stem, s.clone()),
        (None, Some((name, s))) => (name, s),
        (None, None) => return Err(wrong("of what shape? Name it like NAME_41x128x128.f32, or give --shape".into())),
    };
    Ok(Input {
        path: path.to_owned(),
        name: name.to_owned(),
        dtype,
        shape: shape.0,
        data_offset: 0,
        fortran_order: false,
    })
}

impl Input {
    /// The values, as a source that reads what it is asked for.
    pub fn open<T: Element>(&self) -> Result<Box<dyn Source<T>>, Failure> {
        let here = Failure::at(&self.path);
        if !self.fortran_order {
            return Ok(Box::new(RawFile::<T>::open(&self.path, &self.shape, self.data_offset).map_err(here)?));
        }
        // Fortran order is C order of the reversed shape; it is turned round in memory.
        let reversed: Vec<u64> = self.shape.iter().rev().copied().collect();
        let file = RawFile::<T>::open(&self.path, &reversed, self.data_offset).map_err(&here)?;
        let extent: Vec<usize> = reversed.iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
        let region = Region { start: vec![0; extent.len()], extent };
        let mut values = vec![T::default(); region.len()];
        file.read(&region, &mut values).map_err(here)?;
        let array = ArrayD::from_shape_vec(IxDyn(&region.extent), values)
            .map_err(|e| Failure::bad(format!("{}: {e}", self.path.display())))?;
        Ok(Box::new(Turned(array)))
    }
}

/// An array whose axes are read in reverse.
struct Turned<T>(ArrayD<T>);

impl<T: Element> Source<T> for Turned<T> {
    fn shape(&self) -> Vec<u64> {
        self.0.shape().iter().rev().map(|n| *n as u64).collect()
    }

    fn read(&self, region: &Region, out: &mut [T]) -> cae::Result<()> {
        self.0.view().reversed_axes().read(region, out)
    }
}
