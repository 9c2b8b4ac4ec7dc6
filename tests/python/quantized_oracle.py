"""The folder that `w8a8-calib quantize` writes, read with safetensors, h5py and numpy alone.

Codes and scales are recomputed from the contract (amax / 127 per output row, nearest even) and must
be equal in every bit; every real weight lies within half a step of what is stored; every other
tensor is the original one. Run on a SigLIP-shaped hash checkpoint under a plan with dynamic, static
and FP16 sites, and on the real ViT-Ti, if it is there, under the default plan.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from hash_checkpoint import PREFIX, write_folder

SIGLIP = {
    "hidden_size": 72,
    "intermediate_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_channels": 3,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
LAYERS = {
    "siglip": {
        "attn.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attn.proj": ["self_attn.out_proj"],
        "mlp.fc1": ["mlp.fc1"],
        "mlp.fc2": ["mlp.fc2"],
    },
    "timm": {name: [name] for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")},
}
BLOCK_STEM = {"siglip": PREFIX + "encoder.layers.{}.", "timm": "blocks.{}."}
INPUT_SCALE = 0.0312
# None: the site stays FP16. The rest of the sites are dynamic per-token.
SIGLIP_EXCEPTIONS = {
    "blocks.0.attn.qkv": INPUT_SCALE,
    "blocks.0.mlp.fc2": INPUT_SCALE,
    "blocks.1.mlp.fc2": None,
}


def site_stems(family, blocks):
    """Site to the checkpoint stems of its parts."""
    return {
        f"blocks.{block}.{site}": [BLOCK_STEM[family].format(block) + part for part in parts]
        for block in range(blocks)
        for site, parts in LAYERS[family].items()
    }


def quantized_rows(weight):
    """numerics.md section 2, weights: codes and scales."""
    scale = np.abs(weight).max(axis=1) / np.float32(127)
    empty = scale < np.float32(2.0**-126)
    safe = np.where(empty, np.float32(1), scale).astype(np.float32)
    codes = np.clip(np.rint(weight / safe[:, None]), -127, 127)
    return np.where(empty[:, None], 0, codes).astype(np.int8), safe


def check_stem(original, stored, stem, input_scale):
    weight = original[stem + ".weight"].astype(np.float32)
    codes, scale = stored[stem + ".weight"], stored[stem + ".weight_scale"]
    assert codes.dtype == np.int8 and codes.shape == weight.shape, stem
    assert scale.dtype == np.float32 and scale.shape == (weight.shape[0], 1), stem
    expected_codes, expected_scale = quantized_rows(weight)
    assert np.array_equal(codes, expected_codes), stem
    assert np.array_equal(scale[:, 0], expected_scale), stem
    # Half a step, and the rounding of the quotient that chose the code.
    error = np.abs(weight.astype(np.float64) - codes.astype(np.float64) * scale)
    assert (error <= scale.astype(np.float64) * (0.5 + 127 * 2.0**-24)).all(), stem
    if input_scale is None:
        assert stem + ".input_scale" not in stored, stem
    else:
        static = stored[stem + ".input_scale"]
        assert static.dtype == np.float32 and static.shape == (1,), stem
        assert static[0] == np.float32(input_scale), stem


def check_config(model, out, dynamic, static, other_linears):
    before = json.loads((model / "config.json").read_text())
    after = json.loads((out / "config.json").read_text())
    scheme = after.pop("quantization_config")
    assert after == before
    assert scheme["quant_method"] == "compressed-tensors" and scheme["format"] == "int-quantized"
    by_strategy = {"token": dynamic, "tensor": static}
    assert len(scheme["config_groups"]) == sum(bool(stems) for stems in by_strategy.values())
    for group in scheme["config_groups"].values():
        inputs, weights = group["input_activations"], group["weights"]
        assert weights["strategy"] == "channel" and weights["num_bits"] == 8
        assert inputs["dynamic"] == (inputs["strategy"] == "token")
        patterns = [target.removeprefix("re:") for target in group["targets"]]
        assert all(target.startswith("re:") for target in group["targets"])
        for stem in dynamic | static | other_linears:
            hit = any(re.match(pattern, stem) for pattern in patterns)
            assert hit == (stem in by_strategy[inputs["strategy"]]), stem
    assert other_linears <= set(scheme["ignore"]), other_linears - set(scheme["ignore"])
    assert not (dynamic | static) & set(scheme["ignore"])


def check_scales(out, sites, stored, input_scales):
    with h5py.File(out / "scales.h5") as file:
        assert set(file["sites"]) == {site for site in sites if input_scales(site) != "fp16"}
        for site, group in file["sites"].items():
            codes = np.concatenate([stored[stem + ".weight"] for stem in sites[site]])
            scale = np.concatenate([stored[stem + ".weight_scale"][:, 0] for stem in sites[site]])
            assert np.array_equal(group["weight_scale"][:], scale), site
            assert np.array_equal(group["weight_code_sum"][:], codes.astype(np.int32).sum(axis=1))
            static = input_scales(site)
            assert group.attrs["granularity"] == ("per-token" if static is None else "per-tensor")
            assert group.attrs["num_bits"] == 8 and np.isposinf(group.attrs["clip_range"]), site
            assert ("input_scale" in group) == (static is not None), site


def check_export(model, sites, input_scales, plan_path):
    """input_scales(site): None dynamic, a number static, "fp16" unchanged."""
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "quantized"
        command = [os.environ["W8A8_BINARY"], "quantize", "--model", model, "--out", out]
        subprocess.run(command + (["--plan", plan_path] if plan_path else []), check=True)
        original, stored = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
        with safe_open(out / "model.safetensors", "np") as file:
            assert file.metadata()["format"] == "pt"
        added, dynamic, static = set(), set(), set()
        for site, stems in sites.items():
            scale = input_scales(site)
            if scale == "fp16":
                continue
            for stem in stems:
                check_stem(original, stored, stem, scale)
                (dynamic if scale is None else static).add(stem)
                added |= {stem + ".weight", stem + ".weight_scale"}
                added |= set() if scale is None else {stem + ".input_scale"}
        assert set(stored) == set(original) | added
        for key in set(original) - added:
            assert stored[key].dtype == original[key].dtype, key
            assert stored[key].tobytes() == original[key].tobytes(), key
        linears = {
            key.removesuffix(".weight")
            for key, value in original.items()
            if key.endswith(".weight") and value.ndim == 2 and "embed" not in key
        }
        check_config(model, out, dynamic, static, linears - dynamic - static)
        check_scales(out, sites, stored, input_scales)
        return len(dynamic), len(static), len(set(original) - added)


def check_siglip():
    with tempfile.TemporaryDirectory() as scratch:
        model = pathlib.Path(scratch)
        write_folder(model, SIGLIP, seed=11, outliers=2)
        plan = {"version": 1, "sites": {}}
        sites = site_stems("siglip", SIGLIP["num_hidden_layers"])
        for site in sites:
            scale = SIGLIP_EXCEPTIONS.get(site, "dynamic")
            plan["sites"][site] = {"input": {"strategy": "token", "dynamic": True}}
            if scale is None:
                plan["sites"][site] = None
            elif scale != "dynamic":
                plan["sites"][site] = {"input": {"strategy": "tensor", "scale": scale}}

        def input_scales(site):
            if site not in SIGLIP_EXCEPTIONS:
                return None
            return SIGLIP_EXCEPTIONS[site] or "fp16"

        (model / "plan.json").write_text(json.dumps(plan))
        print("siglip:", check_export(model, sites, input_scales, model / "plan.json"))


def check_real_model():
    source = pathlib.Path(os.environ["W8A8_SOURCE"])
    data = pathlib.Path(os.environ.get("W8A8_DATA", source / ".." / "shared" / "data"))
    model = data / "models" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    if not model.is_dir():
        if "data" in os.environ.get("W8A8_REQUIRE", "").split(","):
            sys.exit(f"W8A8_REQUIRE names data, but {model} does not exist")
        print("*** SKIPPED, data is missing: the real model; set W8A8_DATA ***")
        return
    sites = site_stems("timm", 12)
    print("ViT-Ti:", check_export(model, sites, lambda site: None, None))


if __name__ == "__main__":
    check_siglip()
    check_real_model()
