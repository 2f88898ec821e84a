//! Which activities share a class (SPEC 9.4.4).

use crate::codec::prefix::Images;

/// Runs of activities that a class is made of.
pub(super) const BUCKETS: usize = 16;
/// Lowest activity of buckets 1, 2, ..
const THRESHOLDS: [u16; BUCKETS - 1] = [1, 5, 11, 20, 30, 43, 60, 88, 130, 190, 290, 430, 700, 1200, 2400];
/// Most classes.
pub(super) const MOST_CLASSES: usize = 8;

/// How many of the chosen thresholds each activity reaches: bit `b` of `starts` says that a class starts at threshold `b`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classifier {
    thresholds: [u16; BUCKETS - 1],
    used: usize,
}

impl Classifier {
    pub(super) fn new(starts: u32) -> Self {
        let mut c = Classifier { thresholds: [u16::MAX; BUCKETS - 1], used: 0 };
        for (b, t) in THRESHOLDS.iter().enumerate() {
            if starts >> b & 1 == 1 {
                c.thresholds[c.used] = *t;
                c.used += 1;
            }
        }
        c
    }

    #[inline(always)]
    pub(super) fn class(&self, activity: u16) -> u8 {
        self.thresholds[..self.used].iter().map(|t| u8::from(activity >= *t)).sum()
    }

    #[inline(always)]
    pub(super) fn classes(&self, activities: &[u16], out: &mut [u8]) {
        match self.used {
            0 => out.fill(0),
            used if used < MOST_CLASSES => self.reached::<{ MOST_CLASSES - 1 }>(activities, out),
            _ => self.reached::<{ BUCKETS - 1 }>(activities, out),
        }
    }

    #[inline(always)]
    fn reached<const N: usize>(&self, activities: &[u16], out: &mut [u8]) {
        let Some(thresholds) = self.thresholds.first_chunk::<N>() else { return };
        for (o, a) in out.iter_mut().zip(activities) {
            let mut reached = 0;
            for t in thresholds {
                reached += u16::from(a >= t);
            }
            *o = reached as u8;
        }
    }
}

/// The class of each bucket, given that bit `b` of `starts` says that one starts with bucket `b + 1`.
pub(super) fn class_of(starts: u32) -> [u8; BUCKETS] {
    std::array::from_fn(|b| (starts & ((1u32 << b) - 1)).count_ones() as u8)
}

/// How often each image stands in each bucket; large ones may count as one.
pub(super) type Counts = [[u32; 256]; BUCKETS];

/// Room for the images of each class.
pub(super) fn parts(counts: &Counts, class_of: &[u8; BUCKETS]) -> [Images; MOST_CLASSES] {
    let mut sizes = [0; MOST_CLASSES];
    for (counts, class) in counts.iter().zip(class_of) {
        sizes[usize::from(*class) % MOST_CLASSES] += counts.iter().sum::<u32>() as usize;
    }
    sizes.map(Images::with_room)
}

/// Joins buckets to at most [`MOST_CLASSES`] classes so that the estimated size is least: bit `b` of the result says that a class
/// starts at bucket `b + 1`. Each count stands for so many.
pub(super) fn choose_classes(counts: &Counts, scale: f64) -> u32 {
    /// Estimated bits that a code spends on each symbol that it holds, and on itself.
    const SYMBOL_BITS: f64 = 2.0;
    const CODE_BITS: f64 = 60.0;
    let used = 1 + counts.iter().filter_map(|c| c.iter().rposition(|n| *n > 0)).max().unwrap_or(0);
    // cost[b][a]: buckets a..=b as one class.
    let mut cost = [[0f64; BUCKETS]; BUCKETS];
    for a in 0..BUCKETS {
        let mut sum = [0u32; 256];
        let mut logs = [0f64; 256];
        let (mut total, mut bits, mut kinds) = (0u32, 0.0, 0u32);
        for b in a..BUCKETS {
            for (z, n) in counts[b][..used].iter().enumerate().filter(|(_, n)| **n > 0) {
                kinds += u32::from(sum[z] == 0);
                sum[z] += n;
                total += n;
                let log = times_log2(sum[z]);
                bits -= log - logs[z];
                logs[z] = log;
            }
            cost[b][a] = if total > 0 {
                (bits + times_log2(total)) * scale + f64::from(kinds) * SYMBOL_BITS + CODE_BITS
            } else {
                0.0
            };
        }
    }
    // best[k][b]: least cost of buckets 0..=b in k + 1 classes, and where the last of them starts.
    let mut best = [[(f64::INFINITY, 0usize); BUCKETS]; MOST_CLASSES];
    for b in 0..BUCKETS {
        best[0][b] = (cost[b][0], 0);
    }
    for k in 1..MOST_CLASSES {
        for b in k..BUCKETS {
            for a in k..=b {
                let c = best[k - 1][a - 1].0 + cost[b][a];
                if c < best[k][b].0 {
                    best[k][b] = (c, a);
                }
            }
        }
    }
    let (mut k, mut b) = (0, BUCKETS - 1);
    for i in 1..MOST_CLASSES {
        if best[i][b].0 < best[k][b].0 {
            k = i;
        }
    }
    let mut starts = 0;
    while k > 0 {
        let a = best[k][b].1;
        starts |= 1 << (a - 1);
        (k, b) = (k - 1, a - 1);
    }
    starts
}

/// n log2 n, nearly.
fn times_log2(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let exponent = n.ilog2();
    let m = f64::from(n) / f64::from(1u32 << exponent) - 1.0;
    // log2(1 + m) on [0, 1) within 0.001.
    let log = m * (1.4387 - m * (0.6778 - m * (0.3218 - m * 0.0828)));
    f64::from(n) * (f64::from(exponent) + log)
}
