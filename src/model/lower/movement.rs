//! Operators that move values without computing (SPEC 5.4.6), and arithmetic on shapes (SPEC 5.3).

use std::sync::Arc;

use super::{Call, Entry, Lowering, block_axis, constant_axis};
use crate::error::{Error, Resource, Result};
use crate::limits::within;
use crate::model::constant::{BATCH, Constant, Data};
use crate::model::program::{Interpolation, Op, volume};
use crate::model::reference;

impl Lowering<'_> {
    pub(super) fn reshape(&mut self, call: &Call<'_>) -> Result<Entry> {
        let target = call.known_ints(1)?;
        let zero_copies = call.int("allowzero", 0)? == 0;
        match call.entry(0)? {
            Entry::Constant(c) => {
                let shape = resolve_reshape(&target, &c.shape, zero_copies)
                    .ok_or_else(|| call.refuse(format!("shape {:?} cannot become {target:?}", c.shape)))?;
                Ok(Entry::Constant(Constant { shape, ..c }))
            }
            Entry::Batched(slot) => {
                let from = self.shape_of(slot)?;
                if self.last.is_some()
                    && self.last == call.node.outputs.first().copied()
                    && splits_blocks(&target, &from)
                {
                    return Ok(Entry::Batched(slot));
                }
                let keeps_batch = match target.first() {
                    Some(&0) => zero_copies,
                    Some(&BATCH) => true,
                    // The rest then has to hold all values of a block, which leaves the batch.
                    Some(&-1) => !target.iter().skip(1).any(|&d| d == -1),
                    Some(&n) => self.batch == Some(n),
                    None => false,
                };
                let shape = target
                    .get(1..)
                    .filter(|_| keeps_batch)
                    .and_then(|rest| resolve_reshape(rest, &from, zero_copies))
                    .ok_or_else(|| {
                        call.refuse(format!(
                            "a block value of shape {from:?} cannot become {} within its block",
                            show_target(&target)
                        ))
                    })?;
                self.as_shape(slot, shape, call)
            }
        }
    }

    /// The value in `slot` in another shape of as many values.
    fn as_shape(&mut self, slot: usize, shape: Vec<usize>, call: &Call<'_>) -> Result<Entry> {
        if self.shape_of(slot)? == shape {
            return Ok(Entry::Batched(slot));
        }
        self.step(Op::Reshape, &[slot], shape, 0, call.label)
    }

    pub(super) fn flatten(&mut self, call: &Call<'_>) -> Result<Entry> {
        let axis = call.int("axis", 1)?;
        match call.entry(0)? {
            Entry::Batched(slot) => {
                let shape = self.shape_of(slot)?;
                if block_axis(axis, shape.len(), call.label)? != 0 {
                    return Err(call.refuse("it flattens values into the batch axis"));
                }
                self.as_shape(slot, vec![shape.iter().product()], call)
            }
            Entry::Constant(_) => Err(call.refuse("Flatten of a constant")),
        }
    }

    pub(super) fn squeeze(&mut self, call: &Call<'_>) -> Result<Entry> {
        let axes = call.axes()?;
        match call.entry(0)? {
            Entry::Batched(slot) => {
                let axes = axes.ok_or_else(|| call.refuse("Squeeze without axes, which could take the batch axis"))?;
                let mut shape: Vec<Option<usize>> = self.shape_of(slot)?.into_iter().map(Some).collect();
                let rank = shape.len();
                for axis in axes {
                    let axis = block_axis(axis, rank, call.label)?;
                    match shape.get_mut(axis) {
                        Some(d) if *d == Some(1) => *d = None,
                        _ => return Err(call.refuse("Squeeze of an axis that is not of length 1")),
                    }
                }
                self.as_shape(slot, shape.into_iter().flatten().collect(), call)
            }
            Entry::Constant(c) => {
                let mut shape: Vec<Option<usize>> = c.shape.iter().copied().map(Some).collect();
                let all = || (0_i64..).zip(&c.shape).filter(|(_, d)| **d == 1).map(|(i, _)| i).collect();
                for axis in axes.unwrap_or_else(all) {
                    match constant_axis(axis, c.shape.len()).and_then(|a| shape.get_mut(a)) {
                        Some(d) if *d == Some(1) => *d = None,
                        _ => return Err(call.refuse("Squeeze of an axis that is not of length 1")),
                    }
                }
                Ok(Entry::Constant(Constant { shape: shape.into_iter().flatten().collect(), ..c }))
            }
        }
    }

    pub(super) fn unsqueeze(&mut self, call: &Call<'_>) -> Result<Entry> {
        let axes = call.axes()?.ok_or_else(|| call.refuse("Unsqueeze without axes"))?;
        match call.entry(0)? {
            Entry::Batched(slot) => {
                let from = self.shape_of(slot)?;
                let rank = from.len().saturating_add(axes.len());
                let axes = axes.iter().map(|&a| block_axis(a, rank, call.label)).collect::<Result<Vec<_>>>()?;
                let shape = insert_ones(&from, &axes).ok_or_else(|| call.refuse("Unsqueeze with an axis twice"))?;
                self.as_shape(slot, shape, call)
            }
            Entry::Constant(c) => {
                let rank = c.shape.len().saturating_add(axes.len());
                let axes: Option<Vec<usize>> = axes.iter().map(|&a| constant_axis(a, rank)).collect();
                let shape = axes
                    .and_then(|axes| insert_ones(&c.shape, &axes))
                    .filter(|s| s.len() <= crate::model::constant::RANK_MAX)
                    .ok_or_else(|| call.refuse("Unsqueeze with axes that do not fit"))?;
                Ok(Entry::Constant(Constant { shape, ..c }))
            }
        }
    }

    pub(super) fn transpose(&mut self, call: &Call<'_>) -> Result<Entry> {
        let entry = call.entry(0)?;
        let (rank, is_batched) = match &entry {
            Entry::Batched(slot) => (self.shape_of(*slot)?.len().saturating_add(1), true),
            Entry::Constant(c) => (c.shape.len(), false),
        };
        let permutation: Vec<usize> = match call.ints("perm")? {
            None => (0..rank).rev().collect(),
            Some(perm) => {
                let mut seen = vec![false; rank];
                for &p in perm {
                    match usize::try_from(p).ok().and_then(|p| seen.get_mut(p)) {
                        Some(s) if !*s => *s = true,
                        _ => return Err(call.refuse(format!("{perm:?} is no permutation of {rank} axes"))),
                    }
                }
                if seen.contains(&false) {
                    return Err(call.refuse(format!("{perm:?} is no permutation of {rank} axes")));
                }
                perm.iter().filter_map(|&p| usize::try_from(p).ok()).collect()
            }
        };
        match entry {
            Entry::Batched(slot) if is_batched => {
                let Some((0, rest)) = permutation.split_first() else {
                    return Err(call.refuse("it moves the batch axis"));
                };
                let permutation: Vec<usize> = rest.iter().map(|p| p.saturating_sub(1)).collect();
                self.transpose_block(slot, permutation, call)
            }
            Entry::Constant(c) => {
                let shape: Vec<usize> = permutation.iter().filter_map(|&p| c.shape.get(p).copied()).collect();
                Ok(Entry::Constant(c.moved(&Op::Transpose(permutation), shape)))
            }
            Entry::Batched(_) => Err(call.refuse("Transpose of nothing")),
        }
    }

    fn transpose_block(&mut self, slot: usize, permutation: Vec<usize>, call: &Call<'_>) -> Result<Entry> {
        if permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(Entry::Batched(slot));
        }
        let from = self.shape_of(slot)?;
        let shape = permutation.iter().filter_map(|&p| from.get(p).copied()).collect();
        self.step(Op::Transpose(permutation), &[slot], shape, 0, call.label)
    }

    pub(super) fn concat(&mut self, call: &Call<'_>) -> Result<Entry> {
        if call.attribute("axis").is_none() {
            return Err(call.refuse("Concat without an axis"));
        }
        let axis = call.int("axis", 0)?;
        let entries = (0..call.inputs.len()).map(|i| call.entry(i)).collect::<Result<Vec<_>>>()?;
        if entries.iter().all(|e| matches!(e, Entry::Constant(_))) {
            return self.concat_constants(&entries, axis, call);
        }
        let (mut slots, mut shapes) = (Vec::new(), Vec::new());
        for entry in &entries {
            let Entry::Batched(slot) = entry else {
                return Err(call.refuse("Concat of a constant with values of the block"));
            };
            slots.push(*slot);
            shapes.push(self.shape_of(*slot)?);
        }
        let axis = block_axis(axis, shapes.first().map_or(0, Vec::len), call.label)?;
        let shape = joined(&shapes, axis).ok_or_else(|| call.refuse(format!("shapes {shapes:?} do not join")))?;
        if let [only] = slots.as_slice() {
            return Ok(Entry::Batched(*only));
        }
        self.step(Op::Concat(axis), &slots, shape, 0, call.label)
    }

    fn concat_constants(&mut self, entries: &[Entry], axis: i64, call: &Call<'_>) -> Result<Entry> {
        let constants: Vec<&Constant> =
            entries.iter().filter_map(|e| if let Entry::Constant(c) = e { Some(c) } else { None }).collect();
        let shapes: Vec<Vec<usize>> = constants.iter().map(|c| c.shape.clone()).collect();
        let first = constants.first().ok_or_else(|| call.refuse("Concat of nothing"))?;
        if constants.iter().any(|c| c.kind != first.kind) {
            return Err(call.refuse("Concat of different element types"));
        }
        let (axis, shape) = constant_axis(axis, first.shape.len())
            .and_then(|a| Some((a, joined(&shapes, a)?)))
            .ok_or_else(|| call.refuse(format!("shapes {shapes:?} do not join")))?;
        within(Resource::ModelElements, volume(&shape).unwrap_or(u64::MAX), self.limits.model_elements)?;
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let moves = reference::sources(&Op::Concat(axis), &shapes, &shape);
        let data = if first.kind.is_float() {
            let parts: Vec<&[f32]> =
                constants.iter().filter_map(|c| if let Data::Float(v) = &c.data { Some(&**v) } else { None }).collect();
            Data::Float(reference::gather(&parts, &moves).into())
        } else {
            let parts: Vec<&[i64]> =
                constants.iter().filter_map(|c| if let Data::Int(v) = &c.data { Some(&**v) } else { None }).collect();
            Data::Int(reference::gather(&parts, &moves).into())
        };
        Ok(Entry::Constant(Constant { kind: first.kind, shape, data }))
    }

    pub(super) fn slice(&mut self, call: &Call<'_>) -> Result<Entry> {
        let list = |index: usize, name: &str| -> Result<Option<Vec<i64>>> {
            match call.optional(index) {
                Some(_) => Ok(Some(call.known_ints(index)?)),
                None => Ok(call.ints(name)?.map(<[i64]>::to_vec)),
            }
        };
        let missing = || call.refuse("Slice without starts and ends");
        let starts = list(1, "starts")?.ok_or_else(missing)?;
        let ends = list(2, "ends")?.ok_or_else(missing)?;
        let axes = match list(3, "axes")? {
            Some(axes) => axes,
            None => (0_i64..).take(starts.len()).collect(),
        };
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
            return Err(call.refuse("Slice with lists of different lengths"));
        }
        let entry = call.entry(0)?;
        let from = match &entry {
            Entry::Batched(slot) => self.shape_of(*slot)?,
            Entry::Constant(c) => c.shape.clone(),
        };
        let (mut first, mut every, mut shape) = (vec![0; from.len()], vec![1; from.len()], from.clone());
        for ((&start, &end), (&axis, &step)) in starts.iter().zip(&ends).zip(axes.iter().zip(&steps)) {
            let axis = match &entry {
                Entry::Batched(_) => block_axis(axis, from.len(), call.label)?,
                Entry::Constant(_) => {
                    constant_axis(axis, from.len()).ok_or_else(|| call.refuse("Slice of an axis that is not there"))?
                }
            };
            let size = from.get(axis).copied().unwrap_or(0);
            let (begin, step, len) = slice_axis(start, end, step, size)
                .ok_or_else(|| call.refuse(format!("Slice from {start} to {end} by {step} of {size} values")))?;
            if let (Some(f), Some(e), Some(s)) = (first.get_mut(axis), every.get_mut(axis), shape.get_mut(axis)) {
                (*f, *e, *s) = (begin, step, len);
            }
        }
        let op = Op::Slice { starts: first, steps: every };
        match entry {
            Entry::Batched(slot) if shape == from => Ok(Entry::Batched(slot)),
            Entry::Batched(slot) => self.step(op, &[slot], shape, 0, call.label),
            Entry::Constant(c) => Ok(Entry::Constant(c.moved(&op, shape))),
        }
    }

    /// Depth to space is a reshape, a transposition and a reshape.
    pub(super) fn depth_to_space(&mut self, call: &Call<'_>) -> Result<Entry> {
        let slot = call.batched(0)?;
        let shape = self.shape_of(slot)?;
        let block = call.int("blocksize", 0)?;
        let unfit = || call.refuse(format!("blocksize {block} for a block value of shape {shape:?}"));
        let (&[channels, rows, columns], Ok(b)) = (shape.as_slice(), usize::try_from(block)) else {
            return Err(unfit());
        };
        let area = b.checked_mul(b).filter(|&a| a > 0 && channels.checked_rem(a) == Some(0)).ok_or_else(unfit)?;
        let depth = channels.checked_div(area).ok_or_else(unfit)?;
        let (split, permutation) = match call.text("mode", "DCR")? {
            "DCR" => (vec![b, b, depth, rows, columns], vec![2, 3, 0, 4, 1]),
            "CRD" => (vec![depth, b, b, rows, columns], vec![0, 3, 1, 4, 2]),
            _ => return Err(call.refuse("DepthToSpace with an unknown mode")),
        };
        let Entry::Batched(split) = self.as_shape(slot, split, call)? else { return Err(unfit()) };
        let Entry::Batched(moved) = self.transpose_block(split, permutation, call)? else { return Err(unfit()) };
        self.as_shape(moved, vec![depth, rows.saturating_mul(b), columns.saturating_mul(b)], call)
    }

    pub(super) fn resize(&mut self, call: &Call<'_>) -> Result<Entry> {
        if self.opset < 11 {
            return Err(call.refuse("Resize as it was before opset 11"));
        }
        let slot = call.batched(0)?;
        let from = self.shape_of(slot)?;
        for name in ["antialias", "exclude_outside"] {
            if call.int(name, 0)? != 0 {
                return Err(call.refuse(format!("Resize with `{name}`")));
            }
        }
        if call.text("keep_aspect_ratio_policy", "stretch")? != "stretch" {
            return Err(call.refuse("Resize that keeps the aspect ratio"));
        }
        if let Some(Entry::Constant(c)) = call.optional(1)
            && volume(&c.shape) != Some(0)
        {
            return Err(call.refuse("Resize of a region of interest"));
        }
        let factors = call.resize_factors(&from)?;
        let transformation = call.text("coordinate_transformation_mode", "half_pixel")?;
        let mode = match (call.text("mode", "nearest")?, transformation) {
            ("nearest", "asymmetric") if call.text("nearest_mode", "round_prefer_floor")? == "floor" => {
                Interpolation::Nearest
            }
            ("nearest", "half_pixel" | "pytorch_half_pixel")
                if matches!(
                    call.text("nearest_mode", "round_prefer_floor")?,
                    "round_prefer_floor" | "round_prefer_ceil"
                ) =>
            {
                Interpolation::Nearest
            }
            ("linear", "half_pixel" | "pytorch_half_pixel") => Interpolation::LinearHalfPixel,
            ("linear", "asymmetric") => Interpolation::LinearAsymmetric,
            ("linear", "align_corners") => Interpolation::LinearAlignCorners,
            (mode, transformation) => {
                return Err(call.refuse(format!(
                    "Resize with mode `{}`, coordinates `{}` and this rounding",
                    crate::model::onnx::show(mode),
                    crate::model::onnx::show(transformation)
                )));
            }
        };
        if factors.iter().all(|&f| f == 1) {
            return Ok(Entry::Batched(slot));
        }
        let shape: Option<Vec<usize>> = from.iter().zip(&factors).map(|(&n, &f)| n.checked_mul(f)).collect();
        let shape = shape.ok_or_else(|| call.refuse("Resize to an impossible size"))?;
        let corners = if mode == Interpolation::Nearest { 1 } else { 8 };
        let work = volume(&shape).unwrap_or(u64::MAX).saturating_mul(corners);
        self.step(Op::Upsample { factors, mode }, &[slot], shape, work, call.label)
    }

    /// The shape as a constant, the length of the batch unknown.
    pub(super) fn shape(&mut self, call: &Call<'_>) -> Result<Entry> {
        let dims: Vec<i64> = match call.entry(0)? {
            Entry::Batched(slot) => std::iter::once(Ok(BATCH))
                .chain(self.shape_of(slot)?.into_iter().map(|d| i64::try_from(d).map_err(|_| too_large(call))))
                .collect::<Result<_>>()?,
            Entry::Constant(c) => {
                c.shape.iter().map(|&d| i64::try_from(d).map_err(|_| too_large(call))).collect::<Result<_>>()?
            }
        };
        let rank = i64::try_from(dims.len()).unwrap_or(i64::MAX);
        let clamp =
            |v: i64| usize::try_from(if v < 0 { v.saturating_add(rank) } else { v }.clamp(0, rank)).unwrap_or(0);
        let (start, end) = (clamp(call.int("start", 0)?), clamp(call.int("end", rank)?));
        let part = dims.get(start..end).unwrap_or(&[]).to_vec();
        Ok(Entry::Constant(Constant::ints(vec![part.len()], part)))
    }
}

fn too_large(call: &Call<'_>) -> Error {
    call.refuse("a dimension too large for this machine")
}

impl Call<'_> {
    /// The axes of Squeeze and Unsqueeze: an attribute before opset 13, an input since.
    fn axes(&self) -> Result<Option<Vec<i64>>> {
        match self.optional(1) {
            Some(_) => Ok(Some(self.known_ints(1)?)),
            None => Ok(self.ints("axes")?.map(<[i64]>::to_vec)),
        }
    }

    /// Gather picks integers out of a shape; nothing else.
    pub(super) fn gather(&self) -> Result<Entry> {
        let data = self.known_ints(0)?;
        let indices = self.known(1)?;
        let (Some(picks), true) = (indices.as_ints(), matches!(self.int("axis", 0)?, 0 | -1)) else {
            return Err(self.refuse("Gather of anything but entries of a list of integers"));
        };
        let picked: Option<Vec<i64>> =
            picks.iter().map(|&i| constant_axis(i, data.len()).and_then(|i| data.get(i).copied())).collect();
        let picked = picked.ok_or_else(|| self.refuse(format!("Gather beyond the {} entries there", data.len())))?;
        Ok(Entry::Constant(Constant::ints(indices.shape.clone(), picked)))
    }

    /// How many times longer Resize makes each axis after the batch.
    fn resize_factors(&self, from: &[usize]) -> Result<Vec<usize>> {
        let unfit = || self.refuse("Resize by anything but whole factors, 1 for the batch");
        let scales = match (self.optional(2), self.optional(3)) {
            (Some(Entry::Constant(c)), None) => c.as_floats().ok_or_else(unfit)?.to_vec(),
            (_, Some(Entry::Constant(_))) => {
                let sizes = self.known_ints(3)?;
                let mut factors = Vec::new();
                for (&size, &from) in sizes.iter().skip(1).zip(from) {
                    let size = usize::try_from(size).map_err(|_| unfit())?;
                    let whole = size.checked_rem(from) == Some(0) && size > 0;
                    factors.push(size.checked_div(from).filter(|_| whole).ok_or_else(unfit)?);
                }
                let keeps_batch = matches!(sizes.first(), Some(&BATCH | &1));
                let fits = sizes.len() == from.len().saturating_add(1) && keeps_batch;
                return if fits { Ok(factors) } else { Err(unfit()) };
            }
            _ => return Err(self.refuse("Resize needs constant scales or sizes")),
        };
        if scales.len() != from.len().saturating_add(1) || scales.first() != Some(&1.0) {
            return Err(unfit());
        }
        scales
            .iter()
            .skip(1)
            .map(|&s| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked just before")]
                if (1.0..=65_536.0).contains(&s) && s.fract() == 0.0 { Ok(s as usize) } else { Err(unfit()) }
            })
            .collect()
    }
}

impl Constant {
    /// The constant with its values moved by `op` into `shape`.
    fn moved(&self, op: &Op, shape: Vec<usize>) -> Constant {
        let moves = reference::sources(op, &[&self.shape], &shape);
        let data = match &self.data {
            Data::Float(v) => Data::Float(Arc::from(reference::gather(&[v], &moves))),
            Data::Int(v) => Data::Int(Arc::from(reference::gather(&[v], &moves))),
        };
        Constant { kind: self.kind, shape, data }
    }
}

/// Whether `target` cuts each block into several rows, as skl2onnx ends its models: `[-1, 1]`. C order keeps the
/// values of a block together, so at the very end of a model that changes nothing but the name of the shape.
fn splits_blocks(target: &[i64], from: &[usize]) -> bool {
    let Some((-1, rest)) = target.split_first().map(|(first, rest)| (*first, rest)) else { return false };
    let rest: Option<Vec<usize>> = rest.iter().map(|&d| usize::try_from(d).ok().filter(|&d| d > 0)).collect();
    match (rest.and_then(|r| volume(&r)), volume(from)) {
        (Some(row), Some(block)) => row < block && block.checked_rem(row) == Some(0),
        _ => false,
    }
}

/// `target` with `0` and `-1` filled in, if it holds as many values as `from`.
fn resolve_reshape(target: &[i64], from: &[usize], zero_copies: bool) -> Option<Vec<usize>> {
    let total = volume(from)?;
    let mut shape = Vec::new();
    let mut unknown = None;
    for (axis, &d) in target.iter().enumerate() {
        shape.push(match d {
            -1 if unknown.is_none() => {
                unknown = Some(axis);
                1
            }
            0 if zero_copies => *from.get(axis)?,
            _ => usize::try_from(d).ok()?,
        });
    }
    if let Some(axis) = unknown {
        let missing = total.checked_div(volume(&shape)?)?;
        *shape.get_mut(axis)? = usize::try_from(missing).ok()?;
    }
    (volume(&shape)? == total && shape.len() <= crate::model::constant::RANK_MAX).then_some(shape)
}

fn show_target(target: &[i64]) -> String {
    let dims: Vec<String> = target.iter().map(|&d| if d == BATCH { "N".into() } else { d.to_string() }).collect();
    format!("[{}]", dims.join(", "))
}

/// `shape` with axes of length 1 at these positions of the result.
fn insert_ones(shape: &[usize], axes: &[usize]) -> Option<Vec<usize>> {
    let rank = shape.len().checked_add(axes.len())?;
    let mut rest = shape.iter();
    let out: Vec<usize> =
        (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { rest.next().copied() }).collect::<Option<_>>()?;
    rest.next().is_none().then_some(out)
}

/// The shape of tensors joined along `axis`.
fn joined(shapes: &[Vec<usize>], axis: usize) -> Option<Vec<usize>> {
    let mut out = shapes.first()?.clone();
    for shape in shapes.iter().skip(1) {
        let same =
            shape.len() == out.len() && shape.iter().zip(&out).enumerate().all(|(i, (a, b))| i == axis || a == b);
        let len = out.get_mut(axis)?;
        *len = same.then(|| len.checked_add(*shape.get(axis)?))??;
    }
    out.get(axis)?;
    Some(out)
}

/// First index, step and number of values of a slice with a positive step.
fn slice_axis(start: i64, end: i64, step: i64, size: usize) -> Option<(usize, usize, usize)> {
    let len = i64::try_from(size).ok()?;
    if step < 1 || start == BATCH || end == BATCH {
        return None;
    }
    let clamp = |v: i64| if v < 0 { v.saturating_add(len) } else { v }.clamp(0, len);
    let (begin, end) = (clamp(start), clamp(end));
    let span = usize::try_from(end.checked_sub(begin)?).ok()?;
    let step = usize::try_from(step).ok()?;
    Some((usize::try_from(begin).ok()?, step, span.div_ceil(step)))
}
