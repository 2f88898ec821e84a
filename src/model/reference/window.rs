//! Convolutions, one multiply-add at a time.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "shapes were checked when the program was built; every index is computed from them"
)]

use super::{dot, for_each_index, strides};
use crate::model::program::Window;

/// Visits every pair of an image value and a kernel value that meet, with the output value that they add to:
/// (image, kernel, output) offsets.
pub(in crate::model) fn conv_terms(
    window: &Window,
    image: &[usize],
    kernel: &[usize],
    out: &[usize],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (image_strides, kernel_strides) = (strides(image), strides(kernel));
    let (filters_per_group, channels_per_group) = (kernel[0] / window.group, kernel[1]);
    let mut at = 0;
    for_each_index(out, |o| {
        let group = o[0] / filters_per_group;
        for_each_index(&kernel[1..], |k| {
            let mut position = (group * channels_per_group + k[0]) * image_strides[0];
            for axis in 0..window.kernel.len() {
                let padded = o[axis + 1] * window.strides[axis] + k[axis + 1] * window.dilations[axis];
                match padded.checked_sub(window.pads_begin[axis]) {
                    Some(i) if i < image[axis + 1] => position += i * image_strides[axis + 1],
                    _ => return,
                }
            }
            visit(position, o[0] * kernel_strides[0] + dot(k, &kernel_strides[1..]), at);
        });
        at += 1;
    });
}

/// As [`conv_terms`], for the transposed convolution.
pub(in crate::model) fn conv_transpose_terms(
    window: &Window,
    image: &[usize],
    kernel: &[usize],
    out: &[usize],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (kernel_strides, out_strides) = (strides(kernel), strides(out));
    let (channels_per_group, filters_per_group) = (kernel[0] / window.group, kernel[1]);
    let mut at = 0;
    for_each_index(image, |i| {
        let group = i[0] / channels_per_group;
        for_each_index(&kernel[1..], |k| {
            let mut position = (group * filters_per_group + k[0]) * out_strides[0];
            for axis in 0..window.kernel.len() {
                let whole = i[axis + 1] * window.strides[axis] + k[axis + 1] * window.dilations[axis];
                match whole.checked_sub(window.pads_begin[axis]) {
                    Some(o) if o < out[axis + 1] => position += o * out_strides[axis + 1],
                    _ => return,
                }
            }
            visit(at, i[0] * kernel_strides[0] + dot(k, &kernel_strides[1..]), position);
        });
        at += 1;
    });
}

pub(super) fn conv(window: &Window, operands: &[(&[usize], &[f32])], out: &[usize]) -> Vec<f32> {
    let mut sums = biased(operands.get(2).map(|b| b.1), out);
    let (image, kernel) = (operands[0], operands[1]);
    conv_terms(window, image.0, kernel.0, out, |i, k, o| sums[o] += f64::from(image.1[i]) * f64::from(kernel.1[k]));
    sums.iter().map(|&v| v as f32).collect()
}

pub(super) fn conv_transpose(window: &Window, operands: &[(&[usize], &[f32])], out: &[usize]) -> Vec<f32> {
    let mut sums = biased(operands.get(2).map(|b| b.1), out);
    let (image, kernel) = (operands[0], operands[1]);
    conv_transpose_terms(window, image.0, kernel.0, out, |i, k, o| {
        sums[o] += f64::from(image.1[i]) * f64::from(kernel.1[k]);
    });
    sums.iter().map(|&v| v as f32).collect()
}

/// One sum for each output value, starting from its channel's bias.
fn biased(bias: Option<&[f32]>, out: &[usize]) -> Vec<f64> {
    let per_channel: usize = out[1..].iter().product();
    (0..out[0] * per_channel).map(|i| bias.map_or(0.0, |b| f64::from(b[i / per_channel]))).collect()
}
