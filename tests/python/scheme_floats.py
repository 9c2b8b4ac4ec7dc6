"""Float products by numerics.md: what fake and weight-only may return, beside what is exact there.

A float product has no defined order. `exact` is its value in binary64, `naive` the plain loop over k
in binary32 with the operands of the contract, rounded as the layer stores it: the level TwiceNaive.
"""

import dataclasses

import numpy as np

import scheme_contract as contract
from exact_arithmetic import fma
from scheme_weights import ROUND_TO, quantized_weights, to_half

F32, F64 = np.float32, np.float64
TWICE = 2  # of the naive version's root-mean-square error: what TwiceNaive allows
STORED = {"fp16": "F16", "bf16": "BF16"}


@dataclasses.dataclass
class FloatLayer:
    tensors: dict  # what must be equal in every bit: all but acc, y and output_codes
    exact: np.ndarray  # float64 [m, n], bias inside, nothing rounded
    naive: np.ndarray  # float32 [m, n], rounded to `dtype`
    slack: np.ndarray  # float64 [m, n]: a bound on the error of any order of summation
    dtype: str = "F16"


def naive_sum(a, b):
    """sum_k a[m, k] * b[n, k] in binary32, ascending k, each product rounded."""
    total = np.zeros((len(a), len(b)), F32)
    for of_a, of_b in zip(a.T, b.T):
        total += of_a[:, None] * of_b
    return total


def dot_bound(a, b, bias):
    """k 2^-24 sum |a b|, and the bias' own rounding: Higham's gamma to first order, doubled."""
    terms = np.abs(a).astype(F64) @ np.abs(b).astype(F64).T
    return 2.0**-23 * ((a.shape[1] + 1) * terms + np.abs(bias))


def plain_product(x, w, bias, dtype, tensors):
    exact = x.astype(F64) @ w.astype(F64).T + bias
    naive = ROUND_TO[dtype](naive_sum(x, w) + bias)
    return FloatLayer(tensors, exact, naive, dot_bound(x, w, bias), dtype)


def expected_fake(layer):
    """`fake` `ideal`: both operands in binary32, float(code - zero point) * scale."""
    tensors, v, rows, second, weights = contract.expected_input(layer)
    bias = contract.bias_of(layer)
    if layer.weight_only:
        return plain_product(to_half(v), weights.values(), bias, "F16", tensors)
    x = rows.values()
    if second is not None:
        x[:1] = x[:1] + second.values()
    return plain_product(x, weights.values(), bias, "F16", tensors)


def expected_weight_only(layer):
    """int8 and emulated: x times the codes, dequantized group by group."""
    tensors, v, _, _, weights = contract.expected_input(layer)
    x, bias = to_half(v), contract.bias_of(layer)
    integers = weights.integers().astype(F32)
    exact = np.zeros((layer.m, layer.n))
    t = np.zeros((layer.m, layer.n), F32)
    for g, (b, e) in enumerate(weights.edges):
        scale = weights.scale_of(g)
        acc = naive_sum(x[:, b:e], integers[:, b:e])
        exact += (x[:, b:e].astype(F64) @ integers[:, b:e].astype(F64).T) * scale
        t = acc * scale if len(weights.edges) == 1 else fma(acc, scale, t)
    slack = dot_bound(x, weights.values(), bias)
    return FloatLayer(tensors, exact + bias, to_half(t + bias), slack)


def vllm_fake_quant(x, scale, rounded):
    """fake_quant_static_int8 in the dtype of `rounded`: values, codes, saturated."""
    quotient = np.rint(rounded(x / scale))
    clamped = np.clip(quotient, F32(-128), F32(127))
    codes = np.where(np.isnan(clamped), 0, clamped).astype(np.int8)
    saturated = np.isfinite(x) & ((quotient < -128) | (quotient > 127))
    return rounded(clamped * scale), codes, int(saturated.sum())


def expected_vllm_static(layer):
    """WNA8O8's convention: x, bias and scales in the dtype first; a scale of 0 leaves its side."""
    dtype = STORED[layer.dtype or "fp16"]
    rounded = ROUND_TO[dtype]
    weights = quantized_weights(layer, dtype)
    x, bias = rounded(layer.x.astype(F32)), rounded(contract.bias_of(layer))
    tensors = {"weight_codes": weights.codes, "weight_scale": weights.scale}
    saturated, scale = 0, rounded(layer.input_scale)
    nonfinite = [int(np.isnan(layer.x).sum()), int(np.isinf(layer.x).sum())]
    if scale != 0:
        x, codes, saturated = vllm_fake_quant(x, scale, rounded)
        tensors["codes"] = codes
        tensors["code_sum"] = codes.sum(axis=1, dtype=np.int32)
        tensors["input_scale"] = scale.reshape(1)
    tensors["counts"] = np.array([*nonfinite, saturated], np.uint64)
    return plain_product(x, rounded(weights.values()), bias, dtype, tensors)


# ---- the comparison ----


def largest(dtype):
    return 65504.0 if dtype == "F16" else float(np.finfo(F32).max)


def half_ulp(values, dtype):
    """Of the dtype at |values|."""
    bits, least = (11, 2.0**-14) if dtype == "F16" else (8, 2.0**-126)
    exponent = np.floor(np.log2(np.maximum(np.abs(values), least)))
    return 2.0 ** (exponent - bits)


def stored_differences(expected, actual):
    """y without output quantization: problems, and sums of squares for TwiceNaive."""
    finite = np.isfinite(expected.exact)
    wrong = []
    outside = np.abs(expected.exact) + expected.slack
    # Beyond the dtype's range, or within the error of its edge.
    inside = finite & (outside < largest(expected.dtype))
    far = np.abs(expected.exact) - expected.slack > 1.001 * largest(expected.dtype)
    if not (np.isnan(actual) == np.isnan(expected.exact)).all():
        wrong.append("y is NaN elsewhere")
    if not np.isinf(actual[far | np.isinf(expected.exact)]).all():
        wrong.append("y is finite beyond the dtype's range")
    error = np.abs(actual - expected.exact)[inside]
    allowed = (expected.slack + half_ulp(outside, expected.dtype))[inside]
    if not (error <= allowed).all():
        wrong.append(f"y is {(error / allowed).max():.3g} of the dot bound")
    naive = np.abs(expected.naive.astype(F64) - expected.exact)[inside]
    # Of a few outputs one rounding decides: those are judged with all of their scheme's.
    if error.size >= 64 and (error**2).sum() > TWICE**2 * (naive**2).sum():
        wrong.append(f"y is not TwiceNaive: {(error**2).sum()}, {(naive**2).sum()}")
    return wrong, ((error / allowed) ** 2).sum(), ((naive / allowed) ** 2).sum()


def quantized_differences(layer, expected, actual):
    """y and output_codes of a float product: the codes that its error allows, y made of them."""
    rounded = ROUND_TO[expected.dtype]
    scale, lowest = layer.output_scale, -127
    codes = actual["output_codes"].astype(F32)
    if layer.vllm_static:
        scale, lowest = rounded(scale), -128
        y = np.where(np.isnan(expected.exact), F32(np.nan), rounded(codes * scale))
    else:
        y = rounded(codes * scale)
    wrong = [] if np.array_equal(actual["y"], y, equal_nan=True) else ["y is not code * scale"]
    real = np.where(np.isnan(expected.exact), 0.0, expected.exact) / F64(scale)
    slack = (expected.slack + half_ulp(np.abs(expected.exact) + expected.slack, expected.dtype)) / scale
    quotient_error = half_ulp(real, expected.dtype) if layer.vllm_static else np.abs(real) * 2.0**-22
    slack = np.where(np.isfinite(expected.exact), slack + quotient_error, 0)
    low = np.clip(np.rint(real - slack), lowest, 127)
    high = np.clip(np.rint(real + slack), lowest, 127)
    if not ((codes >= low) & (codes <= high)).all():
        wrong.append("output_codes are further from the exact product than its error")
    return wrong
