//! Matrix products and convolutions in whole numbers.

use super::*;

impl Conversion<'_> {
    /// A matrix product or convolution; its bias, or the sum that follows it, leaves room in 24 bits.
    pub(super) fn linear(&mut self, index: usize) -> Result<Whole> {
        let old = self.old;
        let step = &old.steps[index];
        // The constant is the right operand but for a matrix times a value.
        let constant_first = old.slots[step.inputs[0]].constant.is_some();
        let (value, weights) =
            if constant_first { (step.inputs[1], step.inputs[0]) } else { (step.inputs[0], step.inputs[1]) };
        let weight_slot = &old.slots[weights];
        let (Some(w), out) = (weight_slot.constant.clone(), old.slots[step.output].shape.clone()) else {
            return Err(refused(&step.name, "a product without a constant"));
        };
        let output_axis = match &step.op {
            Op::Conv(_) => 0,
            Op::ConvTranspose { .. } => 1,
            _ if constant_first => 0,
            _ => weight_slot.shape.len() - 1,
        };
        let x = self.operand(value)?;
        let bias = step.inputs.get(2).and_then(|b| old.slots[*b].constant.clone());
        let product = Product { op: &step.op, constant_first, axis: output_axis, shape: &weight_slot.shape, out: &out };
        let grouped = matches!(&step.op, Op::ConvTranspose { window, .. } if window.group > 1);
        if self.choices.weight_bits <= 8 && w.len() >= CODED_MIN && !grouped {
            return self.coded(&product, x, &w, bias.as_deref());
        }
        let real: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
        let extra = greatest(bias.as_deref()) + self.addend_after(index);
        let bits = self.balance(&product, x, &real, extra);
        let x = self.narrow(x, bits)?;
        let gross = self.gross(&product, x.slot, &real);
        let extra = extra * exp2(x.exponent);
        // Rounded weights may be a little larger: the proof has the last word.
        let mut scale = fitting(gross + extra, UNITS_MAX * 0.999).min(24);
        loop {
            let rows = self.weights(&w, &weight_slot.shape, output_axis, scale);
            let slot = self.constant(&weight_slot.shape, &rows);
            let mut inputs = if constant_first { vec![slot, x.slot] } else { vec![x.slot, slot] };
            if let Some(b) = &bias {
                let unit = exp2(x.exponent + scale);
                let b: Vec<f64> = b.iter().map(|v| (f64::from(*v) * unit).round()).collect();
                inputs.push(self.constant(&[b.len()], &b));
            }
            let before = self.new.steps.len();
            match self.push(step.op.clone(), &inputs, out.clone()) {
                Ok(slot) => return Ok(Whole { slot, exponent: x.exponent + scale, ..x }),
                Err(e) if scale <= -20 => return Err(e),
                Err(_) => {
                    self.new.steps.truncate(before);
                    scale -= 1;
                }
            }
        }
    }

    /// How many bits of the value leave as much for the weights that the error of both together is least.
    fn balance(&self, p: &Product<'_>, x: Whole, weights: &[f64], extra: f64) -> u32 {
        let widest = x.low.abs().max(x.high.abs()).max(1e-30);
        let gross = self.gross(p, x.slot, weights) * exp2(-x.exponent);
        let clipped = gross.min(gross * widest / (self.magnitude(x.slot) * exp2(-x.exponent)).max(1e-30)) + extra;
        let square = |v: f64| v * v;
        let energy: f64 = weights.iter().map(|w| w * w).sum();
        let error = |bits: u32| {
            let unit = exp2(-fitting(widest, exp2(bits.cast_signed())));
            let scale = exp2(fitting(clipped / unit, UNITS_MAX * 0.999));
            let rounded: f64 = weights.iter().map(|w| square((w * scale).round() / scale - w)).sum();
            energy * unit * unit / 12.0 + rounded * square(widest) / 4.0
        };
        (6..=18).min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(ARGUMENT_BITS)
    }

    /// The greatest sum of magnitudes of any output, for these weights.
    fn gross(&self, p: &Product<'_>, value: usize, weights: &[f64]) -> f64 {
        let Some(b) = &self.known[value] else { return f64::INFINITY };
        let reach: Vec<f64> = b.low.iter().zip(&b.high).map(|(l, h)| l.abs().max(h.abs())).collect();
        let mut gross = vec![0.0_f64; p.out.iter().product()];
        terms(p, &self.shape(value), &mut |i, j, o| gross[o] += reach[i] * weights[j].abs());
        gross.into_iter().fold(0.0, f64::max)
    }

    /// Weights of 8 bits: codes, and a factor for each channel that multiplies the sums.
    fn coded(&mut self, p: &Product<'_>, x: Whole, w: &[f32], bias: Option<&[f32]>) -> Result<Whole> {
        let inner: usize = p.shape[p.axis + 1..].iter().product();
        let channel = |i: usize| i / inner % p.shape[p.axis];
        let mut rows = vec![Vec::new(); p.shape[p.axis]];
        for (i, v) in w.iter().enumerate() {
            rows[channel(i)].push(f64::from(*v));
        }
        let factors: Vec<f64> = rows.iter().map(|r| code_unit(r)).collect();
        let codes: Vec<f64> =
            w.iter().enumerate().map(|(i, v)| (f64::from(*v) / factors[channel(i)]).round()).collect();
        let mut gross = vec![0.0_f64; p.out.iter().product()];
        terms(p, &self.shape(x.slot), &mut |_, j, o| gross[o] += codes[j].abs());
        let most = gross.into_iter().fold(1.0, f64::max);
        let bits = fitting(most, UNITS_MAX * 0.999).clamp(4, ARGUMENT_BITS.cast_signed());
        let x = self.narrow(x, bits.cast_unsigned())?;
        let codes = self.constant(p.shape, &codes);
        let inputs = if p.constant_first { [codes, x.slot] } else { [x.slot, codes] };
        let sums = self.push(p.op.clone(), &inputs, p.out.to_vec())?;
        let most = self.magnitude(sums) * exp2(-x.exponent);
        let sums = Whole { slot: sums, exponent: x.exponent, low: -most, high: most };
        // The channel's axis among those of the result.
        let at = if p.constant_first {
            p.out.len() - 2
        } else if *p.op == Op::MatMul {
            p.out.len() - 1
        } else {
            0
        };
        let mut factor_shape = vec![1; p.out.len()];
        factor_shape[at] = factors.len();
        let scaled = self.scaled_by(sums, &factors, &factor_shape, p.out.to_vec())?;
        let Some(bias) = bias else { return Ok(scaled) };
        let bias: Vec<f64> = bias.iter().map(|b| (f64::from(*b) * exp2(scaled.exponent)).round()).collect();
        let bias = self.constant(&factor_shape, &bias);
        Ok(Whole { slot: self.push(Op::Binary(Binary::Add), &[scaled.slot, bias], p.out.to_vec())?, ..scaled })
    }

    /// Whole weights: each channel rounded to its own power of two that its largest weight allows.
    fn weights(&self, w: &[f32], shape: &[usize], axis: usize, scale: i32) -> Vec<f64> {
        let inner: usize = shape[axis + 1..].iter().product();
        let channel = |i: usize| i / inner % shape[axis];
        let mut largest = vec![0.0_f64; shape[axis]];
        for (i, v) in w.iter().enumerate() {
            largest[channel(i)] = largest[channel(i)].max(f64::from(v.abs()));
        }
        let most = exp2(self.choices.weight_bits.clamp(2, 16).cast_signed() - 1) - 1.0;
        w.iter()
            .enumerate()
            .map(|(i, v)| {
                let own = fitting(largest[channel(i)], most).min(scale);
                (f64::from(*v) * exp2(own)).round() * exp2(scale - own)
            })
            .collect()
    }
}

type Visit<'v> = &'v mut dyn FnMut(usize, usize, usize);

/// A product of a value and a constant, and the axis of the constant along which outputs differ.
struct Product<'a> {
    op: &'a Op,
    constant_first: bool,
    axis: usize,
    shape: &'a [usize],
    out: &'a [usize],
}

/// Every product that a linear step adds up, as (value, weight, output).
fn terms(p: &Product<'_>, value: &[usize], visit: Visit<'_>) {
    match p.op {
        Op::Conv(w) => window::conv_terms(w, value, p.shape, p.out, visit),
        Op::ConvTranspose { window: w, .. } => window::conv_transpose_terms(w, value, p.shape, p.out, visit),
        _ if p.constant_first => reference::mat_mul_terms(p.shape, value, p.out, |j, i, o| visit(i, j, o)),
        _ => reference::mat_mul_terms(value, p.shape, p.out, visit),
    }
}

/// The unit of which these weights are whole multiples of at most 127, or very nearly the best: weights that were stored
/// in 8 bits keep their codes.
fn code_unit(weights: &[f64]) -> f64 {
    let largest = weights.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    let whole = |unit: f64| weights.iter().all(|w| (w / unit - (w / unit).round()).abs() < 1e-3);
    let units = (1..=127).rev().map(|k| largest / f64::from(k));
    units.into_iter().find(|u| whole(*u)).unwrap_or(largest / 127.0)
}
