//! Reads tokens back into codes (SPEC 9.4.5).

use super::activity::{Activity, classify, exempt, group_class};
use super::classes::{BUCKETS, Class, THRESHOLDS};
use super::shape::Shape;
use super::tokens::{
    BitReader, FLAG_MODELS, GROUP, LARGEST_SINGLE, MAX_ACTIVE, PAIRED, Packing, SPARSE, code, magnitude, pair_magnitude,
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
    packing: Packing,
    /// Lowest activity of each class after the first, and numbers that none reaches.
    thresholds: [i16; MAX_ACTIVE - 1],
    /// Classes that activity picks.
    active: Class,
    /// Zero flag of the row before.
    before: u8,
    /// Classes and tokens of the row at hand, by groups.
    classes: Vec<[Class; GROUP]>,
    tokens: Vec<u8>,
    /// Zero flags of its groups.
    flags: Vec<u8>,
    /// Tokens and their classes of those groups that are not zero.
    packed: Vec<u8>,
    packed_classes: Vec<Class>,
    /// Codes of paired tokens.
    pairs: Box<[[f32; 2]; 256]>,
    excess: BitReader,
}

impl TokenReader {
    /// Takes all that is left of `cursor`.
    pub(super) fn new(cursor: &mut Cursor<'_>, shape: &Shape) -> Result<Self, FormatError> {
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
        let mut thresholds = [i16::MAX; MAX_ACTIVE - 1];
        let chosen = THRESHOLDS.iter().enumerate().filter(|(b, _)| starts >> b & 1 == 1);
        for (to, (_, t)) in thresholds.iter_mut().zip(chosen) {
            *to = *t;
        }
        let active = starts.count_ones() as u8 + 1;
        let count = usize::from(active) + if sparse { FLAG_MODELS } else { 0 };
        let models = rans::read_models(cursor.block("frequencies")?, count)?;
        let excess = BitReader::new(cursor.block("excess")?);
        let decoder = rans::Decoder::new(&models, 1 << lanes_log2, cursor)?;
        let n = packing.tokens(shape.row);
        Ok(TokenReader {
            decoder,
            activity: Activity::new(shape, packing),
            sparse,
            packing,
            thresholds,
            active,
            before: 0,
            classes: vec![[0; GROUP]; n.div_ceil(GROUP)],
            tokens: vec![0; n],
            flags: vec![0; n.div_ceil(GROUP)],
            packed: Vec::new(),
            packed_classes: Vec::new(),
            pairs: Box::new(std::array::from_fn(|t| [code(t as u32 & 15) as f32, code(t as u32 >> 4) as f32])),
            excess,
        })
    }

    /// Reads the codes of row `r` and says whether all are 0; `ordinary` is given where not all points are.
    pub(super) fn row(
        &mut self,
        shape: &Shape,
        r: usize,
        ordinary: Option<&[bool]>,
        codes: &mut [f32],
    ) -> Result<bool, FormatError> {
        let n = self.packing.tokens(shape.row);
        if self.sparse && !self.row_flag(ordinary)? {
            codes.fill(0.0);
            self.activity.magnitudes(r).fill([0; GROUP]);
            return Ok(true);
        }
        self.activity.look(shape, r);
        classify(&self.activity.row, &self.thresholds, &mut self.classes);
        if let Some(o) = ordinary {
            exempt(&mut self.classes.as_flattened_mut()[..n], o, self.packing);
        }
        if self.sparse {
            self.sparse_row(n)?;
        } else {
            self.decoder.get(&self.classes.as_flattened()[..n], &mut self.tokens[..n])?;
        }
        let magnitudes = self.activity.magnitudes(r).as_flattened_mut();
        let mut widest = 0;
        match self.packing {
            Packing::Single => {
                for (m, t) in magnitudes.iter_mut().zip(&self.tokens) {
                    *m = (t >> 1) + (t & 1);
                    widest = widest.max(*t);
                }
                for (c, t) in codes.iter_mut().zip(&self.tokens) {
                    *c = code((*t).into()) as f32;
                }
            }
            Packing::Paired => {
                for (m, t) in magnitudes.iter_mut().zip(&self.tokens) {
                    let (a, b) = (t & 15, t >> 4);
                    *m = ((a + 1) >> 1) + ((b + 1) >> 1);
                    widest = widest.max(a.max(b));
                }
                let (pairs, last) = codes.as_chunks_mut::<2>();
                for (c, t) in pairs.iter_mut().zip(&self.tokens) {
                    *c = self.pairs[usize::from(*t)];
                }
                if let ([c], t) = (last, self.tokens[n - 1]) {
                    [*c, _] = self.pairs[usize::from(t)];
                    if t >> 4 != 0 {
                        return Err(FormatError::Code { what: "second half of a row's last token" });
                    }
                }
            }
        }
        if u16::from(widest) >= self.packing.escape() {
            self.escapes(r, codes)?;
        }
        Ok(widest == 0)
    }

    /// Completes the codes of row `r` that are escapes.
    fn escapes(&mut self, r: usize, codes: &mut [f32]) -> Result<(), FormatError> {
        let magnitudes = self.activity.magnitudes(r).as_flattened_mut();
        match self.packing {
            Packing::Single => {
                for ((c, m), t) in codes.iter_mut().zip(magnitudes).zip(&self.tokens) {
                    if *t >= 192 {
                        if *t > LARGEST_SINGLE {
                            let (found, expected) = ((*t).into(), LARGEST_SINGLE.into());
                            return Err(FormatError::Value { field: "token", found, expected });
                        }
                        let bits = u32::from(t - 192);
                        let image = 191 + (1 << bits | self.excess.get(bits));
                        let z = u16::try_from(image).map_err(|_| FormatError::Code { what: "escape" })?;
                        (*c, *m) = (code(z.into()) as f32, magnitude(z).min(255) as u8);
                    }
                }
            }
            Packing::Paired => {
                for ((c, m), t) in codes.chunks_mut(2).zip(magnitudes).zip(&self.tokens) {
                    if t & 15 != 15 && t >> 4 != 15 {
                        continue;
                    }
                    let mut halves = [u16::from(t & 15), u16::from(t >> 4)];
                    for z in halves.iter_mut().filter(|z| **z == 15) {
                        *z = completed(&mut self.excess, 15)?;
                    }
                    for (c, z) in c.iter_mut().zip(halves) {
                        *c = code(z.into()) as f32;
                    }
                    *m = pair_magnitude(halves[0], halves[1]);
                }
            }
        }
        Ok(())
    }

    /// Whether a row of a sparse stream has codes other than 0.
    fn row_flag(&mut self, ordinary: Option<&[bool]>) -> Result<bool, FormatError> {
        let free = ordinary.is_some_and(|o| !o.iter().fold(false, |any, o| any | o));
        let mut flag = [0u8];
        self.decoder.get(&[if free { FREE } else { self.active + self.before }], &mut flag)?;
        if !free {
            self.before = flag[0] & 1;
        }
        Ok(flag[0] != 0)
    }

    /// Reads the tokens of a row of a sparse stream that is not zero.
    fn sparse_row(&mut self, n: usize) -> Result<(), FormatError> {
        let (classes, tokens) = (&self.classes.as_flattened()[..n], &mut self.tokens[..n]);
        self.packed_classes.clear();
        self.packed_classes.extend(self.activity.row.iter().zip(classes.chunks(GROUP)).map(|(a, c)| {
            let class = group_class(a, c);
            if class == FREE { FREE } else { self.active + 2 + class }
        }));
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
        Ok(())
    }

    /// Checks that everything was read.
    pub(super) fn finish(self) -> Result<(), FormatError> {
        match self.excess.finish() {
            None => return Err(FormatError::Code { what: "end of the excess" }),
            Some(0) => {}
            Some(n) => return Err(FormatError::TrailingBytes { what: "excess", count: n as u64 }),
        }
        self.decoder.finish()
    }
}

/// The image of an escape.
fn completed(excess: &mut BitReader, escape: u16) -> Result<u16, FormatError> {
    let image = excess.get_excess().map(|e| e + u32::from(escape));
    image.and_then(|z| u16::try_from(z).ok()).ok_or(FormatError::Code { what: "escape" })
}
