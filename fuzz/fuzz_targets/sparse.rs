//! Any bytes as the four sections of the paper's pipeline, without a network and with a small one of our own.
#![no_main]
use cae::internals::decode_sparse;
use cae::model::Decoder;
use cae_fuzz::Layout;
use libfuzzer_sys::fuzz_target;

struct Repeat;

impl Decoder for Repeat {
    fn latent_len(&self) -> usize {
        2
    }
    fn block_shape(&self) -> &[usize] {
        &[8]
    }
    fn decode(&self, latents: &[f32], out: &mut [f32]) -> cae::Result<()> {
        latents.chunks_exact(2).zip(out.chunks_exact_mut(8)).for_each(|(l, o)| o.fill(l[0] + 0.1 * l[1]));
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(l) = Layout::read(data) else { return };
    let Some((lengths, rest)) = l.rest.split_first_chunk::<3>() else { return };
    let (a, rest) = rest.split_at(rest.len().min(lengths[0].into()));
    let (b, rest) = rest.split_at(rest.len().min(lengths[1].into()));
    let (c, d) = rest.split_at(rest.len().min(lengths[2].into()));
    let mut out = vec![0.0; l.points()];
    for decoder in [None, Some(&Repeat as &dyn Decoder)] {
        let _ = decode_sparse([a, b, c, d], &l.dims, l.ordinary.is_none(), decoder, &mut out);
    }
});
