"""Checkpoints made of the counter hash: runtime/encoder/hash_checkpoint.h, in numpy.

Equal to the C++ in every byte of every tensor. `hash_tensor` serves every family; the rest makes
whole SigLIP checkpoints, for which a config is a dict with the fields of
SiglipVisionConfig (all that `siglip_shapes` reads must be present).
"""

import hashlib
import json

import numpy as np
from safetensors.numpy import save_file

from counter_hash import counter_hash, hash_text, hash_uniform

PREFIX = "vision_model."
OUTLIER_GAIN = np.float32(16.0)
LAYER_SCALES = ("lambda_1", "lambda_2", "lambda1")
TABLES_AND_TOKENS = (
    "position_embedding.weight",
    "position_embeddings",
    "class_embedding",
    "cls_token",
    "distillation_token",
    "register_tokens",
    "probe",
)


def siglip_shapes(config):
    """Key (without prefix) to shape for every tensor of a SiglipVisionModel."""
    width, mlp = config["hidden_size"], config["intermediate_size"]
    patch, channels = config["patch_size"], config["num_channels"]
    shapes = {
        "embeddings.patch_embedding.weight": (width, channels, patch, patch),
        "embeddings.patch_embedding.bias": (width,),
        "embeddings.position_embedding.weight": ((config["image_size"] // patch) ** 2, width),
    }

    def add_linear(stem, rows, inputs):
        shapes[stem + ".weight"] = (rows, inputs)
        shapes[stem + ".bias"] = (rows,)

    def add_norm(stem):
        shapes[stem + ".weight"] = (width,)
        shapes[stem + ".bias"] = (width,)

    for block in range(config["num_hidden_layers"]):
        stem = f"encoder.layers.{block}."
        add_norm(stem + "layer_norm1")
        for layer in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add_linear(stem + "self_attn." + layer, width, width)
        add_norm(stem + "layer_norm2")
        add_linear(stem + "mlp.fc1", mlp, width)
        add_linear(stem + "mlp.fc2", width, mlp)
    add_norm("post_layernorm")
    if config["vision_use_head"]:
        shapes["head.probe"] = (1, 1, width)
        shapes["head.attention.in_proj_weight"] = (3 * width, width)
        shapes["head.attention.in_proj_bias"] = (3 * width,)
        add_linear("head.attention.out_proj", width, width)
        add_norm("head.layernorm")
        add_linear("head.mlp.fc1", mlp, width)
        add_linear("head.mlp.fc2", width, mlp)
    return shapes


def _channel_gain(config, seed, outliers):
    gain = np.ones(config["hidden_size"], dtype=np.float32)
    for j in range(outliers):
        gain[int(counter_hash(seed, j)) % config["hidden_size"]] = OUTLIER_GAIN
    return gain


def hash_tensor(key, shape, seed, gain):
    """One tensor as float32; every step is one binary32 operation. gain 1: no outliers."""
    count = int(np.prod(shape))
    u = hash_uniform(counter_hash(seed, hash_text(key)), np.arange(count, dtype=np.uint64))
    if "norm" in key and key.endswith(".weight"):
        values = np.float32(1.0) + u * np.float32(0.25)
    elif key.endswith("bias"):
        values = u * np.float32(0.0625)
    elif key.endswith(LAYER_SCALES):
        values = np.float32(0.5) + u * np.float32(0.25)
    elif key.endswith(TABLES_AND_TOKENS):
        values = u * np.float32(0.5)
    else:
        inputs = np.float32(count // shape[0])
        values = u * np.sqrt(np.float32(3.0) / inputs)
    values = values.reshape(shape)
    if np.ndim(gain) == 0:
        return values
    if key.endswith((".layer_norm1.weight", ".layer_norm2.weight")):
        values = values * gain
    elif key.startswith("encoder.layers.") and key.endswith(
        ("q_proj.weight", "k_proj.weight", "v_proj.weight", "fc1.weight")
    ):
        values = values * (np.float32(1.0) / gain)
    assert values.dtype == np.float32
    return values


def hash_tensors(config, seed, outliers=0):
    """Key (without prefix) to float32 array, before the rounding to the checkpoint's dtype."""
    gain = _channel_gain(config, seed, outliers)
    return {
        key: hash_tensor(key, shape, seed, gain) for key, shape in siglip_shapes(config).items()
    }


def bfloat16_bits(values):
    """float32 to BF16 bit patterns, nearest even; finite values only."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def rounded(values, dtype):
    """float32 values after the rounding to dtype ("F32", "F16" or "BF16")."""
    if dtype == "F16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        return (bfloat16_bits(values).astype(np.uint32) << 16).view(np.float32)
    return values


def stored_bytes(values, dtype):
    """The bytes of one tensor in a checkpoint of `dtype`."""
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    if dtype == "BF16":
        return bfloat16_bits(values).astype("<u2").tobytes()
    return values.astype("<f4").tobytes()


def content_sha256(config, dtype, seed, outliers=0):
    """SHA-256 over key, newline and bytes of every tensor in the order of the prefixed keys.

    Not over the file: its header belongs to the writer, and safetensors' Python writers differ.
    """
    digest = hashlib.sha256()
    for key, values in sorted(hash_tensors(config, seed, outliers).items()):
        digest.update((PREFIX + key + "\n").encode())
        digest.update(stored_bytes(values, dtype))
    return digest.hexdigest()


def write_folder(folder, config, seed, outliers=0):
    """config.json and model.safetensors (F32) of a SiglipVisionModel."""
    fields = {"model_type": "siglip_vision_model", **config}
    (folder / "config.json").write_text(json.dumps(fields))
    tensors = hash_tensors(config, seed, outliers)
    save_file(
        {PREFIX + key: values for key, values in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )


if __name__ == "__main__":
    # The constants of tests/encoder/hash_checkpoint_test.cc.
    TINY = {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_channels": 3,
        "image_size": 32,
        "patch_size": 8,
        "vision_use_head": True,
    }
    for arguments in (("F32", 1, 0), ("F16", 2, 0), ("BF16", 3, 2)):
        print(*arguments, content_sha256(TINY, *arguments))
