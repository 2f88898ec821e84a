"""SPEC 9.4.8: the snapped mode of method fast."""

import math

import integers
from primitives import CaeError


def decode(cursor, n, ordinary):
    base, step = cursor.number("d"), cursor.number("d")
    if not math.isfinite(base) or not 0 < step < math.inf:
        raise CaeError("base or step")
    return [base + step * float(v) for v in integers.decode(cursor, n, ordinary)]
