//! The first repeat that pays, and then the next. On the writer's side only.

use super::sequences::{BIT, Sequence, alike, cost};

/// Integers of a hash.
const SHORT: usize = 4;
/// Bits of a hash.
const BITS: u32 = 15;
/// Distances that are tried at each place: the last, two that are likely, and where the same integers stood.
const TRIED: usize = 4;

/// The four integers from `i` on.
#[inline(always)]
fn four(q: &[u16], i: usize) -> Option<u64> {
    let [a, b, c, d] = *q.get(i..)?.first_chunk::<SHORT>()?;
    Some(u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48)
}

/// Sequences that save more than they cost. `prices` has the sums of what the integers cost as literals: those of the first `i` at
/// place `i`; `near` are distances that are likely.
pub(super) fn find(q: &[u16], prices: &[u32], near: [usize; 2]) -> Vec<Sequence> {
    /// Integers that cost no more together are not looked up, ...
    const CHEAP: u32 = 12 * BIT;
    /// ... so many.
    const AHEAD: usize = 32;
    /// What a sequence must save.
    const WORTH: u32 = 4 * BIT;
    /// After so many places without a repeat one more is left out each time.
    const PATIENCE: usize = 6;
    let mut places = vec![0u32; 1 << BITS];
    let mut found: Vec<Sequence> = Vec::new();
    // Where the last copy ended, its distance, and the repeats that were too short to pay: distance and end.
    let (mut copied, mut last, mut poor) = (0, 1, [(0, 0); TRIED]);
    let (mut i, mut misses) = (0, 0usize);
    while let Some(word) = four(q, i) {
        let ahead = q.len().min(i + AHEAD);
        if prices[ahead] - prices[i] <= CHEAP {
            i = ahead;
            continue;
        }
        let place = &mut places[(word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)) as usize];
        let before = std::mem::replace(place, i as u32 + 1) as usize;
        let mut best = (WORTH, 0, 0, 0);
        for (d, poor) in [last, near[0], near[1], (i + 1 - before) % (i + 1)].into_iter().zip(&mut poor) {
            if d == 0 || d > i || (poor.0 == d && i < poor.1) || four(q, i - d) != Some(word) {
                continue;
            }
            let end = i + alike(q, i, d);
            let mut start = i;
            while start > copied.max(d) && q[start - 1] == q[start - 1 - d] {
                start -= 1;
            }
            let cost = cost((start - copied) as u32, (end - start) as u32, d as u32, last as u32);
            let saved = (prices[end] - prices[start]).saturating_sub(cost);
            if saved > best.0 {
                best = (saved, start, end, d);
            } else {
                *poor = (d, end);
            }
        }
        let (_, start, end, d) = best;
        if d == 0 {
            misses += 1;
            i += 1 + (misses >> PATIENCE);
            continue;
        }
        let distance = if d == last { 0 } else { d as u32 };
        found.push(Sequence { run: (start - copied) as u32, len: (end - start) as u32, distance });
        (copied, last, i, misses) = (end, d, end, 0);
    }
    found
}
