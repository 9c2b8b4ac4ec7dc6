"""The integer hash of runtime/base/counter_hash.h, vectorised: the one source of made-up numbers.

Equal to the C++ in every bit, so that golden files need to hold outputs only.
"""

import numpy as np

_U64 = np.uint64


def mix_bits(x):
    """SplitMix64's finalizer of a uint64 scalar or array."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=_U64) + _U64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
        return x ^ (x >> _U64(31))


def hash_text(text):
    """FNV-1a, 64 bits, of a str (its UTF-8 bytes) or bytes, as a Python int."""
    value = 0xCBF29CE484222325
    for byte in text.encode() if isinstance(text, str) else text:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def counter_hash(seed, counter):
    """uint64 for a seed and a counter; both may be arrays and broadcast."""
    return mix_bits(mix_bits(np.asarray(seed, dtype=_U64)) ^ np.asarray(counter, dtype=_U64))


def hash_uniform(seed, counter):
    """float32, a multiple of 2^-23 in [-1, 1)."""
    steps = (counter_hash(seed, counter) >> _U64(40)).astype(np.int64) - (1 << 23)
    return (steps.astype(np.float64) * 2.0**-23).astype(np.float32)
