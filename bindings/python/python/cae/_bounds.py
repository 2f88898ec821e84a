"""The error that is accepted, as keyword arguments and as what became of them."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict, cast

import numpy as np

from ._errors import ArgumentError

Preset: TypeAlias = Literal["fast", "balanced", "small"]
BoundKind: TypeAlias = Literal["lossless", "abs", "rel", "pw", "rmse", "psnr", "ratio", "by_point"]


class Bound(NamedTuple):
    """A bound as it was asked for, and what it came to."""

    kind: BoundKind
    """Name of the keyword argument that asks for it; `by_point` for an array given to `abs`."""
    value: float | None
    """The number that was asked for."""
    max_abs: float | None
    """No value is further from its original than this; `None` where the bound is relative to each value."""
    max_pw: float | None
    """No value is further from its original than this times the original; `None` where the bound is absolute."""


class BoundArguments(TypedDict, total=False):
    """Exactly one of these says what may be lost."""

    rel: float | None
    """Fraction of max - min of the array."""
    abs: Any
    """In the unit of the values; or an array of the same shape with a bound for each point."""
    pw: float | None
    """Fraction of each value."""
    rmse: float | None
    """Root of the mean squared error."""
    psnr: float | None
    """Peak signal-to-noise ratio in dB, the peak being max - min."""
    ratio: float | None
    """Input bytes over bytes of the frames."""
    lossless: bool
    """Every value comes back bit for bit."""


NAMES = ("rel", "abs", "pw", "rmse", "psnr", "ratio")


def number(value: object, what: str) -> float:
    """`value` as a positive finite number."""
    try:
        result = float(cast(Any, value))
    except (TypeError, ValueError):
        raise ArgumentError(f"{what} is {value!r}, a number is needed") from None
    if not (math.isfinite(result) and result > 0.0):
        raise ArgumentError(f"{what} is {result}, a positive finite number is needed")
    return result


def chosen(arguments: BoundArguments) -> tuple[BoundKind, Any]:
    """Kind and value of the one bound among the keyword arguments."""
    unknown = set(arguments) - {*NAMES, "lossless"}
    if unknown:
        raise ArgumentError(f"unknown argument {sorted(unknown)[0]!r}")
    given = [name for name in NAMES if arguments.get(name) is not None]
    if arguments.get("lossless"):
        given.append("lossless")
    if len(given) != 1:
        said = ", ".join(given) if given else "none"
        raise ArgumentError(f"one of {', '.join(NAMES)} or lossless=True is needed to bound the error; given: {said}")
    kind = given[0]
    if kind == "lossless":
        return "lossless", None
    value = cast(Any, arguments.get(kind))
    if kind == "abs" and np.ndim(value) > 0:
        return "by_point", value
    return cast(BoundKind, kind), number(value, f"the bound {kind}")
