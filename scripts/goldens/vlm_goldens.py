"""Makes tests/golden/encoder/vlm_reads.json: what transformers' vision-language models read.

Needs torch 2.15.0 and transformers 5.24.0 (CPU builds).

    python scripts/goldens/vlm_goldens.py

A tiny model of each class is run up to the module that takes in the vision tower's output. What that
module is given is looked for among the outputs of the tower's blocks and its last_hidden_state, with
and without their first token. An entry of the list:
    config          what the model's config was told, but for its language model: the rest is left
                    to the class defaults
    blocks          so many of the tower's blocks are behind what is read
    final_norm      whether the tower's final norm is, too
    unread_tokens   so many first tokens of each image are dropped
or, where the model puts several layers together, only config and "several": true.
"""

import json

import torch
import transformers
from golden_file import ROOT

BLOCKS = 4
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 64,
    "pad_token_id": 0,
}
CLIP, SIGLIP, DINOV2 = "clip_vision_model", "siglip_vision_model", "dinov2"
LAYERS = ({}, {"vision_feature_layer": -1}, {"vision_feature_layer": -3}, {"vision_feature_layer": 2})
STRATEGIES = tuple({"vision_feature_select_strategy": name} for name in ("default", "full"))
LISTS = ({"vision_feature_layer": [-2]}, {"vision_feature_layer": [-2, 1]})
LLAVA = LAYERS + STRATEGIES + LISTS

# Class, its language model, the module that reads, the towers, the fields that are tried.
CASES = (
    ("LlavaForConditionalGeneration", "llama", "multi_modal_projector", (CLIP, SIGLIP, DINOV2), LLAVA),
    ("LlavaNextForConditionalGeneration", "llama", "multi_modal_projector", (CLIP,), LLAVA),
    ("LlavaNextVideoForConditionalGeneration", "llama", "multi_modal_projector", (CLIP,), LLAVA),
    ("VideoLlavaForConditionalGeneration", "llama", "multi_modal_projector", (CLIP,), LLAVA),
    ("LlavaOnevisionForConditionalGeneration", "qwen2", "multi_modal_projector", (SIGLIP, CLIP), LLAVA),
    ("AyaVisionForConditionalGeneration", "cohere2", "multi_modal_projector", (SIGLIP, CLIP), LLAVA),
    ("VipLlavaForConditionalGeneration", "llama", "multi_modal_projector", (CLIP,), LAYERS + LISTS),
    ("Mistral3ForConditionalGeneration", "mistral", "multi_modal_projector", (SIGLIP,), LAYERS + LISTS),
    ("AriaForConditionalGeneration", "aria_text", "multi_modal_projector", ("idefics3_vision",), LAYERS),
    ("InternVLForConditionalGeneration", "qwen2", "pixel_shuffle", ("internvl_vision",),
     LAYERS + STRATEGIES[:1]),
    ("PaliGemmaForConditionalGeneration", "gemma", "multi_modal_projector", (SIGLIP,), ({},)),
    ("Gemma3ForConditionalGeneration", "gemma3_text", "multi_modal_projector", (SIGLIP, DINOV2), ({},)),
    ("Cohere2VisionForConditionalGeneration", "cohere2", "multi_modal_projector", (SIGLIP,), ({},)),
    ("DeepseekVLForConditionalGeneration", "llama", "aligner", (SIGLIP,), ({},)),
    ("ModernVBertForMaskedLM", "modernbert", "connector", (SIGLIP,), ({},)),
    ("Idefics3ForConditionalGeneration", "llama", "connector", ("idefics3_vision",), ({},)),
    ("SmolVLMForConditionalGeneration", "llama", "connector", ("smolvlm_vision",), ({},)),
)  # fmt: skip


class Seen(Exception):
    """Carries out what the reader is given; what comes after it does not matter here."""


def read_by(model, reader, inputs):
    def stop(_module, arguments, named):
        raise Seen((*arguments, *named.values())[0])

    if reader == "pixel_shuffle":  # a method, given [images, rows, columns, width]
        model.pixel_shuffle = lambda grid, **named: stop(None, (grid,), named)
    else:
        getattr(model, reader).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model.get_image_features(**inputs)
    except Seen as seen:
        return seen.args[0]
    except IndexError:  # VipLLaVA's default asks for layers of a larger tower
        return None
    raise AssertionError(f"{reader} was not run")


def tower_of(model):
    for name in ("vision_tower", "vision_model", "image_tower"):
        if hasattr(model, name):
            return getattr(model, name)
    raise AssertionError("no tower")


def blocks_of(tower):
    lists = [m for m in tower.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == BLOCKS]
    assert len(lists) == 1, lists
    return lists[0]


@torch.no_grad()
def reading(model, reader):
    """The entry's fields for one model."""
    tower, seen = tower_of(model), {}

    def keep(key):
        def hook(_module, _arguments, result):
            value = result[0] if isinstance(result, tuple) else result
            seen[key] = value.last_hidden_state if hasattr(value, "last_hidden_state") else value

        return hook

    hooks = [b.register_forward_hook(keep((i + 1, False))) for i, b in enumerate(blocks_of(tower))]
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    seen[(BLOCKS, True)] = tower(pixels).last_hidden_state
    for hook in hooks:
        hook.remove()
    inputs = {"pixel_values": pixels[:, None] if reader == "connector" else pixels}
    if any(name in type(model).__name__ for name in ("Next", "Onevision", "Mistral3")):
        inputs["image_sizes"] = torch.tensor([[32, 32]])
    given = read_by(model, reader, inputs)
    width = SIZES["hidden_size"]
    if given is None or given.shape[-1] != width:
        return {"several": True}
    found = [
        (blocks, normed, dropped)
        for dropped in (0, 1)
        for (blocks, normed), value in seen.items()
        if value[:, dropped:].numel() == given.numel()
        and torch.equal(value[:, dropped:].flatten(), given.flatten())
    ]
    assert found, type(model).__name__
    blocks, normed, dropped = min(found, key=lambda one: one[1])  # no norm where it changes nothing
    return {"blocks": blocks, "final_norm": normed, "unread_tokens": dropped}


def entries():
    for name, text, reader, towers, tried in CASES:
        model_class = getattr(transformers, name)
        for tower in towers:
            for fields in tried:
                # Siglip's pooling head, and InternVL's final norm.
                vision = {**SIZES, "model_type": tower}
                vision["use_mean_pooling" if "internvl" in tower else "vision_use_head"] = False
                config = model_class.config_class(
                    vision_config=vision, text_config={"model_type": text, **TEXT}, **fields
                )
                torch.manual_seed(0)
                model = model_class(config).eval()
                read = reading(getattr(model, "model", model), reader)
                said = {"model_type": config.model_type, **fields, "vision_config": vision}
                print(name, tower, fields, read)
                yield {"config": said, **read}


if __name__ == "__main__":
    torch.set_num_threads(1)
    made_with = f"torch {torch.__version__}, transformers {transformers.__version__}"
    lines = ",\n".join(json.dumps(entry) for entry in entries())
    path = ROOT / "tests" / "golden" / "encoder" / "vlm_reads.json"
    path.write_text(f'{{"made_with": "{made_with}", "entries": [\n{lines}\n]}}\n')
    print(path.name, path.stat().st_size, "bytes")
