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

/// What the network is told about a point (SPEC 9.2.7).
pub const INPUTS: usize = 55;
/// Greatest magnitude of an input.
pub const INPUT_MAX: i32 = 1023;
/// What it answers: a shift and a scale.
pub const OUTPUTS: usize = 2;

/// Values of the widest layer.
const WIDTH_MAX: usize = 256;
/// Multiply-adds for one point.
const OPERATIONS_MAX: u64 = 1 << 16;
/// Columns of a product that are summed side by side.
const LANES: usize = 16;

/// Integers in, integers out, the same on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Predictor {
    links: Vec<Link>,
}

/// One step of the chain, on a vector.
#[derive(Debug, Clone)]
enum Link {
    /// Groups of `LANES` columns, one after another; in each, row after row.
    Product {
        columns: usize,
        weights: Vec<[f32; LANES]>,
    },
    /// One value for each, or one for all.
    Binary(Binary, Vec<f32>),
    Unary(Unary),
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
        chain(&vetted.program).map(|links| Some(Predictor { links }))
    }

    /// Answers for one point. The answers are whole numbers wherever the model ends in one of the roundings.
    #[inline]
    pub(crate) fn run(&self, inputs: &[f32; INPUTS]) -> [f32; OUTPUTS] {
        let mut x = [0f32; WIDTH_MAX];
        x[..INPUTS].copy_from_slice(inputs);
        let mut len = INPUTS;
        for link in &self.links {
            match link {
                Link::Product { columns, weights } => {
                    let mut y = [0f32; WIDTH_MAX];
                    for (sums, rows) in y.as_chunks_mut::<LANES>().0.iter_mut().zip(weights.chunks_exact(len)) {
                        let mut lanes = [0f32; LANES];
                        for (x, row) in x.iter().zip(rows) {
                            for j in 0..LANES {
                                lanes[j] += x * row[j];
                            }
                        }
                        *sums = lanes;
                    }
                    x = y;
                    len = *columns;
                }
                Link::Binary(f, values) => {
                    let apply = |x: f32, c: f32| match f {
                        Binary::Add => x + c,
                        Binary::Sub => x - c,
                        Binary::Mul => x * c,
                        Binary::Div => x / c,
                        Binary::Min => x.min(c),
                        _ => x.max(c),
                    };
                    match values.as_slice() {
                        [c] => x[..len].iter_mut().for_each(|x| *x = apply(*x, *c)),
                        values => x.iter_mut().zip(values).for_each(|(x, c)| *x = apply(*x, *c)),
                    }
                }
                Link::Unary(Unary::Relu) => x[..len].iter_mut().for_each(|x| *x = x.max(0.0)),
                Link::Unary(Unary::Clip { low, high }) => {
                    x[..len].iter_mut().for_each(|x| *x = x.max(*low).min(*high));
                }
                Link::Unary(f) => x[..len].iter_mut().for_each(|x| *x = reference::unary(*f, *x)),
            }
        }
        std::array::from_fn(|i| x[i])
    }
}

/// The steps of a program in which each works on what the one before gave.
fn chain(program: &Program) -> Result<Vec<Link>> {
    let mut links = Vec::new();
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
                let mut weights = Vec::new();
                for first in (0..*columns).step_by(LANES) {
                    for row in 0..*rows {
                        let at = |j: usize| (first + j < *columns).then(|| values[row * columns + first + j]);
                        weights.push(std::array::from_fn(|j| at(j).unwrap_or(0.0)));
                    }
                }
                links.push(Link::Product { columns: *columns, weights });
            }
            Op::Binary(f) => {
                let values = constant()?;
                if *f == Binary::PRelu || !(values.len() == 1 || values.len() == *columns) || rows != columns {
                    return Err(no("an operation on two values takes one constant for all or one for each"));
                }
                links.push(Link::Binary(*f, values.to_vec()));
            }
            Op::Unary(f) => links.push(Link::Unary(*f)),
            Op::Reshape => {}
            _ => return Err(no("products, operations of one and of two values are all there is")),
        }
        last = step.output;
    }
    Ok(links)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::limits::Limits;

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
            let found = predictor.run(&inputs);
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
        assert_eq!(good.run(&inputs), [-10.0 + 0.5, 0.0 + 2.0]);
        for (nodes, weights, reason) in [
            (&[("MatMul", &["x", "w"][..], "a"), ("Add", &["a", "a"], "y")][..], weights(), "constant"),
            (&[("MatMul", &["x", "w"], "a"), ("Sub", &["c", "a"], "y")], weights(), "given first"),
            (&[("MatMul", &["x", "w"], "a"), ("Tanh", &["a"], "y")], weights(), "exact"),
            (&[("MatMul", &["x", "w"], "a"), ("Softmax", &["a"], "y")], weights(), "exact"),
            (&[("MatMul", &["x", "w"], "y")], vec![0.3; 2 * INPUTS], "exact"),
            (&[("Mul", &["x", "half"], "y")], weights(), "turns [55] into [2]"),
        ] {
            let refusal = verdict(nodes, &weights).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }
}
