"""Makes tests/golden/encoder/siglip_embeds.safetensors: transformers' SigLIP encoder behind its
embedding, with padding masked, and its attention probabilities.

Needs the versions of siglip_goldens.py, whose tiny F32 checkpoint it runs (no weights are stored).
Element i of inputs_embeds is HashUniform(HashText("embeds"), i). The mask of image 0 is all ones;
image 1 has its token 3 and its last six masked.

    python scripts/goldens/embeds_goldens.py

    attention_mask       I64 [images, tokens]
    hidden_states.{i}    F32 [images, tokens, width], 0 enters block 0
    last_hidden_state    F32, after the final norm
    attentions.{i}       F32 [images, heads, tokens, tokens]
  metadata, strings: dtype, seed, outliers, config (of the checkpoint), made_with, and
    errors               JSON, tensor name to torch FP16's relative L2 error against torch FP32, over
                         the rows of tokens that are not masked
"""

import json

import numpy as np
import torch
from golden_file import relative_l2, save
from siglip_goldens import CASES, make_model

from counter_hash import hash_text, hash_uniform

IMAGES, TOKENS = 2, 21
CASE = CASES["tiny_f32"]


def make_inputs():
    width = CASE["config"]["hidden_size"]
    counters = np.arange(IMAGES * TOKENS * width, dtype=np.uint64)
    embeds = hash_uniform(hash_text("embeds"), counters).reshape(IMAGES, TOKENS, width)
    mask = np.ones((IMAGES, TOKENS), dtype=np.int64)
    mask[1, 3] = 0
    mask[1, -6:] = 0
    return torch.from_numpy(embeds), mask


@torch.no_grad()
def run(model, embeds, mask):
    tower = getattr(model, "vision_model", model)
    hidden = torch.from_numpy(np.where(mask, 0.0, -np.inf)).to(embeds.dtype)[:, None, None, :]
    hidden = hidden.expand(IMAGES, 1, TOKENS, TOKENS)
    outputs = {"hidden_states.0": embeds}
    stream = embeds
    for i, layer in enumerate(tower.encoder.layers):
        probabilities = []
        hook = layer.self_attn.register_forward_hook(
            lambda _module, _arguments, result, keep=probabilities: keep.append(result[1])
        )
        stream = layer(stream, attention_mask=hidden)
        hook.remove()
        stream = stream[0] if isinstance(stream, tuple) else stream
        outputs[f"attentions.{i}"] = probabilities[0]
        outputs[f"hidden_states.{i + 1}"] = stream
    outputs["last_hidden_state"] = tower.post_layernorm(stream)
    return {name: value.double().numpy() for name, value in outputs.items()}


def of_real_tokens(values, mask):
    """The rows of tokens that are not masked; attentions: of queries that are not."""
    return np.concatenate([v[..., m.astype(bool), :].reshape(-1) for v, m in zip(values, mask)])


def main():
    embeds, mask = make_inputs()
    model = make_model(CASE)
    fp32 = run(model, embeds, mask)
    fp16 = run(model.half(), embeds.half(), mask)
    errors = {
        name: relative_l2(of_real_tokens(expected, mask), of_real_tokens(fp16[name], mask))
        for name, expected in fp32.items()
    }
    metadata = {key: CASE[key] for key in ("dtype", "seed", "outliers")}
    metadata["config"] = json.dumps(CASE["config"])
    stored = {name: value.astype(np.float32) for name, value in fp32.items()}
    stored["attention_mask"] = mask
    save("siglip_embeds", stored, metadata, errors)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
