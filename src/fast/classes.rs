//! Which activities share a class (SPEC 9.4.5).

/// Which model a token is coded with; while the writer has not chosen them, which bucket it falls in.
pub(super) type Class = u8;
/// Runs of activities that a class is made of; fewer than the number of the free class.
pub(super) const BUCKETS: usize = 15;
/// Lowest activity of buckets 1, 2, ..
pub(super) const THRESHOLDS: [i16; BUCKETS - 1] = [1, 4, 8, 12, 18, 24, 36, 52, 76, 110, 160, 240, 480, 960];

/// Joins buckets to at most `most` classes so that the estimated size is least: bit `b` of the result says that a class
/// starts at bucket `b + 1`.
pub(super) fn choose_classes(counts: &[[u32; 256]], most: usize) -> u32 {
    /// Estimated bits that a model spends on each symbol that it holds, and on itself.
    const SYMBOL_BITS: f64 = 5.0;
    const MODEL_BITS: f64 = 12.0;
    let used = 1 + counts.iter().filter_map(|c| c.iter().rposition(|n| *n > 0)).max().unwrap_or(0);
    // cost[b][a]: buckets a..=b as one class.
    let mut cost = [[0f64; BUCKETS]; BUCKETS];
    for a in 0..BUCKETS {
        let mut sum = [0u32; 256];
        let mut total = 0u32;
        for b in a..BUCKETS {
            let (mut bits, mut kinds) = (0.0, 0u32);
            for (s, n) in sum[..used].iter_mut().zip(&counts[b][..used]) {
                *s += n;
                total += n;
                bits -= times_log2(*s);
                kinds += u32::from(*s > 0);
            }
            cost[b][a] = bits + times_log2(total) + f64::from(kinds) * SYMBOL_BITS + MODEL_BITS;
        }
    }
    // best[k][b]: least cost of buckets 0..=b in k + 1 classes, and where the last of them starts.
    let mut best = vec![[(f64::INFINITY, 0usize); BUCKETS]; most];
    for b in 0..BUCKETS {
        best[0][b] = (cost[b][0], 0);
    }
    for k in 1..most {
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
    for i in 1..most {
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
pub(super) fn times_log2(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let exponent = n.ilog2();
    let m = f64::from(n) / f64::from(1u32 << exponent) - 1.0;
    // log2(1 + m) on [0, 1) within 0.001.
    let log = m * (1.4387 - m * (0.6778 - m * (0.3218 - m * 0.0828)));
    f64::from(n) * (f64::from(exponent) + log)
}
