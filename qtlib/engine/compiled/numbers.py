"""Exact arithmetic in 64 bits, and the floats that decimals are nearest to."""

from typing import Any

from qtlib.compiler import part

EXACT = 1 << 53  # whole numbers below it are floats


@part
def ratio(number: int, whole: int) -> float:
    """The float nearest to `number` / `whole`, which is a power of ten of at most 12 digits."""
    if -EXACT < number < EXACT:
        return number / float(whole)
    sign, number = (1.0, number) if number > 0 else (-1.0, -number)
    units, rest = number // whole, number % whole
    if units >= EXACT:
        return sign * float(number) / float(whole)
    length = 0
    while units >> length:
        length += 1
    kept = 53 - length  # binary places of the fraction that the float has room for
    bits, left = 0, rest
    for _ in range(kept):
        left <<= 1
        bits <<= 1
        if left >= whole:
            left -= whole
            bits |= 1
    mantissa = (units << kept) | bits
    if 2 * left > whole or (2 * left == whole and mantissa & 1):
        mantissa += 1
    return sign * (float(mantissa) / float(1 << kept))


@part
def scaled(number: int, numerator: int, denominator: int) -> int:
    """`number` * `numerator` / `denominator` to the nearest whole number, ties to the even one.

    The product may be longer than 64 bits: what overflows is the same on both sides of the remainder.
    """
    near = round(float(number) * float(numerator) / float(denominator))
    left = number * numerator - near * denominator
    while left < 0:
        near -= 1
        left += denominator
    while left >= denominator:
        near += 1
        left -= denominator
    other = denominator - left
    if left > other or (left == other and near & 1):
        near += 1
    return near


@part
def at_least(number: int, numerator: int, denominator: int) -> int:
    """The smallest whole number that is not below `number` * `numerator` / `denominator`."""
    whole, rest = number // denominator, number % denominator
    return whole * numerator + -(-(rest * numerator) // denominator)


@part
def near(one: float, other: float) -> bool:
    """Whether two floats are so close that exact arithmetic might order them otherwise."""
    return abs(one - other) <= 1e-11 * max(abs(one), abs(other))


@part
def added(total: float, lost: float, number: float) -> Any:
    """The running sum of Neumaier, as Python's `sum` keeps it since 3.12: the sum and what was rounded off."""
    new = total + number
    lost += (total - new) + number if abs(total) >= abs(number) else (number - new) + total
    return new, lost
