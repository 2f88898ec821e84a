//! The headers of NumPy's `.npy` files, versions 1 to 3.

use std::io::{self, Read, Write};

/// What a `.npy` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// NumPy's type string, such as `<f4`.
    pub descr: String,
    /// Whether the first axis varies fastest.
    pub fortran_order: bool,
    /// Extents.
    pub shape: Vec<u64>,
    /// Bytes before the first value.
    pub data_offset: u64,
}

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is read: NumPy's own are far below.
const MAX_HEADER: u32 = 1 << 20;

/// Reads the header at the start of `file`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn read_header(mut file: impl Read) -> Result<Header, String> {
    let mut start = [0; 8];
    let short = |_| "ends inside the .npy header".to_owned();
    file.read_exact(&mut start).map_err(short)?;
    let [magic @ .., major, _] = start;
    if magic != *MAGIC {
        return Err("not a .npy file: its signature is missing".into());
    }
    let (len, prefix) = if major == 1 {
        let mut n = [0; 2];
        file.read_exact(&mut n).map_err(short)?;
        (u32::from(u16::from_le_bytes(n)), 10u64)
    } else {
        let mut n = [0; 4];
        file.read_exact(&mut n).map_err(short)?;
        (u32::from_le_bytes(n), 12)
    };
    if len > MAX_HEADER {
        return Err(format!("the .npy header claims {len} bytes"));
    }
    let mut text = vec![0; len as usize];
    file.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8_lossy(&text);
    let missing = |key: &str| format!("the .npy header has no `{key}`");
    let after = |key: &str| {
        let at = text.find(&format!("'{key}'")).ok_or_else(|| missing(key))?;
        let (_, value) = text.get(at..).and_then(|t| t.split_once(':')).ok_or_else(|| missing(key))?;
        Ok::<&str, String>(value.trim_start())
    };
    let descr = after("descr")?;
    let descr =
        descr.strip_prefix('\'').and_then(|d| d.split_once('\'')).ok_or("structured types are not supported")?.0;
    let order = after("fortran_order")?;
    let shape = after("shape")?.strip_prefix('(').and_then(|s| s.split_once(')')).ok_or_else(|| missing("shape"))?.0;
    let extent = |s: &str| s.trim().parse::<u64>().map_err(|_| format!("`{s}` in the .npy shape is no extent"));
    let shape = shape.split(',').filter(|s| !s.trim().is_empty()).map(extent).collect::<Result<_, _>>()?;
    Ok(Header {
        descr: descr.to_owned(),
        fortran_order: order.starts_with("True"),
        shape,
        data_offset: prefix.saturating_add(len.into()),
    })
}

/// Writes a version 1 header for C-order values of type `descr`, padded to 64 bytes as NumPy does.
///
/// # Errors
/// Those of `out`, and more dimensions than the header holds.
pub fn write_header(mut out: impl Write, descr: &str, shape: &[u64]) -> io::Result<()> {
    let mut dims: Vec<String> = shape.iter().map(u64::to_string).collect();
    if dims.len() == 1 {
        dims.push(String::new());
    }
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.join(", "));
    // Signature, version, length and the final line feed take 11 bytes.
    let padded = dict.len().saturating_add(11).next_multiple_of(64).saturating_sub(11);
    let len = u16::try_from(padded.saturating_add(1)).map_err(|_| io::Error::other("too many dimensions"))?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&len.to_le_bytes())?;
    writeln!(out, "{dict:padded$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for shape in [vec![], vec![5], vec![2, 3, 4], vec![0, 7]] {
            let mut bytes = Vec::new();
            write_header(&mut bytes, "<f4", &shape).unwrap();
            assert_eq!(bytes.len() % 64, 0);
            let h = read_header(bytes.as_slice()).unwrap();
            assert_eq!((h.shape, h.descr.as_str(), h.fortran_order), (shape, "<f4", false));
            assert_eq!(h.data_offset, bytes.len() as u64);
        }
        assert!(read_header(&b"\x93NUMPX"[..]).is_err());
    }
}
