"""The folder that `w8a8-calib quantize` writes, loaded by transformers with compressed-tensors.

Opt-in (W8A8_REQUIRE=python), because both need torch. Exactly the planned layers become INT8 under
the planned scheme, every tensor of the file finds its place, and a forward pass of the library, with
its own quantizer, stays near the original model.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import torch
from safetensors.torch import load_file
from transformers import SiglipVisionModel

from counter_hash import hash_text
from hash_checkpoint import PREFIX, write_folder
from quantized_oracle import SIGLIP, SIGLIP_EXCEPTIONS, site_stems

# Covers the activations of this checkpoint: norms and GELUs of unit variance stay below 5.
STATIC_SCALE = 0.04


def plan_entry(site):
    scale = SIGLIP_EXCEPTIONS.get(site, "dynamic")
    if scale is None:
        return None
    if scale == "dynamic":
        return {"input": {"strategy": "token"}}
    return {"input": {"strategy": "tensor", "scale": STATIC_SCALE}}


def check_modules(model, stored, sites):
    """Every linear layer, by its scheme; returns how many are INT8."""
    expected = {}
    for site, stems in sites.items():
        for stem in stems:
            entry = plan_entry(site)
            expected[stem.removeprefix(PREFIX)] = entry and entry["input"]["strategy"]
    quantized = 0
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        strategy = expected.get(name.removeprefix(PREFIX))
        scheme = getattr(module, "quantization_scheme", None)
        assert (scheme is not None) == (strategy is not None), name
        if scheme is None:
            continue
        quantized += 1
        assert scheme.input_activations.strategy == strategy, name
        stem = PREFIX + name.removeprefix(PREFIX)
        assert module.weight.dtype == torch.int8, name
        assert torch.equal(module.weight, stored[stem + ".weight"]), name
        assert torch.equal(module.weight_scale, stored[stem + ".weight_scale"]), name
        if strategy == "tensor":
            assert torch.equal(module.input_scale, stored[stem + ".input_scale"]), name
    assert quantized == sum(strategy is not None for strategy in expected.values())
    return quantized


@torch.no_grad()
def relative_error(model, original):
    generator = torch.Generator().manual_seed(hash_text("pixels") % 2**31)
    pixels = torch.rand(2, 3, SIGLIP["image_size"], SIGLIP["image_size"], generator=generator) * 2 - 1
    expected = original(pixel_values=pixels).last_hidden_state
    actual = model(pixel_values=pixels).last_hidden_state
    return float((actual - expected).norm() / expected.norm())


def main():
    with tempfile.TemporaryDirectory() as scratch:
        model, out = pathlib.Path(scratch) / "model", pathlib.Path(scratch) / "quantized"
        model.mkdir()
        write_folder(model, SIGLIP, seed=11)
        sites = site_stems("siglip", SIGLIP["num_hidden_layers"])
        plan = {"version": 1, "sites": {site: plan_entry(site) for site in sites}}
        (model / "plan.json").write_text(json.dumps(plan))
        command = [os.environ["W8A8_BINARY"], "quantize", "--model", model, "--out", out]
        subprocess.run([*command, "--plan", model / "plan.json"], check=True)
        # transformers 4 rounds the scales to the dtype of the model.
        loaded, report = SiglipVisionModel.from_pretrained(
            out, dtype=torch.float32, output_loading_info=True
        )
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not report[kind], (kind, report[kind])
        count = check_modules(loaded, load_file(out / "model.safetensors"), sites)
        error = relative_error(loaded, SiglipVisionModel.from_pretrained(model, dtype=torch.float32))
        # 8 bits give about 1 % here; a scale or a layer in the wrong place gives tens of percent.
        assert error < 0.1, error
        print(f"{count} INT8 layers, relative L2 of the last hidden state {error:.4f}")


if __name__ == "__main__":
    main()
