//! Any bytes as codes of the exact kernel.
#![no_main]
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(l) = Layout::read(data) {
        let _ = cae::internals::exact::decode(l.rest, &l.dims, l.ordinary());
    }
});
