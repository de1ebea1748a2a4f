"""Student's t distribution, from its definition: the standard library has none, and scipy is no dependency."""

import math

from cnnkit.errors import UserError

_TINY = 1e-300  # stands in for a denominator of 0 (Lentz's method)


def regularised_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22, dlmf.nist.gov).

    For a and b up to 10,000 at least ten digits after the point are right; beyond that ``lgamma`` costs some.

    Args:
        x: in [0, 1].
        a: above 0.
        b: above 0.

    Raises:
        UserError: a value lies outside these ranges.

    Example:
        >>> round(regularised_beta(0.2, 1.0, 3.0), 12)  # 1 - 0.8^3
        0.488
    """
    if not (0 <= x <= 1 and a > 0 and b > 0):
        raise UserError(f"I_x(a, b) with x = {x}, a = {a}, b = {b}: x must lie in [0, 1], a and b above 0")
    if x in (0, 1):
        return float(x)
    if x > (a + 1) / (a + b + 2):  # there the fraction converges slowly, and I_x(a, b) = 1 - I_(1 - x)(b, a)
        return 1 - _lower(1 - x, b, a)
    return _lower(x, a, b)


def _lower(x: float, a: float, b: float) -> float:
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1 / (1 + d2 / (1 + ...)), by Lentz's method: the quotients of neighboring convergents are multiplied."""
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, 100_000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def t_two_sided(t: float, df: float) -> float:
    """Probability that a value of Student's distribution lies at least as far from 0 as ``t``.

    Args:
        t: any number.
        df: degrees of freedom, above 0; need not be whole.

    Example:
        >>> round(t_two_sided(2.776, df=4), 4)
        0.05
    """
    if math.isinf(t):
        return 0.0
    # Above 1 the square of t decides, below it the degrees of freedom: so neither end loses digits.
    if t * t < df:
        return 1 - regularised_beta(t * t / (df + t * t), 0.5, df / 2)
    return regularised_beta(df / (df + t * t), df / 2, 0.5)


def t_quantile(p: float, df: float) -> float:
    """The value that a variable of Student's distribution stays below with probability ``p``, by bisection.

    Args:
        p: in (0, 1).
        df: degrees of freedom, above 0; need not be whole.

    Raises:
        UserError: a value lies outside these ranges.

    Example:
        >>> round(t_quantile(0.975, df=4), 4), round(t_quantile(0.975, df=1), 3)
        (2.7764, 12.706)
    """
    if not (0 < p < 1 and df > 0):
        raise UserError(f"the {p} quantile of {df} degrees of freedom: p must lie in (0, 1), df above 0")
    tail = 2 * min(p, 1 - p)
    low, high = 0.0, 1.0
    while t_two_sided(high, df) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_two_sided(middle, df) > tail else (low, middle)
    return high if p > 0.5 else -high if p < 0.5 else 0.0
