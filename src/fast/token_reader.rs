//! Reads tokens back into codes (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS};
use super::shape::Shape;
use super::tokens::{
    BATCH, DIRECT, FLAG_MODELS, GROUP, LAST_TOKEN, LENGTH_BITS, MAX_ACTIVE, PAIR_ESCAPE, PAIRED, Packing, SPARSE, code,
    magnitude,
};
use crate::codec::cursor::Cursor;
use crate::codec::rans::{self, FREE, MAX_LANES};
use crate::error::FormatError;

/// Reads rows of codes.
#[derive(Debug)]
pub(super) struct TokenReader<'a> {
    decoder: rans::Decoder,
    activity: Activity,
    sparse: bool,
    packing: Packing,
    /// Lowest activity of each class after the first.
    thresholds: Vec<i16>,
    /// Flag of the batch before.
    before: u8,
    /// Classes and tokens of the row at hand.
    classes: Vec<Class>,
    tokens: Vec<u8>,
    /// Flags of a batch's groups.
    flags: Vec<u8>,
    /// Tokens and their classes of those groups of a batch that are not zero.
    packed: Vec<u8>,
    packed_classes: Vec<Class>,
    /// Codes of single tokens, and of paired ones.
    singles: [f32; 256],
    pairs: [[f32; 2]; 256],
    extra: &'a [u8],
    /// Bits of `extra` read.
    extra_bits: u64,
}

impl<'a> TokenReader<'a> {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'a>, shape: &Shape) -> Result<Self, FormatError> {
        let layout = cursor.u8("token layout")?;
        let lanes_log2 = u32::from(layout >> 2);
        if lanes_log2 > MAX_LANES.ilog2() {
            let expected = MAX_LANES.ilog2().into();
            return Err(FormatError::Value { field: "logarithm of lanes", found: lanes_log2.into(), expected });
        }
        let sparse = layout & SPARSE != 0;
        let packing = if layout & PAIRED != 0 { Packing::Paired } else { Packing::Single };
        let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
        if starts.count_ones() as usize >= MAX_ACTIVE || starts >> (BUCKETS - 1) != 0 {
            let expected = (1 << (BUCKETS - 1)) - 1;
            return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
        }
        let thresholds: Vec<i16> =
            THRESHOLDS.iter().enumerate().filter(|(b, _)| starts >> b & 1 == 1).map(|(_, t)| *t).collect();
        let count = thresholds.len() + 1 + if sparse { FLAG_MODELS } else { 0 };
        let models = rans::read_models(cursor.block("frequencies")?, count)?;
        let extra = cursor.block("extra bits")?;
        let decoder = rans::Decoder::new(&models, 1 << lanes_log2, cursor)?;
        let n = packing.tokens(shape.row);
        let single = |z: usize| code(z as u32) as f32;
        Ok(TokenReader {
            decoder,
            activity: Activity::new(shape, packing),
            sparse,
            packing,
            thresholds,
            before: 0,
            classes: vec![0; n],
            tokens: vec![0; n],
            flags: Vec::new(),
            packed: Vec::new(),
            packed_classes: Vec::new(),
            singles: std::array::from_fn(single),
            pairs: std::array::from_fn(|t| [single(t & 15), single(t >> 4)]),
            extra,
            extra_bits: 0,
        })
    }

    /// Reads the codes of row `r`; `ordinary` is given where they are not all.
    pub(super) fn row(
        &mut self,
        shape: &Shape,
        r: usize,
        ordinary: Option<&[bool]>,
        codes: &mut [f32],
    ) -> Result<(), FormatError> {
        self.activity.look(shape, r);
        classify(&self.activity.row, &self.thresholds, &mut self.classes);
        if let Some(o) = ordinary {
            exempt(&mut self.classes, o, self.packing);
        }
        if self.sparse {
            let mut any = false;
            for start in (0..self.tokens.len()).step_by(BATCH) {
                any |= self.sparse_batch(start)?;
            }
            if !any {
                codes.fill(0.0);
                self.activity.magnitudes(r).fill(0);
                return Ok(());
            }
        } else {
            for (t, c) in self.tokens.chunks_mut(BATCH).zip(self.classes.chunks(BATCH)) {
                self.decoder.get(c, t)?;
            }
        }
        let magnitudes = self.activity.magnitudes(r);
        let mut widest = 0;
        match self.packing {
            Packing::Single => {
                for (m, t) in magnitudes.iter_mut().zip(&self.tokens) {
                    *m = magnitude(*t);
                    widest = widest.max(*t);
                }
                for (c, t) in codes.iter_mut().zip(&self.tokens) {
                    *c = self.singles[usize::from(*t)];
                }
            }
            Packing::Paired => {
                for (m, t) in magnitudes.iter_mut().zip(&self.tokens) {
                    let (a, b) = (t & 15, t >> 4);
                    *m = magnitude(a) + magnitude(b);
                    widest = widest.max(a.max(b));
                }
                let (pairs, last) = codes.as_chunks_mut::<2>();
                for (c, t) in pairs.iter_mut().zip(&self.tokens) {
                    *c = self.pairs[usize::from(*t)];
                }
                if let ([c], Some(t)) = (last, self.tokens.last()) {
                    let [first, second] = self.pairs[usize::from(*t)];
                    *c = first;
                    if second != 0.0 {
                        return Err(FormatError::Code { what: "second half of a row's last token" });
                    }
                }
            }
        }
        if u32::from(widest) >= self.packing.least_escape() { self.escapes(r, ordinary, codes) } else { Ok(()) }
    }

    /// Completes the codes of row `r` that are escapes.
    #[cold]
    fn escapes(&mut self, r: usize, ordinary: Option<&[bool]>, codes: &mut [f32]) -> Result<(), FormatError> {
        let least = self.packing.least_escape();
        for i in 0..self.tokens.len() {
            let t = self.tokens[i];
            match self.packing {
                Packing::Single if u32::from(t) >= DIRECT => {
                    if u32::from(t) > LAST_TOKEN {
                        let expected = LAST_TOKEN.into();
                        return Err(FormatError::Value { field: "token", found: t.into(), expected });
                    }
                    let z = self.escape(u32::from(t) - DIRECT, least)?;
                    codes[i] = code(z) as f32;
                    self.activity.magnitudes(r)[i] = magnitude(z.min(255) as u8);
                }
                Packing::Paired if t & 15 == PAIR_ESCAPE || t >> 4 == PAIR_ESCAPE => {
                    let mut sum = 0u8;
                    for (half, z) in [t & 15, t >> 4].into_iter().enumerate() {
                        let mut z = u32::from(z);
                        if z == least {
                            let n = self.bits(LENGTH_BITS)?;
                            z = self.escape(n.min(LAST_TOKEN - DIRECT), least)?;
                        }
                        if let Some(c) = codes.get_mut(2 * i + half) {
                            *c = code(z) as f32;
                        }
                        sum = sum.saturating_add(magnitude(z.min(255) as u8));
                    }
                    self.activity.magnitudes(r)[i] = sum;
                }
                _ => {}
            }
        }
        if let Some(o) = ordinary {
            codes.iter_mut().zip(o).filter(|(_, o)| !**o).for_each(|(c, _)| *c = 0.0);
        }
        Ok(())
    }

    /// The image of an escape with `n` extra bits.
    fn escape(&mut self, n: u32, least: u32) -> Result<u32, FormatError> {
        Ok((1 << n | self.bits(n)?) + (least - 1))
    }

    /// Reads the tokens of the batch that starts at token `start`; false if they are all 0.
    fn sparse_batch(&mut self, start: usize) -> Result<bool, FormatError> {
        let end = self.tokens.len().min(start + BATCH);
        let (classes, tokens) = (&self.classes[start..end], &mut self.tokens[start..end]);
        let activities = &self.activity.row[start..end];
        let active = self.thresholds.len() as u8 + 1;
        let free = classes.iter().fold(true, |all, c| all & (*c == FREE));
        let mut flag = [0u8];
        self.decoder.get(&[if free { FREE } else { active + self.before }], &mut flag)?;
        if !free {
            self.before = flag[0] & 1;
        }
        if flag[0] == 0 {
            tokens.fill(0);
            return Ok(false);
        }
        self.packed_classes.clear();
        self.packed_classes.extend(activities.chunks(GROUP).zip(classes.chunks(GROUP)).map(|(a, c)| {
            let class = group_class(a, c);
            if class == FREE { FREE } else { active + 2 + class }
        }));
        self.flags.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.flags)?;
        self.packed_classes.clear();
        for (c, f) in classes.chunks(GROUP).zip(&self.flags) {
            if *f != 0 {
                self.packed_classes.extend_from_slice(c);
            }
        }
        self.packed.resize(self.packed_classes.len(), 0);
        self.decoder.get(&self.packed_classes, &mut self.packed)?;
        let mut rest = self.packed.as_slice();
        for (t, f) in tokens.chunks_mut(GROUP).zip(&self.flags) {
            if *f != 0 {
                let (head, tail) = rest.split_at(t.len().min(rest.len()));
                t.copy_from_slice(head);
                rest = tail;
            } else {
                t.fill(0);
            }
        }
        Ok(true)
    }

    fn bits(&mut self, n: u32) -> Result<u32, FormatError> {
        let end = self.extra_bits + u64::from(n);
        let first = (self.extra_bits >> 3) as usize;
        let bytes = self.extra.get(first..end.div_ceil(8) as usize).ok_or(FormatError::Truncated {
            what: "extra bits",
            needed: end.div_ceil(8),
            available: self.extra.len() as u64,
        })?;
        let value = bytes.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b)) >> (self.extra_bits & 7);
        self.extra_bits = end;
        Ok((value & ((1 << n) - 1)) as u32)
    }

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        let read = self.extra_bits.div_ceil(8);
        if read < self.extra.len() as u64 {
            let count = self.extra.len() as u64 - read;
            return Err(FormatError::TrailingBytes { what: "extra bits", count });
        }
        if self.extra_bits & 7 > 0 && self.extra.last().is_some_and(|b| b >> (self.extra_bits & 7) != 0) {
            return Err(FormatError::Code { what: "padding of the extra bits" });
        }
        self.decoder.finish()
    }
}
