"""Our exports of models with experts, between this tool and the Python package compressed-tensors.

Opt-in (W8A8_REQUIRE=python), because the package needs torch. No class of transformers has experts in
a SigLIP tower, so the modules are made here, from the tensors of the source: plain experts of two
layers each, and gated ones out of fused tensors that lie as y = x W (Qwen3-VL's files), with a shared
expert. The package applies the export's config to them: each layer of each expert gets the scheme of
the plan, and nothing else does; its compressors give back codes * scale, in every bit.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from safetensors.numpy import save_file
from safetensors.torch import load_file

from compressed_schemes_oracle import real_weights, run
from hash_checkpoint import PREFIX, hash_tensor, hash_tensors
from quantized_oracle import SIGLIP, site_stems

SEED, EXPERTS, HIDDEN, SHARED = 11, 3, 40, 24
WIDTH = SIGLIP["hidden_size"]
MIXTURE = {
    "num_experts": EXPERTS,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
    "moe_intermediate_size": HIDDEN,
    "mlp_only_layers": [0],
}
MLP = PREFIX + "encoder.layers.1.mlp."
SITES = "blocks.1.mlp."
W8A8, W8A16 = {"input": {"strategy": "token"}}, {"input": None, "weight": {"num_bits": 8}}


def made(key, shape):
    return hash_tensor(key, shape, SEED, np.float32(1))


def plain_experts():
    """Tensors of the source, and modules by site: name, weight, bias."""
    tensors, modules = {}, {}
    for expert in range(EXPERTS):
        for layer, shape in (("fc1", (HIDDEN, WIDTH)), ("fc2", (WIDTH, HIDDEN))):
            stem = f"{MLP}experts.{expert}.{layer}"
            tensors[stem + ".weight"] = made(stem + ".weight", shape)
            tensors[stem + ".bias"] = made(stem + ".bias", shape[:1])
            site = f"{SITES}experts.{expert}.{layer}"
            modules[site] = [(stem, tensors[stem + ".weight"], tensors[stem + ".bias"])]
    return tensors, modules


def fused_experts():
    """The same of gated experts in four tensors for all, beside a shared one."""
    fused = {
        "gate_up_proj": (EXPERTS, WIDTH, 2 * HIDDEN),
        "down_proj": (EXPERTS, HIDDEN, WIDTH),
        "gate_up_proj_bias": (EXPERTS, 2 * HIDDEN),
        "down_proj_bias": (EXPERTS, WIDTH),
    }
    tensors = {f"{MLP}experts.{name}": made(MLP + name, shape) for name, shape in fused.items()}
    gate_up, down, gate_up_bias, down_bias = tensors.values()
    modules = {}
    for expert in range(EXPERTS):
        stem, site = f"{MLP}experts.{expert}.", f"{SITES}experts.{expert}."
        parts = (("gate_proj", slice(0, HIDDEN)), ("up_proj", slice(HIDDEN, None)))
        modules[site + "fc1"] = [
            (stem + name, gate_up[expert][:, rows].T, gate_up_bias[expert][rows]) for name, rows in parts
        ]
        modules[site + "fc2"] = [(stem + "down_proj", down[expert].T, down_bias[expert])]
    shared = {"fc1": ("gate_proj", "up_proj"), "fc2": ("down_proj",)}
    for layer, names in shared.items():
        shape = (SHARED, WIDTH) if layer == "fc1" else (WIDTH, SHARED)
        stems = [f"{MLP}shared_expert.{name}" for name in names]
        tensors |= {stem + ".weight": made(stem, shape) for stem in stems}
        modules[f"{SITES}shared_expert.{layer}"] = [(s, tensors[s + ".weight"], None) for s in stems]
    tensors[MLP + "shared_expert_gate.weight"] = made("shared_expert_gate", (1, WIDTH))
    return tensors, modules


def write_model(folder, experts, fields):
    """The source; returns its tensors."""
    dense = {PREFIX + key: values for key, values in hash_tensors(SIGLIP, SEED).items()}
    tensors = {key: values for key, values in dense.items() if not key.startswith(MLP)} | experts
    tensors[MLP + "gate.weight"] = made("gate.weight", (EXPERTS, WIDTH))
    folder.mkdir()
    config = {"model_type": "siglip_vision_model", **SIGLIP, **MIXTURE, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {key: np.ascontiguousarray(values) for key, values in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return tensors


def dense_modules(tensors):
    return {
        site: [(stem, tensors[stem + ".weight"], tensors[stem + ".bias"]) for stem in stems]
        for site, stems in site_stems("siglip", 2).items()
        if not site.startswith(SITES)
    }


def entry_of(site):
    """Expert 1 stays FP16, of expert 0 the hidden rows do."""
    if ".experts.1." in site:
        return None
    return W8A16 if site.endswith(".experts.0.fc2") else W8A8


def module_tree(shapes):
    """A model of linear layers by their dotted names."""
    root = torch.nn.Module()
    for name, (rows, inputs) in shapes.items():
        *path, leaf = name.split(".")
        parent = root
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, torch.nn.Module())
            parent = parent._modules[part]
        parent.add_module(leaf, torch.nn.Linear(inputs, rows, bias=False))
    return root


def check_schemes(name, record, modules, tensors):
    """The package finds the plan's scheme for each layer, and none for all others."""
    planned = {stem: entry_of(site) for site, parts in modules.items() for stem, _, _ in parts}
    shapes = {stem: weight.shape for parts in modules.values() for stem, weight, _ in parts}
    for key, values in tensors.items():
        stem = key.removesuffix(".weight")
        if stem != key and values.ndim == 2 and "embed" not in key:
            shapes.setdefault(stem, values.shape)
    others = {stem for stem in shapes if planned.get(stem) is None}
    assert set(record.ignore) == others, (name, set(record.ignore) ^ others)
    assert {MLP + "gate", MLP + "experts.1." + ("fc1" if name == "plain" else "up_proj")} <= others
    model = module_tree(shapes)
    apply_quantization_config(model, record)
    schemes = {}
    for stem in shapes:
        scheme = getattr(model.get_submodule(stem), "quantization_scheme", None)
        entry = planned.get(stem)
        assert (scheme is None) == (entry is None), (name, stem)
        if scheme is None:
            continue
        assert scheme.weights.num_bits == 8 and scheme.weights.symmetric, stem
        assert (scheme.input_activations is None) == (entry is W8A16), (name, stem)
        assert scheme.format == ("pack-quantized" if entry is W8A16 else "int-quantized"), stem
        schemes[stem] = scheme
    return schemes


def check_tensors(name, stored, modules, schemes):
    """What the file has of each module, decompressed by the package; returns how many were."""
    for site, parts in modules.items():
        for stem, weight, bias in parts:
            state = {k.removeprefix(stem + "."): v for k, v in stored.items() if k.startswith(stem + ".")}
            stored_bias = state.pop("bias", None)
            assert (stored_bias is None) == (bias is None), (name, stem)
            assert bias is None or np.array_equal(stored_bias.numpy(), bias), (name, stem)
            if stem not in schemes:
                assert set(state) == {"weight"} and np.array_equal(state["weight"].numpy(), weight), stem
                continue
            compressor = BaseCompressor.get_value_from_registry(schemes[stem].format)
            actual = compressor.decompress(state, schemes[stem])["weight"].numpy()
            expected = real_weights(np.ascontiguousarray(weight), schemes[stem].weights)
            assert actual.dtype == np.float32 and np.array_equal(actual, expected), (name, site, stem)
    return len(schemes)


def check(name, scratch, experts, fields):
    tensors, modules = experts
    model, out = scratch / name, scratch / (name + "_export")
    tensors = write_model(model, tensors, fields)
    modules |= dense_modules(tensors)
    plan = scratch / (name + ".json")
    plan.write_text(json.dumps({"version": 2, "sites": {site: entry_of(site) for site in modules}}))
    run("quantize", "--model", model, "--plan", plan, "--out", out)
    config = json.loads((out / "config.json").read_text())
    assert all(config[field] == value for field, value in (MIXTURE | fields).items()), name
    record = QuantizationConfig.model_validate(config["quantization_config"])
    schemes = check_schemes(name, record, modules, tensors)
    stored = load_file(out / "model.safetensors")
    assert not any(key.startswith(MLP + "experts.") and key.split(".")[-2] == "experts" for key in stored)
    count = check_tensors(name, stored, modules, schemes)
    print(f"{name}: {count} INT8 layers, {len(record.ignore)} ignored")


def main():
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        check("plain", scratch, plain_experts(), {})
        check("fused", scratch, fused_experts(), {"shared_expert_intermediate_size": SHARED})


if __name__ == "__main__":
    main()
