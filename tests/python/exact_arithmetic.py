"""Arithmetic that numpy lacks: fma with one rounding, shown exact against fractions."""

import fractions

import numpy as np


def fma(a, b, c):
    """float32(a * b + c) rounded once, ties to even; arrays of float32 broadcast.

    The product of two binary32 numbers is exact in binary64. Its sum with c is made round-to-odd
    (the rounding error of TwoSum decides the last bit), after which the conversion to binary32
    rounds as if from the exact value, because 53 >= 24 + 2 bits.
    """
    with np.errstate(all="ignore"):
        product = np.asarray(a, np.float32).astype(np.float64) * np.asarray(b, np.float32)
        product, addend = np.broadcast_arrays(product, np.asarray(c, np.float32).astype(np.float64))
        total = product + addend
        part = total - product
        error = (product - (total - part)) + (addend - part)
        even = (np.ascontiguousarray(total).view(np.uint64) & 1) == 0
        inexact = np.isfinite(total) & np.isfinite(error) & (error != 0)
        towards = np.where(error > 0, np.inf, -np.inf)
        odd = np.where(inexact & even, np.nextafter(total, towards), total)
        return odd.astype(np.float32)


def two_sum(a, b):
    """The binary64 sum and its rounding error, exact together (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a, b):
    """The binary64 product and its rounding error, exact together (Dekker, Veltkamp's splitting)."""
    halves = []
    for value in (a, b):
        large = value * 134217729.0  # 2^27 + 1
        high = large - (large - value)
        halves.append((high, value - high))
    (ah, al), (bh, bl) = halves
    product = a * b
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def round_to_odd_sum(a, b):
    """a + b in binary64; where inexact, the neighbour whose last bit is 1."""
    total, error = two_sum(a, b)
    even = (np.ascontiguousarray(total).view(np.uint64) & 1) == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & even, np.nextafter(total, towards), total)


def fma64(a, b, c):
    """float64(a * b + c) rounded once, ties to even, of moderate magnitudes (nothing under- or
    overflows).

    Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using
    rounding to odd", 2008: with (uh, ul) = a * b, (th, tl) = c + ul and (vh, vl) = uh + th, all
    exact, the result is vh + odd(tl + vl).
    """
    a, b, c = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (a, b, c)))
    uh, ul = two_product(a, b)
    th, tl = two_sum(c, ul)
    vh, vl = two_sum(uh, th)
    return vh + round_to_odd_sum(tl, vl)


def round_fraction(value):
    """The binary32 nearest to a Fraction, ties to even, worked out in integers."""
    if value == 0:
        return np.float32(0)
    sign, value = (-1, -value) if value < 0 else (1, value)
    exponent = -149
    while value / fractions.Fraction(2) ** exponent >= 1 << 24:
        exponent += 1
    steps = value / fractions.Fraction(2) ** exponent
    whole = steps.numerator // steps.denominator
    rest = steps - whole
    half = fractions.Fraction(1, 2)
    if rest > half or (rest == half and whole % 2):
        whole += 1
    return np.float32(sign * np.ldexp(np.float64(whole), exponent))


def check_fma(count=3000, seed=5):
    """Raises AssertionError unless fma() is exact on random, cancelling, tied and tiny cases."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(count).astype(np.float32)
    b = rng.standard_normal(count).astype(np.float32)
    c = (rng.standard_normal(count) * 10.0 ** rng.integers(-9, 9, count)).astype(np.float32)
    third = count // 3
    c[:third] = -(a[:third] * b[:third])  # what is left is the rounding error of the product
    a[third : third + 500] *= np.float32(2.0**-70)
    b[third : third + 500] *= np.float32(2.0**-70)  # the product is subnormal
    c[third : third + 500] = np.float32(2.0**-140)
    # Sums one bit beyond a binary32 midpoint: rounding twice would fall on the midpoint.
    a[-500:] = np.float32(1 + 2.0**-23)
    b[-500:] = rng.integers(1, 1 << 12, 500).astype(np.float32) * np.float32(2.0**-60)
    c[-500:] = (1 + rng.integers(0, 2, 500) * 2.0**-23).astype(np.float32)
    expected = [
        round_fraction(
            fractions.Fraction(float(x)) * fractions.Fraction(float(y)) + fractions.Fraction(float(z))
        )
        for x, y, z in zip(a, b, c)
    ]
    assert np.array_equal(fma(a, b, c), np.array(expected, np.float32))
    tie = np.float32(1 + 2.0**-12)  # tie * tie + 2^-60 lies just above a midpoint of binary32
    assert fma(tie, tie, np.float32(2.0**-60)) != np.float32(np.float64(tie) * tie + 2.0**-60)


def check_fma64(count=2000, seed=6):
    """Raises AssertionError unless fma64() is exact on random, cancelling and tied cases."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(count)
    b = rng.standard_normal(count)
    c = rng.standard_normal(count) * 10.0 ** rng.integers(-20, 20, count)
    c[: count // 3] = -(a * b)[: count // 3]
    a[-500:] = 1 + 2.0**-52
    b[-500:] = rng.integers(1, 1 << 30, 500) * 2.0**-82  # the sum is near a midpoint of c's bits
    c[-500:] = 1 + rng.integers(0, 2, 500) * 2.0**-52
    for x, y, z, actual in zip(a, b, c, fma64(a, b, c)):
        exact = fractions.Fraction(x) * fractions.Fraction(y) + fractions.Fraction(z)
        # A Fraction divides two integers with one rounding.
        assert actual == exact.numerator / exact.denominator, (x, y, z)
