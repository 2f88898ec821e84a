//! Step by step: what each value of the float program becomes.

mod linear;

use super::*;

/// A value in whole numbers: the tensor times 2^-exponent.
#[derive(Debug, Clone, Copy)]
struct Whole {
    slot: usize,
    exponent: i32,
    /// The real values it takes, a little widened.
    low: f64,
    high: f64,
}

pub(super) struct Conversion<'a> {
    old: &'a Program,
    new: Program,
    known: Vec<Option<Bounds>>,
    /// What each slot of the old program became.
    whole: Vec<Option<Whole>>,
    /// Range of each slot of the old program.
    ranges: Vec<(f64, f64)>,
    grid: &'a LatentGrid,
    choices: Choices,
    limits: &'a Limits,
    /// The node being converted.
    label: String,
}

impl<'a> Conversion<'a> {
    pub(super) fn run(
        old: &'a Program,
        latents: &[f32],
        grid: &'a LatentGrid,
        choices: Choices,
        limits: &'a Limits,
    ) -> Result<Program> {
        let mut c = Conversion {
            old,
            new: Program::default(),
            known: Vec::new(),
            whole: vec![None; old.slots.len()],
            ranges: ranges(old, &grid.real(&grid.whole(latents)))?,
            grid,
            choices,
            limits,
            label: "latents".to_owned(),
        };
        c.input()?;
        for index in 0..old.steps.len() {
            old.steps[index].name.clone_into(&mut c.label);
            let out = c.step(index)?;
            let (low, high) = c.ranges[old.steps[index].output];
            c.whole[old.steps[index].output] = Some(Whole { low, high, ..out });
        }
        let out = c.whole[old.output].ok_or_else(|| refused("", "the output is never computed"))?;
        "output".clone_into(&mut c.label);
        let out = if out.exponent == 0 { out } else { c.times_power(out, -out.exponent)? };
        c.new.output = out.slot;
        Ok(c.new)
    }

    /// Whole latents, and from them the real ones on a common unit, but where only matrix products need them.
    fn input(&mut self) -> Result<()> {
        let shape = self.old.slots[self.old.input].shape.clone();
        self.new.input = self.new.push_slot(Slot { shape: shape.clone(), constant: None });
        let limit = f64::from(self.grid.limit);
        let len = self.grid.offset.len();
        self.know(self.new.input, Bounds::settled(vec![-limit; len], vec![limit; len], 0));
        let products = |s: &Step| s.inputs[0] != self.old.input || is_plain_product(s, self.old);
        if self.old.output != self.old.input && self.old.steps.iter().all(products) {
            return Ok(());
        }
        let reach = |exponent: i32| {
            let each = self.grid.offset.iter().zip(&self.grid.exponent);
            each.map(|(o, e)| f64::from(o.abs()) * exp2(exponent) + limit * exp2(exponent - e)).fold(0.0, f64::max)
        };
        let mut exponent = self.grid.exponent.iter().copied().max().unwrap_or(0);
        while reach(exponent) > UNITS_MAX / 4.0 {
            exponent -= 1;
        }
        let offset: Vec<f64> = self.grid.offset.iter().map(|v| (f64::from(*v) * exp2(exponent)).round()).collect();
        let scale: Vec<f64> = self.grid.exponent.iter().map(|e| exp2(exponent - e)).collect();
        let scale = self.constant(&shape, &scale);
        let offset = self.constant(&shape, &offset);
        let scaled = self.push(Op::Binary(Binary::Mul), &[self.new.input, scale], shape.clone())?;
        // Latents on units finer than the common one are rounded to it.
        let rounded = self.unary(Unary::Round, scaled)?;
        let slot = self.push(Op::Binary(Binary::Add), &[rounded, offset], shape)?;
        let (low, high) = self.ranges[self.old.input];
        self.whole[self.old.input] = Some(Whole { slot, exponent, low, high });
        Ok(())
    }

    /// The product of the whole latents and a matrix into which their units are folded.
    fn first_product(&mut self, index: usize) -> Result<Whole> {
        let step = &self.old.steps[index];
        let out = self.old.slots[step.output].shape.clone();
        let weight_slot = &self.old.slots[step.inputs[1]];
        let w = weight_slot.constant.clone().ok_or_else(|| refused(&step.name, "a product without a constant"))?;
        let columns = weight_slot.shape[1].max(1);
        let units: Vec<f64> = self.grid.exponent.iter().map(|e| exp2(-e)).collect();
        let folded: Vec<f64> = w.iter().enumerate().map(|(i, v)| f64::from(*v) * units[i / columns]).collect();
        let mut fixed = vec![0.0; columns];
        let mut gross = vec![self.addend_after(index); columns];
        for (i, v) in w.iter().enumerate() {
            fixed[i % columns] += f64::from(*v) * f64::from(self.grid.offset[i / columns]);
            gross[i % columns] += folded[i].abs() * f64::from(self.grid.limit);
        }
        let worst = gross.iter().zip(&fixed).fold(0.0, |m: f64, (g, f)| m.max(g + f.abs()));
        let largest = folded.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let scale = fitting(worst, UNITS_MAX * 0.9).min(fitting(largest, 32_767.0)).min(40);
        let whole: Vec<f64> = folded.iter().map(|v| (v * exp2(scale)).round()).collect();
        let fixed: Vec<f64> = fixed.iter().map(|v| (v * exp2(scale)).round()).collect();
        let weights = self.constant(&weight_slot.shape, &whole);
        let product = self.push(Op::MatMul, &[self.new.input, weights], out.clone())?;
        let fixed = self.constant(&[columns], &fixed);
        let slot = self.push(Op::Binary(Binary::Add), &[product, fixed], out)?;
        Ok(Whole { slot, exponent: scale, low: 0.0, high: 0.0 })
    }

    /// Greatest magnitude of a constant that is added to the result of a step.
    fn addend_after(&self, index: usize) -> f64 {
        let old = self.old;
        let output = old.steps[index].output;
        let later = old.steps[index + 1..].iter().find(|s| s.inputs.contains(&output));
        let adds = later.filter(|s| matches!(s.op, Op::Binary(Binary::Add | Binary::Sub)));
        let constant = adds.and_then(|s| s.inputs.iter().find_map(|i| old.slots[*i].constant.as_deref()));
        greatest(constant)
    }

    fn know(&mut self, slot: usize, bounds: Bounds) {
        self.known.resize(slot + 1, None);
        self.known[slot] = Some(bounds);
    }

    fn constant(&mut self, shape: &[usize], values: &[f64]) -> usize {
        let values: Arc<[f32]> = values.iter().map(|v| *v as f32).collect();
        self.new.constant(shape.to_vec(), values)
    }

    fn shape(&self, slot: usize) -> Vec<usize> {
        self.new.slots[slot].shape.clone()
    }

    /// Greatest magnitude of a tensor, as proved.
    fn magnitude(&self, slot: usize) -> f64 {
        let bounds = self.known[slot].as_ref();
        bounds.map_or(0.0, |b| b.low.iter().zip(&b.high).fold(0.0, |m, (l, h)| m.max(l.abs()).max(h.abs())))
    }

    /// Adds a step, and proves it.
    fn push(&mut self, op: Op, inputs: &[usize], shape: Vec<usize>) -> Result<usize> {
        let slot = self.new.step(op, inputs, shape, 0, &self.label, self.limits)?;
        let step = Step { name: self.label.clone(), ..self.new.steps[self.new.steps.len() - 1].clone() };
        self.known.resize(slot + 1, None);
        let bounds = exact::step(&self.new, &step, &mut self.known).map_err(|e| refused(&e.node, e.reason))?;
        self.know(slot, bounds);
        Ok(slot)
    }

    fn unary(&mut self, f: Unary, x: usize) -> Result<usize> {
        self.push(Op::Unary(f), &[x], self.shape(x))
    }

    /// The same numbers, times 2^by.
    fn times_power(&mut self, x: Whole, by: i32) -> Result<Whole> {
        let factor = self.constant(&[], &[exp2(by)]);
        let slot = self.push(Op::Binary(Binary::Mul), &[x.slot, factor], self.shape(x.slot))?;
        Ok(Whole { slot, exponent: x.exponent + by, ..x })
    }

    /// The value on a unit of 2^-exponent, rounded if that is coarser.
    fn on_unit(&mut self, x: Whole, exponent: i32) -> Result<Whole> {
        if exponent == x.exponent {
            return Ok(x);
        }
        let scaled = self.times_power(x, exponent - x.exponent)?;
        if exponent > x.exponent {
            return Ok(scaled);
        }
        Ok(Whole { slot: self.unary(Unary::Round, scaled.slot)?, ..scaled })
    }

    /// The value in at most so many bits beside its sign, clipped to its range where it may leave it.
    fn narrow(&mut self, x: Whole, bits: u32) -> Result<Whole> {
        let most = exp2(bits.cast_signed());
        let widest = x.low.abs().max(x.high.abs()) * exp2(x.exponent);
        let proved = self.magnitude(x.slot);
        let e = x.exponent + fitting(widest.min(proved), most).min(0);
        let x = self.on_unit(x, e)?;
        if self.magnitude(x.slot) <= most && proved <= 1.25 * widest {
            return Ok(x);
        }
        let (low, high) = ((x.low * exp2(e)).floor() as f32, (x.high * exp2(e)).ceil() as f32);
        Ok(Whole { slot: self.unary(Unary::Clip { low, high }, x.slot)?, ..x })
    }

    fn operand(&self, slot: usize) -> Result<Whole> {
        self.whole[slot].ok_or_else(|| refused(&self.label, "it uses a value before it is known"))
    }

    fn step(&mut self, index: usize) -> Result<Whole> {
        let old = self.old;
        let step = &old.steps[index];
        let shape = old.slots[step.output].shape.clone();
        let first = step.inputs[0];
        let constant = |i: usize| old.slots[step.inputs[i]].constant.clone();
        match &step.op {
            Op::Unary(f) => self.function(*f, first),
            Op::MatMul if first == old.input && is_plain_product(step, old) => self.first_product(index),
            Op::MatMul | Op::Conv(_) | Op::ConvTranspose { .. } => self.linear(index),
            Op::Binary(f) => match (constant(0), constant(1)) {
                (None, None) => self.pair(*f, step, shape),
                (Some(c), _) => self.with_constant(*f, step.inputs[1], (step.inputs[0], &c), true, shape),
                (_, Some(c)) => self.with_constant(*f, first, (step.inputs[1], &c), false, shape),
            },
            Op::Reshape | Op::Transpose(_) | Op::Slice { .. } | Op::Upsample { mode: Interpolation::Nearest, .. } => {
                let x = self.operand(first)?;
                Ok(Whole { slot: self.push(step.op.clone(), &[x.slot], shape)?, ..x })
            }
            Op::Concat(_) => {
                let parts = step.inputs.iter().map(|i| self.operand(*i)).collect::<Result<Vec<_>>>()?;
                let exponent = parts.iter().map(|p| p.exponent).min().unwrap_or(0);
                let parts =
                    parts.into_iter().map(|p| Ok(self.on_unit(p, exponent)?.slot)).collect::<Result<Vec<_>>>()?;
                let slot = self.push(step.op.clone(), &parts, shape)?;
                Ok(Whole { slot, exponent, low: 0.0, high: 0.0 })
            }
            Op::Upsample { .. } => {
                Err(refused(&step.name, "linear interpolation has no exact form; use ConvTranspose"))
            }
            Op::Softmax(_) | Op::LayerNorm { .. } | Op::InstanceNorm { .. } => {
                Err(refused(&step.name, "normalization by measured statistics has no exact form"))
            }
        }
    }

    /// Sum, difference, product, minimum or maximum of two values.
    fn pair(&mut self, f: Binary, step: &Step, shape: Vec<usize>) -> Result<Whole> {
        let (a, b) = (self.operand(step.inputs[0])?, self.operand(step.inputs[1])?);
        let (a, b, exponent) = match f {
            Binary::Mul => {
                let a = self.narrow(a, ARGUMENT_BITS)?;
                let b = if step.inputs[0] == step.inputs[1] { a } else { self.narrow(b, ARGUMENT_BITS)? };
                (a, b, a.exponent + b.exponent)
            }
            Binary::Add | Binary::Sub | Binary::Min | Binary::Max => {
                let (a, b) = (self.narrow(a, 22)?, self.narrow(b, 22)?);
                let real = self.magnitude(a.slot) * exp2(-a.exponent) + self.magnitude(b.slot) * exp2(-b.exponent);
                let e = a.exponent.max(b.exponent).min(fitting(real, UNITS_MAX / 2.0));
                (self.on_unit(a, e)?, self.on_unit(b, e)?, e)
            }
            Binary::Div | Binary::PRelu => {
                return Err(refused(&step.name, format!("{f:?} of two values has no exact form")));
            }
        };
        let slot = self.push(Op::Binary(f), &[a.slot, b.slot], shape)?;
        Ok(Whole { slot, exponent, low: 0.0, high: 0.0 })
    }

    /// A value and a constant; `swapped` if the constant comes first.
    fn with_constant(
        &mut self,
        f: Binary,
        value: usize,
        (constant, c): (usize, &[f32]),
        swapped: bool,
        shape: Vec<usize>,
    ) -> Result<Whole> {
        let x = self.operand(value)?;
        let constant_shape = self.old.slots[constant].shape.clone();
        let real: Vec<f64> = c.iter().map(|v| f64::from(*v)).collect();
        match f {
            Binary::Mul => self.scaled_by(x, &real, &constant_shape, shape),
            Binary::Div if !swapped && real.iter().all(|v| *v != 0.0) => {
                let reciprocals: Vec<f64> = real.iter().map(|v| 1.0 / v).collect();
                self.scaled_by(x, &reciprocals, &constant_shape, shape)
            }
            Binary::PRelu if !swapped => {
                // Either part of the sum takes less than half of what there is.
                let x = self.narrow(x, 22)?;
                let flipped = self.unary(Unary::Neg, x.slot)?;
                let (low, high) = ((-x.high).max(0.0), (-x.low).max(0.0));
                let below = Whole { slot: self.unary(Unary::Relu, flipped)?, low, high, ..x };
                let slopes: Vec<f64> = real.iter().map(|v| -v).collect();
                let below = self.scaled_by(below, &slopes, &constant_shape, shape.clone())?;
                let above = Whole { slot: self.unary(Unary::Relu, x.slot)?, low: x.low.max(0.0), ..x };
                let e = above.exponent.min(below.exponent);
                let (above, below) = (self.on_unit(above, e)?, self.on_unit(below, e)?);
                let slot = self.push(Op::Binary(Binary::Add), &[above.slot, below.slot], shape)?;
                Ok(Whole { slot, exponent: e, ..x })
            }
            Binary::Add | Binary::Sub | Binary::Min | Binary::Max => {
                let largest = real.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let worst = self.magnitude(x.slot) + largest * exp2(x.exponent);
                // A constant of much finer detail than the value raises its unit while there is room.
                let e =
                    x.exponent + fitting(worst, UNITS_MAX / 2.0).min(8).max(if worst > UNITS_MAX { -24 } else { 0 });
                let e = if x.exponent >= 12 { e.min(x.exponent) } else { e };
                let x = self.on_unit(x, e)?;
                let whole: Vec<f64> = real.iter().map(|v| (v * exp2(e)).round()).collect();
                let c = self.constant(&constant_shape, &whole);
                let inputs = if swapped { [c, x.slot] } else { [x.slot, c] };
                Ok(Whole { slot: self.push(Op::Binary(f), &inputs, shape)?, ..x })
            }
            Binary::Div | Binary::PRelu => {
                Err(refused(&self.label, format!("{f:?} of these operands has no exact form")))
            }
        }
    }

    /// A value times constants: a convolution of one tap for each value, since a factor that is no power of two could be
    /// moved into the weights before it.
    fn scaled_by(&mut self, x: Whole, factors: &[f64], factor_shape: &[usize], shape: Vec<usize>) -> Result<Whole> {
        let x = self.narrow(x, ARGUMENT_BITS)?;
        if self.shape(x.slot) != shape {
            return Err(refused(&self.label, "a product with a constant that has more values has no exact form"));
        }
        let strides = reference::aligned_strides(factor_shape, &shape);
        // One channel for each factor: the first axis if factors differ along no other, else every value.
        let by_channel = shape.len() > 1 && shape.len() <= 4 && strides[1..].iter().all(|s| *s == 0);
        let image = if by_channel { shape.clone() } else { vec![shape.iter().product(), 1] };
        let mut each = Vec::new();
        if by_channel {
            each.extend((0..shape[0]).map(|c| factors[c * strides[0]]));
        } else {
            reference::for_each_index(&shape, |i| each.push(factors[reference::dot(i, &strides)]));
        }
        let largest = each.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let scale = fitting(largest * self.magnitude(x.slot), UNITS_MAX / 2.0).min(fitting(largest, 32_767.0));
        let whole: Vec<f64> = each.iter().map(|v| (v * exp2(scale)).round()).collect();
        let spatial = image.len() - 1;
        let kernel: Vec<usize> = [image[0], 1].into_iter().chain(vec![1; spatial]).collect();
        let kernel = self.constant(&kernel, &whole);
        let window = Window {
            kernel: vec![1; spatial],
            strides: vec![1; spatial],
            dilations: vec![1; spatial],
            pads_begin: vec![0; spatial],
            pads_end: vec![0; spatial],
            group: image[0],
        };
        let laid = if by_channel { x.slot } else { self.push(Op::Reshape, &[x.slot], image.clone())? };
        let product = self.push(Op::Conv(window), &[laid, kernel], image)?;
        let slot = if by_channel { product } else { self.push(Op::Reshape, &[product], shape)? };
        Ok(Whole { slot, exponent: x.exponent + scale, ..x })
    }

    fn function(&mut self, f: Unary, value: usize) -> Result<Whole> {
        let x = self.operand(value)?;
        match f {
            Unary::Relu | Unary::Abs | Unary::Neg => Ok(Whole { slot: self.unary(f, x.slot)?, ..x }),
            Unary::Clip { low, high } => {
                let most = UNITS_MAX * exp2(-x.exponent);
                let whole = |v: f32| (f64::from(v).clamp(-most, most) * exp2(x.exponent)).round() as f32;
                let (low, high) = (whole(low), whole(high));
                Ok(Whole { slot: self.unary(Unary::Clip { low, high }, x.slot)?, ..x })
            }
            Unary::Floor | Unary::Ceil | Unary::Round => {
                let unscaled = if x.exponent == 0 { x } else { self.times_power(x, -x.exponent)? };
                Ok(Whole { slot: self.unary(f, unscaled.slot)?, exponent: 0, ..x })
            }
            _ => self.pieces(f, x),
        }
    }

    /// Straight pieces: the value's share of each, between 0 and its width, times the slopes there.
    fn pieces(&mut self, f: Unary, x: Whole) -> Result<Whole> {
        let e = x.exponent + fitting((x.high - x.low) * exp2(x.exponent), exp2(ARGUMENT_BITS.cast_signed())).min(0);
        let x = self.on_unit(x, e)?;
        let (low, high) = ((x.low * exp2(e)).floor() as i32, (x.high * exp2(e)).ceil() as i32);
        let real = |n: i32| reference::real(f, f64::from(n) * exp2(-e));
        let sampled = (0..=64).map(|i| real(low + ((i64::from(high) - i64::from(low)) * i / 64) as i32));
        let (least, most) = sampled.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if !(least.is_finite() && most.is_finite()) {
            return Err(refused(&self.label, format!("{f:?} is not finite over its range")));
        }
        let pieces = Pieces::fit(&real, low, high, ((most - least) / 4096.0).max(1e-12));
        let shape = self.shape(x.slot);
        let count = pieces.knots.len() - 1;
        let variation: f64 = pieces.values.windows(2).map(|v| (v[1] - v[0]).abs()).sum();
        let first = pieces.values[0];
        let scale = fitting((variation + first.abs()).max(1e-30), UNITS_MAX * 0.99).min(40);
        let len = shape.iter().product::<usize>();
        let column = self.push(Op::Reshape, &[x.slot], vec![len, 1])?;
        let starts: Vec<f64> = pieces.knots[..count].iter().map(|k| f64::from(*k)).collect();
        let widths: Vec<f64> = pieces.knots.windows(2).map(|k| f64::from(k[1] - k[0])).collect();
        let slopes: Vec<f64> =
            pieces.values.windows(2).zip(&widths).map(|(v, w)| ((v[1] - v[0]) / w * exp2(scale)).round()).collect();
        let sum = if count == 0 {
            let zero = self.constant(&[1], &[0.0]);
            self.push(Op::Binary(Binary::Mul), &[column, zero], vec![len, 1])?
        } else {
            let (starts, widths) = (self.constant(&[count], &starts), self.constant(&[count], &widths));
            let slopes = self.constant(&[count, 1], &slopes);
            let past = self.push(Op::Binary(Binary::Sub), &[column, starts], vec![len, count])?;
            let past = self.unary(Unary::Relu, past)?;
            let share = self.push(Op::Binary(Binary::Min), &[past, widths], vec![len, count])?;
            self.push(Op::MatMul, &[share, slopes], vec![len, 1])?
        };
        let start = self.constant(&[1], &[(first * exp2(scale)).round()]);
        let sum = self.push(Op::Binary(Binary::Add), &[sum, start], vec![len, 1])?;
        let slot = self.push(Op::Reshape, &[sum], shape)?;
        Ok(Whole { slot, exponent: scale, ..x })
    }
}
