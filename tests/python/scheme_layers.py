"""Random layers of every scheme of numerics.md section 6."""

import numpy as np

from scheme_files import words
from scheme_weights import ROUND_TO, Layer, group_edges

F32 = np.float32


# ---- tensors ----


def random_x(rng, m, k):
    """FP16 rows: outliers, zero rows, subnormals, midpoints, NaN and infinities."""
    x = rng.standard_normal((m, k)) * 10.0 ** rng.integers(-3, 3)
    kind, row = rng.integers(0, 9), rng.integers(0, m)
    if kind == 0:
        x[:, rng.integers(0, k)] *= 300.0
    if kind == 1:
        x[row] = rng.choice([0.0, -0.0])
    if kind == 2:
        x[row] = rng.integers(-3, 4, k) * 2.0**-24  # subnormal in FP16
    if kind == 3:
        x[row] = rng.integers(-255, 256, k) / 2  # midpoints wherever amax is 127
        x[row, 0] = 127.0
    if kind == 6:
        x[row] = np.abs(x[row]) * rng.choice([-1.0, 1.0])  # one sign: a zero point at an end
    if kind == 7:
        x[row] = rng.integers(-128, 128, k)  # midpoints of asymmetric codes
        x[row, 0] = 127.5
    with np.errstate(over="ignore"):
        x = x.astype(np.float16)
    if kind == 4:
        for value in (np.nan, np.inf, -np.inf, 65504.0):
            x[rng.integers(0, m), rng.integers(0, k)] = value
    if kind == 5:
        x[row] = rng.choice([np.nan, np.inf, -np.inf])
    return x


def random_weight(rng, n, k, dtype, wide=True):
    weight = (rng.standard_normal((n, k)) * 10.0 ** rng.integers(-3, 2)).astype(F32)
    kind = rng.integers(0, 4)
    if kind == 0:
        weight[rng.integers(0, n)] = 0
    if dtype == "F32" and kind == 1 and wide:
        weight[rng.integers(0, n)] *= F32(2.0**-120)  # scales around the smallest normal number
        weight[rng.integers(0, n)] = rng.integers(-9, 9, k) * F32(2.0**-149)
        weight[rng.integers(0, n)] *= F32(1e25)
    if kind == 2:
        weight[rng.integers(0, n)] = rng.integers(-254, 255, k) / 256  # midpoints
        weight[rng.integers(0, n), 0] = 0.5
    return ROUND_TO[dtype](weight)


def random_codes(rng, n, k, bits):
    lowest = -(2 ** (bits - 1))
    codes = rng.integers(lowest, -lowest, (n, k)).astype(np.int8)
    codes[0] = lowest
    return codes


def random_scales(rng, shape, dtype):
    return ROUND_TO[dtype]((10.0 ** rng.uniform(-4, -1, shape)).astype(F32))


def random_smoothing(rng, k):
    smoothing = np.exp(rng.standard_normal(k)).astype(F32)
    if rng.integers(0, 8) == 0:  # values of v far beyond FP16, or beyond binary32
        smoothing[rng.integers(0, k)] = F32(2.0 ** choose(rng, -60, -100, -120))
    return smoothing


# ---- schemes ----


def choose(rng, *values):
    return values[rng.integers(0, len(values))]


def random_group_size(rng, k):
    """Any size, also beyond k; few groups, so that the layers stay quick."""
    size = int(choose(rng, 1, 2, 3, 7, 16, 32, 48, 64, 100, max(1, k - 1), k, k + 5))
    return max(size, k // 12)


def random_shape(rng):
    m, n = int(choose(rng, 1, 2, 3, 5, 8, 13)), int(choose(rng, 1, 2, 5, 15, 16, 17, 31, 33, 48))
    k = int(choose(rng, 1, 2, 3, 5, 16, 31, 32, 33, 63, 64, 65, 96, 127, 130, 192))
    if rng.integers(0, 50) == 0:  # beyond one chunk of the emulated product, one panel, one tile
        m, n = int(choose(rng, 1, 12, 17)), int(choose(rng, 17, 64, 65))
        k = int(choose(rng, 1024, 1025, 2049))
    return m, n, k


def float_weights(rng, layer, n, kind):
    layer["bits"] = int(choose(rng, 2, 3, 4, 5, 6, 7, 8, 8))
    layer["weight_dtype"] = choose(rng, "F32", "F16", "BF16")
    layer["weight"] = random_weight(rng, n, layer["x"].shape[1], layer["weight_dtype"])
    if kind == "group":
        layer["group_size"] = random_group_size(rng, layer["x"].shape[1])
    layer["per_tensor_weights"] = kind == "tensor"


def file_scales(rng, layer, n, kind):
    """Scales that the file holds, of rows, groups or the tensor."""
    k = layer["x"].shape[1]
    groups = 1
    if kind == "group":
        layer["group_size"] = layer.get("group_size") or random_group_size(rng, k)
        groups = len(group_edges(k, layer["group_size"]))
    layer["scale_dtype"] = choose(rng, "F32", "F16", "BF16")
    shape = (1,) if kind == "tensor" else (n, groups)
    if groups == 1 and kind == "channel" and rng.integers(0, 2):
        shape = (n,)
    layer["per_tensor_weights"] = kind == "tensor"
    layer["weight_scale"] = random_scales(rng, shape, layer["scale_dtype"])


def code_weights(rng, layer, n, kind, zero_points):
    k = layer["x"].shape[1]
    layer["packing"] = choose(rng, None, "dense", "old")
    layer["bits"] = int(choose(rng, 2, 3, 4, 5, 6, 7, 8))
    layer["codes"] = random_codes(rng, n, k, layer["bits"])
    if layer["packing"] == "old" and words(k, layer["bits"], "old") == words(k, layer["bits"], "dense"):
        layer["packing"] = "dense"  # where both are as wide it is dense
    file_scales(rng, layer, n, kind)
    if zero_points and kind != "tensor":
        groups = len(group_edges(k, layer.get("group_size")))
        layer["zero_points"] = random_codes(rng, n, groups, layer["bits"])
        if layer["packing"] is None and layer["weight_scale"].ndim == 1:
            layer["zero_points"] = layer["zero_points"].reshape(-1)


WEIGHTS = {
    "channel": lambda r, layer, n: float_weights(r, layer, n, "channel"),
    "group": lambda r, layer, n: float_weights(r, layer, n, "group"),
    "tensor": lambda r, layer, n: float_weights(r, layer, n, "tensor"),
    "codes": lambda r, layer, n: code_weights(
        r, layer, n, choose(r, "channel", "group", "tensor"), zero_points=False
    ),
    "zero-points": lambda r, layer, n: code_weights(
        r, layer, n, choose(r, "channel", "group"), zero_points=True
    ),
}


def given_scales(rng, layer, n):
    kind = choose(rng, "channel", "group", "tensor")
    float_weights(rng, layer, n, kind)
    file_scales(rng, layer, n, kind)


WEIGHTS["given-scales"] = given_scales


def vllm_weights(rng, layer, n):
    layer["convention"] = "vllm"
    layer["weight_dtype"] = choose(rng, "F32", "F16", "BF16")
    layer["weight"] = random_weight(rng, n, layer["x"].shape[1], layer["weight_dtype"])


WEIGHTS["vllm-convention"] = vllm_weights


def clip(rng, layer):
    layer["clip_range"] = F32(choose(rng, np.inf, 0.3, 2.0, 5.0, 1000.0, 1e-40))


def static(rng, layer):
    layer["input_scale"] = F32(choose(rng, 0.001, 0.031, 0.5, 3.0))


def asymmetric(rng, layer):
    layer["asymmetric"] = True
    clip(rng, layer)


def asymmetric_static(rng, layer):
    static(rng, layer)
    layer["input_zero_point"] = int(choose(rng, -128, -3, 0, 40, 127))


def input_groups(rng, layer):
    k = layer["x"].shape[1]
    size = layer.get("group_size")
    if size is not None and size < k:
        step = int(choose(rng, 1, 2, 3))
        divides = size % step == 0 and k // (size // step) < 30
        layer["input_group_size"] = size // step if divides else size * step
    else:
        layer["input_group_size"] = random_group_size(rng, k)
    clip(rng, layer)


def weight_only(rng, layer):
    layer["weight_only"] = True


INPUTS = {
    "token": clip,
    "static": static,
    "asymmetric": asymmetric,
    "asymmetric-static": asymmetric_static,
    "input-groups": input_groups,
    "weight-only": weight_only,
}


def add_rotation(rng, layer):
    """Takes K = block * q, so it comes before the weights."""
    block, blocks = 2 ** int(rng.integers(1, 7)), int(choose(rng, 1, 2, 3, 5))
    layer["x"] = random_x(rng, len(layer["x"]), block * blocks)
    mix, seed = bool(rng.integers(0, 2)), int(choose(rng, 0, 1, 77, 2**53 - 1))
    layer["rotation"] = (block, mix, seed)


def compose(rng, weights, inputs, transform=None, output=False, twice=False):
    m, n, k = random_shape(rng)
    layer = {"x": random_x(rng, m, k)}
    if transform == "rotation":
        add_rotation(rng, layer)
    WEIGHTS[weights](rng, layer, n)
    INPUTS[inputs](rng, layer)
    if transform == "smoothing" or (transform == "rotation" and rng.integers(0, 3) == 0):
        layer["smoothing"] = random_smoothing(rng, layer["x"].shape[1])
    if rng.integers(0, 3):
        layer["bias_dtype"] = choose(rng, "F32", "F16", "BF16")
        layer["bias"] = random_weight(rng, n, 1, layer["bias_dtype"], wide=False).reshape(-1)
    if output:
        layer["output_scale"] = F32(choose(rng, 2.0**-24, 0.003, 0.031, 0.5, 4.0, 511.0))
    layer["first_row_twice"] = twice
    return Layer(**layer)


ANY_WEIGHTS = ("channel", "group", "tensor", "given-scales", "codes", "zero-points")
ANY_INPUT = ("token", "static", "asymmetric", "asymmetric-static", "input-groups")


def with_extras(rng, weights, inputs):
    """The scheme with what else a plan may ask for."""
    transform = choose(rng, None, None, None, "smoothing", "rotation")
    return compose(rng, weights, inputs, transform, output=rng.integers(0, 4) == 0)


def with_vllm_static(rng):
    layer = compose(rng, choose(rng, "channel", "group", "tensor", "given-scales", "codes"), "static")
    if layer.weight is not None:  # values that both dtypes hold
        n, k = layer.weight.shape
        layer.weight = random_weight(rng, n, k, layer.weight_dtype, wide=False)
    layer.vllm_static = True
    layer.dtype = choose(rng, None, "fp16", "bf16")
    layer.input_scale = F32(choose(rng, 0.0, 0.0986, 0.031, 0.5))
    if rng.integers(0, 2):
        layer.output_scale = F32(choose(rng, 0.0, 0.0986, 0.031, 2.0))
    return layer


SCHEMES = {f"weights {name}": lambda r, w=name: with_extras(r, w, choose(r, *ANY_INPUT))
           for name in ANY_WEIGHTS}
SCHEMES |= {f"input {name}": lambda r, i=name: with_extras(r, choose(r, *ANY_WEIGHTS), i)
            for name in (*ANY_INPUT, "weight-only")}
SCHEMES |= {
    "both in groups": lambda r: with_extras(r, "group", "input-groups"),
    "vllm convention": lambda r: compose(r, "vllm-convention", choose(r, *ANY_INPUT)),
    "output scale": lambda r: compose(r, choose(r, *ANY_WEIGHTS), choose(r, *ANY_INPUT), output=True),
    "smoothing": lambda r: compose(r, choose(r, *ANY_WEIGHTS), choose(r, *ANY_INPUT), "smoothing"),
    "rotation": lambda r: compose(r, choose(r, *ANY_WEIGHTS), choose(r, *ANY_INPUT), "rotation"),
    "first row twice": lambda r: compose(
        r, choose(r, "channel", "tensor"), choose(r, "token", "static"),
        choose(r, None, "smoothing", "rotation"), output=r.integers(0, 4) == 0, twice=True),
    "vllm-static": with_vllm_static,
}
