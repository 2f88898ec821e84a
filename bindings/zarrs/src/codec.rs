//! The codec: chunks to frames and back.

use crate::configuration::CaeCodecConfiguration;
use crate::models;
use cae::{Bound, DataType as CaeType, Element, Error, FrameOptions, Limits, Preset, Unsupported};
use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;
use zarrs_codec::{
    ArrayBytes, ArrayBytesRaw, ArrayCodecTraits, ArrayToBytesCodecTraits, BytesRepresentation, Codec, CodecError,
    CodecMetadataOptions, CodecOptions, CodecPluginV3, CodecTraits, CodecTraitsV3, PartialDecoderCapability,
    PartialEncoderCapability, RecommendedConcurrency,
};
use zarrs_data_type::{DataType, FillValue};
use zarrs_metadata::Configuration;
use zarrs_metadata::v3::MetadataV3;
use zarrs_plugin::{ExtensionName, PluginCreateError, ZarrVersion};

/// The array-to-bytes codec `cae`.
#[derive(Debug, Clone)]
pub struct CaeCodec {
    configuration: CaeCodecConfiguration,
    bound: Bound,
    preset: Preset,
}

zarrs_plugin::impl_extension_aliases!(CaeCodec, v3: "cae");

inventory::submit! {
    CodecPluginV3::new::<CaeCodec>()
}

impl CodecTraitsV3 for CaeCodec {
    fn create(metadata: &MetadataV3) -> Result<Codec, PluginCreateError> {
        Ok(Codec::ArrayToBytes(Arc::new(CaeCodec::new(metadata.to_typed_configuration()?)?)))
    }
}

impl CaeCodec {
    /// A codec for arrays of `float32` or `float64`.
    ///
    /// # Errors
    /// [`PluginCreateError`] for a bound without a positive finite number.
    pub fn new(configuration: CaeCodecConfiguration) -> Result<Self, PluginCreateError> {
        let (bound, preset) = (configuration.bound()?, configuration.preset());
        Ok(CaeCodec { configuration, bound, preset })
    }

    fn model(&self) -> Result<Option<models::Model>, CodecError> {
        self.configuration.model.as_deref().map(models::find).transpose().map_err(|e| failed(&e))
    }

    fn encode_as<T: Element>(&self, bytes: &[u8], shape: &[usize], fill_value: &[u8]) -> Result<Vec<u8>, CodecError> {
        let values: Vec<T> = bytes.chunks_exact(size_of::<T>()).filter_map(from_native).collect();
        // A fill value of 0 is what arrays have that were given none.
        let missing = || from_native::<T>(fill_value).map(T::to_f64).filter(|v| v.is_finite() && *v != 0.0);
        let model = self.model()?;
        let options = FrameOptions {
            bound: self.bound,
            preset: self.preset,
            fill: self.configuration.fill.filter(|v| v.is_finite()).or_else(missing),
            decoder: model.as_ref().map(|m| m.decoder.as_ref()),
            encoder: model.as_ref().and_then(|m| m.encoder.as_deref()),
            ..FrameOptions::default()
        };
        Ok(cae::compress_frame(&values, shape, &options).map_err(|e| failed(&e))?.bytes)
    }

    fn decode_as<T: Element>(&self, bytes: &[u8], shape: &[usize]) -> Result<Vec<u8>, CodecError> {
        let limits = Limits::default();
        let count = shape.iter().try_fold(1usize, |n, e| n.checked_mul(*e)).unwrap_or(usize::MAX);
        if count as u64 > limits.frame_values {
            let (wanted, allowed) = (count as u64, limits.frame_values);
            return Err(failed(&cae::Error::Limit { resource: cae::Resource::FrameValues, wanted, allowed }));
        }
        let mut values = vec![T::default(); count];
        // A chunk that no network predicts does without one that is missing.
        let model = self.model();
        let decoder = model.as_ref().ok().and_then(|m| m.as_ref()).map(|m| m.decoder.as_ref());
        if let Err(e) = cae::decompress_frame(bytes, shape, decoder, &limits, &mut values) {
            return Err(match (model, e) {
                (Err(missing), Error::Unsupported { kind: Unsupported::ModelNeeded, .. }) => missing,
                (_, e) => failed(&e),
            });
        }
        let mut out = Vec::with_capacity(count.saturating_mul(size_of::<T>()));
        for value in values {
            put_native(value, &mut out);
        }
        Ok(out)
    }
}

/// The value of these bytes in the machine's order, as zarrs hands them over.
fn from_native<T: Element>(bytes: &[u8]) -> Option<T> {
    Some(match T::DATA_TYPE {
        CaeType::F64 => T::from_bits64(u64::from_ne_bytes(*bytes.first_chunk()?)),
        _ => T::from_bits64(u64::from(u32::from_ne_bytes(*bytes.first_chunk()?))),
    })
}

/// The inverse of [`from_native`].
#[allow(clippy::cast_possible_truncation, reason = "the bits of an f32 are the low 32")]
fn put_native<T: Element>(value: T, out: &mut Vec<u8>) {
    match T::DATA_TYPE {
        CaeType::F64 => out.extend_from_slice(&value.to_bits64().to_ne_bytes()),
        _ => out.extend_from_slice(&(value.to_bits64() as u32).to_ne_bytes()),
    }
}

fn failed(error: &cae::Error) -> CodecError {
    CodecError::Other(format!("cae: {error}"))
}

/// The type of the values, if a frame can hold them.
fn type_of(data_type: &DataType) -> Result<CaeType, CodecError> {
    match data_type.name(ZarrVersion::V3).as_deref() {
        Some("float32") => Ok(CaeType::F32),
        Some("float64") => Ok(CaeType::F64),
        _ => Err(CodecError::UnsupportedDataType(data_type.clone(), "cae".to_owned())),
    }
}

fn extents(shape: &[NonZeroU64]) -> Result<Vec<usize>, CodecError> {
    let too_large = |_| CodecError::from("the chunk is too large for this machine");
    shape.iter().map(|n| usize::try_from(n.get()).map_err(too_large)).collect()
}

impl CodecTraits for CaeCodec {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn configuration(&self, _: ZarrVersion, _: &CodecMetadataOptions) -> Option<Configuration> {
        Some(self.configuration.clone().into())
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        PartialDecoderCapability { partial_read: false, partial_decode: false }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        PartialEncoderCapability { partial_encode: false }
    }
}

impl ArrayCodecTraits for CaeCodec {
    fn recommended_concurrency(&self, _: &[NonZeroU64], _: &DataType) -> Result<RecommendedConcurrency, CodecError> {
        Ok(RecommendedConcurrency::new_maximum(1))
    }
}

impl ArrayToBytesCodecTraits for CaeCodec {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn ArrayToBytesCodecTraits> {
        self
    }

    fn encoded_representation(
        &self,
        _: &[NonZeroU64],
        data_type: &DataType,
        _: &FillValue,
    ) -> Result<BytesRepresentation, CodecError> {
        type_of(data_type).map(|_| BytesRepresentation::UnboundedSize)
    }

    fn encode<'a>(
        &self,
        bytes: ArrayBytes<'a>,
        shape: &[NonZeroU64],
        data_type: &DataType,
        fill_value: &FillValue,
        _: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        let (bytes, shape) = (bytes.into_fixed()?, extents(shape)?);
        let frame = match type_of(data_type)? {
            CaeType::F64 => self.encode_as::<f64>(&bytes, &shape, fill_value.as_ne_bytes())?,
            _ => self.encode_as::<f32>(&bytes, &shape, fill_value.as_ne_bytes())?,
        };
        Ok(Cow::Owned(frame))
    }

    fn decode<'a>(
        &self,
        bytes: ArrayBytesRaw<'a>,
        shape: &[NonZeroU64],
        data_type: &DataType,
        _: &FillValue,
        _: &CodecOptions,
    ) -> Result<ArrayBytes<'a>, CodecError> {
        let shape = extents(shape)?;
        let values = match type_of(data_type)? {
            CaeType::F64 => self.decode_as::<f64>(&bytes, &shape)?,
            _ => self.decode_as::<f32>(&bytes, &shape)?,
        };
        Ok(ArrayBytes::from(values))
    }
}
