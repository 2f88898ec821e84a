//! The words of `cd_values` (docs/hdf5.md): what the user asks, and what `set_local` adds about the dataset.

use cae::{Bound, DataType, Limits, Preset};

/// Bit of the options word that says that a model's digest follows.
const HAS_MODEL: u32 = 1 << 8;
/// Words of the user's part without a digest.
const USER_WORDS: usize = 4;
/// Words of a digest.
const DIGEST_WORDS: usize = 8;
/// The layout of the dataset's part that this plugin writes and reads.
const LAYOUT: u32 = 1;
/// Words of the dataset's part before the extents.
const LOCAL_WORDS: usize = 7;
/// Most dimensions of a chunk.
pub const MAX_DIMS: usize = 8;

/// Everything that the words say.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// The bound that the user asked for.
    pub bound: Bound,
    /// How hard to look for the fewest bytes.
    pub preset: Preset,
    /// Digest of the model's decoder.
    pub model: Option<[u8; 32]>,
    /// What `set_local` added; absent before.
    pub local: Option<Local>,
}

/// What the chunks of one dataset are.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// Type of the values.
    pub data_type: DataType,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// The dataset's fill value, if its creator gave one.
    pub fill: Option<f64>,
    /// Extent of a chunk in each dimension.
    pub shape: Vec<usize>,
}

impl Local {
    /// Bytes of a chunk's values.
    pub fn bytes(&self) -> Result<usize, String> {
        let most = Limits::default().frame_values;
        let values = self.shape.iter().try_fold(1usize, |n, e| n.checked_mul(*e));
        let bytes = values.filter(|n| *n as u64 <= most).and_then(|n| n.checked_mul(self.data_type.size()));
        bytes.ok_or_else(|| format!("a chunk of {:?}, at most {most} values are possible", self.shape))
    }
}

fn pair(low: u32, high: u32) -> f64 {
    f64::from_bits(u64::from(high) << 32 | u64::from(low))
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
fn halves(value: f64) -> [u32; 2] {
    let bits = value.to_bits();
    [bits as u32, (bits >> 32) as u32]
}

fn bound_of(kind: u32, value: f64) -> Result<Bound, String> {
    let bound = match kind {
        0 => Bound::Lossless,
        1 => Bound::Absolute(value),
        2 => Bound::Range(value),
        3 => Bound::Pointwise(value),
        4 => Bound::Rmse(value),
        5 => Bound::Psnr(value),
        6 => Bound::Ratio(value),
        other => return Err(format!("bound kind {other}, 0 to 6 are known")),
    };
    bound.validate().map_err(|e| e.to_string())
}

fn kind_of(bound: Bound) -> u32 {
    match bound {
        Bound::Absolute(_) => 1,
        Bound::Range(_) => 2,
        Bound::Pointwise(_) => 3,
        Bound::Rmse(_) => 4,
        Bound::Psnr(_) => 5,
        Bound::Ratio(_) => 6,
        _ => 0,
    }
}

impl Parameters {
    /// Reads the words of a filter, with or without the dataset's part.
    pub fn parse(words: &[u32]) -> Result<Parameters, String> {
        let Some((&[kind, low, high, options], mut rest)) = words.split_first_chunk::<USER_WORDS>() else {
            return Err(format!(
                "{} parameters, at least 4 needed: bound kind, bound (two words), preset",
                words.len()
            ));
        };
        let preset = match options & 0xff {
            0 => Preset::Balanced,
            1 => Preset::Fast,
            2 => Preset::Small,
            other => return Err(format!("preset {other}, 0 to 2 are known")),
        };
        if options & !(HAS_MODEL | 0xff) != 0 {
            return Err(format!("options {options:#x} have bits that are not known"));
        }
        let mut model = None;
        if options & HAS_MODEL != 0 {
            let short = || format!("{} words of a model's digest, 8 needed", rest.len());
            let (digest, after) = rest.split_first_chunk::<DIGEST_WORDS>().ok_or_else(short)?;
            let mut bytes = [0; 32];
            for (b, w) in bytes.chunks_exact_mut(4).zip(digest) {
                b.copy_from_slice(&w.to_le_bytes());
            }
            (model, rest) = (Some(bytes), after);
        }
        let local = if rest.is_empty() { None } else { Some(Local::parse(rest)?) };
        Ok(Parameters { bound: bound_of(kind, pair(low, high))?, preset, model, local })
    }

    /// The words, the dataset's part included where it is known.
    pub fn words(&self) -> Vec<u32> {
        let preset = match self.preset {
            Preset::Fast => 1,
            Preset::Small => 2,
            _ => 0,
        };
        let [low, high] = halves(self.bound.parameter().unwrap_or(0.0));
        let options = if self.model.is_some() { preset | HAS_MODEL } else { preset };
        let mut words = vec![kind_of(self.bound), low, high, options];
        for b in self.model.iter().flat_map(|d| d.as_chunks::<4>().0) {
            words.push(u32::from_le_bytes(*b));
        }
        if let Some(local) = &self.local {
            local.append_to(&mut words);
        }
        words
    }

    /// The dataset's part.
    pub fn local(&self) -> Result<&Local, String> {
        let missing = "the parameters do not say what a chunk is: they were not made by creating a dataset";
        self.local.as_ref().ok_or_else(|| missing.to_owned())
    }
}

impl Local {
    fn parse(words: &[u32]) -> Result<Local, String> {
        let Some((&[layout, data_type, order, has_fill, low, high, ndim], extents)) =
            words.split_first_chunk::<LOCAL_WORDS>()
        else {
            return Err(format!("{} words about the dataset, at least {LOCAL_WORDS} needed", words.len()));
        };
        if layout != LAYOUT {
            return Err(format!("layout {layout} of the parameters, this plugin knows {LAYOUT}"));
        }
        let data_type = match data_type {
            1 => DataType::F32,
            2 => DataType::F64,
            other => return Err(format!("type {other} of values, 1 and 2 are known")),
        };
        if order > 1 || has_fill > 1 {
            return Err(format!("byte order {order} and fill flag {has_fill}, 0 and 1 are legal"));
        }
        if ndim == 0 || usize::try_from(ndim) != Ok(extents.len()) || extents.len() > MAX_DIMS || extents.contains(&0) {
            return Err(format!("chunk extents {extents:?} for {ndim} dimensions"));
        }
        let shape = extents.iter().map(|e| usize::try_from(*e)).collect::<Result<_, _>>();
        Ok(Local {
            data_type,
            big_endian: order == 1,
            fill: (has_fill == 1).then(|| pair(low, high)),
            shape: shape.map_err(|_| "a chunk exceeds memory")?,
        })
    }

    fn append_to(&self, words: &mut Vec<u32>) {
        let data_type = match self.data_type {
            DataType::F64 => 2,
            _ => 1,
        };
        let [low, high] = halves(self.fill.unwrap_or(0.0));
        let ndim = u32::try_from(self.shape.len()).unwrap_or(u32::MAX);
        words.extend([LAYOUT, data_type, self.big_endian.into(), self.fill.is_some().into(), low, high, ndim]);
        words.extend(self.shape.iter().map(|e| u32::try_from(*e).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Parameters {
        Parameters {
            bound: Bound::Range(1e-3),
            preset: Preset::Small,
            model: Some(std::array::from_fn(|i| u8::try_from(i).unwrap())),
            local: Some(Local { data_type: DataType::F64, big_endian: true, fill: Some(-999.5), shape: vec![7, 1, 9] }),
        }
    }

    #[test]
    fn words_come_back() {
        let mut p = full();
        assert_eq!(Parameters::parse(&p.words()), Ok(p.clone()));
        (p.model, p.local) = (None, None);
        // 1e-3 is 0x3F50624DD2F1A9FC.
        assert_eq!(p.words(), [2, 0xD2F1_A9FC, 0x3F50_624D, 2]);
        assert_eq!(Parameters::parse(&p.words()), Ok(p));
    }

    #[test]
    fn the_model_follows_the_user_part_byte_by_byte() {
        let words = full().words();
        assert_eq!((words[3], words[4], words[11]), (2 | 256, 0x0302_0100, 0x1f1e_1d1c));
        let [low, high] = halves(-999.5);
        assert_eq!(words[12..], [1, 2, 1, 1, low, high, 3, 7, 1, 9]);
    }

    #[test]
    fn every_cut_and_every_wrong_word_is_refused() {
        let words = full().words();
        for n in 0..words.len() {
            assert!(n == 12 || Parameters::parse(&words[..n]).is_err(), "{n} words");
        }
        for (at, value) in [
            (0, 7),
            (2, 0xFFF0_0000),
            (3, 3),
            (3, 512 | 256),
            (12, 2),
            (13, 3),
            (14, 2),
            (15, 2),
            (18, 2),
            (18, 0),
            (20, 0),
        ] {
            let mut bent = words.clone();
            bent[at] = value;
            assert!(Parameters::parse(&bent).is_err(), "word {at} = {value}");
        }
        let nine = [&[0u32, 0, 0, 0, 1, 1, 0, 0, 0, 0, 9][..], &[1; 9]].concat();
        assert!(Parameters::parse(&nine).is_err());
    }
}
