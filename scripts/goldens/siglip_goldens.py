"""Makes tests/golden/encoder/siglip_*.safetensors: what transformers' SiglipVisionModel computes.

Needs torch 2.15.0 and transformers 5.23.0 (CPU builds) and numpy 2.4.6, safetensors 0.8.0; the
versions that ran stand in each golden's metadata. Weights and pixels come from the counter hash
(tests/python/hash_checkpoint.py, counter_hash.py) and are not stored: WriteHashCheckpoint makes the
same weights in C++, and pixel i of image j is HashUniform(HashText("pixels"), j * pixels + i).

    python scripts/goldens/siglip_goldens.py [case ...]

Layout of a golden, with S = stride, every tensor flattened over [images, tokens, width]:
    hidden_states.{i}   F32, elements 0, S, 2S, ...; i = 0 enters block 0, i leaves block i - 1,
                        before the final norm
    last_hidden_state   F32, the same of the tokens after the final norm
    pooler_output       F32 [images, width], whole (the MAP head)
  metadata, all strings:
    config              JSON, the fields of SiglipVisionConfig
    dtype, seed, outliers, images, stride
    errors              JSON, tensor name to relative L2 errors against torch FP32:
                          "torch_fp16"          torch's own FP16 model, over the whole tensor
                          "torch_fp16_sampled"  the same over the stored elements
                          "fp32_vs_fp64"        torch FP32 against torch FP64, over the whole tensor
"""

import json
import sys

import numpy as np
import torch
import transformers
from golden_file import ROOT, relative_l2, save

sys.path.insert(0, str(ROOT / "tests" / "python"))

from counter_hash import hash_text, hash_uniform  # noqa: E402
from hash_checkpoint import hash_tensors, rounded  # noqa: E402

TINY = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_channels": 3,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
BASE = {
    **TINY,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
}
# The erf case has a side that is no multiple of the patch, heads of an odd width and no head.
ODD = {
    **TINY,
    "num_attention_heads": 4,
    "hidden_size": 60,
    "intermediate_size": 150,
    "image_size": 37,
    "hidden_act": "gelu",
    "vision_use_head": False,
}
CASES = {
    "tiny_f32": {"config": TINY, "dtype": "F32", "seed": 1, "outliers": 0, "images": 3, "stride": 1},
    "tiny_bf16": {"config": TINY, "dtype": "BF16", "seed": 2, "outliers": 2, "images": 2, "stride": 1},
    "odd_f16": {"config": ODD, "dtype": "F16", "seed": 3, "outliers": 0, "images": 2, "stride": 1},
    "base_f16": {"config": BASE, "dtype": "F16", "seed": 4, "outliers": 0, "images": 1, "stride": 97},
}


def make_pixels(config, images):
    shape = (images, config["num_channels"], config["image_size"], config["image_size"])
    counters = np.arange(int(np.prod(shape)), dtype=np.uint64)
    return torch.from_numpy(hash_uniform(hash_text("pixels"), counters).reshape(shape))


def make_model(case):
    config = transformers.SiglipVisionConfig(**case["config"], attn_implementation="eager")
    model = transformers.SiglipVisionModel(config).eval()
    names = {name.removeprefix("vision_model."): name for name in model.state_dict()}
    tensors = {
        names[key]: torch.from_numpy(rounded(values, case["dtype"]))
        for key, values in hash_tensors(case["config"], case["seed"], case["outliers"]).items()
    }
    outcome = model.load_state_dict(tensors, strict=False)
    assert not outcome.unexpected_keys, outcome.unexpected_keys
    assert all(key.endswith("position_ids") for key in outcome.missing_keys), outcome.missing_keys
    return model


@torch.no_grad()
def run(model, pixels):
    """Tensor name to float64 array. Hooks, so that no version's meaning of hidden_states matters."""
    outputs = {}
    tower = getattr(model, "vision_model", model)

    def keep(name, index):
        def hook(_module, arguments, result):
            value = arguments[0] if index is None else result
            value = value[0] if isinstance(value, tuple) else value
            outputs[name] = value.detach().double().numpy()

        return hook

    layers = tower.encoder.layers
    hooks = [layers[0].register_forward_hook(keep("hidden_states.0", None))]
    for i, layer in enumerate(layers):
        hooks.append(layer.register_forward_hook(keep(f"hidden_states.{i + 1}", 0)))
    result = model(pixel_values=pixels)
    for hook in hooks:
        hook.remove()
    outputs["last_hidden_state"] = result.last_hidden_state.double().numpy()
    if getattr(result, "pooler_output", None) is not None:
        outputs["pooler_output"] = result.pooler_output.double().numpy()
    return outputs


def sampled(values, stride):
    return np.ascontiguousarray(values.reshape(-1)[::stride])


def make_golden(name, case):
    stride = case["stride"]
    pixels = make_pixels(case["config"], case["images"])
    model = make_model(case)
    fp32 = run(model, pixels)
    fp16 = run(model.half(), pixels.half())
    fp64 = run(make_model(case).double(), pixels.double())
    errors, stored = {}, {}
    for tensor, expected in fp32.items():
        whole = tensor == "pooler_output"
        step = 1 if whole else stride
        errors[tensor] = {
            "torch_fp16": relative_l2(expected, fp16[tensor]),
            "torch_fp16_sampled": relative_l2(sampled(expected, step), sampled(fp16[tensor], step)),
            "fp32_vs_fp64": relative_l2(fp64[tensor], expected),
        }
        values = expected if whole else sampled(expected, step)
        stored[tensor] = values.astype(np.float32)
    metadata = {key: case[key] for key in ("dtype", "seed", "outliers", "images", "stride")}
    metadata["config"] = json.dumps(case["config"])
    save(f"siglip_{name}", stored, metadata, errors)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or CASES:
        make_golden(chosen, CASES[chosen])
