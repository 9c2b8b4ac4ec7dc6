"""linear_oracle.py [LINEAR_BATCH]: numerics.md in numpy, against `linear` on 200 random layers.

Every code, scale, code sum, accumulator, count and FP16 output bit of `int8` (each usable kernel
set) and of `emulated`; codes, scales and counts of `fake`, its output within the bound of a binary32
dot product. Shares no code with the project: what it knows, it knows from the contract. The first
16 layers go through the binary itself, the others through tests/cpu/linear_batch.cc where it is
given, which runs the same command lines in one process.
"""

import concurrent.futures
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading

import numpy as np
from safetensors.numpy import load_file

from exact_arithmetic import check_fma, fma
from tensor_differences import differences

LAYERS = 200
F32 = np.float32
DTYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8}


# ---- the contract ----


def to_bf16(values):
    """binary32 to the 16 bits of BF16, ties to even (finite values)."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def quantize_weights(weight):
    amax = np.abs(weight).max(axis=1)
    scale = amax / F32(127)
    scale = np.where(scale < F32(2.0**-126), F32(1), scale)
    codes = np.clip(np.rint(weight / scale[:, None]), -127, 127)
    return codes.astype(np.int8), scale


def quantize_rows(x, clip_range, input_scale):
    """codes, the scale of each row, counts (NaN, Inf, saturated)."""
    real = x.astype(np.float32)
    finite = np.isfinite(real)
    if input_scale is None:
        amax = np.minimum(np.where(finite, np.abs(real), F32(0)).max(axis=1), F32(clip_range))
        scale = amax / F32(127)
        inv_scale = np.where(amax > 0, F32(127) / amax, F32(0)).astype(np.float32)
    else:
        scale = np.full(len(x), input_scale, np.float32)
        inv_scale = F32(1) / scale
    p = real * inv_scale[:, None]
    codes = np.where(np.isnan(p), F32(0), np.rint(np.clip(p, F32(-127), F32(127))))
    saturated = finite & (np.abs(p) >= F32(127.5))
    counts = [np.isnan(real).sum(), np.isinf(real).sum(), saturated.sum()]
    return codes.astype(np.int8), scale, np.array(counts, np.uint64)


def expected_layer(layer):
    if layer["weight"].dtype == np.int8:
        weight_codes, weight_scale = layer["weight"], layer["weight_scale"].reshape(-1)
    else:
        weight_codes, weight_scale = quantize_weights(layer["weight"].astype(np.float32))
    codes, scale, counts = quantize_rows(layer["x"], layer["clip_range"], layer["input_scale"])
    # |acc| < 2^53: the binary64 product is the integer one.
    acc = (codes.astype(np.float64) @ weight_codes.astype(np.float64).T).astype(np.int32)
    bias = layer.get("bias", np.zeros(len(weight_codes), np.float32)).astype(np.float32)
    y = fma(acc.astype(np.float32) * weight_scale, scale[:, None], bias)
    return {
        "codes": codes,
        "input_scale": scale if layer["input_scale"] is None else scale[:1],
        "code_sum": codes.sum(axis=1, dtype=np.int32),
        "weight_codes": weight_codes,
        "weight_scale": weight_scale,
        "acc": acc,
        "y": y.astype(np.float16),
        "counts": counts,
    }


def expected_fake_rows(layer, flavour):
    """codes and row scales of llm-awq and vllm-static: each operation rounded to FP16."""
    x, half = layer["x"], np.float16
    if np.isfinite(layer["clip_range"]):
        x = np.clip(x.astype(np.float32), -layer["clip_range"], layer["clip_range"]).astype(half)
    if layer["input_scale"] is not None:
        scale = np.full(len(x), layer["input_scale"], np.float32).astype(half)
    else:
        amax = np.maximum(np.abs(x).max(axis=1), half(1e-5))
        scale = (amax.astype(np.float32) / F32(127)).astype(half)
    quotient = np.rint((x.astype(np.float32) / scale.astype(np.float32)[:, None]).astype(half))
    codes = np.where(np.isnan(quotient), half(0), np.clip(quotient, half(-128), half(127)))
    return codes.astype(np.int8), scale.astype(np.float32)


# ---- random layers ----


def random_x(rng, m, k):
    x = rng.standard_normal((m, k)) * 10.0 ** rng.integers(-3, 3)
    kind = rng.integers(0, 6)
    if kind == 0:
        x[:, rng.integers(0, k)] *= 300.0  # an outlier channel
    if kind == 1:
        x[rng.integers(0, m)] = rng.choice([0.0, -0.0])
    if kind == 2:
        x[rng.integers(0, m)] = rng.integers(-3, 4, k) * 2.0**-24  # subnormal in FP16
    if kind == 3:
        x[rng.integers(0, m)] = rng.integers(-255, 256, k) / 2  # midpoints wherever amax is 127
        x[:, 0] = 127.0
    with np.errstate(over="ignore"):
        x = x.astype(np.float16)
    if kind == 4:
        for value in (np.nan, np.inf, -np.inf, 65504.0):
            x[rng.integers(0, m), rng.integers(0, k)] = value
    if kind == 5:
        x[rng.integers(0, m)] = np.nan
    return x


def random_weight(rng, n, k, dtype):
    """The array to compute with, and the dtype and bytes to write."""
    if dtype == "I8":
        codes = rng.integers(-128, 128, (n, k)).astype(np.int8)
        codes[0] = -128
        return codes
    weight = (rng.standard_normal((n, k)) * 10.0 ** rng.integers(-4, 2)).astype(np.float32)
    weight[rng.integers(0, n)] = 0
    if dtype == "F32":
        weight[rng.integers(0, n)] *= F32(2.0**-120)  # scales around the smallest normal number
        weight[rng.integers(0, n)] = rng.integers(-9, 9, k) * F32(2.0**-149)
        weight[rng.integers(0, n)] *= F32(1e30)
    if dtype == "F16":
        return weight.astype(np.float16)
    return from_bf16(to_bf16(weight)) if dtype == "BF16" else weight


def random_layer(index):
    rng = np.random.default_rng(1000 + index)
    m = int(rng.choice([1, 2, 3, 5, 11, 12, 13, 17, 25, 33]))
    n = int(rng.choice([1, 2, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100]))
    k = int(rng.choice([1, 2, 3, 4, 5, 31, 63, 64, 65, 127, 192, 588, 1024, 1025, 2049, 4304]))
    dtype = ["F32", "F16", "BF16", "I8"][index % 4]
    layer = {"index": index, "dtype": dtype, "clip_range": np.inf, "input_scale": None}
    layer["x"] = random_x(rng, m, k)
    layer["weight"] = random_weight(rng, n, k, dtype)
    if dtype == "I8":
        shape = (n, 1) if index % 8 == 3 else (n,)
        layer["weight_scale"] = (rng.random(shape) * 0.01 + 1e-5).astype(np.float32)
    if rng.integers(0, 3):
        layer["bias_dtype"] = str(rng.choice(["F32", "F16", "BF16"]))
        layer["bias"] = random_weight(rng, n, 1, layer["bias_dtype"]).reshape(-1)
    mode = rng.integers(0, 4)
    if mode == 0:
        layer["input_scale"] = F32(rng.choice([0.001, 0.031, 0.5, 3.0]))
    if mode == 1:
        layer["clip_range"] = F32(rng.choice([0.3, 2.0, 5.0, 1000.0]))
    return layer


def write_layer(path, layer):
    """A safetensors file, written by hand: numpy has no BF16."""
    header, blobs, offset = {}, [], 0
    tensors = [("x", "F16"), ("weight", layer["dtype"])]
    tensors += [("weight_scale", "F32")] if "weight_scale" in layer else []
    tensors += [("bias", layer["bias_dtype"])] if "bias" in layer else []
    for name, dtype in tensors:
        values = np.ascontiguousarray(layer[name])
        blob = (to_bf16(values) if dtype == "BF16" else values.astype(DTYPES[dtype])).tobytes()
        offsets = [offset, offset + len(blob)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


# ---- the comparison ----


class Batch(threading.local):
    """One linear_batch process for each thread."""

    process = None

    def run(self, words):
        if self.process is None:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen([sys.argv[1]], stdin=pipe, stdout=pipe, text=True)
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


BATCH = Batch()


def run_linear(layer, folder, precision, *extra):
    out = folder / "-".join(["out", precision, *extra]).replace("--", "")
    words = ["linear", "--in", str(folder / "in"), "--out", str(out)]
    words += ["--precision", precision, "--quiet", *extra]
    if layer["input_scale"] is not None:
        words += ["--input-scale", repr(float(layer["input_scale"]))]
    elif np.isfinite(layer["clip_range"]):
        words += ["--clip-range", repr(float(layer["clip_range"]))]
    if len(sys.argv) > 1 and layer["index"] >= 16:
        code = BATCH.run(words)
    else:
        code = subprocess.run([os.environ["W8A8_BINARY"], *words], check=False).returncode
    if code != 0:
        raise RuntimeError(f"exit {code}: {' '.join(words)}")
    return out


def fake_differences(layer, expected, actual):
    """`ideal`: the codes of the contract; y within DotBound plus one FP16 rounding."""
    wanted = {name: value for name, value in expected.items() if name not in ("acc", "y")}
    wrong = differences(wanted, {name: value for name, value in actual.items() if name != "y"})
    scale = np.broadcast_to(expected["input_scale"], len(layer["x"])).astype(np.float64)
    x = expected["codes"].astype(np.float32) * scale[:, None].astype(np.float32)
    w = expected["weight_codes"].astype(np.float32) * expected["weight_scale"][:, None]
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    k = x.shape[1]
    bound = (k + 1) * 2.0**-24 * (np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64).T)
    if "bias" in layer:
        exact = exact + layer["bias"].astype(np.float64)
        bound = bound + 2.0**-23 * (np.abs(exact) + np.abs(layer["bias"].astype(np.float64)))
    y = actual["y"].astype(np.float64)
    inside = np.abs(exact) + bound < 65504
    half_ulp = np.maximum(np.abs(exact) + bound, 2.0**-14) * 2.0**-11
    if not (np.abs(y - exact)[inside] <= (bound + half_ulp)[inside]).all():
        wrong.append("y of fake is outside the dot bound")
    return wrong


def flavour_differences(layer, folder):
    wrong = []
    flavours = ["llm-awq"]
    fits = np.abs(layer.get("bias", np.zeros(1))).max() < 65504  # vllm-static rounds it to FP16
    flavours += ["vllm-static"] if layer["input_scale"] is not None and fits else []
    for flavour in flavours:
        actual = load_file(run_linear(layer, folder, "fake", "--fake", flavour))
        with np.errstate(all="ignore"):
            codes, scale = expected_fake_rows(layer, flavour)
        finite = np.isfinite(layer["x"].astype(np.float32)).all(axis=1)
        if not np.array_equal(codes[finite], actual["codes"][finite]):
            wrong.append(f"codes of {flavour}")
        scales = np.broadcast_to(actual["input_scale"], len(codes))
        if not np.array_equal(scale[finite], scales[finite]):
            wrong.append(f"input_scale of {flavour}")
    return wrong


def check_layer(index, kernel_sets):
    """Problems of one layer, and how many numbers were compared."""
    layer = random_layer(index)
    problems = []
    compared = 0
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        folder = pathlib.Path(name)
        write_layer(folder / "in", layer)
        expected = expected_layer(layer)
        outputs = [run_linear(layer, folder, "emulated")]
        outputs += [run_linear(layer, folder, "int8", "--kernels", k) for k in kernel_sets]
        for out in outputs:
            problems += [f"{out.name}: {text}" for text in differences(expected, load_file(out))]
            compared += sum(value.size for value in expected.values())
            if out.read_bytes() != outputs[0].read_bytes():
                problems.append(f"{out.name}: not the bytes of {outputs[0].name}")
        fake = load_file(run_linear(layer, folder, "fake"))
        problems += [f"fake: {text}" for text in fake_differences(layer, expected, fake)]
        if index % 4 == 1 and layer["x"].shape[1] < 1000:
            problems += [f"fake: {text}" for text in flavour_differences(layer, folder)]
    return [f"layer {index}: {text}" for text in problems], compared


def check_that_it_can_fail():
    """A layer that differs from the one the binary got in one weight must be found."""
    layer = random_layer(3)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_layer(folder / "in", layer)
        actual = load_file(run_linear(layer, folder, "int8"))
    layer["weight"] = layer["weight"].copy()
    layer["weight"][0, 0] ^= 1
    with np.errstate(over="ignore"):
        assert differences(expected_layer(layer), actual), "a changed weight went unnoticed"


def usable_kernel_sets():
    command = [os.environ["W8A8_BINARY"], "--version", "--json"]
    version = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [s["name"] for s in version["kernels"] if s["usable"]]


def main():
    check_fma()
    check_that_it_can_fail()
    kernel_sets = usable_kernel_sets()
    assert "scalar" in kernel_sets
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda i: check_layer(i, kernel_sets), range(LAYERS)))
    problems = [text for found, _ in results for text in found]
    compared = sum(count for _, count in results)
    print(f"{LAYERS} layers, sets {', '.join(kernel_sets)} and emulated: {compared} numbers")
    if problems:
        sys.exit("\n".join(problems[:20]) + f"\n{len(problems)} differences")
    assert compared > 100000


if __name__ == "__main__":
    main()
