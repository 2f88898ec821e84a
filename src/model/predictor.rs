//! A network in the loop, evaluated point by point (SPEC 5.8).
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "widths are checked when the chain is built, and every index is computed from them"
)]

use super::program::{Binary, Op, Program, Unary};
use super::vet::Vetted;
use super::{exact, reference, refused};
use crate::error::Result;
use fearless_simd::{Simd, f32x16};

/// What the network is told about a point (SPEC 9.2.7).
pub const INPUTS: usize = 46;
/// Greatest magnitude of an input.
pub const INPUT_MAX: i32 = 1023;
/// What it answers: a shift and a scale.
pub const OUTPUTS: usize = 2;

/// Values of the widest layer.
const WIDTH_MAX: usize = 256;
/// Multiply-adds for one point.
const OPERATIONS_MAX: u64 = 1 << 16;
/// The last inputs say what pass it is; they stay for many points.
pub(crate) const KINDS: usize = 9;
const VARYING: usize = INPUTS - KINDS;

/// Columns of a product that are summed side by side.
const LANES: usize = 16;

/// Integers in, integers out, the same on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Predictor {
    layers: Vec<Layer>,
}

/// What a predictor works on.
pub(crate) struct Scratch {
    inputs: [f32; PADDED],
    /// What the kind of the pass adds to the first product.
    settled: [[f32; LANES]; WIDTH_MAX / LANES],
    layers: [[f32; WIDTH_MAX]; 2],
}

/// Inputs, in whole vectors.
const PADDED: usize = INPUTS.next_multiple_of(LANES);

impl Default for Scratch {
    fn default() -> Self {
        Scratch { inputs: [0.0; PADDED], settled: [[0.0; LANES]; WIDTH_MAX / LANES], layers: [[0.0; WIDTH_MAX]; 2] }
    }
}

impl Scratch {
    /// The inputs that differ from point to point.
    #[inline(always)]
    pub(crate) fn varying(&mut self) -> &mut [f32] {
        &mut self.inputs[..VARYING]
    }

    /// Sets the inputs that say what pass it is.
    pub(crate) fn settle(&mut self, kinds: [f32; KINDS]) {
        self.inputs[VARYING..INPUTS].copy_from_slice(&kinds);
    }

    /// All inputs.
    pub(crate) fn inputs(&self) -> &[f32] {
        &self.inputs[..INPUTS]
    }
}

/// A product, or the input, and what is done to each value of it.
#[derive(Debug, Clone)]
struct Layer {
    /// Values that go in.
    rows: usize,
    has_product: bool,
    /// Values that come out, `LANES` at a time.
    groups: Vec<Group>,
}

/// Some columns of a matrix, row after row, and the steps on each value.
#[derive(Debug, Clone, Default)]
struct Group {
    weights: Vec<[f32; LANES]>,
    then: Vec<Each>,
}

/// One step, on each value of a group.
#[derive(Debug, Clone)]
enum Each {
    Binary(Binary, [f32; LANES]),
    Unary(Unary),
    /// A sum, a product, rounding down, and bounds: what most layers end in.
    Rounded {
        add: [f32; LANES],
        times: [f32; LANES],
        low: f32,
        high: f32,
    },
}

impl Predictor {
    /// The predictor that a vetted model declares to be, if it does.
    pub(super) fn of(vetted: &Vetted) -> Result<Option<Self>> {
        if !vetted.is_predictor {
            return Ok(None);
        }
        let whole = |reason: String| refused("", reason);
        let shapes = (vetted.input_shape.as_slice(), vetted.output_shape.as_slice());
        if shapes != (&[INPUTS], &[OUTPUTS]) {
            let (i, o) = shapes;
            return Err(whole(format!("a predictor turns [{INPUTS}] into [{OUTPUTS}], this one {i:?} into {o:?}")));
        }
        if vetted.latent_range != Some((-INPUT_MAX, INPUT_MAX)) {
            return Err(whole(format!("a predictor's cae.latent_range is -{INPUT_MAX},{INPUT_MAX}")));
        }
        if vetted.program.operations > OPERATIONS_MAX {
            let n = vetted.program.operations;
            return Err(whole(format!("{n} multiply-adds for a point, a predictor may take {OPERATIONS_MAX}")));
        }
        exact::prove(&vetted.program, vetted.latent_range)
            .map_err(|i| refused(&i.node, format!("a predictor must be exact: {}", i.reason)))?;
        chain(&vetted.program).map(|layers| Some(Predictor { layers }))
    }

    /// Prepares for points of the kind of pass that was set.
    pub(crate) fn settle(&self, Scratch { inputs, settled, .. }: &mut Scratch) {
        let groups = self.layers.first().map_or(&[][..], |l| &l.groups);
        for (settled, group) in settled.iter_mut().zip(groups) {
            *settled = [0.0; LANES];
            for (x, row) in inputs.iter().zip(&group.weights).skip(VARYING) {
                settled.iter_mut().zip(row).for_each(|(s, w)| *s += x * w);
            }
        }
    }

    /// Answers for the inputs in `scratch`. The answers are whole numbers wherever the model ends in one of the roundings.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(&self, simd: S, scratch: &mut Scratch) -> [f32; OUTPUTS] {
        let Scratch { inputs, settled, layers: [x, y] } = scratch;
        let (mut x, mut y) = (x, y);
        if let [first, rest @ ..] = self.layers.as_slice() {
            first.run(simd, if first.has_product { &inputs[..VARYING] } else { inputs }, Some(settled), x);
            for layer in rest {
                layer.run(simd, &x[..layer.rows], None, y);
                std::mem::swap(&mut x, &mut y);
            }
        }
        // No zero has a sign (SPEC 5.5).
        std::array::from_fn(|i| x[i] + 0.0)
    }
}

impl Layer {
    /// What it gives for `x`; sums of the product start from `start`, or else from 0.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, x: &[f32], start: Option<&[[f32; LANES]]>, y: &mut [f32; WIDTH_MAX]) {
        for (n, (group, y)) in self.groups.iter().zip(y.as_chunks_mut::<LANES>().0).enumerate() {
            let mut values = if self.has_product {
                product(simd, x, group, start.map(|s| &s[n]))
            } else {
                simd.load_array_ref_f32x16(&x.as_chunks::<LANES>().0[n])
            };
            for each in &group.then {
                values = each.apply(simd, values);
            }
            simd.store_array_f32x16(values, y);
        }
    }
}

/// `x` times some columns of a matrix. As the predictor is exact, products may be fused with sums, and these taken in any order.
#[inline(always)]
fn product<S: Simd>(simd: S, x: &[f32], group: &Group, start: Option<&[f32; LANES]>) -> f32x16<S> {
    /// Sums side by side, so that none waits for the one before.
    const SUMS: usize = 4;
    let mut sums = [simd.splat_f32x16(0.0); SUMS];
    if let Some(start) = start {
        sums[0] = simd.load_array_ref_f32x16(start);
    }
    let ((x, x_rest), (rows, rows_rest)) = (x.as_chunks::<SUMS>(), group.weights.as_chunks::<SUMS>());
    for (x, rows) in x.iter().zip(rows) {
        for j in 0..SUMS {
            sums[j] = add(simd, sums[j], x[j], &rows[j]);
        }
    }
    // There are more rows than values where the last values were part of the start.
    let rows_rest = rows.get(x.len()).map_or(rows_rest, |rows| rows);
    for (x, row) in x_rest.iter().zip(rows_rest) {
        sums[0] = add(simd, sums[0], *x, row);
    }
    let [a, b, c, d] = sums;
    simd.add_f32x16(simd.add_f32x16(a, b), simd.add_f32x16(c, d))
}

/// A sum and one product more.
#[inline(always)]
fn add<S: Simd>(simd: S, sum: f32x16<S>, x: f32, row: &[f32; LANES]) -> f32x16<S> {
    let (x, row) = (simd.splat_f32x16(x), simd.load_array_ref_f32x16(row));
    // Without the instruction it would be a call for every value.
    if simd.level().is_fallback() {
        simd.add_f32x16(sum, simd.mul_f32x16(x, row))
    } else {
        simd.mul_add_f32x16(x, row, sum)
    }
}

impl Each {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, x: f32x16<S>) -> f32x16<S> {
        match self {
            Each::Rounded { add, times, low, high } => {
                let x = simd.add_f32x16(x, simd.load_array_ref_f32x16(add));
                let x = simd.floor_f32x16(simd.mul_f32x16(x, simd.load_array_ref_f32x16(times)));
                simd.min_f32x16(simd.max_f32x16(x, simd.splat_f32x16(*low)), simd.splat_f32x16(*high))
            }
            Each::Binary(f, c) => {
                let c = simd.load_array_ref_f32x16(c);
                match f {
                    Binary::Add => simd.add_f32x16(x, c),
                    Binary::Sub => simd.sub_f32x16(x, c),
                    Binary::Mul => simd.mul_f32x16(x, c),
                    Binary::Div => simd.div_f32x16(x, c),
                    Binary::Min => simd.min_f32x16(x, c),
                    _ => simd.max_f32x16(x, c),
                }
            }
            Each::Unary(Unary::Relu) => simd.max_f32x16(x, simd.splat_f32x16(0.0)),
            Each::Unary(Unary::Clip { low, high }) => {
                simd.min_f32x16(simd.max_f32x16(x, simd.splat_f32x16(*low)), simd.splat_f32x16(*high))
            }
            Each::Unary(Unary::Floor) => simd.floor_f32x16(x),
            Each::Unary(Unary::Round) => simd.round_ties_even_f32x16(x),
            Each::Unary(f) => {
                let values = simd.as_array_f32x16(x).map(|x| reference::unary(*f, x));
                simd.load_array_ref_f32x16(&values)
            }
        }
    }
}

/// The steps of a program in which each works on what the one before gave.
fn chain(program: &Program) -> Result<Vec<Layer>> {
    let layer = |rows: usize, columns: usize, has_product: bool| {
        let groups = vec![Group::default(); columns.div_ceil(LANES)];
        Layer { rows, has_product, groups }
    };
    let mut layers = Vec::new();
    // The input is worked on as it is by most: then this one is left out.
    let mut current = layer(PADDED, INPUTS, false);
    let mut last = program.input;
    for step in &program.steps {
        let no = |reason: &str| refused(&step.name, format!("in a predictor, {reason}"));
        if step.inputs.first() != Some(&last) {
            return Err(no("every step works on the result of the one before, given first"));
        }
        let width = |slot: usize| program.slots[slot].shape.as_slice();
        let ([rows], [columns]) = (width(last), width(step.output)) else {
            return Err(no("every value is a vector"));
        };
        if *columns > WIDTH_MAX {
            return Err(no(&format!("{WIDTH_MAX} values side by side are the most")));
        }
        let constant = || {
            let other = step.inputs.get(1).and_then(|i| program.slots[*i].constant.clone());
            other.ok_or_else(|| no("the second operand is a constant"))
        };
        match &step.op {
            Op::MatMul => {
                let values = constant()?;
                let before = std::mem::replace(&mut current, layer(*rows, *columns, true));
                if !(layers.is_empty() && before.groups.iter().all(|g| g.then.is_empty())) {
                    layers.push(before);
                }
                for (n, group) in current.groups.iter_mut().enumerate() {
                    let at = |row: usize, j: usize| if j < *columns { values[row * columns + j] } else { 0.0 };
                    let row = |row: usize| std::array::from_fn(|j| at(row, n * LANES + j));
                    group.weights = (0..*rows).map(row).collect();
                }
            }
            Op::Binary(f) => {
                let values = constant()?;
                if *f == Binary::PRelu || !(values.len() == 1 || values.len() == *columns) || rows != columns {
                    return Err(no("an operation on two values takes one constant for all or one for each"));
                }
                for (n, group) in current.groups.iter_mut().enumerate() {
                    let at = |j: usize| values.get(if values.len() == 1 { 0 } else { j }).copied().unwrap_or(1.0);
                    group.push(Each::Binary(*f, std::array::from_fn(|j| at(n * LANES + j))));
                }
            }
            Op::Unary(f) => current.groups.iter_mut().for_each(|g| g.push(Each::Unary(*f))),
            Op::Reshape => {}
            _ => return Err(no("products, operations of one and of two values are all there is")),
        }
        last = step.output;
    }
    layers.push(current);
    Ok(layers)
}

impl Group {
    /// Adds a step, as part of the one before if both are parts of rounding.
    fn push(&mut self, step: Each) {
        const NOTHING: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
        let one = [1.0; LANES];
        match (self.then.as_mut_slice(), &step) {
            ([.., Each::Binary(Binary::Add, add), Each::Binary(Binary::Mul, times)], Each::Unary(Unary::Floor)) => {
                let rounded = Each::Rounded { add: *add, times: *times, low: NOTHING.0, high: NOTHING.1 };
                self.then.truncate(self.then.len() - 2);
                self.then.push(rounded);
            }
            ([.., last @ Each::Binary(Binary::Add, _)], Each::Unary(Unary::Floor)) => {
                if let Each::Binary(_, add) = *last {
                    *last = Each::Rounded { add, times: one, low: NOTHING.0, high: NOTHING.1 };
                }
            }
            ([.., Each::Rounded { low, high, .. }], Each::Unary(Unary::Clip { low: l, high: h }))
                if (*low, *high) == NOTHING =>
            {
                (*low, *high) = (*l, *h);
            }
            _ => self.then.push(step),
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::limits::Limits;
    use fearless_simd::Fallback;

    const SMALL: &[u8] = include_bytes!("../../testdata/models/predictor.onnx");

    fn verdict(nodes: &[(&str, &[&str], &str)], weights: &[f32]) -> std::result::Result<Predictor, String> {
        let mut model = Builder::new(&[INPUTS as i64])
            .init(floats("w", &[INPUTS as i64, 2], weights))
            .init(floats("c", &[2], &[0.5, 2.0]))
            .init(floats("half", &[], &[0.5]))
            .metadata("cae.kind", "predictor")
            .metadata("cae.latent_range", "-1023,1023");
        for (op, inputs, output) in nodes {
            model = model.node(node(op, inputs, output));
        }
        let vetted = super::super::vet::vet(&model.build(), &Limits::default()).map_err(|e| e.to_string())?;
        Predictor::of(&vetted).map_err(|e| e.to_string()).map(Option::unwrap)
    }

    fn answer(predictor: &Predictor, inputs: [f32; INPUTS]) -> [f32; OUTPUTS] {
        let mut scratch = Scratch::default();
        scratch.varying().copy_from_slice(&inputs[..VARYING]);
        scratch.settle(*inputs.last_chunk().unwrap());
        predictor.settle(&mut scratch);
        predictor.run(Fallback::new(), &mut scratch)
    }

    fn weights() -> Vec<f32> {
        (0..2 * INPUTS).map(|i| (i % 7) as f32 - 3.0).collect()
    }

    #[test]
    fn the_chain_gives_what_the_engine_gives() {
        let decoder = super::super::load_decoder(SMALL, &Limits::default()).unwrap();
        let predictor = decoder.in_loop().unwrap().0;
        let mut answers = std::collections::HashSet::new();
        for n in 0..200i32 {
            let inputs: [f32; INPUTS] = std::array::from_fn(|i| ((i as i32 * 37 + n * n * 11) % 2047 - 1023) as f32);
            let mut expected = [0.0; OUTPUTS];
            decoder.decode(&inputs, &mut expected).unwrap();
            let found = answer(predictor, inputs);
            assert_eq!(found, expected);
            assert!(found.iter().all(|y| y.fract() == 0.0));
            answers.insert(found.map(f32::to_bits));
        }
        assert!(answers.len() > 50);
    }

    #[test]
    fn what_is_no_chain_is_refused_by_name() {
        let good = verdict(&[("MatMul", &["x", "w"], "a"), ("Add", &["a", "c"], "y")], &weights()).unwrap();
        let mut inputs = [0.0; INPUTS];
        inputs[1] = 10.0;
        assert_eq!(answer(&good, inputs), [-10.0 + 0.5, 0.0 + 2.0]);
        for (nodes, weights, reason) in [
            (&[("MatMul", &["x", "w"][..], "a"), ("Add", &["a", "a"], "y")][..], weights(), "constant"),
            (&[("MatMul", &["x", "w"], "a"), ("Sub", &["c", "a"], "y")], weights(), "given first"),
            (&[("MatMul", &["x", "w"], "a"), ("Tanh", &["a"], "y")], weights(), "exact"),
            (&[("MatMul", &["x", "w"], "a"), ("Softmax", &["a"], "y")], weights(), "exact"),
            (&[("MatMul", &["x", "w"], "y")], vec![0.3; 2 * INPUTS], "exact"),
            (&[("Mul", &["x", "half"], "y")], weights(), "turns [46] into [2]"),
        ] {
            let refusal = verdict(nodes, &weights).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }
}
