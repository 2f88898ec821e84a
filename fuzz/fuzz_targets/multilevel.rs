//! Any bytes as codes of the multilevel kernel.
#![no_main]
use cae::internals::multilevel::{self, Way};
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(l) = Layout::read(data) {
        for way in [Way::Small, Way::Learner] {
            let _ = multilevel::decode(l.rest, &l.dims, l.ordinary(), way);
        }
    }
});
