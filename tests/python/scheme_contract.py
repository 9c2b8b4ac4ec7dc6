"""numerics.md sections 2 and 6 for one linear layer, in numpy: what `linear` must write.

Written from the text alone, as scheme_weights.py is. Sums of products of codes are exact: they are
made in binary64, whose integers reach 2^53.
"""

import dataclasses

import numpy as np

from exact_arithmetic import fma
from scheme_weights import F32, F64, NO_CLIP, group_edges, quantized_weights, transformed_input

@dataclasses.dataclass
class Rows:
    codes: np.ndarray  # int64 [m, k]
    scale: np.ndarray  # float32 [m, groups]
    zero_point: np.ndarray  # int64 [m]
    saturated: int
    edges: list

    def values(self):
        integers = (self.codes - self.zero_point[:, None]).astype(F32)
        parts = [integers[:, b:e] * self.scale[:, [g]] for g, (b, e) in enumerate(self.edges)]
        return np.concatenate(parts, axis=1)


def symmetric_codes(v, inv_scale):
    """Codes within +-127 of v [m, part] and how many are saturated; inv_scale [m, 1]."""
    p = v * inv_scale
    codes = np.where(np.isnan(p), 0, np.rint(np.clip(p, F32(-127), F32(127))))
    saturated = np.isfinite(v) & (np.abs(p) >= F32(127.5))
    return codes.astype(np.int64), int(saturated.sum())


def symmetric_rows(v, clip_range, edges):
    """Dynamic: a scale for each row and group."""
    codes, scales, saturated = [], [], 0
    for b, e in edges:
        part = v[:, b:e]
        finite = np.where(np.isfinite(part), np.abs(part), F32(0))
        a = np.minimum(finite.max(axis=1), clip_range)
        inv_scale = F32(127) / a
        dead = ~np.isfinite(inv_scale)
        scales.append(np.where(dead, F32(0), a / F32(127)))
        got, count = symmetric_codes(part, np.where(dead, F32(0), inv_scale)[:, None])
        codes.append(got)
        saturated += count
    zero = np.zeros(len(v), np.int64)
    return Rows(np.concatenate(codes, axis=1), np.stack(scales, axis=1), zero, saturated, edges)


def asymmetric_codes(v, inv_scale, zero_point, dead):
    rounded = np.rint(v * inv_scale[:, None]) + zero_point[:, None].astype(F32)
    codes = np.where(np.isnan(v), zero_point[:, None], np.clip(rounded, F32(-128), F32(127)))
    codes = np.where(dead[:, None], 0, codes).astype(np.int64)
    outside = np.isfinite(v) & ((rounded < -128) | (rounded > 127)) & ~dead[:, None]
    return codes, int(outside.sum())


def asymmetric_rows(v, clip_range):
    finite = np.isfinite(v)
    lo = np.maximum(np.minimum(np.where(finite, v, F32(0)).min(axis=1), F32(0)), -clip_range)
    hi = np.minimum(np.maximum(np.where(finite, v, F32(0)).max(axis=1), F32(0)), clip_range)
    span = hi - lo
    inv_scale = F32(255) / span
    dead = ~(np.isfinite(span) & np.isfinite(inv_scale))
    scale = np.where(dead, F32(0), span / F32(255))
    inv_scale = np.where(dead, F32(0), inv_scale)
    zero_point = np.clip(np.rint(F32(-128) - lo * inv_scale), -128, 127)
    zero_point = np.where(dead, 0, zero_point).astype(np.int64)
    codes, saturated = asymmetric_codes(v, inv_scale, zero_point, dead)
    return Rows(codes, scale[:, None], zero_point, saturated, [(0, v.shape[1])])


def static_rows(v, scale, zero_point):
    m = len(v)
    inv_scale = np.full(m, F32(1) / scale, F32)
    if zero_point is None:
        codes, saturated = symmetric_codes(v, inv_scale[:, None])
        zero = np.zeros(m, np.int64)
    else:
        zero = np.full(m, zero_point, np.int64)
        codes, saturated = asymmetric_codes(v, inv_scale, zero, np.zeros(m, bool))
    return Rows(codes, np.full((m, 1), scale, F32), zero, saturated, [(0, v.shape[1])])


def quantized_rows(layer, v):
    if layer.input_scale is not None:
        return static_rows(v, layer.input_scale, layer.input_zero_point)
    if layer.asymmetric:
        return asymmetric_rows(v, layer.clip_range)
    return symmetric_rows(v, layer.clip_range, group_edges(layer.k, layer.input_group_size))


def residual_of_first_row(v, rows):
    """What the first coding of row 0 leaves, coded per-token without clip."""
    left = v[0] - rows.codes[0].astype(F32) * rows.scale[0, 0]
    left = np.where(np.isfinite(v[0]), left, F32(0))
    return symmetric_rows(left[None], NO_CLIP, [(0, len(left))])


# ---- the exact product ----


def product_edges(rows, weights):
    """Groups of the product: those of the operand with the smaller ones."""
    return max(rows.edges, weights.edges, key=len)


def accumulators(rows, weights):
    """int64 [groups, m, n]; binary64 holds every partial sum."""
    cx = (rows.codes - rows.zero_point[:, None]).astype(F64)
    cw = weights.integers().astype(F64)
    parts = [cx[:, b:e] @ cw[:, b:e].T for b, e in product_edges(rows, weights)]
    return np.stack(parts).astype(np.int64)


def bias_of(layer):
    return np.zeros(layer.n, F32) if layer.bias is None else layer.bias


def dequantized(layer, acc, rows, weights):
    """Binary32 [m, n], before the rounding to FP16."""
    bias = bias_of(layer)
    rows_grouped, weights_grouped = len(rows.edges) > 1, len(weights.edges) > 1
    if not rows_grouped and not weights_grouped:
        return fma(acc[0].astype(F32) * weights.scale, rows.scale, bias)
    edges = product_edges(rows, weights)
    t = np.zeros(acc[0].shape, F32)
    for g, (begin, _) in enumerate(edges):
        of_row = rows.scale[:, [group_at(rows.edges, begin)]]
        of_weight = weights.scale_of(group_at(weights.edges, begin))
        value = acc[g].astype(F32)
        if rows_grouped and weights_grouped:
            t = fma(value * of_row, of_weight, t)
        else:
            t = fma(value, of_row if rows_grouped else of_weight, t)
    if rows_grouped and weights_grouped:
        return t + bias
    return fma(t, weights.scale if rows_grouped else rows.scale, bias)


def group_at(edges, k):
    return next(g for g, (begin, end) in enumerate(edges) if begin <= k < end)


def output_quantized(y, scale):
    """Codes of FP16 outputs and the outputs stored in their place."""
    codes, _ = symmetric_codes(y.astype(F32), F32(1) / scale)
    return codes.astype(np.int8), (codes.astype(F32) * scale).astype(np.float16)


# ---- what linear writes ----


def described_input(layer, v, rows, second):
    codes, scale = rows.codes, rows.scale
    scale = scale[:1, 0] if layer.input_scale is not None else scale
    scale = scale[:, 0] if scale.ndim == 2 and scale.shape[1] == 1 else scale
    if second is not None:
        codes = np.concatenate([codes, second.codes])
        scale = np.concatenate([scale, second.scale[:, 0]])
    nonfinite = [int(np.isnan(v).sum()), int(np.isinf(v).sum())]
    out = {
        "codes": codes.astype(np.int8),
        "code_sum": codes.sum(axis=1).astype(np.int32),
        "input_scale": scale,
        "counts": np.array([*nonfinite, rows.saturated], np.uint64),
    }
    if layer.asymmetric or layer.input_zero_point is not None:
        zero_point = rows.zero_point.astype(np.int32)
        out["input_zero_point"] = zero_point if layer.input_scale is None else zero_point[:1]
    return out


def expected_input(layer):
    """What is written of the weights and of the input, and the pieces that the product takes."""
    weights = quantized_weights(layer)
    v = transformed_input(layer)
    out = {"weight_codes": weights.codes, "weight_scale": weights.scale}
    if layer.smoothing is not None or layer.rotation is not None:
        out["transformed"] = v
    if layer.weight_only:
        return out, v, None, None, weights
    rows = quantized_rows(layer, v)
    second = residual_of_first_row(v, rows) if layer.first_row_twice else None
    out.update(described_input(layer, v, rows, second))
    return out, v, rows, second, weights


def expected_integer(layer):
    """All that int8 and emulated write; not for weight-only."""
    out, _, rows, second, weights = expected_input(layer)
    acc = accumulators(rows, weights)
    y = dequantized(layer, acc, rows, weights)
    if second is not None:
        acc2 = accumulators(second, weights)
        y[:1] = fma(acc2[0].astype(F32) * weights.scale, second.scale, y[:1])
        acc = np.concatenate([acc, acc2], axis=1)
    assert np.abs(acc).max() < 2**31
    out["acc"] = (acc if len(acc) > 1 else acc[0]).astype(np.int32)
    out["y"] = y.astype(np.float16)
    if layer.output_scale is not None:
        out["output_codes"], out["y"] = output_quantized(out["y"], layer.output_scale)
    return out
