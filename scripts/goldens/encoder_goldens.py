"""Makes tests/golden/encoder/<case>.safetensors: what transformers' encoders of each family compute.

Needs torch 2.15.0 and transformers 5.24.0 (CPU builds) and numpy 2.4.6, safetensors 0.8.0; the
versions that ran stand in each golden's metadata. Weights and pixels come from the counter hash
(tests/python/hash_checkpoint.py, counter_hash.py) and are not stored: WriteHashCheckpoint makes the
same weights in C++ from the config in the metadata, and pixel i of image j is
HashUniform(HashText("pixels"), j * pixels + i).

    python scripts/goldens/encoder_goldens.py [case ...]

A model is saved by transformers, its tensors are replaced by the hash's under the names that the
file has, and it is loaded again: so the names are those of real checkpoints.

Layout of a golden, with S = stride, every tensor flattened over [images, tokens, width]:
    hidden_states.{i}   F32, elements 0, S, 2S, ...; i = 0 enters block 0, i leaves block i - 1,
                        before any final norm
    last_hidden_state   F32, likewise
    pooler_output, image_embeds, logits   F32 [images, width], whole, where the class has them
  metadata, all strings:
    config              the config.json
    dtype, seed, images, channels (3 where it is missing), height, width, stride
    prefix              of the tower's tensors, for a tower inside a vision-language model, whose
                        golden holds what the model's projector is given, as last_hidden_state
    errors              JSON, tensor name to "torch_fp16": the relative L2 error of torch's own FP16
                        model against its FP32 one, over the stored elements
"""

import pathlib
import sys
import tempfile

import numpy as np
import safetensors
import safetensors.numpy
import torch
import transformers
from golden_file import ROOT, relative_l2, save

sys.path.insert(0, str(ROOT / "tests" / "python"))

from counter_hash import hash_text, hash_uniform  # noqa: E402
from hash_checkpoint import hash_tensor, rounded  # noqa: E402

ANCHOR = "embeddings.patch_embedding.weight"
WHOLE = ("pooler_output", "image_embeds", "logits")
SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
SMALL_MLP = {**SMALL, "intermediate_size": 160}
INTERN_300M = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "attention_bias": True,
    "image_size": 42,
    "patch_size": 14,
}
INTERN_6B = {
    "hidden_size": 3200,
    "intermediate_size": 12800,
    "num_hidden_layers": 1,
    "num_attention_heads": 25,
    "use_qk_norm": True,
    "norm_type": "rms_norm",
    "image_size": 28,
    "patch_size": 14,
}
SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "image_size": 42,
    "patch_size": 14,
}


def case(model, fields, seed, **others):
    """`model` names transformers' model class, whose config takes `fields`."""
    defaults = {"dtype": "F32", "images": 2, "stride": 1, "size": None, "reader": None}
    return {"model": model, "fields": fields, "seed": seed, **defaults, **others}


def inside(model, vision_type, text_type, reader, seed, **others):
    """A tiny vision-language model, of which `reader` is the module that reads the tower."""
    vision = {**SMALL_MLP, "num_hidden_layers": 3, "model_type": vision_type, **others}
    text = {
        "model_type": text_type,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 64,
        "pad_token_id": 0,
    }
    fields = {"vision_config": vision, "text_config": text}
    return case(model, fields, seed, reader=reader)


CASES = {
    "siglip_so400m": case("SiglipVisionModel", SO400M, 11, dtype="F16", images=1, stride=7),
    "internvl_small": case("InternVLVisionModel", {**SMALL_MLP, "attention_bias": True}, 12),
    "internvl_resized": case(
        "InternVLVisionModel",
        {**SMALL_MLP, "use_qk_norm": True, "norm_type": "rms_norm"},
        13,
        dtype="BF16",
        size=(48, 24),
    ),
    "internvl_300m": case("InternVLVisionModel", INTERN_300M, 14, dtype="BF16", images=1, stride=5),
    "internvl_6b": case("InternVLVisionModel", INTERN_6B, 15, dtype="BF16", images=1, stride=5),
    "clip_small": case(
        "CLIPVisionModelWithProjection", {**SMALL_MLP, "projection_dim": 48}, 16, dtype="F16"
    ),
    "clip_classifier": case(
        "CLIPForImageClassification", {"vision_config": SMALL_MLP, "num_labels": 5}, 28
    ),
    "siglip_classifier": case(
        "SiglipForImageClassification",
        {"vision_config": SMALL_MLP, "num_labels": 5},
        29,
        dtype="BF16",
    ),
    "vit_small": case("ViTForImageClassification", {**SMALL_MLP, "num_labels": 5}, 17),
    "vit_pooler": case("ViTModel", {**SMALL_MLP, "pooler_output_size": 40, "num_channels": 1}, 30),
    "deit_pooler": case("DeiTModel", {**SMALL_MLP, "num_channels": 4}, 31, dtype="F16"),
    "deit_classifier": case("DeiTForImageClassification", {**SMALL_MLP, "num_labels": 5}, 32),
    "deit_small": case(
        "DeiTForImageClassificationWithTeacher", {**SMALL_MLP, "num_labels": 5}, 18, dtype="BF16"
    ),
    "dinov2_small": case("Dinov2Model", {**SMALL, "mlp_ratio": 2}, 19, size=(40, 24)),
    "dinov2_giant": case("Dinov2Model", {**SMALL, "use_swiglu_ffn": True}, 20, images=1),
    "dinov2_classifier": case(
        "Dinov2ForImageClassification",
        {**SMALL, "mlp_ratio": 2, "num_labels": 5},
        33,
        size=(40, 24),
    ),
    "dinov2_registers_classifier": case(
        "Dinov2WithRegistersForImageClassification",
        {**SMALL, "mlp_ratio": 2, "num_labels": 5, "num_register_tokens": 3},
        34,
        dtype="BF16",
    ),
    "dinov2_registers": case(
        "Dinov2WithRegistersModel", {**SMALL, "use_swiglu_ffn": True}, 21, images=1, size=(24, 48)
    ),
    "in_paligemma": inside(
        "PaliGemmaForConditionalGeneration",
        "siglip_vision_model",
        "gemma",
        "multi_modal_projector",
        22,
        vision_use_head=False,
    ),
    "in_gemma3": inside(
        "Gemma3ForConditionalGeneration",
        "siglip_vision_model",
        "gemma3_text",
        "multi_modal_projector",
        23,
        vision_use_head=False,
    ),
    "in_llava": inside(
        "LlavaForConditionalGeneration", "clip_vision_model", "llama", "multi_modal_projector", 24
    ),
    "in_llava_onevision": inside(
        "LlavaOnevisionForConditionalGeneration",
        "siglip_vision_model",
        "qwen2",
        "multi_modal_projector",
        25,
        vision_use_head=False,
    ),
    "in_internvl": inside(
        "InternVLForConditionalGeneration",
        "internvl_vision",
        "qwen2",
        "pixel_shuffle",
        27,
        attention_bias=True,
    ),
    "in_smolvlm": inside(
        "SmolVLMForConditionalGeneration", "smolvlm_vision", "llama", "connector", 26
    ),
}


def make_pixels(channels, height, width, images):
    shape = (images, channels, height, width)
    counters = np.arange(int(np.prod(shape)), dtype=np.uint64)
    return torch.from_numpy(hash_uniform(hash_text("pixels"), counters).reshape(shape))


def bare(key):
    """The key without the tower's prefix; what stands beside the tower has none."""
    towers = ("vision_tower", "vision_model", "vit", "deit", "dinov2", "dinov2_with_registers")
    for prefix in ("model", *towers):
        key = key.removeprefix(prefix + ".")
    return key


def make_model(chosen):
    """The loaded FP32 model, the config.json it was saved with, and the prefix of the tower."""
    model_class = getattr(transformers, chosen["model"])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model_class(model_class.config_class(**chosen["fields"])).save_pretrained(folder)
        tensors, prefix = {}, ""
        with safetensors.safe_open(folder / "model.safetensors", "np") as file:
            for key in file.keys():
                shape = tuple(file.get_slice(key).get_shape())
                values = hash_tensor(bare(key), shape, chosen["seed"], np.float32(1.0))
                if key.endswith(ANCHOR):
                    prefix = key.removesuffix(ANCHOR)
                tensors[key] = rounded(values, chosen["dtype"])
        safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        model, report = model_class.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
        )
        assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys")), report
        return model.eval(), (folder / "config.json").read_text(), prefix


def tower_of(model):
    """What makes last_hidden_state and pooler_output; a class with a head has it inside."""
    endings = ("Model", "Transformer")
    inside = [module for module in model.children() if type(module).__name__.endswith(endings)]
    return inside[0] if inside else model


def blocks_of(model):
    """The list of blocks: the one ModuleList of as many modules as the config has layers."""
    layers = getattr(model.config, "vision_config", model.config).num_hidden_layers
    lists = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers
    ]
    assert len(lists) == 1, lists
    return lists[0]


@torch.no_grad()
def run(model, pixels):
    """Tensor name to float64 array. Hooks, so that no version's meaning of hidden_states matters."""
    outputs = {}

    def keep(name, index):
        def hook(_module, arguments, result):
            value = arguments[0] if index is None else result
            value = value[0] if isinstance(value, tuple) else value
            outputs[name] = value.detach().double().numpy()

        return hook

    blocks = blocks_of(model)
    hooks = [blocks[0].register_forward_hook(keep("hidden_states.0", None))]
    for i, block in enumerate(blocks):
        hooks.append(block.register_forward_hook(keep(f"hidden_states.{i + 1}", 0)))
    results = []
    hooks.append(tower_of(model).register_forward_hook(lambda *seen: results.append(seen[2])))
    results.append(model(pixel_values=pixels))
    for hook in hooks:
        hook.remove()
    for name in ("last_hidden_state", *WHOLE):
        for result in results:
            value = getattr(result, name, None)
            if value is not None:
                outputs[name] = value.double().numpy()
    return outputs


@torch.no_grad()
def run_inside(model, pixels, reader):
    """What the module or method called `reader` is given of the tower's output."""

    class Seen(Exception):
        """Carries the input out; what comes after the reader does not matter here."""

    def stop(_module, arguments, named):
        raise Seen((*arguments, *named.values())[0])

    if reader == "pixel_shuffle":  # a method, given [images, rows, columns, width]
        model.model.pixel_shuffle = lambda grid, **named: stop(None, (grid.flatten(1, 2),), named)
        hook = None
    else:
        hook = getattr(model.model, reader).register_forward_pre_hook(stop, with_kwargs=True)
    inputs = {"pixel_values": pixels}
    if "Onevision" in type(model).__name__:
        inputs["image_sizes"] = torch.tensor([pixels.shape[2:]] * pixels.shape[0])
    elif reader == "connector":
        inputs["pixel_values"] = pixels[:, None]
    try:
        model.model.get_image_features(**inputs)
    except Seen as seen:
        return {"last_hidden_state": seen.args[0].double().numpy()}
    finally:
        if hook:
            hook.remove()
    raise AssertionError(f"{reader} was not run")


def make_golden(name, chosen):
    model, config, prefix = make_model(chosen)
    vision = chosen["fields"].get("vision_config", chosen["fields"])
    height, width = chosen["size"] or (vision["image_size"], vision["image_size"])
    channels = vision.get("num_channels", 3)
    pixels = make_pixels(channels, height, width, chosen["images"])
    reader = chosen["reader"]
    fp32 = run_inside(model, pixels, reader) if reader else run(model, pixels)
    model, pixels = model.half(), pixels.half()
    fp16 = run_inside(model, pixels, reader) if reader else run(model, pixels)
    errors, stored = {}, {}
    for tensor, values in fp32.items():
        step = 1 if tensor in WHOLE else chosen["stride"]
        expected = np.ascontiguousarray(values.reshape(-1)[::step])
        actual = fp16[tensor].reshape(-1)[::step]
        errors[tensor] = {"torch_fp16": relative_l2(expected, actual)}
        stored[tensor] = expected.astype(np.float32)
    metadata = {key: chosen[key] for key in ("dtype", "seed", "images", "stride")}
    if chosen["reader"]:
        metadata["prefix"] = prefix
    metadata.update(channels=channels, height=height, width=width, config=config)
    save(name, stored, metadata, errors)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen_name in sys.argv[1:] or CASES:
        make_golden(chosen_name, CASES[chosen_name])
