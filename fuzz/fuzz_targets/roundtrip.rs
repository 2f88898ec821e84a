//! Any values come back within any bound, by every preset.
#![no_main]
use cae::{ArrayOptions, Bound, Element, Preset, Reader, Writer};
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;
use ndarray::{ArrayD, IxDyn};

fn check<T: Element>(l: &Layout, values: &[u8], options: &ArrayOptions) {
    let value = |i: usize| T::get_le(values.chunks_exact(size_of::<T>()).nth(i)?);
    let values = (0..l.points()).map(|i| value(i).unwrap_or_default()).collect();
    let values = ArrayD::<T>::from_shape_vec(IxDyn(&l.dims), values).unwrap();
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("a", &values.view(), options).unwrap();
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).unwrap();
    let array = reader.array("a").unwrap();
    let (stats, met) = array.compare(&values.view(), options.fill.map(T::from_f64)).unwrap();
    assert!(met && stats.max_error_over_bound <= 1.0);
}

fuzz_target!(|data: &[u8]| {
    let Some(l) = Layout::read(data).filter(|l| l.points() <= 1024) else { return };
    let Some((&[how, b @ ..], values)) = l.rest.split_first_chunk::<9>() else { return };
    let e = f64::from_le_bytes(b);
    let bound = [Bound::Lossless, Bound::Absolute(e), Bound::Range(e), Bound::Pointwise(e)][usize::from(how & 3)];
    let preset = [Preset::Fast, Preset::Balanced, Preset::Small, Preset::Balanced][usize::from(how >> 2 & 3)];
    let fill = (how & 16 != 0).then_some(-99.0);
    if bound.validate().is_ok() {
        let options = ArrayOptions { bound, preset, fill, threads: 1, ..ArrayOptions::default() };
        if how & 32 != 0 { check::<f64>(&l, values, &options) } else { check::<f32>(&l, values, &options) }
    }
});
