//! Any bytes as an ONNX model: vetted, and run if it passes.
#![no_main]
use cae_fuzz::limits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if cae::model::check(data, &limits()).is_ok()
        && let Ok(decoder) = cae::model::load_decoder(data, &limits())
    {
        let _ = decoder.decode(&vec![0.5; decoder.latent_len()], &mut vec![0.0; decoder.block_len()]);
    }
});
