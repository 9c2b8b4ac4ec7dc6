"""Small models of every class that an export is made for, with random weights, by transformers."""

import torch
import transformers as tf

SIZES = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
IMAGE = dict(image_size=32, patch_size=8)
TEXT = dict(SIZES, vocab_size=128)
LANGUAGE = dict(TEXT, num_key_value_heads=2, head_dim=16, pad_token_id=0)
DINO = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, **IMAGE)
PAIRS = dict(attention_bias=True, image_size=[32, 32], patch_size=[8, 8])


def clip(**more):
    return tf.CLIPConfig(
        text_config=tf.CLIPTextConfig(**TEXT, max_position_embeddings=16, projection_dim=48).to_dict(),
        vision_config=tf.CLIPVisionConfig(**SIZES, **IMAGE, projection_dim=48).to_dict(),
        projection_dim=48,
        **more,
    )


def siglip(**more):
    return tf.SiglipConfig(
        text_config=tf.SiglipTextConfig(**TEXT, max_position_embeddings=16).to_dict(),
        vision_config=tf.SiglipVisionConfig(**SIZES, **IMAGE).to_dict(),
        **more,
    )


def naflex():
    return tf.Siglip2VisionConfig(**SIZES, patch_size=8, num_patches=16)


def siglip_tower():
    return tf.SiglipVisionConfig(**SIZES, **IMAGE, vision_use_head=False).to_dict()


def around(config, tower, language, **more):
    return config(vision_config=tower, text_config=language(**LANGUAGE).to_dict(), **more)


def idefics(config):
    return around(config, dict(**SIZES, **IMAGE), tf.LlamaConfig, image_token_id=5, scale_factor=2)


def gemma3():
    tokens = dict(image_token_index=5, boi_token_index=6, eoi_token_index=7)
    return around(
        tf.Gemma3Config, siglip_tower(), tf.Gemma3TextConfig, mm_tokens_per_image=4, **tokens
    )


def llava(config, tower, language):
    return around(config, tower, language, image_token_index=5)


def clip_tower():
    return tf.CLIPVisionConfig(**SIZES, **IMAGE).to_dict()


# Name: the class that the source is saved by, its config, and the other classes that load it.
FAMILIES = {
    "vit": ("ViTForImageClassification", lambda: tf.ViTConfig(**SIZES, **IMAGE), ["ViTModel"]),
    "vit_bare": ("ViTModel", lambda: tf.ViTConfig(**SIZES, **IMAGE), []),
    "deit": ("DeiTForImageClassification", lambda: tf.DeiTConfig(**SIZES, **IMAGE), ["DeiTModel"]),
    "deit_teacher": (
        "DeiTForImageClassificationWithTeacher",
        lambda: tf.DeiTConfig(**SIZES, **IMAGE),
        [],
    ),
    "dinov2": ("Dinov2Model", lambda: tf.Dinov2Config(mlp_ratio=2, **DINO), []),
    "dinov2_head": (
        "Dinov2ForImageClassification",
        lambda: tf.Dinov2Config(mlp_ratio=2, **DINO),
        ["Dinov2Model"],
    ),
    "dinov2_gated": ("Dinov2Model", lambda: tf.Dinov2Config(use_swiglu_ffn=True, **DINO), []),
    "dinov2_registers": (
        "Dinov2WithRegistersModel",
        lambda: tf.Dinov2WithRegistersConfig(mlp_ratio=2, **DINO),
        [],
    ),
    "siglip_vision": ("SiglipVisionModel", lambda: tf.SiglipVisionConfig(**SIZES, **IMAGE), []),
    "siglip": ("SiglipModel", siglip, ["SiglipVisionModel"]),
    "siglip_head": (
        "SiglipForImageClassification",
        lambda: siglip(num_labels=5),
        ["SiglipVisionModel"],
    ),
    "siglip2_vision": ("Siglip2VisionModel", naflex, []),
    "siglip2": (
        "Siglip2Model",
        lambda: tf.Siglip2Config(
            text_config=tf.Siglip2TextConfig(**TEXT, max_position_embeddings=16).to_dict(),
            vision_config=naflex().to_dict(),
        ),
        ["Siglip2VisionModel"],
    ),
    "clip_vision": ("CLIPVisionModel", lambda: tf.CLIPVisionConfig(**SIZES, **IMAGE), []),
    "clip_projection": (
        "CLIPVisionModelWithProjection",
        lambda: tf.CLIPVisionConfig(**SIZES, **IMAGE, projection_dim=48),
        ["CLIPVisionModel"],
    ),
    "clip": ("CLIPModel", clip, ["CLIPVisionModel", "CLIPVisionModelWithProjection"]),
    "clip_head": ("CLIPForImageClassification", lambda: clip(num_labels=5), ["CLIPVisionModel"]),
    "internvl_vision": (
        "InternVLVisionModel",
        lambda: tf.InternVLVisionConfig(**SIZES, **PAIRS),
        [],
    ),
    "llava": (
        "LlavaForConditionalGeneration",
        lambda: llava(tf.LlavaConfig, clip_tower(), tf.LlamaConfig),
        [],
    ),
    "llava_next": (
        "LlavaNextForConditionalGeneration",
        lambda: llava(tf.LlavaNextConfig, clip_tower(), tf.LlamaConfig),
        [],
    ),
    "llava_onevision": (
        "LlavaOnevisionForConditionalGeneration",
        lambda: llava(tf.LlavaOnevisionConfig, siglip_tower(), tf.Qwen2Config),
        [],
    ),
    "paligemma": (
        "PaliGemmaForConditionalGeneration",
        lambda: llava(tf.PaliGemmaConfig, siglip_tower(), tf.GemmaConfig),
        [],
    ),
    "gemma3": ("Gemma3ForConditionalGeneration", gemma3, []),
    "aya_vision": (
        "AyaVisionForConditionalGeneration",
        lambda: llava(tf.AyaVisionConfig, siglip_tower(), tf.CohereConfig),
        [],
    ),
    "llava_vit": (
        "LlavaForConditionalGeneration",
        lambda: llava(tf.LlavaConfig, tf.ViTConfig(**SIZES, **IMAGE).to_dict(), tf.LlamaConfig),
        [],
    ),
    "llava_dinov2": (
        "LlavaForConditionalGeneration",
        lambda: llava(
            tf.LlavaConfig, tf.Dinov2Config(use_swiglu_ffn=True, **DINO).to_dict(), tf.LlamaConfig
        ),
        [],
    ),
    "idefics3": ("Idefics3ForConditionalGeneration", lambda: idefics(tf.Idefics3Config), []),
    "smolvlm": ("SmolVLMForConditionalGeneration", lambda: idefics(tf.SmolVLMConfig), []),
    "internvl": (
        "InternVLForConditionalGeneration",
        lambda: around(
            tf.InternVLConfig,
            tf.InternVLVisionConfig(**SIZES, **PAIRS).to_dict(),
            tf.Qwen2Config,
            image_token_id=5,
        ),
        [],
    ),
}


def image_processor(name):
    pixels = dict(do_resize=True, resample=3, do_rescale=True, do_normalize=True)
    pixels.update(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    if name.startswith("siglip2"):
        return tf.Siglip2ImageProcessor(patch_size=8, max_num_patches=16, **pixels)
    return tf.SiglipImageProcessor(size=dict(height=32, width=32), **pixels)


@torch.no_grad()
def save(name, folder):
    """Weights of unit gain: of the classes' own ones, small, 8 bits are as fine as FP16."""
    torch.manual_seed(7)
    class_name, config, _ = FAMILIES[name]
    model = getattr(tf, class_name)(config())
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.normal_(std=module.in_features**-0.5)
    for key, parameter in model.named_parameters():
        if "lambda" in key:
            parameter.fill_(0.5)
    model.save_pretrained(folder)
    image_processor(name).save_pretrained(folder)


def pixels_of(name):
    generator = torch.Generator().manual_seed(11)
    if name.startswith("siglip2"):
        return {
            "pixel_values": torch.randn(2, 16, 192, generator=generator),
            "pixel_attention_mask": torch.ones(2, 16, dtype=torch.int64),
            "spatial_shapes": torch.tensor([[4, 4], [2, 8]]),
        }
    return {"pixel_values": torch.randn(2, 3, 32, 32, generator=generator)}
