//! Any bytes as codes of the fast kernel.
#![no_main]
use cae::internals::fast_decode;
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(l) = Layout::read(data) {
        let _ = fast_decode(l.rest, &l.dims, l.ordinary(), &mut vec![0f32; l.points()]);
        let _ = fast_decode(l.rest, &l.dims, l.ordinary(), &mut vec![0f64; l.points()]);
    }
});
