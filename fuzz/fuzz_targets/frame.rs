//! Any bytes as a lone frame of a small block; what it decodes to does not depend on what was in the buffer.
#![no_main]
use cae::Element;
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

fn check<T: Element>(l: &Layout) {
    let (mut a, mut b) = (vec![T::from_f64(1.0); l.points()], vec![T::NAN; l.points()]);
    let first = cae::internals::frame::decode(l.rest, &l.dims, &mut a);
    let second = cae::internals::frame::decode(l.rest, &l.dims, &mut b);
    assert_eq!(first.is_ok(), second.is_ok());
    assert!(first.is_err() || a.iter().zip(&b).all(|(a, b)| a.to_bits64() == b.to_bits64()));
}

fuzz_target!(|data: &[u8]| {
    if let Some(l) = Layout::read(data) {
        if l.ordinary.is_some() { check::<f64>(&l) } else { check::<f32>(&l) }
    }
});
