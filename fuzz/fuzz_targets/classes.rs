//! Any bytes as a class image, and any bytes as classes that must come back.
#![no_main]
use cae::internals::classes;
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(l) = Layout::read(data) else { return };
    let Some((alphabet, bytes)) = l.rest.split_first() else { return };
    let alphabet = alphabet % 16 + 1;
    if let Ok(image) = classes::decode(bytes, alphabet, &l.dims) {
        assert!(image.iter().all(|c| *c < alphabet));
    }
    if let Ok(image) = classes::decode_bits(bytes, alphabet, l.points()) {
        assert!(image.iter().all(|c| *c < alphabet));
    }
    let image: Vec<u8> = (0..l.points()).map(|i| bytes.get(i).map_or(0, |b| b % alphabet)).collect();
    let coded = classes::encode(&image, alphabet, &l.dims);
    assert_eq!(classes::decode(&coded, alphabet, &l.dims).unwrap(), image);
    let coded = classes::encode_bits(&image, alphabet, &l.dims);
    assert_eq!(classes::decode_bits(&coded, alphabet, image.len()).unwrap(), image);
});
