"""A tower's export keeps the language model around it, which compressed-tensors quantized already.

Opt-in (W8A8_REQUIRE=python). A small Gemma 3 whose language model is W8A8, W4A16 or FP8, with targets
and ignored names of the kinds that llm-compressor writes, is exported and loaded by transformers: the
language model's answers are equal in every bit, and the tower's layers are INT8 and near the original.
"""

import contextlib
import io
import itertools
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers as tf
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import load_file, save_file

import family_models

CLASS = "Gemma3ForConditionalGeneration"
WEIGHTS = dict(type="int", symmetric=True, strategy="channel", dynamic=False)
SCHEMES = {
    "W8A8": (
        "int-quantized",
        dict(WEIGHTS, num_bits=8),
        dict(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True),
    ),
    "W4A16": ("pack-quantized", dict(WEIGHTS, num_bits=4), None),
    "FP8": (
        "float-quantized",
        dict(WEIGHTS, num_bits=8, type="float"),
        dict(num_bits=8, type="float", symmetric=True, strategy="token", dynamic=True),
    ),
}
# Targets and what is ignored: by class, by patterns, and by patterns that catch the tower as well.
WORDINGS = {
    "class": (["Linear"], ["re:.*lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"]),
    "layers": (["re:.*language_model.*(q|k|v|o|gate|up|down)_proj$"], []),
    "both": (["re:.*(q|k|v|o|gate|up|down)_proj$"], ["re:.*vision_tower.*"]),
}


def stored(scheme, weight):
    amax = weight.abs().amax(dim=1, keepdim=True)
    if scheme == "FP8":
        scale = amax / 448
        return {"weight": (weight / scale).to(torch.float8_e4m3fn), "weight_scale": scale}
    bits = SCHEMES[scheme][1]["num_bits"]
    scale = amax / (2 ** (bits - 1) - 1)
    codes = torch.round(weight / scale).to(torch.int8)
    if scheme == "W8A8":
        return {"weight": codes, "weight_scale": scale}
    shape = torch.tensor(weight.shape)
    return {"weight_packed": pack_to_int32(codes, 4), "weight_scale": scale, "weight_shape": shape}


def quantize_language(folder, scheme, wording):
    file = folder / "model.safetensors"
    tensors = {}
    for key, value in load_file(file).items():
        if "language_model" in key and key.endswith("_proj.weight"):
            stem = key.removesuffix("weight")
            for part, tensor in stored(scheme, value.float()).items():
                tensors[stem + part] = tensor.contiguous()
        else:
            tensors[key] = value
    save_file(tensors, file, {"format": "pt"})
    form, weights, inputs = SCHEMES[scheme]
    targets, ignore = WORDINGS[wording]
    group = dict(targets=targets, weights=weights, input_activations=inputs)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = dict(
        quant_method="compressed-tensors",
        format=form,
        quantization_status="compressed",
        ignore=ignore,
        config_groups={"group_0": group},
    )
    (folder / "config.json").write_text(json.dumps(config))


@torch.no_grad()
def answers(folder):
    with contextlib.redirect_stderr(io.StringIO()):
        model, info = getattr(tf, CLASS).from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
        logits = model.eval()(input_ids=torch.arange(10, 20)[None]).logits  # decompresses, too
    assert not info["missing_keys"], info["missing_keys"]
    quantized = [n for n, m in model.named_modules() if hasattr(m, "quantization_scheme")]
    tower = model.model.vision_tower(**family_models.pixels_of("gemma3")).last_hidden_state
    return logits, tower, quantized


def check(scheme, wording, scratch):
    source, export = scratch / "source", scratch / "export"
    family_models.save("gemma3", source)
    _, original, _ = answers(source)
    quantize_language(source, scheme, wording)
    command = [os.environ["W8A8_BINARY"], "quantize", "--model", source, "--out", export]
    subprocess.run([*command, "--quiet"], check=True)
    again = scratch / "again"
    subprocess.run([*command[:3], export, "--out", again, "--quiet"], check=True)
    assert (export / "config.json").read_text() == (again / "config.json").read_text()
    logits, tower, quantized = answers(export)
    language = [name for name in quantized if "vision_tower" not in name]
    assert len(language) == 14 and len(quantized) == 14 + 12, quantized
    before, _, in_source = answers(source)
    assert torch.equal(logits, before)
    assert in_source == language, in_source
    error = float((tower - original).norm() / original.norm())
    assert 0 < error < 0.1, error
    return f"{len(language)} + {len(quantized) - len(language)} modules, tower's error {error:.4f}"


def main():
    logging.disable(logging.WARNING)
    tf.logging.set_verbosity_error()
    failures = []
    for scheme, wording in itertools.product(SCHEMES, WORDINGS):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                text = check(scheme, wording, pathlib.Path(scratch))
            except Exception as problem:
                failures.append(f"{scheme}/{wording}")
                text = f"FAILED: {type(problem).__name__}: {str(problem)[:600]}"
        print(f"{scheme}, {wording}: {text}", flush=True)
    if failures:
        sys.exit(f"failed: {', '.join(failures)}")


if __name__ == "__main__":
    main()
