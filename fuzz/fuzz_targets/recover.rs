//! What is left of any file is found or not, in little memory; a file that was made of it opens, and reading it ends.
#![no_main]
use cae::{DataType, Known, Reader, recover};
use cae_fuzz::{Layout, limits, options, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    // Nothing is known, or a file like it stands before it, or a grid.
    if *kind == 0 {
        made_of(data, &Known::Nothing);
    } else if *kind < 128 {
        let Some((len, data)) = data.split_at_checked(2) else { return };
        let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
        let Some((like, file)) = data.split_at_checked(len) else { return };
        let Ok(like) = Reader::new_with(like, options()) else { return };
        made_of(file, &Known::Like(&like));
    } else {
        let Some(layout) = Layout::read(data) else { return };
        let shape: Vec<u64> = layout.dims.iter().map(|n| *n as u64).collect();
        let data_type = if kind % 2 == 0 { DataType::F32 } else { DataType::F64 };
        made_of(layout.rest, &Known::Array { name: "a", data_type, shape: &shape, frame_shape: None });
    }
});

fn made_of(file: &[u8], known: &Known) {
    let mut out = Vec::new();
    if recover(file, known, &limits(), &mut out).is_ok() {
        let _ = read(&Reader::new_with(&out, options()).unwrap());
    }
}
