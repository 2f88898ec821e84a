//! Any bytes as codes of the multilevel kernel.
#![no_main]
use cae::internals::multilevel::{self, Way};
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static NETWORK: LazyLock<Box<dyn cae::model::Decoder>> = LazyLock::new(|| {
    let model = include_bytes!("../../testdata/models/predictor.onnx");
    cae::model::load_decoder(model, &cae::Limits::default()).unwrap()
});

fuzz_target!(|data: &[u8]| {
    if let Some(l) = Layout::read(data) {
        for way in [Way::Small, Way::Learner, Way::Network(NETWORK.as_ref())] {
            let _ = multilevel::decode(l.rest, &l.dims, l.ordinary(), way);
        }
    }
});
