"""numerics.md's INT8 attention in numpy, against `encode --attention int8`.

The tapped output of blocks.{i}.attn.qkv is q, k and v; from them every bit of the tapped input of
blocks.{i}.attn.proj and of the attention probabilities is computed again: for int8 on every usable
kernel set and for emulated, with padding, and with keys and values that are not finite. Shares no
code with the project: what it knows, it knows from the contract, and of the exponential the
definition in quant/exponential.h.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

from counter_hash import hash_uniform
from hash_checkpoint import write_folder
from tensor_differences import differences

F32 = np.float32
HEADS, WIDTH, TOKENS, IMAGES, BLOCKS = 2, 144, 37, 3, 2
CONFIG = {
    "model_type": "siglip_vision_model", "hidden_size": WIDTH, "intermediate_size": 160,
    "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS, "num_channels": 3,
    "image_size": 32, "patch_size": 8, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
    "vision_use_head": False,
}


# ---- the contract ----


def exp(x):
    """binary32, x <= 0; below -87: 0. 2^n by the exponent's bits, the rest by Taylor's polynomial."""
    magic = F32(1.5 * 2.0**23)
    with np.errstate(all="ignore"):
        shifted = x * F32(float.fromhex("0x1.715476p0")) + magic
        n = shifted - magic
        high, low = F32(float.fromhex("0x1.62ep-1")), F32(float.fromhex("0x1.0bfbe8p-15"))
        r = (x - n * high) - n * low
        terms = [F32(1) / F32(factorial) for factorial in (720, 120, 24, 6, 2, 1, 1)]
        total = np.full_like(x, terms[0])
        for term in terms[1:]:
            total = total * r + term
        power = ((shifted.view(np.uint32) + np.uint32(127)) << np.uint32(23)).view(np.float32)
        return np.where(x < F32(-87), F32(0), total * power)


def quantize(values, counted):
    """Symmetric codes of each row of [rows, n], by the finite values where `counted`; the scales."""
    use = np.isfinite(values) & counted
    amax = np.where(use, np.abs(values), F32(0)).max(axis=1)
    with np.errstate(all="ignore"):
        inv_scale = np.where(amax > 0, F32(127) / amax, F32(0)).astype(np.float32)
        p = values * inv_scale[:, None]
        codes = np.where(np.isnan(p), F32(0), np.rint(np.clip(p, F32(-127), F32(127))))
    return codes.astype(np.int64), amax / F32(127)


def attend(q, k, v, attended):
    """One head of one image, float16 [tokens, d]; the output, float16, and the probabilities."""
    q, k, v = (x.astype(np.float32) for x in (q, k, v))
    rows, d = k.shape
    with np.errstate(all="ignore"):
        kept = np.where(np.isfinite(k) & attended[:, None], k, F32(0)).astype(np.float64)
        mean = (np.cumsum(kept, axis=0)[-1] / attended.sum()).astype(np.float32)
        k_codes, k_scale = quantize(k - mean, np.True_)
    q_codes, q_scale = quantize(q, np.True_)
    v_codes, v_scale = quantize(v.T, attended)
    acc = q_codes @ k_codes.T
    scale = (q_scale[:, None] * k_scale) * (F32(1) / np.sqrt(F32(d)))
    scores = np.where(attended, acc.astype(np.float32) * scale, F32(-np.inf))
    maximum = scores.max(axis=1, keepdims=True)
    p = np.rint(F32(255) * exp(scores - maximum)).astype(np.int64)
    total = p.sum(axis=1).astype(np.float32)[:, None]
    out = (p @ v_codes.T).astype(np.float32) * v_scale / total
    return out.astype(np.float16), p.astype(np.float32) / total


def expected(tensors, block, mask):
    qkv = tensors[f"taps.blocks.{block}.attn.qkv.output"]
    d = WIDTH // HEADS
    out = np.zeros((IMAGES, TOKENS, WIDTH), np.float16)
    probabilities = np.zeros((IMAGES, HEADS, TOKENS, TOKENS), np.float32)
    for image in range(IMAGES):
        for head in range(HEADS):
            columns = [slice(i * WIDTH + head * d, i * WIDTH + (head + 1) * d) for i in range(3)]
            q, k, v = (qkv[image][:, c] for c in columns)
            out[image][:, columns[0]], probabilities[image, head] = attend(q, k, v, mask[image])
    return {"out": out, "probabilities": probabilities}


def found(tensors, block):
    return {"out": tensors[f"taps.blocks.{block}.attn.proj.input"],
            "probabilities": tensors[f"attentions.{block}"]}


# ---- the tool ----


def encode(folder, precision, kernels):
    taps = ",".join(f"blocks.{b}.attn.{site}" for b in range(BLOCKS) for site in ("qkv", "proj"))
    command = [os.environ["W8A8_BINARY"], "encode", "--model", folder / "model", "--embeds",
               folder / "embeds.safetensors", "--precision", precision, "--attention", "int8",
               "--plan", folder / "plan.json", "--taps", taps, "--attentions", "--layers", "none",
               "--kernels", kernels, "--quiet", "--out", folder / "out.safetensors"]
    subprocess.run(list(map(str, command)), check=True)
    return load_file(folder / "out.safetensors")


def usable_kernel_sets():
    command = [os.environ["W8A8_BINARY"], "--version", "--json"]
    version = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [s["name"] for s in version["kernels"] if s["usable"]]


def write_inputs(folder, finite):
    """Inputs of block 0, the last two images padded; and a plan that leaves qkv in FP16, so that
    what is not finite in a row of the input is so in its q, k and v."""
    index = np.arange(IMAGES * TOKENS * WIDTH, dtype=np.uint64)
    embeds = hash_uniform(11, index).reshape(IMAGES, TOKENS, WIDTH)
    mask = np.ones((IMAGES, TOKENS), np.int64)
    mask[1, 5] = 0
    mask[2, -9:] = 0
    if not finite:
        embeds[:, 3, 7] = np.nan
        embeds[:, 8] *= F32(1e4)
    save_file({"inputs_embeds": embeds, "attention_mask": mask}, folder / "embeds.safetensors")
    token = {"strategy": "token", "dynamic": True}
    sites = {f"blocks.{b}.attn.proj": {"input": token} for b in range(BLOCKS)}
    (folder / "plan.json").write_text(json.dumps({"version": 1, "sites": sites}))
    return mask != 0


def check(folder, finite, kernel_sets):
    mask = write_inputs(folder, finite)
    problems, compared = [], 0
    for precision, kernels in [("int8", s) for s in kernel_sets] + [("emulated", kernel_sets[0])]:
        tensors = encode(folder, precision, kernels)
        for block in range(BLOCKS):
            qkv = tensors[f"taps.blocks.{block}.attn.qkv.output"]
            assert np.isfinite(qkv).all() == finite, "the case is not what it says"
            want, got = expected(tensors, block, mask), found(tensors, block)
            where = f"{precision} on {kernels}, block {block}, {'' if finite else 'not '}finite"
            problems += [f"{where}: {text}" for text in differences(want, got)]
            compared += sum(t.size for t in want.values())
    return problems, compared


def check_that_it_can_fail(folder):
    """A key that differs must be found."""
    mask = write_inputs(folder, True)
    tensors = encode(folder, "int8", "scalar")
    name = "taps.blocks.0.attn.qkv.output"
    tensors[name] = tensors[name].copy()
    tensors[name][0, 0, WIDTH] += np.float16(1)
    assert differences(expected(tensors, 0, mask), found(tensors, 0)), "a changed key went unnoticed"


def main():
    kernel_sets = usable_kernel_sets()
    assert "scalar" in kernel_sets
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "model").mkdir()
        write_folder(folder / "model", CONFIG, 5)
        check_that_it_can_fail(folder)
        results = [check(folder, finite, kernel_sets) for finite in (True, False)]
    problems = [text for texts, _ in results for text in texts]
    compared = sum(count for _, count in results)
    print(f"sets {', '.join(kernel_sets)} and emulated: {compared} numbers")
    if problems:
        sys.exit("\n".join(problems[:20]) + f"\n{len(problems)} differences")
    assert compared > 100000


if __name__ == "__main__":
    main()
