//! Classes: which points of a frame are ordinary, and what the others hold (SPEC 6.3).

use crate::codec::classes;
use crate::codec::cursor::{Cursor, put_block};
use crate::element::Element;
use crate::error::FormatError;
use crate::fast::{Effort, images};
use crate::vector::vectorize;

/// Most classes of a frame.
pub(crate) const MAX_CLASSES: usize = 16;

/// What the points of one class hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Class<T> {
    /// A value coded by the frame's method.
    Ordinary,
    /// A negative value whose magnitude is coded by the frame's method.
    Negative,
    /// This very value.
    Literal(T),
    /// A value in the list that follows the image.
    Listed,
}

/// The class of every point.
#[derive(Debug, Clone)]
pub(crate) struct ClassMap<T> {
    /// Meaning of the class numbers; 1 to 16 of them.
    pub(crate) table: Vec<Class<T>>,
    /// Class number of each point.
    pub(crate) image: Vec<u8>,
    /// Values of the points of class [`Class::Listed`], in C order.
    pub(crate) listed: Vec<T>,
}

impl<T: Element> ClassMap<T> {
    /// Which points are coded by the frame's method.
    pub(crate) fn ordinary(&self) -> Vec<bool> {
        let is_coded = |c: &Class<T>| matches!(c, Class::Ordinary | Class::Negative);
        let mut coded = self.table.iter().zip(0u8..).filter(|(c, _)| is_coded(c)).map(|(_, n)| n);
        match (coded.next(), coded.next()) {
            // Most often one class is, and a comparison tells.
            (Some(class), None) => self.image.iter().map(|c| *c == class).collect(),
            (None, _) => vec![false; self.image.len()],
            _ => {
                let mut flags = [false; 256];
                for (c, flag) in self.table.iter().zip(&mut flags) {
                    *flag = is_coded(c);
                }
                self.image.iter().map(|c| flags.get(usize::from(*c)).copied().unwrap_or(false)).collect()
            }
        }
    }

    /// Appends the map of a frame of shape `dims`.
    pub(crate) fn write_to(&self, dims: &[usize], effort: Effort, out: &mut Vec<u8>) {
        let [count, ..] = self.table.len().to_le_bytes();
        out.push(count);
        for c in &self.table {
            match c {
                Class::Ordinary => out.push(0),
                Class::Negative => out.push(1),
                Class::Literal(v) => {
                    out.push(2);
                    v.put_le(out);
                }
                Class::Listed => out.push(3),
            }
        }
        let first = self.image.first();
        let coded = match effort {
            Effort::Hasty if self.image.iter().any(|c| Some(c) != first) => images::encode(&self.image, count, dims),
            _ => classes::encode(&self.image, count, dims),
        };
        put_block(out, &coded);
        for v in &self.listed {
            v.put_le(out);
        }
    }

    /// Reads the map of a frame of `n` points of shape `dims`.
    pub(crate) fn read_from(bytes: &[u8], dims: &[usize], n: usize) -> Result<ClassMap<T>, FormatError> {
        let mut c = Cursor::new(bytes);
        let count = c.u8("class count")?;
        if count == 0 || usize::from(count) > MAX_CLASSES {
            let expected = MAX_CLASSES as u64;
            return Err(FormatError::Value { field: "class count", found: count.into(), expected });
        }
        let mut table = Vec::with_capacity(MAX_CLASSES);
        for _ in 0..count {
            table.push(match c.u8("class kind")? {
                0 => Class::Ordinary,
                1 => Class::Negative,
                2 => Class::Literal(value(&mut c)?),
                3 => Class::Listed,
                other => return Err(FormatError::Value { field: "class kind", found: other.into(), expected: 3 }),
            });
        }
        let coded = c.block("class image")?;
        let mut image = vec![0; n];
        match coded.split_first() {
            Some((&images::BITS, rest)) => images::decode(rest, count, &mut image)?,
            _ => classes::decode(coded, count, dims, &mut image)?,
        }
        let is_listed = |i: &&u8| matches!(table.get(usize::from(**i)), Some(Class::Listed));
        let any_listed = table.iter().any(|c| matches!(c, Class::Listed));
        let listed_count = if any_listed { image.iter().filter(is_listed).count() } else { 0 };
        let needed = listed_count.saturating_mul(T::DATA_TYPE.size());
        if needed != c.remaining() {
            let (found, expected) = (c.remaining() as u64, needed as u64);
            return Err(FormatError::Count { what: "bytes of listed values", found, expected });
        }
        let mut listed = Vec::with_capacity(listed_count);
        for _ in 0..listed_count {
            listed.push(value(&mut c)?);
        }
        Ok(ClassMap { table, image, listed })
    }
}

fn value<T: Element>(c: &mut Cursor) -> Result<T, FormatError> {
    let bits = match T::DATA_TYPE.size() {
        4 => u64::from(c.u32("value")?),
        _ => c.u64("value")?,
    };
    Ok(T::from_bits64(bits))
}

/// Which values are finite and have the bits of none of `others`.
pub(crate) fn ordinary<T: Element>(values: &[T], others: [Option<T>; 2]) -> Vec<bool> {
    // What is not a number is not finite.
    let others = others.map(|o| o.unwrap_or(T::NAN).to_bits64());
    let is_ordinary = |v: &T| {
        let bits = v.to_bits64();
        v.to_f64().is_finite() & (bits != others[0]) & (bits != others[1])
    };
    vectorize!(_simd => values.iter().map(is_ordinary).collect())
}

/// The values that are not ordinary, most frequent first, become literals; what does not fit the table is listed.
///
/// `negative` asks for a class of its own for ordinary values below zero. `None` if every point is ordinary and of one class.
pub(crate) fn classify<T: Element>(values: &[T], ordinary: &[bool], negative: bool) -> Option<ClassMap<T>> {
    let others = || values.iter().zip(ordinary).filter(|(_, o)| !**o).map(|(v, _)| v.to_bits64());
    if !negative {
        let bits = others().next()?;
        let all_alike = values.iter().zip(ordinary).fold(true, |all, (v, o)| all & (*o | (v.to_bits64() == bits)));
        if all_alike {
            let literal = Class::Literal(T::from_bits64(bits));
            let (table, first) =
                if ordinary.contains(&true) { (vec![Class::Ordinary, literal], 1) } else { (vec![literal], 0) };
            let image = ordinary.iter().map(|o| if *o { 0 } else { first }).collect();
            return Some(ClassMap { table, image, listed: Vec::new() });
        }
    }
    let mut counts: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
    for bits in others() {
        // The map stops growing long after it holds every value worth a literal.
        if counts.len() < 4096 || counts.contains_key(&bits) {
            let n = counts.entry(bits).or_default();
            *n = n.saturating_add(1);
        }
    }
    let is_negative = |v: &T| negative && v.to_f64() < 0.0;
    let ordinary_values = || values.iter().zip(ordinary).filter(|(_, o)| **o).map(|(v, _)| v);
    let (any_positive, any_negative) = (ordinary_values().any(|v| !is_negative(v)), ordinary_values().any(is_negative));
    let mut table = Vec::with_capacity(MAX_CLASSES);
    if any_positive {
        table.push(Class::Ordinary);
    }
    if any_negative {
        table.push(Class::Negative);
    }
    if counts.is_empty() && !any_negative {
        return None;
    }
    let negative_class = u8::from(any_positive);
    let mut frequent: Vec<(u64, u64)> = counts.into_iter().map(|(bits, n)| (n, bits)).collect();
    frequent.sort_unstable_by_key(|(n, bits)| (std::cmp::Reverse(*n), *bits));
    let mut number = std::collections::BTreeMap::new();
    for (_, bits) in frequent.iter().take(MAX_CLASSES.saturating_sub(table.len()).saturating_sub(1)) {
        if let Ok(class) = u8::try_from(table.len()) {
            number.insert(*bits, class);
            table.push(Class::Literal(T::from_bits64(*bits)));
        }
    }
    let listed_class = u8::try_from(table.len()).unwrap_or(u8::MAX);
    let mut listed = Vec::new();
    let image = values
        .iter()
        .zip(ordinary)
        .map(|(v, ordinary)| match ordinary {
            false => number.get(&v.to_bits64()).copied().unwrap_or_else(|| {
                listed.push(*v);
                listed_class
            }),
            true if is_negative(v) => negative_class,
            true => 0,
        })
        .collect();
    if !listed.is_empty() {
        table.push(Class::Listed);
    }
    Some(ClassMap { table, image, listed })
}
