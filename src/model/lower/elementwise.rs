//! Operators that work value by value (SPEC 5.4.1, 5.4.2).

use super::{Call, Entry, Lowering};
use crate::error::Result;
use crate::model::constant::Constant;
use crate::model::program::{Binary, Op, Unary};
use crate::model::reference;

impl Lowering<'_> {
    pub(super) fn unary(&mut self, call: &Call<'_>) -> Result<Entry> {
        let function = call.unary_function()?;
        match call.entry(0)? {
            Entry::Batched(slot) => {
                let shape = self.shape_of(slot)?;
                self.step(Op::Unary(function), &[slot], shape, 0, call.label)
            }
            Entry::Constant(_) if !reference::is_exactly_rounded(function) => {
                Err(call.refuse(format!("{} of a constant; its last bit depends on the machine", call.node.op)))
            }
            Entry::Constant(c) => {
                let values = c.as_floats().ok_or_else(|| call.refuse("arithmetic on constants other than float"))?;
                let values = values.iter().map(|&x| reference::unary(function, x)).collect();
                Ok(Entry::Constant(Constant::floats(c.shape.clone(), values).checked(call.label)?))
            }
        }
    }

    pub(super) fn binary(&mut self, call: &Call<'_>) -> Result<Entry> {
        let function = match call.node.op {
            "Add" => Binary::Add,
            "Sub" => Binary::Sub,
            "Mul" => Binary::Mul,
            "Div" => Binary::Div,
            "Min" => Binary::Min,
            "Max" => Binary::Max,
            _ => Binary::PRelu,
        };
        let mut result = call.entry(0)?;
        for index in 1..call.inputs.len() {
            let shape_before = self.entry_shape(&result)?;
            result = self.pair(function, result, call.entry(index)?, call)?;
            if function == Binary::PRelu && self.entry_shape(&result)? != shape_before {
                return Err(call.refuse("the slope of PRelu does not fit its input"));
            }
        }
        Ok(result)
    }

    pub(super) fn entry_shape(&self, entry: &Entry) -> Result<Vec<usize>> {
        match entry {
            Entry::Batched(slot) => self.shape_of(*slot),
            Entry::Constant(c) => Ok(c.shape.clone()),
        }
    }

    /// `function(a, b)` with broadcasting that leaves the batch axis alone.
    pub(super) fn pair(&mut self, function: Binary, a: Entry, b: Entry, call: &Call<'_>) -> Result<Entry> {
        let slots = match (&a, &b) {
            (Entry::Constant(a), Entry::Constant(b)) => return self.pair_of_constants(function, a, b, call),
            (Entry::Batched(a), Entry::Batched(b)) => {
                if self.shape_of(*a)?.len() != self.shape_of(*b)?.len() {
                    return Err(call.refuse("its operands differ in rank, so that the batch axis meets another"));
                }
                [*a, *b]
            }
            (Entry::Batched(a), Entry::Constant(b)) => [*a, self.aligned(b, *a, call)?],
            (Entry::Constant(a), Entry::Batched(b)) => [self.aligned(a, *b, call)?, *b],
        };
        let (left, right) = (self.shape_of(slots[0])?, self.shape_of(slots[1])?);
        let shape = broadcast(&left, &right).ok_or_else(|| misfit(call, &left, &right))?;
        self.step(Op::Binary(function), &slots, shape, 0, call.label)
    }

    fn pair_of_constants(&mut self, function: Binary, a: &Constant, b: &Constant, call: &Call<'_>) -> Result<Entry> {
        let (Some(x), Some(y)) = (a.as_floats(), b.as_floats()) else {
            return Err(call.refuse("arithmetic on constants other than float"));
        };
        let shape = broadcast(&a.shape, &b.shape).ok_or_else(|| misfit(call, &a.shape, &b.shape))?;
        let elements = crate::model::program::volume(&shape).unwrap_or(u64::MAX);
        crate::limits::within(crate::error::Resource::ModelElements, elements, self.limits.model_elements)?;
        let values = reference::binary(function, (&a.shape, x), (&b.shape, y), &shape);
        Ok(Entry::Constant(Constant::floats(shape, values).checked(call.label)?))
    }

    /// A slot for `constant`, as an operand next to the value in `partner`.
    fn aligned(&mut self, constant: &Constant, partner: usize, call: &Call<'_>) -> Result<usize> {
        let rank = self.shape_of(partner)?.len();
        let shape = if constant.shape.len() == rank.saturating_add(1) {
            match constant.shape.split_first() {
                Some((1, rest)) => rest.to_vec(),
                _ => return Err(call.refuse("a constant has values along the batch axis")),
            }
        } else {
            constant.shape.clone()
        };
        if shape.len() > rank {
            return Err(call.refuse("a constant of higher rank than the block value that it meets"));
        }
        self.float_slot(constant, shape, call.label)
    }
}

fn misfit(call: &Call<'_>, a: &[usize], b: &[usize]) -> crate::error::Error {
    call.refuse(format!("shapes {a:?} and {b:?} do not fit each other"))
}

/// The shape of two operands broadcast against each other, aligned at their last axes.
pub(in crate::model) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| {
        i.checked_sub(rank.saturating_sub(s.len())).and_then(|i| s.get(i).copied()).unwrap_or(1)
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, x) | (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

impl Call<'_> {
    fn unary_function(&self) -> Result<Unary> {
        Ok(match self.node.op {
            "Relu" => Unary::Relu,
            "LeakyRelu" => Unary::LeakyRelu(self.float("alpha", 0.01)?),
            "Elu" => Unary::Elu(self.float("alpha", 1.0)?),
            "Selu" => Unary::Selu { alpha: self.float("alpha", 1.673_263_2)?, gamma: self.float("gamma", 1.050_701)? },
            "Sigmoid" => Unary::Sigmoid,
            "HardSigmoid" => Unary::HardSigmoid { alpha: self.float("alpha", 0.2)?, beta: self.float("beta", 0.5)? },
            "HardSwish" => Unary::HardSwish,
            "Tanh" => Unary::Tanh,
            "Softplus" => Unary::Softplus,
            "Softsign" => Unary::Softsign,
            "Gelu" => Unary::Gelu {
                tanh: match self.text("approximate", "none")? {
                    "none" => false,
                    "tanh" => true,
                    _ => return Err(self.refuse("Gelu with an unknown approximation")),
                },
            },
            "Erf" => Unary::Erf,
            "Exp" => Unary::Exp,
            "Sqrt" => Unary::Sqrt,
            "Abs" => Unary::Abs,
            "Neg" => Unary::Neg,
            "Floor" => Unary::Floor,
            "Ceil" => Unary::Ceil,
            "Round" => Unary::Round,
            "Clip" => self.clip()?,
            "Pow" => Unary::Pow(
                self.known(1)?.as_scalar().ok_or_else(|| self.refuse("the exponent of Pow must be one float"))?,
            ),
            other => return Err(self.refuse(format!("operator {other} is not allowed"))),
        })
    }

    fn clip(&self) -> Result<Unary> {
        let bound = |index: usize, name: &str, default: f32| -> Result<f32> {
            match self.optional(index) {
                None => self.float(name, default),
                Some(_) => self
                    .known(index)?
                    .as_scalar()
                    .ok_or_else(|| self.refuse("the bounds of Clip must be single floats")),
            }
        };
        let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
        if low > high {
            return Err(self.refuse(format!("Clip to at least {low} and at most {high}")));
        }
        Ok(Unary::Clip { low, high })
    }
}
