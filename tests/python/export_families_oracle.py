"""Every class that an export is made for loads it: transformers with compressed-tensors.

Opt-in (W8A8_REQUIRE=python). For each family a small random model is saved by the installed
transformers, exported by `w8a8-calib quantize`, and loaded by each of its classes. Exactly the
layers of the file that are INT8 codes are quantized modules, no key is missing that the source has,
the preprocessing is the source's, and the hidden states are this tool's own: their distance to the
int8 arm is at most twice the distance to the model in FP32 (the level TwiceNaive: both are errors of
8 bits, made by two quantizers that do not agree on which scale 127 stands for).
Arguments: names of families; none: all.
"""

import contextlib
import inspect
import io
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers as tf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import family_models

TWICE_NAIVE = 2.0
# Both arms are within some percent of FP32; codes taken as weights, or scales of another layer, give
# more than everything.
FAR = 0.1
TOWERS = ("vision_tower", "vision_model")
# transformers 4 puts the patches of an image that fills the table beside their places in it.
IDEFICS3 = ("idefics3", "smolvlm")
# 5.24 loads no compressed-tensors DINOv2 without gates: the converter that splits the gated one's
# weights_in takes one source for each of compressed-tensors' tensors, and refuses.
UNGATED_DINOV2 = ("dinov2", "dinov2_head", "dinov2_registers")


def tool(*arguments):
    subprocess.run([os.environ["W8A8_BINARY"], *map(str, arguments), "--quiet"], check=True)


def load(class_name, folder):
    with contextlib.redirect_stderr(io.StringIO()):
        return getattr(tf, class_name).from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )


def tower_of(model):
    for name, module in model.named_modules():
        if name.split(".")[-1] in TOWERS:
            return module
    return model


@torch.no_grad()
def hidden_states(model, pixels):
    for hook in list(model._forward_pre_hooks.values()):
        hook(model, ())  # compressed-tensors decompresses when the whole model is called
    tower = tower_of(model.eval())
    outputs = []  # InternVL's tower has no way to ask for them
    kind = type(next(m for n, m in tower.named_modules() if n.split(".")[-1] == "0" and "layer" in n))
    for module in tower.modules():
        if type(module) is kind:
            module.register_forward_hook(
                lambda _, __, out: outputs.append(out[0] if isinstance(out, tuple) else out)
            )
    if "pixel_attention_mask" in pixels and "attention_mask" in inspect.signature(tower.forward).parameters:
        pixels = dict(pixels, attention_mask=pixels["pixel_attention_mask"])
        del pixels["pixel_attention_mask"]
    tower(**pixels)
    return outputs


def relative(actual, expected):
    return float((actual - expected).norm() / expected.norm())


def own_states(folder, pixels, scratch):
    file, out = scratch / "pixels.safetensors", scratch / "features.safetensors"
    save_file(pixels, file)
    tool("encode", "--model", folder, "--pixels", file, "--precision", "int8", "--out", out)
    features = load_file(out)
    return [
        features[f"hidden_states.{i}"].float()
        for i in range(1, 99)
        if f"hidden_states.{i}" in features
    ]


def check_class(class_name, export, pixels, expected, own, comparable):
    """`expected`: behind each block, of the class in FP32; `own`: of the int8 arm."""
    loaded, info = load(class_name, export)
    with safe_open(export / "model.safetensors", "pt") as file:
        codes = [k for k in file.keys() if file.get_slice(k).get_dtype() == "I8"]
    gates = sum("weights_in" in key for key in codes)  # transformers 5 splits them
    quantized = [n for n, m in loaded.named_modules() if hasattr(m, "quantization_scheme")]
    assert len(quantized) in (len(codes), len(codes) + gates), (quantized, codes)
    assert not [k for k in info["unexpected_keys"] if k.endswith("weight_scale")], info
    last = len(own) - 1
    actual = hidden_states(loaded, pixels)[last]
    error, apart = relative(actual, expected[last]), relative(actual, own[last])
    assert error < FAR, (class_name, error)
    assert apart <= TWICE_NAIVE * error or not comparable, (class_name, apart, error)
    text = f"{class_name}: {len(quantized)} modules, error {error:.4f}, to the int8 arm {apart:.4f}"
    return set(info["missing_keys"]), text


def check_processor(source, export):
    before, after = (
        tf.AutoImageProcessor.from_pretrained(folder).to_dict() for folder in (source, export)
    )
    assert before == after


def check(name, scratch):
    source, export = scratch / "source", scratch / "export"
    family_models.save(name, source)
    tool("quantize", "--model", source, "--out", export)
    check_processor(source, export)
    pixels = family_models.pixels_of(name)
    own = own_states(source, pixels, scratch)
    again = own_states(export, pixels, scratch)
    assert all(torch.equal(a, b) for a, b in zip(own, again, strict=True)), name
    class_name, _, others = family_models.FAMILIES[name]
    major = int(tf.__version__.split(".")[0])
    comparable = major >= 5 or name not in IDEFICS3
    if name in UNGATED_DINOV2 and major >= 5:
        return "opens here; transformers 5 does not load it"
    lines = []
    for each in [class_name, *others]:
        original, info = load(each, source)
        expected = hidden_states(original, pixels)
        missing, text = check_class(each, export, pixels, expected, own, comparable)
        assert missing == set(info["missing_keys"]), missing
        lines.append(text)
    tower = scratch / "tower"
    tool("quantize", "--model", source, "--out", tower, "--tower-only")
    alone = own_states(tower, pixels, scratch)
    assert torch.equal(alone[len(own) - 1], own[-1]), name
    vision = tf.AutoConfig.from_pretrained(tower).architectures[0]
    missing, text = check_class(vision, tower, pixels, expected, own, comparable)
    assert not missing, missing
    return "; ".join([*lines, "alone as " + text])


def main():
    logging.disable(logging.WARNING)
    tf.logging.set_verbosity_error()
    failures = []
    for name in sys.argv[1:] or family_models.FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    text = check(name, pathlib.Path(scratch))
            except Exception as problem:
                failures.append(name)
                text = f"FAILED: {type(problem).__name__}: {str(problem)[:600]}"
            print(f"{name}: {text}", flush=True)
    if failures:
        sys.exit(f"failed: {', '.join(failures)}")


if __name__ == "__main__":
    main()
