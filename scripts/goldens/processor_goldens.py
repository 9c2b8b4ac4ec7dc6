"""Goldens of where preprocessing comes from: what AutoImageProcessor makes of a model folder's files.

  python processor_goldens.py     Pillow 13.0.0, transformers 5.24.0, torch

Writes tests/golden/datasets/processor_files.tsv (`files`: the JSON of each file; `sha256`: of the binary32
pixel values of a 97x61 image made from the integer hash, or "refused") and processor_types.tsv (the
processor that each model_type stands for).
"""

import json
import tempfile
import warnings
from pathlib import Path

from resample_goldens import digest, hash_image, require, write

OWN, PROCESSOR, MODEL = "preprocessor_config.json", "processor_config.json", "config.json"
SMALL = {"size": {"height": 40, "width": 40}}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32}
EDGES = {"shortest_edge": 40}
VIT = {"image_processor_type": "ViTImageProcessor", "size": 40}


def untyped(model_type, **fields):
    return {OWN: fields, MODEL: {"model_type": model_type}}


CASES = [
    # Which file.
    {OWN: CLIP, PROCESSOR: {"image_processor": VIT}, MODEL: {"model_type": "clip"}},
    {OWN: CLIP, PROCESSOR: {"image_processor": {}}, MODEL: {"model_type": "vit"}},
    {OWN: CLIP, PROCESSOR: {"image_processor": None}, MODEL: {"model_type": "vit"}},
    {OWN: CLIP, PROCESSOR: {"processor_class": "CLIPProcessor"}, MODEL: {"model_type": "clip"}},
    {PROCESSOR: {"image_processor": VIT, "processor_class": "X"}},
    {PROCESSOR: {"processor_class": "CLIPProcessor"}, MODEL: {"model_type": "clip"}},
    {"video_preprocessor_config.json": CLIP, MODEL: {"model_type": "clip"}},
    {MODEL: {"model_type": "vit"}},
    # Which class.
    untyped("vit", size=40),
    untyped("vit", size=40, image_mean=[0.1, 0.2, 0.3], image_std=0.4, resample=3),
    untyped("deit", size=48, crop_size=40),
    untyped("clip", size=40, crop_size=32),
    untyped("siglip", **SMALL),
    untyped("paligemma", **SMALL),
    untyped("gemma3", **SMALL),
    untyped("dinov2", size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
    untyped("vipllava", size=40, crop_size=32),
    untyped("llava", size=40, crop_size=32),
    untyped("got_ocr2", **SMALL),
    untyped("sam", **SMALL),
    untyped("bert", **SMALL),
    {OWN: SMALL},
    {PROCESSOR: {"image_processor": {"size": 40, "crop_size": 32}}, MODEL: {"model_type": "clip"}},
    {OWN: {"size": 40, "crop_size": 32},
     MODEL: {"model_type": "vit", "image_processor_type": "CLIPImageProcessor"}},
    {OWN: {"feature_extractor_type": "ViTFeatureExtractor", "size": 40}},
    {OWN: {"feature_extractor_type": "CLIPFeatureExtractor", **VIT}, MODEL: {"model_type": "clip"}},
    {OWN: {**VIT, "image_processor_type": "ViTImageProcessorFast"}},
    {OWN: {**VIT, "image_processor_type": "NoSuchProcessor"}, MODEL: {"model_type": "x"}},
    # How sizes and fields are spelled.
    {OWN: {**VIT, "size": [40, 48]}},
    {OWN: {**VIT, "size": {"longest_edge": 40}}},
    {OWN: {**VIT, "default_to_square": False, "do_center_crop": True, "crop_size": 32}},
    {OWN: {**CLIP, "crop_size": [32, 24]}},
    {OWN: {**CLIP, "crop_size": {"height": 24, "width": 32}}},
    {OWN: {**CLIP, "crop_size": {"shortest_edge": 24}}},
    {OWN: {**VIT, "do_center_crop": True}},
    {OWN: {**VIT, "do_center_crop": True, "crop_size": 32}},
    {OWN: {**VIT, "do_pad": True}},
    *[{OWN: {"image_processor_type": f"{name}ImageProcessor", **SMALL, "do_center_crop": True,
             "crop_size": 32}} for name in ("Siglip", "Gemma3", "GotOcr2", "Bit")],
    {OWN: {**VIT, "do_pad": False, "pad_size": {"height": 48, "width": 48}}},
    {OWN: {**VIT, "do_rescale": None}},
    {OWN: {**VIT, "do_normalize": None}},
    {OWN: {**CLIP, "do_center_crop": None, "size": {"height": 40, "width": 40}}},
    {OWN: {**VIT, "do_resize": None, "do_center_crop": True, "crop_size": 32}},
    {OWN: {**VIT, "do_resize": False, "do_center_crop": True, "crop_size": 32}},
    {OWN: {**VIT, "do_center_crop": None, "crop_size": None, "do_pad": None, "do_convert_rgb": None}},
    {OWN: {**VIT, "image_mean": 0.25, "image_std": 0.5}},
    {OWN: {**VIT, "rescale_factor": 0.01, "do_convert_rgb": False}},
    {OWN: {**VIT, "do_rescale": False, "do_normalize": False}},
    *[{OWN: {"image_processor_type": f"{name}ImageProcessor", "size": dict(EDGES, longest_edge=most),
             "do_center_crop": True, "crop_size": 32}}
      for name in ("Siglip", "CLIP", "ViT", "DeiT", "Bit", "Llava") for most in (37, 45, 64)],
    {OWN: {**CLIP, "size": {"shortest_edge": 61, "longest_edge": 97}}},
    {OWN: {**CLIP, "use_square_size": True}},
    {OWN: {**VIT, "use_square_size": True}},
    {OWN: {**VIT, "do_flip": True, "do_grayscale": True, "do_thumbnail": 1}},
    {OWN: {**VIT, "do_normalize": 0}},
    {OWN: {**VIT, "do_normalize": 1, "do_rescale": 0}},
    {OWN: {**VIT, "do_pad": True, "pad_size": {"height": 40, "width": 40}}},
    {OWN: {**VIT, "resample": 4}},
    {OWN: {**CLIP, "resample": 5}},
]


def pixels(folder):
    from PIL import Image
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    values = processor(Image.fromarray(hash_image(97, 61, 1)), return_tensors="np")["pixel_values"]
    return values.astype("float32")


def write_files():
    lines = ["files\tsha256"]
    for files in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_text(json.dumps(content))
            try:
                result = digest(pixels(folder))
            except Exception as error:
                print("refused:", json.dumps(files), type(error).__name__, str(error)[:100])
                result = "refused"
        lines.append(f"{json.dumps(files)}\t{result}")
    write("files", lines, prefix="processor")


def write_types():
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    lines = ["model_type\tprocessor"]
    for model_type, backends in sorted(IMAGE_PROCESSOR_MAPPING_NAMES.items()):
        name = (backends.get("torchvision") or backends["pil"]).removesuffix("Pil")
        lines.append(f"{model_type}\t{name}")
    write("types", lines, prefix="processor")


def main():
    require("PIL", "13.0.0")
    require("transformers", "5.24.0")
    warnings.simplefilter("ignore")
    write_files()
    write_types()


if __name__ == "__main__":
    main()
