//! Matrix products, convolutions and normalisations (SPEC 5.4.3 to 5.4.5).

use super::{Call, Entry, Lowering, block_axis};
use crate::error::Result;
use crate::model::constant::Constant;
use crate::model::program::{Binary, Op, Window, volume};

impl Lowering<'_> {
    pub(super) fn mat_mul(&mut self, call: &Call<'_>) -> Result<Entry> {
        match (call.entry(0)?, call.entry(1)?) {
            (Entry::Batched(a), Entry::Constant(b)) => self.times_matrix(a, &b, call),
            (Entry::Constant(a), Entry::Batched(b)) => {
                let shape = self.shape_of(b)?;
                let ([m, k], [leading @ .., rows, columns]) = (a.shape.as_slice(), shape.as_slice()) else {
                    return Err(call.refuse("it multiplies across the batch axis, or by a constant that is no matrix"));
                };
                if k != rows {
                    return Err(call.refuse(format!("a matrix of {k} columns times one of {rows} rows")));
                }
                let mut out = leading.to_vec();
                out.extend([*m, *columns]);
                let work = product(&[volume(&out), Some(*k as u64)]);
                let a = self.float_slot(&a, a.shape.clone(), call.label)?;
                self.step(Op::MatMul, &[a, b], out, work, call.label)
            }
            _ => Err(call.refuse("exactly one operand of MatMul must be a constant")),
        }
    }

    /// Value `a` of the blocks times the constant matrix `b`.
    fn times_matrix(&mut self, a: usize, b: &Constant, call: &Call<'_>) -> Result<Entry> {
        let shape = self.shape_of(a)?;
        let ([k, m], [leading @ .., columns]) = (b.shape.as_slice(), shape.as_slice()) else {
            return Err(call.refuse("it multiplies across the batch axis, or by a constant that is no matrix"));
        };
        if k != columns {
            return Err(call.refuse(format!("a value of {columns} columns times a matrix of {k} rows")));
        }
        let mut out = leading.to_vec();
        out.push(*m);
        let work = product(&[volume(&out), Some(*k as u64)]);
        let b = self.float_slot(b, b.shape.clone(), call.label)?;
        self.step(Op::MatMul, &[a, b], out, work, call.label)
    }

    /// Gemm becomes a product with the scaled, transposed matrix and a sum.
    pub(super) fn gemm(&mut self, call: &Call<'_>) -> Result<Entry> {
        let a = call.batched(0)?;
        if call.int("transA", 0)? != 0 || self.shape_of(a)?.len() != 1 {
            return Err(call.refuse("Gemm across the batch axis; its first input must be one vector for each block"));
        }
        let (shape, values) = call.known_floats(1)?;
        let &[rows, columns] = shape else {
            return Err(call.refuse("the second input of Gemm must be a matrix"));
        };
        let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
        let matrix = if call.int("transB", 0)? != 0 {
            let transposed =
                (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns.max(1)).map(|&w| alpha * w)).collect();
            Constant::floats(vec![columns, rows], transposed)
        } else {
            Constant::floats(vec![rows, columns], values.iter().map(|&w| alpha * w).collect())
        };
        let product = self.times_matrix(a, &matrix.checked(call.label)?, call)?;
        let addend = match call.optional(2) {
            None => return Ok(product),
            Some(_) if beta == 0.0 => return Ok(product),
            Some(Entry::Constant(c)) => {
                let values =
                    c.as_floats().ok_or_else(|| call.refuse("the third input of Gemm must be of type float"))?;
                let scaled = Constant::floats(c.shape.clone(), values.iter().map(|&v| beta * v).collect());
                Entry::Constant(scaled.checked(call.label)?)
            }
            Some(Entry::Batched(_)) if beta != 1.0 => {
                return Err(call.refuse("Gemm with a beta other than 1 and a third input that depends on the block"));
            }
            Some(batched) => batched.clone(),
        };
        let shape = self.entry_shape(&product)?;
        let sum = self.pair(Binary::Add, product, addend, call)?;
        if self.entry_shape(&sum)? != shape {
            return Err(call.refuse("the third input of Gemm does not fit the product"));
        }
        Ok(sum)
    }

    pub(super) fn conv(&mut self, call: &Call<'_>) -> Result<Entry> {
        let image = call.batched(0)?;
        let shape = self.shape_of(image)?;
        let kernel = call.known_floats(1)?.0.to_vec();
        let ([channels, spatial @ ..], [filters, group_channels, kernel_dims @ ..]) =
            (shape.as_slice(), kernel.as_slice())
        else {
            return Err(call.refuse("Conv needs an image and a kernel"));
        };
        let mut window = call.window(spatial.len(), kernel_dims)?;
        if group_channels.checked_mul(window.group) != Some(*channels) || filters.checked_rem(window.group) != Some(0) {
            return Err(call.refuse(format!(
                "{channels} channels, {} groups and a kernel of shape {kernel:?} do not fit",
                window.group
            )));
        }
        let mut out = vec![*filters];
        for (axis, &size) in spatial.iter().enumerate() {
            out.push(call.resolve_conv_axis(&mut window, axis, size)?);
        }
        let padded = spatial
            .iter()
            .zip(window.pads_begin.iter().zip(&window.pads_end))
            .map(|(&n, (&b, &e))| n.saturating_add(b).saturating_add(e));
        let padded: Vec<usize> = std::iter::once(*channels).chain(padded).collect();
        self.within_elements(&padded)?;
        let work = product(&[volume(&out), volume(kernel.get(1..).unwrap_or(&[]))]);
        let inputs = self.convolution_inputs(call, image, *filters)?;
        self.step(Op::Conv(window), &inputs, out, work, call.label)
    }

    pub(super) fn conv_transpose(&mut self, call: &Call<'_>) -> Result<Entry> {
        let image = call.batched(0)?;
        let shape = self.shape_of(image)?;
        let kernel = call.known_floats(1)?.0.to_vec();
        let ([channels, spatial @ ..], [kernel_channels, group_filters, kernel_dims @ ..]) =
            (shape.as_slice(), kernel.as_slice())
        else {
            return Err(call.refuse("ConvTranspose needs an image and a kernel"));
        };
        let mut window = call.window(spatial.len(), kernel_dims)?;
        if kernel_channels != channels || channels.checked_rem(window.group) != Some(0) {
            return Err(call.refuse(format!(
                "{channels} channels, {} groups and a kernel of shape {kernel:?} do not fit",
                window.group
            )));
        }
        let filters = group_filters.saturating_mul(window.group);
        let output_padding = call.spatial_list("output_padding", spatial.len(), 0, 0)?;
        // Older exporters write the batch and channel axes too.
        let output_shape = call.ints("output_shape")?.map(|v| {
            v.get(v.len().saturating_sub(spatial.len())..).map(<[i64]>::to_vec).filter(|t| t.len() == spatial.len())
        });
        if output_shape == Some(None) {
            return Err(call.refuse("output_shape has the wrong length"));
        }
        let output_shape = output_shape.flatten();
        let (mut out, mut full) = (vec![filters], vec![filters]);
        for (axis, &size) in spatial.iter().enumerate() {
            let wanted = output_shape.as_ref().and_then(|o| o.get(axis).copied());
            let padding = output_padding.get(axis).copied().unwrap_or(0);
            let (cropped, whole) = call.resolve_transposed_axis(&mut window, axis, size, padding, wanted)?;
            out.push(cropped);
            full.push(whole);
        }
        self.within_elements(&full)?;
        let columns = product(&[volume(&shape), volume(kernel.get(1..).unwrap_or(&[]))]);
        // The engine may hold one product for each kernel position before it sums them.
        let held = product(&[volume(spatial), volume(kernel.get(1..).unwrap_or(&[])), Some(window.group as u64)]);
        crate::limits::within(crate::error::Resource::ModelElements, held, self.limits.model_elements)?;
        let inputs = self.convolution_inputs(call, image, filters)?;
        self.step(Op::ConvTranspose { window, output_padding }, &inputs, out, columns, call.label)
    }

    fn within_elements(&self, shape: &[usize]) -> Result<()> {
        let wanted = volume(shape).unwrap_or(u64::MAX);
        crate::limits::within(crate::error::Resource::ModelElements, wanted, self.limits.model_elements)?;
        Ok(())
    }

    /// Slots of image, kernel and bias.
    fn convolution_inputs(&mut self, call: &Call<'_>, image: usize, filters: usize) -> Result<Vec<usize>> {
        let kernel = call.known(1)?;
        let mut inputs = vec![image, self.float_slot(kernel, kernel.shape.clone(), call.label)?];
        if call.optional(2).is_some() {
            let bias = call.known(2)?;
            if bias.shape != [filters] {
                return Err(call.refuse(format!("a bias of shape {:?} for {filters} filters", bias.shape)));
            }
            inputs.push(self.float_slot(bias, bias.shape.clone(), call.label)?);
        }
        Ok(inputs)
    }

    /// With its statistics known, batch normalisation is one product and one sum for each channel.
    pub(super) fn batch_norm(&mut self, call: &Call<'_>) -> Result<Entry> {
        if call.int("training_mode", 0)? != 0 || call.int("spatial", 1)? != 1 {
            return Err(call.refuse("BatchNormalization in training, or not for each channel"));
        }
        let epsilon = f64::from(call.float("epsilon", 1e-5)?);
        let input = call.batched(0)?;
        let shape = self.shape_of(input)?;
        let channels = *shape.first().ok_or_else(|| call.refuse("BatchNormalization of one value"))?;
        let mut parameters = Vec::new();
        for index in 1..5 {
            let (shape, values) = call.known_floats(index)?;
            if shape != [channels] {
                return Err(call.refuse(format!("input {index} has shape {shape:?}, [{channels}] is required")));
            }
            parameters.push(values);
        }
        let [scale, bias, mean, variance] = parameters.as_slice() else {
            return Err(call.refuse("BatchNormalization needs five inputs"));
        };
        let (mut factors, mut terms) = (Vec::new(), Vec::new());
        for ((&s, &b), (&m, &v)) in scale.iter().zip(bias.iter()).zip(mean.iter().zip(variance.iter())) {
            let factor = f64::from(s) / (f64::from(v) + epsilon).sqrt();
            #[allow(clippy::cast_possible_truncation, reason = "rounds to nearest even, as SPEC 5.4.5 says")]
            {
                factors.push(factor as f32);
                terms.push((f64::from(b) - f64::from(m) * factor) as f32);
            }
        }
        let mut per_channel = vec![1; shape.len()];
        if let Some(first) = per_channel.first_mut() {
            *first = channels;
        }
        let factors = Constant::floats(per_channel.clone(), factors).checked(call.label)?;
        let terms = Constant::floats(per_channel, terms).checked(call.label)?;
        let scaled = self.pair(Binary::Mul, Entry::Batched(input), Entry::Constant(factors), call)?;
        self.pair(Binary::Add, scaled, Entry::Constant(terms), call)
    }

    pub(super) fn instance_norm(&mut self, call: &Call<'_>) -> Result<Entry> {
        let epsilon = call.positive("epsilon", 1e-5)?;
        let input = call.batched(0)?;
        let shape = self.shape_of(input)?;
        let Some(&channels) = shape.first().filter(|_| shape.len() > 1) else {
            return Err(call.refuse("InstanceNormalization without spatial axes"));
        };
        let mut inputs = vec![input];
        for index in 1..3 {
            let constant = call.known(index)?;
            if constant.shape != [channels] {
                return Err(call.refuse(format!("input {index} must have one value for each of {channels} channels")));
            }
            inputs.push(self.float_slot(constant, constant.shape.clone(), call.label)?);
        }
        let work = product(&[volume(&shape), Some(4)]);
        self.step(Op::InstanceNorm { epsilon }, &inputs, shape, work, call.label)
    }

    pub(super) fn layer_norm(&mut self, call: &Call<'_>) -> Result<Entry> {
        let epsilon = call.positive("epsilon", 1e-5)?;
        if call.int("stash_type", 1)? != 1 {
            return Err(call.refuse("LayerNormalization with statistics other than float"));
        }
        let input = call.batched(0)?;
        let shape = self.shape_of(input)?;
        let axis = block_axis(call.int("axis", -1)?, shape.len(), call.label)?;
        let normalized = shape.get(axis..).unwrap_or(&[]);
        let mut inputs = vec![input];
        for index in 1..call.inputs.len() {
            if call.optional(index).is_none() {
                continue;
            }
            let constant = call.known(index)?;
            if constant.shape != normalized {
                return Err(call.refuse(format!("input {index} has shape {:?}, not {normalized:?}", constant.shape)));
            }
            inputs.push(self.float_slot(constant, constant.shape.clone(), call.label)?);
        }
        if inputs.len() < 2 {
            return Err(call.refuse("LayerNormalization without a scale"));
        }
        let work = product(&[volume(&shape), Some(4)]);
        self.step(Op::LayerNorm { axis, epsilon }, &inputs, shape, work, call.label)
    }

    /// Before opset 13, softmax ran over all axes from `axis` on, taken as one.
    pub(super) fn softmax(&mut self, call: &Call<'_>) -> Result<Entry> {
        let input = call.batched(0)?;
        let shape = self.shape_of(input)?;
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = block_axis(call.int("axis", default)?, shape.len(), call.label)?;
        let work = product(&[volume(&shape), Some(4)]);
        let one_axis = shape.iter().skip(axis).skip(1).all(|&d| d == 1);
        if self.opset >= 13 || one_axis {
            return self.step(Op::Softmax(axis), &[input], shape, work, call.label);
        }
        let (leading, merged) = shape.split_at(axis.min(shape.len()));
        let mut flat = leading.to_vec();
        flat.push(merged.iter().product());
        let Entry::Batched(flattened) = self.step(Op::Reshape, &[input], flat.clone(), 0, call.label)? else {
            return Err(call.refuse("Softmax of a constant"));
        };
        let Entry::Batched(result) = self.step(Op::Softmax(axis), &[flattened], flat, work, call.label)? else {
            return Err(call.refuse("Softmax of a constant"));
        };
        self.step(Op::Reshape, &[result], shape, 0, call.label)
    }
}

/// Product that saturates, also where a factor already has.
fn product(factors: &[Option<u64>]) -> u64 {
    factors.iter().fold(1_u64, |n, f| n.saturating_mul(f.unwrap_or(u64::MAX)))
}

impl Call<'_> {
    fn positive(&self, name: &str, default: f32) -> Result<f32> {
        let value = self.float(name, default)?;
        if value > 0.0 { Ok(value) } else { Err(self.refuse(format!("attribute `{name}` is {value}, not positive"))) }
    }

    /// A list of `len` integers of at least `least`, or `default` for each.
    fn spatial_list(&self, name: &str, len: usize, default: usize, least: i64) -> Result<Vec<usize>> {
        let Some(list) = self.ints(name)? else {
            return Ok(vec![default; len]);
        };
        if list.len() != len {
            return Err(self.refuse(format!("attribute `{name}` has {} entries, {len} are required", list.len())));
        }
        list.iter()
            .map(|&v| {
                u32::try_from(v)
                    .ok()
                    .filter(|_| v >= least)
                    .map(|v| v as usize)
                    .ok_or_else(|| self.refuse(format!("attribute `{name}` holds {v}")))
            })
            .collect()
    }

    /// The window's attributes; padding that the file leaves to `auto_pad` is still zero.
    fn window(&self, rank: usize, kernel: &[usize]) -> Result<Window> {
        if !(1..=3).contains(&rank) || kernel.len() != rank || kernel.contains(&0) {
            return Err(self.refuse(format!(
                "{} over {rank} spatial axes with a kernel of shape {kernel:?}; one to three axes are allowed",
                self.node.op
            )));
        }
        if self.spatial_list("kernel_shape", rank, 0, 1)? != kernel && self.attribute("kernel_shape").is_some() {
            return Err(self.refuse("kernel_shape is not the shape of the kernel"));
        }
        let pads = self.spatial_list("pads", rank.saturating_mul(2), 0, 0)?;
        let (begin, end) = pads.split_at(rank.min(pads.len()));
        let group = self.int("group", 1)?;
        let group = usize::try_from(group)
            .ok()
            .filter(|&g| g > 0)
            .ok_or_else(|| self.refuse(format!("{group} groups of channels")))?;
        Ok(Window {
            kernel: kernel.to_vec(),
            strides: self.spatial_list("strides", rank, 1, 1)?,
            dilations: self.spatial_list("dilations", rank, 1, 1)?,
            pads_begin: begin.to_vec(),
            pads_end: end.to_vec(),
            group,
        })
    }

    /// Length of one output axis; settles `auto_pad`.
    fn resolve_conv_axis(&self, window: &mut Window, axis: usize, size: usize) -> Result<usize> {
        let (reach, stride) = self.reach(window, axis)?;
        match self.text("auto_pad", "NOTSET")? {
            "NOTSET" => {}
            "VALID" => set_pads(window, axis, 0, 0),
            mode @ ("SAME_UPPER" | "SAME_LOWER") => {
                let out = size.div_ceil(stride);
                let total = out.saturating_sub(1).saturating_mul(stride).saturating_add(reach).saturating_sub(size);
                let (less, more) = (total / 2, total.div_ceil(2));
                if mode == "SAME_UPPER" {
                    set_pads(window, axis, less, more);
                } else {
                    set_pads(window, axis, more, less);
                }
            }
            _ => return Err(self.refuse("an unknown auto_pad")),
        }
        let (begin, end) = pads(window, axis);
        if begin >= reach || end >= reach {
            return Err(self.refuse("padding as wide as the kernel or wider"));
        }
        size.saturating_add(begin)
            .saturating_add(end)
            .checked_sub(reach)
            .and_then(|n| n.checked_div(stride))
            .map(|n| n.saturating_add(1))
            .ok_or_else(|| self.refuse(format!("a kernel that reaches over {reach} values, the padded axis has fewer")))
    }

    /// Length of one output axis, and what it is before cropping; settles `auto_pad` and `output_shape`.
    fn resolve_transposed_axis(
        &self,
        window: &mut Window,
        axis: usize,
        size: usize,
        output_padding: usize,
        wanted: Option<i64>,
    ) -> Result<(usize, usize)> {
        let (reach, stride) = self.reach(window, axis)?;
        let dilation = window.dilations.get(axis).copied().unwrap_or(1);
        if output_padding >= stride.max(dilation) {
            return Err(self.refuse("an output_padding as large as the stride"));
        }
        let whole = size.saturating_sub(1).saturating_mul(stride).saturating_add(reach).saturating_add(output_padding);
        let mode = self.text("auto_pad", "NOTSET")?;
        let wanted = match (mode, wanted) {
            ("NOTSET" | "VALID", None) => None,
            ("SAME_UPPER" | "SAME_LOWER", None) => Some(size.saturating_mul(stride)),
            ("NOTSET" | "SAME_UPPER" | "SAME_LOWER", Some(w)) => {
                Some(usize::try_from(w).map_err(|_| self.refuse(format!("an output_shape of {w}")))?)
            }
            _ => return Err(self.refuse("an unknown auto_pad, or VALID with an output_shape")),
        };
        if let Some(wanted) = wanted {
            let total = whole
                .checked_sub(wanted)
                .ok_or_else(|| self.refuse(format!("output length {wanted}, at most {whole} is possible")))?;
            let (less, more) = (total / 2, total.div_ceil(2));
            if mode == "SAME_UPPER" {
                set_pads(window, axis, less, more);
            } else {
                set_pads(window, axis, more, less);
            }
        } else if mode == "VALID" {
            set_pads(window, axis, 0, 0);
        }
        let (begin, end) = pads(window, axis);
        if begin >= reach || end >= reach.saturating_add(output_padding) {
            return Err(self.refuse("padding as wide as the kernel or wider"));
        }
        let cropped = whole
            .checked_sub(begin.saturating_add(end))
            .filter(|&n| n > 0)
            .ok_or_else(|| self.refuse("padding that leaves nothing"))?;
        Ok((cropped, whole))
    }

    /// Values that the dilated kernel spans, and the stride.
    fn reach(&self, window: &Window, axis: usize) -> Result<(usize, usize)> {
        let at = |list: &[usize]| list.get(axis).copied().unwrap_or(1);
        let span = at(&window.kernel).saturating_sub(1).checked_mul(at(&window.dilations));
        let reach = span.and_then(|s| s.checked_add(1)).ok_or_else(|| self.refuse("a kernel of impossible reach"))?;
        Ok((reach, at(&window.strides)))
    }
}

fn pads(window: &Window, axis: usize) -> (usize, usize) {
    let at = |list: &[usize]| list.get(axis).copied().unwrap_or(0);
    (at(&window.pads_begin), at(&window.pads_end))
}

fn set_pads(window: &mut Window, axis: usize, begin: usize, end: usize) {
    if let (Some(b), Some(e)) = (window.pads_begin.get_mut(axis), window.pads_end.get_mut(axis)) {
        (*b, *e) = (begin, end);
    }
}
