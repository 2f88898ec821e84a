//! What an array's metadata say of the codec.

use cae::{Bound, Preset};
use serde::{Deserialize, Serialize};
use zarrs_metadata::ConfigurationSerialize;
use zarrs_plugin::PluginCreateError;

/// The configuration of the codec `cae`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaeCodecConfiguration {
    /// What may be lost at each value.
    pub bound: BoundConfiguration,
    /// How hard to look for the fewest bytes.
    #[serde(default)]
    pub preset: PresetName,
    /// A value that comes back bit for bit; without it the array's fill value does, unless that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
    /// SHA-256 of the model that predicts the values, 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A bound that means the same for each chunk. Those of a range or a mean do not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundConfiguration {
    /// Its name.
    pub kind: BoundKind,
    /// Its number, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// Names of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundKind {
    /// Every value comes back bit for bit.
    Lossless,
    /// A greatest difference.
    Abs,
    /// A greatest difference as a fraction of the value.
    Pw,
}

/// Names of presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresetName {
    /// [`Preset::Fast`].
    Fast,
    /// [`Preset::Balanced`].
    #[default]
    Balanced,
    /// [`Preset::Small`].
    Small,
}

impl ConfigurationSerialize for CaeCodecConfiguration {}

impl CaeCodecConfiguration {
    /// The bound.
    ///
    /// # Errors
    /// For a number that is missing, needless, or not positive and finite.
    pub fn bound(&self) -> Result<Bound, PluginCreateError> {
        let bound = match (self.bound.kind, self.bound.value) {
            (BoundKind::Lossless, None) => Bound::Lossless,
            (BoundKind::Abs, Some(e)) => Bound::Absolute(e),
            (BoundKind::Pw, Some(b)) => Bound::Pointwise(b),
            (BoundKind::Lossless, Some(_)) => return Err("a lossless bound has no value".into()),
            (_, None) => return Err("the bound has no value".into()),
        };
        bound.validate().map_err(|e| PluginCreateError::Other(e.to_string()))
    }

    /// The preset.
    pub fn preset(&self) -> Preset {
        match self.preset {
            PresetName::Fast => Preset::Fast,
            PresetName::Balanced => Preset::Balanced,
            PresetName::Small => Preset::Small,
        }
    }
}
