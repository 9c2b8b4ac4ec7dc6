"""Small folders of every integer scheme, between this tool and the Python package compressed-tensors.

Opt-in (W8A8_REQUIRE=python), because the package needs torch. Its compressors write a SigLIP-shaped
hash checkpoint by each scheme; this tool reads it, its fp16 arm computes what torch does with the
package's own decompressed weights, and its int8 arm what the package's quantizers do with static
scales. The other way round the package validates the config of our exports and decompresses our
codes to the real weights of numerics.md, in every bit.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file
from transformers import SiglipVisionModel

from hash_checkpoint import PREFIX, write_folder
from quantized_oracle import SIGLIP, site_stems

CONFIG = {**SIGLIP, "num_hidden_layers": 1}
SITES = site_stems("siglip", 1)
# Powers of two: a quotient and a product with the reciprocal are then the same. An even zero point:
# the package adds it before it rounds, numerics.md after, and ties go to even.
INPUT_SCALE, INPUT_POINT, OUTPUT_SCALE = 2.0**-5, -20, 2.0**-5
TOKEN = {"strategy": "token", "dynamic": True}
STATIC = {"strategy": "tensor"}
GROUPS = {"strategy": "group", "group_size": 8}
CHANNEL = {"strategy": "channel"}

# Name: format, weights, inputs, outputs.
SCHEMES = {
    "w8a8": ("int-quantized", CHANNEL, TOKEN, None),
    "w8a8_tensor": ("int-quantized", STATIC, TOKEN, None),
    "w8a8_static": ("int-quantized", CHANNEL, STATIC, None),
    "w8a8_static_asymmetric": ("int-quantized", CHANNEL, {**STATIC, "symmetric": False}, None),
    "w8a8_token_asymmetric": ("int-quantized", CHANNEL, {**TOKEN, "symmetric": False}, None),
    "w8a8_input_groups": ("int-quantized", CHANNEL, {**GROUPS, "dynamic": True}, None),
    "w4a8": ("int-quantized", {**GROUPS, "num_bits": 4}, TOKEN, None),
    "w8a8o8": ("int-quantized", CHANNEL, STATIC, STATIC),
    "w8a16": ("pack-quantized", CHANNEL, None, None),
    "w4a16": ("pack-quantized", {**GROUPS, "num_bits": 4}, None, None),
    "w3a16": ("pack-quantized", {**CHANNEL, "num_bits": 3}, None, None),
    # Weights with zero points, which this tool reads and never makes.
    "w4a16_asymmetric": ("pack-quantized", {**GROUPS, "num_bits": 4, "symmetric": False}, None, None),
    "w4a8_asymmetric": ("int-quantized", {**GROUPS, "num_bits": 4, "symmetric": False}, TOKEN, None),
}


def scheme_of(name):
    _, weights, inputs, outputs = SCHEMES[name]
    arguments = [part and QuantizationArgs(**part) for part in (weights, inputs, outputs)]
    return QuantizationScheme(
        targets=["re:.*encoder.*"],
        weights=arguments[0],
        input_activations=arguments[1],
        output_activations=arguments[2],
    )


def strategy_of(arguments):
    return getattr(arguments.strategy, "value", arguments.strategy)


def weight_parameters(weight, arguments):
    """The package's scales and zero points of the whole range of each row, group, or of all."""
    pieces = {
        "channel": weight.reshape(len(weight), 1, -1),
        "group": weight.reshape(len(weight), -1, arguments.group_size or 1),
        "tensor": weight.reshape(1, 1, -1),
    }[strategy_of(arguments)]
    scale, point = calculate_qparams(pieces.amin(-1), pieces.amax(-1), arguments)
    shape = [1] if strategy_of(arguments) == "tensor" else scale.shape
    return scale.reshape(shape).float(), point.reshape(shape).to(torch.int8)


def compressor(name):
    return BaseCompressor.get_value_from_registry(SCHEMES[name][0])


def write_by_package(name, model, out):
    """The model with its sites compressed; returns the decompressed weights by stem."""
    scheme = scheme_of(name)
    tensors, decompressed = load_file(model / "model.safetensors"), {}
    for stem in sum(SITES.values(), []):
        weight = tensors.pop(stem + ".weight")
        scale, point = weight_parameters(weight, scheme.weights)
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": point}
        state = compressor(name).compress(state, scheme)
        decompressed[stem] = compressor(name).decompress(state, scheme)["weight"]
        inputs = scheme.input_activations
        if inputs and not inputs.dynamic:
            state["input_scale"] = torch.tensor([INPUT_SCALE])
            if not inputs.symmetric:
                state["input_zero_point"] = torch.tensor([INPUT_POINT], dtype=torch.int8)
        if scheme.output_activations:
            state["output_scale"] = torch.tensor([OUTPUT_SCALE])
        tensors |= {f"{stem}.{key}": value.contiguous() for key, value in state.items()}
    record = QuantizationConfig(
        config_groups={"group_0": scheme}, format=SCHEMES[name][0], quantization_status="compressed"
    )
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = record.to_dict()
    out.mkdir()
    (out / "config.json").write_text(json.dumps(config, default=str))
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return decompressed


def run(*arguments):
    subprocess.run([os.environ["W8A8_BINARY"], *map(str, arguments)], check=True)


def encode(folder, pixels, precision, taps=()):
    out = folder / f"{precision}.safetensors"
    flags = ["--taps", ",".join(taps)] if taps else []
    run("encode", "--model", folder, "--pixels", pixels, "--precision", precision, "--out", out, *flags)
    return load_file(out)


@torch.no_grad()
def hidden(model, weights, pixels, dtype):
    """The last hidden state with these weights, by torch."""
    loaded = SiglipVisionModel.from_pretrained(model, dtype=torch.float32)
    state = loaded.state_dict()
    for stem, weight in weights.items():
        key = stem + ".weight" if stem + ".weight" in state else stem.removeprefix(PREFIX) + ".weight"
        assert state[key].shape == weight.shape, key
        state[key] = weight
    loaded.load_state_dict(state)
    return loaded.to(dtype)(pixel_values=pixels.to(dtype)).last_hidden_state.double()


def rms(difference):
    return float(difference.double().pow(2).mean().sqrt())


def check_weights(name, model, folder, decompressed, pixels):
    """TwiceNaive: torch in FP16 is the naive version, torch in FP64 the truth."""
    images = load_file(pixels)["pixel_values"]
    actual = encode(folder, pixels, "fp16")["last_hidden_state"].double()
    exact = hidden(model, decompressed, images, torch.float64)
    naive = hidden(model, decompressed, images, torch.float16)
    ours, theirs = rms(actual - exact), rms(naive - exact)
    assert ours <= 2 * theirs, (name, ours, theirs)
    # A weight in the wrong place would be seen: the original weights are further away than that.
    assert rms(exact - hidden(model, {}, images, torch.float64)) > 2 * theirs, name
    return ours / theirs


def check_static(name, model, folder, decompressed, pixels):
    """The int8 arm's layers on their own inputs, against the package's quantizers in FP64."""
    scheme = scheme_of(name)
    taps = encode(folder, pixels, "int8", SITES)
    original = load_file(model / "model.safetensors")
    point = torch.tensor([0 if scheme.input_activations.symmetric else INPUT_POINT])
    for site, stems in SITES.items():
        x = taps[f"taps.{site}.input"].double().flatten(0, -2)
        x = fake_quantize(x, torch.tensor([INPUT_SCALE]).double(), point, scheme.input_activations)
        if scheme.input_activations.symmetric:  # ours has no code -128
            x = x.clamp(min=-127 * INPUT_SCALE)
        weight = torch.cat([decompressed[stem] for stem in stems]).double()
        bias = torch.cat([original[stem + ".bias"] for stem in stems]).double()
        exact = x @ weight.T + bias
        actual = taps[f"taps.{site}.output"].double().flatten(0, -2)
        naive = (x.float() @ weight.T.float() + bias.float()).half().double()
        if scheme.output_activations is None:
            assert rms(actual - exact) <= 2 * rms(naive - exact), (name, site)
            continue
        # Half a step, and the rounding to FP16 before it.
        real = (exact / OUTPUT_SCALE).clamp(-127, 127)
        error = (actual / OUTPUT_SCALE - real).abs()
        assert (error <= 0.5 + real.abs() * 2.0**-11).all(), (name, site, float(error.max()))


def planned(arguments, kind):
    """An entry of plan.json."""
    if arguments is None:
        return None
    entry = {"dynamic": False, **arguments} if kind != "weight" else {"num_bits": 8, **arguments}
    if kind != "weight" and not entry["dynamic"]:
        entry["scale"] = INPUT_SCALE if kind == "input" else OUTPUT_SCALE
        if not entry.get("symmetric", True):
            entry["zero_point"] = INPUT_POINT
    return entry


def real_weights(weight, arguments):
    """numerics.md sections 2 and 6: scale = amax / (2^(b-1) - 1), codes within +-that."""
    top = np.float32(2 ** (arguments.num_bits - 1) - 1)
    size = arguments.group_size or weight.shape[1]
    pieces = weight.reshape(len(weight), -1, size)
    axis = None if strategy_of(arguments) == "tensor" else -1
    scale = np.abs(pieces).max(axis=axis, keepdims=True).astype(np.float32) / top
    return (np.clip(np.rint(pieces / scale), -top, top) * scale).reshape(weight.shape)


def check_export(name, model, scratch):
    """The package reads what `quantize` writes under the same scheme."""
    plan, out = scratch / f"{name}.json", scratch / f"{name}_export"
    _, weights, inputs, outputs = SCHEMES[name]
    site = {"input": planned(inputs, "input"), "weight": planned(weights, "weight")}
    if outputs:
        site["output"] = planned(outputs, "output")
    plan.write_text(json.dumps({"version": 2, "sites": {site_name: site for site_name in SITES}}))
    run("quantize", "--model", model, "--plan", plan, "--out", out)
    config = json.loads((out / "config.json").read_text())
    record = QuantizationConfig.model_validate(config["quantization_config"])
    assert record.format == SCHEMES[name][0], name
    (scheme,) = record.config_groups.values()
    wanted = scheme_of(name)
    for kind in ("input_activations", "output_activations", "weights"):
        mine, theirs = getattr(scheme, kind), getattr(wanted, kind)
        assert (mine is None) == (theirs is None), (name, kind)
        if mine is None:
            continue
        for field in ("num_bits", "type", "strategy", "symmetric", "dynamic", "group_size"):
            assert getattr(mine, field) == getattr(theirs, field), (name, kind, field)
    original, stored = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
    for stems in SITES.values():
        whole = torch.cat([original[stem + ".weight"] for stem in stems]).numpy()
        expected = real_weights(whole, wanted.weights)
        states = [
            {key.removeprefix(stem + "."): value for key, value in stored.items() if key.startswith(stem + ".")}
            for stem in stems
        ]
        actual = [compressor(name).decompress(state, scheme)["weight"] for state in states]
        assert np.array_equal(torch.cat(actual).numpy(), expected), (name, stems)


def check_again(name, folder, scratch, decompressed):
    """A folder of the package's, exported again by this tool, decompresses to the same weights."""
    out = scratch / f"{name}_again"
    run("quantize", "--model", folder, "--out", out)
    stored = load_file(out / "model.safetensors")
    for stem, weight in decompressed.items():
        state = {key.removeprefix(stem + "."): value for key, value in stored.items() if key.startswith(stem + ".")}
        actual = compressor(name).decompress(state, scheme_of(name))["weight"]
        assert torch.equal(actual, weight), (name, stem)


def main():
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        model, pixels = scratch / "model", scratch / "pixels.safetensors"
        model.mkdir()
        write_folder(model, CONFIG, seed=11)
        generator = torch.Generator().manual_seed(3)
        images = torch.rand(2, 3, CONFIG["image_size"], CONFIG["image_size"], generator=generator)
        save_file({"pixel_values": images * 2 - 1}, pixels)
        for name, (_, weights, inputs, _) in SCHEMES.items():
            theirs = scratch / name
            decompressed = write_by_package(name, model, theirs)
            ratio = check_weights(name, model, theirs, decompressed, pixels)
            if inputs and not inputs.get("dynamic"):
                check_static(name, model, theirs, decompressed, pixels)
            check_again(name, theirs, scratch, decompressed)
            if weights.get("symmetric", True):
                check_export(name, model, scratch)
            print(f"{name}: error of the fp16 arm {ratio:.2f} of torch's in FP16")


if __name__ == "__main__":
    main()
