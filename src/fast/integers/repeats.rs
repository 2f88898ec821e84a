//! Which integers to copy from where they stood before, so that all cost least. On the writer's side only.

use super::Effort;
use super::sequences::{BIT, Sequence, alike, cost};
use crate::vector::vectorize;
use std::ops::Range;

/// Integers of a hash.
const SHORT: usize = 3;
const LONG: usize = 8;
/// Earlier places with the same hash that are looked at.
const TRIES: usize = 8;
/// Repeats so long are taken without looking for better ones.
const ENOUGH: usize = 192;
/// Where integers stood before.
struct Finder<'a> {
    q: &'a [u16],
    /// Last place of each hash, plus one.
    short: Vec<u32>,
    long: Vec<u32>,
    /// Place of the same short hash before each place, plus one.
    before: Vec<u32>,
    shift: u32,
}

fn hash(q: &[u16], shift: u32) -> usize {
    let mut h = 0u64;
    for pair in q.chunks(4) {
        let word = pair.iter().fold(0u64, |w, v| w << 16 | u64::from(*v));
        h = (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 32;
    }
    (h.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

impl<'a> Finder<'a> {
    fn new(q: &'a [u16]) -> Self {
        let bits = (usize::BITS - q.len().leading_zeros()).clamp(8, 17);
        Finder { q, short: vec![0; 1 << bits], long: vec![0; 1 << bits], before: vec![0; q.len()], shift: 64 - bits }
    }

    /// Remembers place `i`; gives the places of the same hashes before it.
    fn enter(&mut self, i: usize) -> (u32, u32) {
        let q = self.q;
        let (mut s, mut l) = (0, 0);
        if let Some(h) = q.get(i..i + SHORT) {
            let slot = &mut self.short[hash(h, self.shift)];
            s = std::mem::replace(slot, i as u32 + 1);
            self.before[i] = s;
        }
        if let Some(h) = q.get(i..i + LONG) {
            l = std::mem::replace(&mut self.long[hash(h, self.shift)], i as u32 + 1);
        }
        (s, l)
    }

    /// How many integers from `i` on stand `d` before, too.
    fn len(&self, i: usize, d: usize) -> usize {
        if d == 0 || d > i { 0 } else { alike(self.q, i, d) }
    }
}

/// Repeats that go on, by how far back they stand: distance and end.
struct Ongoing([(usize, usize); Ongoing::PLACES]);

impl Ongoing {
    const PLACES: usize = 64;

    fn new() -> Self {
        Ongoing([(0, 0); Ongoing::PLACES])
    }

    /// Where the repeat of distance `d` ends, if one found before goes on at `i`.
    fn end(&self, d: usize, i: usize) -> Option<usize> {
        let (distance, end) = self.0[d % Ongoing::PLACES];
        (distance == d && end > i).then_some(end)
    }

    fn put(&mut self, d: usize, end: usize) {
        self.0[d % Ongoing::PLACES] = (d, end);
    }
}

/// The best way to a place that was found.
#[derive(Debug, Clone, Copy)]
struct Way {
    cost: u32,
    /// Integers of its last step, and how far back they are copied from; a literal has 0.
    len: u32,
    distance: u32,
    /// The last distance on it, and where its last copy ended.
    last: u32,
    end: u32,
}

/// The sequences by which all integers cost least, of those looked at. `prices` has the sums of what the integers cost as
/// literals: those of the first `i` at place `i`; `near` are distances that are likely.
pub(super) fn find(q: &[u16], prices: &[u32], near: [usize; 2]) -> Vec<Sequence> {
    /// No sequence costs less.
    const CHEAPEST: u32 = 10 * BIT;
    /// Integers that cost no more as literals are not looked up.
    const CHEAP: u32 = 12 * BIT;
    const AHEAD: usize = 64;
    /// Integers that a repeat goes back.
    const BEHIND: usize = 128;
    let n = q.len();
    let mut finder = Finder::new(q);
    let mut ongoing = Ongoing::new();
    let mut ways = vec![Way { cost: u32::MAX, len: 0, distance: 0, last: 1, end: 0 }; n + 1];
    ways[0].cost = 0;
    let mut i = 0;
    while i < n {
        let (short, long) = finder.enter(i);
        let here = ways[i];
        let literal = here.cost.saturating_add(prices[i + 1] - prices[i]);
        if literal < ways[i + 1].cost {
            ways[i + 1] = Way { cost: literal, len: 1, distance: 0, ..here };
        }
        i += 1;
        if prices[n.min(i + AHEAD)] - prices[i - 1] <= CHEAP {
            continue;
        }
        let mut longest = 0;
        let mut consider = |d: usize| {
            let known = ongoing.end(d, i - 1);
            let len = known.map_or_else(|| finder.len(i - 1, d), |end| end - (i - 1));
            if len == 0 {
                return 0;
            }
            if known.is_some() && here.distance == 0 {
                // After a literal it is no cheaper than from where it began.
                longest = longest.max(len);
                return len;
            }
            ongoing.put(d, i - 1 + len);
            if prices[i - 1 + len] - prices[i - 1] <= CHEAPEST {
                return len;
            }
            let mut relax = |start: usize, end: usize| {
                let from = ways[start];
                let run = start as u32 - from.end;
                let (len, distance) = ((end - start) as u32, d as u32);
                let cost = from.cost.saturating_add(cost(run, len, distance, from.last));
                if len > 0 && cost < ways[end].cost {
                    ways[end] = Way { cost, len, distance, last: distance, end: end as u32 };
                }
            };
            // A repeat cut short may lead to a better one.
            for len in [len, len - 1, len.saturating_sub(2), len / 2] {
                relax(i - 1, i - 1 + len);
            }
            // It may have begun before its integers were looked up.
            let mut start = i - 1;
            let back = if len > longest { BEHIND } else { 0 };
            while start > d && i - start < back && q[start - 1] == q[start - 1 - d] {
                start -= 1;
            }
            if start + 1 < i {
                relax(start, i - 1 + len);
            }
            longest = longest.max(len);
            len
        };
        [here.last as usize, near[0], near[1]].into_iter().for_each(|d| _ = consider(d));
        if long > 0 {
            consider(i - long as usize);
        }
        let mut at = short as usize;
        for _ in 0..TRIES {
            if at == 0 || consider(i - at) > ENOUGH {
                break;
            }
            at = finder.before[at - 1] as usize;
        }
        let end = i - 1 + longest;
        if longest > ENOUGH && prices[end] - prices[i - 1] > longest as u32 * BIT / 4 {
            // What stands inside of a long repeat is found where that stood first.
            (i..end.min(i + AHEAD)).for_each(|k| _ = finder.enter(k));
            i = end;
        }
    }
    sequences(&ways)
}

/// The steps of the best way to the end.
fn sequences(ways: &[Way]) -> Vec<Sequence> {
    let mut steps = Vec::new();
    let mut at = ways.len() - 1;
    while let Some(w) = ways.get(at).filter(|w| at > 0 && w.len > 0) {
        if w.distance > 0 {
            steps.push((at - w.len as usize, w.len as usize, w.distance));
        }
        at -= w.len as usize;
    }
    let (mut sequences, mut end, mut last) = (Vec::new(), 0, 1);
    for (start, len, d) in steps.into_iter().rev() {
        let distance = if d == last { 0 } else { d };
        sequences.push(Sequence { run: (start - end) as u32, len: len as u32, distance });
        (end, last) = (start + len, d);
    }
    sequences
}

/// Integers of a place where repeats are looked for in a sample: shorter ones come again by chance.
const WINDOW: usize = 12;

/// About a sixteenth of the places at which a window of integers begins: the same integers are picked wherever they stand.
fn picked(q: &[u16], effort: Effort) -> Vec<u32> {
    vectorize!(_simd => picked_lanes(q, effort))
}

#[inline(always)]
fn picked_lanes(q: &[u16], effort: Effort) -> Vec<u32> {
    const LANES: usize = 64;
    let places = q.len().saturating_sub(WINDOW - 1);
    let mut picked = Vec::with_capacity(places / 16 + LANES);
    for start in (0..places).step_by(LANES) {
        let mut near = [0u16; LANES + 2];
        let rest = &q[start..q.len().min(start + LANES + 2)];
        near[..rest.len()].copy_from_slice(rest);
        let mut hits = [0u8; LANES];
        for j in 0..LANES {
            let key = (u32::from(near[j]) << 16 | u32::from(near[j + 1])).wrapping_mul(0x9e37_79b1)
                ^ u32::from(near[j + 2]).wrapping_mul(0x85eb_ca77);
            // What stays the same most often costs next to nothing, and there may be much of it.
            let same = (near[j] ^ near[j + 1]) | (near[j + 1] ^ near[j + 2]) == 0 && effort == Effort::Hasty;
            hits[j] = u8::from(key.wrapping_mul(0xc2b2_ae3d) >> 28 == 0) & u8::from(!same);
        }
        for (k, eight) in hits.as_chunks::<8>().0.iter().enumerate() {
            let mut left = u64::from_le_bytes(*eight);
            while left != 0 {
                let place = start + 8 * k + left.trailing_zeros() as usize / 8;
                if place < places {
                    picked.push(place as u32);
                }
                left &= left - 1;
            }
        }
    }
    picked
}

/// What integers cost by their differences from those before, roughly.
pub(in crate::fast) fn rough_price(q: &[u16], range: Range<usize>) -> u32 {
    let pairs = q[range.start.saturating_sub(1)..range.end].windows(2);
    pairs.map(|p| 2 * (u32::BITS - (2 * u32::from(p[1].abs_diff(p[0]))).leading_zeros())).sum()
}

/// The part of the price of all integers that is left where what stood before costs nothing, by places picked by what they hold.
pub(in crate::fast) fn rest(q: &[u16], effort: Effort, mut price: impl FnMut(Range<usize>) -> u32) -> f64 {
    // Places that are priced.
    let priced = match effort {
        Effort::Hasty => 512,
        Effort::Thorough => 1024,
    };
    let mut seen = vec![0u32; 1 << 14];
    let picked = picked(q, effort);
    let step = picked.len().div_ceil(priced).max(1);
    let (mut all, mut left) = (0u64, 0u64);
    for (k, i) in picked.iter().enumerate() {
        let window = *i as usize..*i as usize + WINDOW;
        let h = hash(&q[window.clone()], 16);
        let slot = &mut seen[h >> 32 & 0x3fff];
        let known = *slot == h as u32 | 1;
        *slot = h as u32 | 1;
        if k % step == 0 {
            let p = u64::from(price(window));
            all += p;
            left += if known { p.min(u64::from(BIT)) } else { p };
        }
    }
    if all == 0 { 1.0 } else { left as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::super::sequences::copy;
    use super::*;
    use proptest::prelude::*;

    /// The integers that sequences give, with those of `q` as literals.
    fn follow(q: &[u16], sequences: &[Sequence]) -> (Vec<u16>, usize) {
        let (mut out, mut last, mut copied) = (Vec::new(), 1, 0);
        for s in sequences {
            out.extend_from_slice(&q[out.len()..out.len() + s.run as usize]);
            last = if s.distance == 0 { last } else { s.distance as usize };
            let end = out.len() + s.len as usize;
            let start = out.len();
            out.resize(end, 0);
            assert!(s.len == 0 || copy(&mut out, start..end, last));
            copied += s.len as usize;
        }
        out.extend_from_slice(&q[out.len()..]);
        (out, copied)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sequences_lead_back(
            part in prop::collection::vec(0u16..500, 10..200),
            order in prop::collection::vec((any::<prop::sample::Index>(), 1usize..60), 1..300),
        ) {
            let mut q = part.clone();
            for (at, n) in order {
                let start = at.index(part.len());
                q.extend_from_slice(&part[start..part.len().min(start + n)]);
            }
            let prices: Vec<u32> = (0..=q.len() as u32).map(|i| i * 9 * BIT).collect();
            let (out, copied) = follow(&q, &find(&q, &prices, [0, 0]));
            prop_assert_eq!(&out, &q);
            // A repeat of a few integers costs as much as they do.
            prop_assert!(copied * 2 + 64 > q.len() - part.len(), "{} of {}", copied, q.len());
            let (out, _) = follow(&q, &super::super::greedy::find(&q, &prices, [7, part.len()]));
            prop_assert_eq!(&out, &q);
        }
    }
}
