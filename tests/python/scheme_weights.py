"""A linear layer and its scheme as values, its transform and its weights by numerics.md, in numpy.

Written from the text alone; shares no code with the project, so that the two can disagree. Binary32
fma is rounded once (exact_arithmetic.py); every other operation is numpy's, which is IEEE's.
"""

import dataclasses

import numpy as np

import counter_hash
from exact_arithmetic import fma, fma64

F32, F64 = np.float32, np.float64
NO_CLIP = F32(np.inf)


@dataclasses.dataclass
class Layer:
    """One layer and its scheme: every flag and tensor of `linear` as a value."""

    x: np.ndarray  # float16 [m, k]
    weight: np.ndarray = None  # float32 [n, k], values that weight_dtype holds
    weight_dtype: str = "F32"
    codes: np.ndarray = None  # int8 [n, k], instead of weight
    packing: str = None  # how codes are stored: None (I8), "dense" or "old"
    weight_scale: np.ndarray = None  # float32 [1], [n] or [n, groups], values that scale_dtype holds
    scale_dtype: str = "F32"
    zero_points: np.ndarray = None  # int8 [n, groups], beside codes
    bias: np.ndarray = None  # float32 [n], values that bias_dtype holds
    bias_dtype: str = "F32"
    smoothing: np.ndarray = None  # float32 [k]
    bits: int = 8
    group_size: int = None
    per_tensor_weights: bool = False
    convention: str = "native"
    weight_only: bool = False
    clip_range: np.float32 = NO_CLIP
    input_scale: np.float32 = None
    input_zero_point: int = None
    input_group_size: int = None
    asymmetric: bool = False
    output_scale: np.float32 = None
    rotation: tuple = None  # (block, mix, seed)
    first_row_twice: bool = False
    vllm_static: bool = False  # fake only
    dtype: str = None  # of vllm_static: fp16 (also where None), bf16

    @property
    def m(self):
        return self.x.shape[0]

    @property
    def k(self):
        return self.x.shape[1]

    @property
    def n(self):
        return len(self.codes if self.weight is None else self.weight)


def group_edges(k, size):
    """Where groups of `size` begin and end; no size or one group: all of k."""
    size = k if size is None or size >= k else size
    return [(begin, min(begin + size, k)) for begin in range(0, k, size)]


# ---- rounding ----


def to_bf16(values):
    """binary32 to the nearest BF16, ties to even, as binary32; NaN and infinity stay."""
    bits = np.ascontiguousarray(values, F32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    return np.where(np.isnan(values), values, rounded.view(F32)).astype(F32)


def to_half(values):
    return np.asarray(values, F32).astype(np.float16).astype(F32)


ROUND_TO = {"F32": lambda values: np.asarray(values, F32), "F16": to_half, "BF16": to_bf16}


# ---- smoothing and rotation ----


def signs(k, seed):
    """-1 where bit 0 of Mix(Mix(seed) ^ index) is 1, else 1."""
    odd = counter_hash.counter_hash(seed, np.arange(k)) & np.uint64(1)
    return np.where(odd == 1, -1, 1)


def rotated(v, rotation, dtype):
    """Signs, butterflies, mixing and c, each operation in `dtype`, of every row of v."""
    block, mix, seed = rotation
    rows, k = v.shape
    v = (v * signs(k, seed).astype(dtype)).reshape(rows, k // block, block)
    h = 1
    while h < block:
        pairs = v.reshape(rows, k // block, block // (2 * h), 2, h)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        v = np.stack([low + high, low - high], axis=-2).reshape(rows, k // block, block)
        h *= 2
    blocks = k // block
    if mix and blocks > 1:
        total = v[:, 0]
        for j in range(1, blocks):
            total = total + v[:, j]
        factor = dtype(-2) / dtype(blocks)
        v = (fma if dtype == F32 else fma64)(factor, total[:, None], v)
    return v.reshape(rows, k) * np.sqrt(dtype(1) / dtype(block))


def transformed_input(layer):
    v = layer.x.astype(F32)
    if layer.smoothing is not None:
        v = v * (F32(1) / layer.smoothing)
    if layer.rotation is not None:
        v = rotated(v, layer.rotation, F32)
    return v


def transformed_weights(layer):
    """Rows in binary64 by the input's steps, one rounding; as they are where there is no step."""
    if layer.smoothing is None and layer.rotation is None:
        return layer.weight
    w = layer.weight.astype(F64)
    if layer.smoothing is not None:
        w = w * layer.smoothing.astype(F64)
    if layer.rotation is not None:
        w = rotated(w, layer.rotation, F64)
    return w.astype(F32)


# ---- weights ----


@dataclasses.dataclass
class Weights:
    codes: np.ndarray  # int8 [n, k]
    scale: np.ndarray  # float32 as written: [1], [n] or [n, groups]
    edges: list
    zero_points: np.ndarray  # int [n, groups]

    def scale_of(self, group):
        """[n] or [1] for a group of the weights."""
        return self.scale[:, group] if self.scale.ndim == 2 else self.scale

    def integers(self):
        """code - zero point, [n, k]."""
        parts = [self.codes[:, b:e] - self.zero_points[:, [g]] for g, (b, e) in enumerate(self.edges)]
        return np.concatenate(parts, axis=1)

    def values(self):
        """float(code - zero point) * scale in binary32, [n, k]."""
        integers = self.integers().astype(F32)
        parts = [
            integers[:, b:e] * self.scale_of(g)[:, None] for g, (b, e) in enumerate(self.edges)
        ]
        return np.concatenate(parts, axis=1)


def made_scale(layer, w, edges, dtype):
    """amax / (2^(b-1) - 1) of each row, group or the tensor; 1 where that is too small."""
    most = F32(2 ** (layer.bits - 1) - 1)
    amax = np.stack([np.abs(w[:, b:e]).max(axis=1) for b, e in edges], axis=1)
    if layer.per_tensor_weights:
        amax = amax.max().reshape(1, 1)
    if layer.convention == "vllm":
        scale = ROUND_TO[dtype](amax / most)
        return np.where(scale == 0, F32(1), scale)
    scale = amax / most
    return np.where(scale < F32(2.0**-126), F32(1), scale)


def made_codes(layer, w, scale, edges):
    most = F32(2 ** (layer.bits - 1) - 1)
    parts = []
    for g, (b, e) in enumerate(edges):
        quotient = w[:, b:e] / scale[:, [g]]
        if layer.convention == "vllm":
            quotient = ROUND_TO[layer.weight_dtype](quotient)
        parts.append(np.clip(np.rint(quotient), -most, most))
    return np.concatenate(parts, axis=1).astype(np.int8)


def quantized_weights(layer, scale_dtype=None):
    """Codes and scales; scale_dtype: what the scales are rounded to first (vllm-static)."""
    edges = group_edges(layer.k, layer.group_size)
    groups = len(edges)
    rounded = ROUND_TO[scale_dtype] if scale_dtype else ROUND_TO["F32"]
    zero_points = np.zeros((layer.n, groups), np.int64)
    if layer.zero_points is not None:
        zero_points = layer.zero_points.astype(np.int64).reshape(layer.n, groups)
    codes = layer.codes
    if layer.weight_scale is not None:
        scale = rounded(layer.weight_scale.reshape(-1, groups))
    if codes is None:
        w = transformed_weights(layer)
        if layer.weight_scale is None:
            scale = rounded(made_scale(layer, w, edges, layer.weight_dtype))
            scale = np.where(scale == 0, F32(1), scale)
        codes = made_codes(layer, w, scale, edges)
    return Weights(codes, scale if groups > 1 else scale[:, 0], edges, zero_points)
