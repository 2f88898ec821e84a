//! Reads tokens back into codes (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS};
use super::shape::Shape;
use super::tokens::{
    BATCH, BitReader, ESCAPE, FLAG_MODELS, GROUP, MAX_ACTIVE, SHIFT_THRESHOLDS, SPARSE, activity, code, tokens,
};
use crate::codec::cursor::Cursor;
use crate::codec::rans::{self, FREE, MAX_LANES};
use crate::error::FormatError;

/// Reads rows of codes.
#[derive(Debug)]
pub(super) struct TokenReader {
    decoder: rans::Decoder,
    activity: Activity,
    sparse: bool,
    /// Lowest activity of each class after the first.
    thresholds: Vec<i16>,
    /// Flag of the batch before.
    before: u8,
    /// Classes and tokens of the row at hand, and bits that their images lack.
    classes: Vec<Class>,
    tokens: Vec<u8>,
    shifts: Vec<u8>,
    /// Flags of a batch's groups.
    flags: Vec<u8>,
    /// Tokens and their classes of those groups of a batch that are not zero.
    packed: Vec<u8>,
    packed_classes: Vec<Class>,
    /// Codes of tokens that lack nothing.
    codes: Box<[[f32; 2]; 256]>,
    bits: BitReader,
}

impl TokenReader {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'_>, shape: &Shape) -> Result<Self, FormatError> {
        let layout = cursor.u8("token layout")?;
        let lanes_log2 = u32::from(layout >> 1);
        if lanes_log2 > MAX_LANES.ilog2() {
            let expected = MAX_LANES.ilog2().into();
            return Err(FormatError::Value { field: "logarithm of lanes", found: lanes_log2.into(), expected });
        }
        let sparse = layout & SPARSE != 0;
        let starts = u32::from(cursor.u8("class starts")?) | u32::from(cursor.u8("class starts")?) << 8;
        if starts.count_ones() as usize >= MAX_ACTIVE || starts >> (BUCKETS - 1) != 0 {
            let expected = (1 << (BUCKETS - 1)) - 1;
            return Err(FormatError::Value { field: "class starts", found: starts.into(), expected });
        }
        let thresholds: Vec<i16> =
            THRESHOLDS.iter().enumerate().filter(|(b, _)| starts >> b & 1 == 1).map(|(_, t)| *t).collect();
        let count = thresholds.len() + 1 + if sparse { FLAG_MODELS } else { 0 };
        let models = rans::read_models(cursor.block("frequencies")?, count)?;
        let bits = BitReader::new(cursor.block("extra bits")?);
        let decoder = rans::Decoder::new(&models, 1 << lanes_log2, cursor)?;
        let n = tokens(shape.row);
        Ok(TokenReader {
            decoder,
            activity: Activity::new(shape),
            sparse,
            thresholds,
            before: 0,
            classes: vec![0; n],
            tokens: vec![0; n],
            shifts: vec![0; n],
            flags: Vec::new(),
            packed: Vec::new(),
            packed_classes: Vec::new(),
            codes: Box::new(std::array::from_fn(|t| [code(t as u32 & 15) as f32, code(t as u32 >> 4) as f32])),
            bits,
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
            exempt(&mut self.classes, o);
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
        let mut widest = 0;
        for (m, t) in self.activity.magnitudes(r).iter_mut().zip(&self.tokens) {
            let (a, b) = (t & 15, t >> 4);
            *m = ((a + 1) >> 1) + ((b + 1) >> 1);
            widest = widest.max(a.max(b));
        }
        let (pairs, last) = codes.as_chunks_mut::<2>();
        for (c, t) in pairs.iter_mut().zip(&self.tokens) {
            *c = self.codes[usize::from(*t)];
        }
        if let ([c], Some(t)) = (last, self.tokens.last()) {
            [*c, _] = self.codes[usize::from(*t)];
        }
        let shifted = !self.sparse && self.activity.row.iter().fold(0, |m, a| m.max(*a)) >= SHIFT_THRESHOLDS[0];
        if shifted {
            classify(&self.activity.row, &SHIFT_THRESHOLDS, &mut self.shifts);
        } else {
            self.shifts.fill(0);
        }
        if shifted || u32::from(widest) == ESCAPE { self.complete(r, codes) } else { Ok(()) }
    }

    /// Completes the codes of row `r` from the extra bits.
    fn complete(&mut self, r: usize, codes: &mut [f32]) -> Result<(), FormatError> {
        let magnitudes = self.activity.magnitudes(r);
        let tokens = self.tokens.iter().zip(&self.classes).zip(&self.shifts);
        for ((codes, m), ((t, class), shift)) in codes.chunks_mut(2).zip(magnitudes).zip(tokens) {
            let mut halves = [u32::from(t & 15), u32::from(t >> 4)];
            let shift = if *class == FREE { 0 } else { u32::from(*shift) };
            if halves[0] == ESCAPE || halves[1] == ESCAPE {
                for z in &mut halves {
                    if *z == ESCAPE {
                        *z += self.bits.get_excess().ok_or(FormatError::Code { what: "escape" })?;
                    }
                    *z = *z << shift | self.bits.get(shift);
                }
            } else {
                let low = self.bits.get(2 * shift);
                halves = [halves[0] << shift | low & ((1 << shift) - 1), halves[1] << shift | low >> shift];
            }
            *m = activity(halves[0], halves[1]);
            for (c, z) in codes.iter_mut().zip(halves) {
                *c = code(z) as f32;
            }
        }
        Ok(())
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

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        match self.bits.finish() {
            None => return Err(FormatError::Code { what: "end of the extra bits" }),
            Some(0) => {}
            Some(n) => return Err(FormatError::TrailingBytes { what: "extra bits", count: n as u64 }),
        }
        self.decoder.finish()
    }
}
