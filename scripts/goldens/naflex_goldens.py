"""Makes tests/golden/encoder/naflex_<case>.safetensors: what transformers' Siglip2VisionModel computes.

Versions, weights and metadata as in encoder_goldens.py. All images of a case are one padded batch, with
the key mask; element i of pixel_values [images, max_patches, patch * patch * 3] is
HashUniform(HashText("pixels"), i), in the padding too, where nothing may see it.

    python scripts/goldens/naflex_goldens.py [case ...]

Layout of a golden, S = stride; only the patches of an image, no padding:
    {tensor}.{image}    F32, elements 0, S, 2S, ... of [patches, width], for hidden_states.{i} (as in
                        encoder_goldens.py) and last_hidden_state
    pooler_output, logits   F32 [images, width], whole; logits where the class has them
  metadata: config, dtype, seed, stride, max_patches, grids (JSON, [rows, columns] of each image), errors
"""

import json
import sys

import numpy as np
import torch
from encoder_goldens import blocks_of, make_model, tower_of
from golden_file import relative_l2, save

from counter_hash import hash_text, hash_uniform

BASE = {"num_hidden_layers": 2, "vision_use_head": True}
CASES = {
    # A table of 4 x 4: grids like it, wider, taller, one row, and finer than it on both axes.
    "small": {
        "model": "Siglip2VisionModel",
        "fields": {**BASE, "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 2,
                   "patch_size": 4, "num_patches": 16},
        "seed": 21, "dtype": "F32", "stride": 3, "max_patches": 40,
        "grids": [[4, 4], [2, 7], [9, 3], [1, 5], [6, 6]],
    },
    "classifier": {
        "model": "Siglip2ForImageClassification",
        "fields": {"num_labels": 5,
                   "vision_config": {**BASE, "hidden_size": 64, "intermediate_size": 160,
                                     "num_attention_heads": 2, "patch_size": 4, "num_patches": 16}},
        "seed": 35, "dtype": "F32", "stride": 3, "max_patches": 40,
        "grids": [[4, 4], [2, 7], [9, 3]],
    },
    # The published table of 16 x 16 and patches of 16, heads of 72 as in so400m.
    "patch16": {
        "model": "Siglip2VisionModel",
        "fields": {**BASE, "hidden_size": 144, "intermediate_size": 304, "num_attention_heads": 2,
                   "patch_size": 16, "num_patches": 256},
        "seed": 22, "dtype": "BF16", "stride": 41, "max_patches": 256,
        "grids": [[12, 21], [5, 40], [16, 16]],
    },
}


def make_inputs(chosen):
    patch = chosen["fields"].get("vision_config", chosen["fields"])["patch_size"]
    shape = (len(chosen["grids"]), chosen["max_patches"], patch * patch * 3)
    counters = np.arange(int(np.prod(shape)), dtype=np.uint64)
    pixels = torch.from_numpy(hash_uniform(hash_text("pixels"), counters).reshape(shape))
    grids = torch.tensor(chosen["grids"], dtype=torch.int64)
    mask = torch.arange(shape[1])[None, :] < grids.prod(dim=1)[:, None]
    return {"pixel_values": pixels, "pixel_attention_mask": mask.to(torch.int32),
            "spatial_shapes": grids}


@torch.no_grad()
def run(model, inputs):
    outputs = {}

    def keep(name, of_input):
        def hook(_module, arguments, result):
            value = arguments[0] if of_input else result
            value = value[0] if isinstance(value, tuple) else value
            outputs[name] = value.detach().double().numpy()

        return hook

    blocks = blocks_of(model)
    hooks = [blocks[0].register_forward_hook(keep("hidden_states.0", True))]
    for i, block in enumerate(blocks):
        hooks.append(block.register_forward_hook(keep(f"hidden_states.{i + 1}", False)))
    towers = []
    hooks.append(tower_of(model).register_forward_hook(lambda *seen: towers.append(seen[2])))
    result = model(**inputs)
    for hook in hooks:
        hook.remove()
    outputs["last_hidden_state"] = towers[0].last_hidden_state.double().numpy()
    flat = {}
    for name, values in outputs.items():
        for image, count in enumerate(inputs["spatial_shapes"].prod(dim=1).tolist()):
            flat[f"{name}.{image}"] = values[image, :count]
    flat["pooler_output"] = towers[0].pooler_output.double().numpy()
    if hasattr(result, "logits"):
        flat["logits"] = result.logits.double().numpy()
    return flat


def make_golden(name, chosen):
    model, config, _ = make_model(chosen)
    inputs = make_inputs(chosen)
    fp32 = run(model, inputs)
    fp16 = run(model.half(), {**inputs, "pixel_values": inputs["pixel_values"].half()})
    errors, stored = {}, {}
    for tensor, values in fp32.items():
        step = 1 if tensor in ("pooler_output", "logits") else chosen["stride"]
        expected = np.ascontiguousarray(values.reshape(-1)[::step])
        errors[tensor] = {"torch_fp16": relative_l2(expected, fp16[tensor].reshape(-1)[::step])}
        stored[tensor] = expected.astype(np.float32)
    metadata = {key: chosen[key] for key in ("dtype", "seed", "stride", "max_patches")}
    metadata.update(config=config, grids=json.dumps(chosen["grids"]))
    save(f"naflex_{name}", stored, metadata, errors)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen_name in sys.argv[1:] or CASES:
        make_golden(chosen_name, CASES[chosen_name])
