"""Goldens of decoding and preprocessing: SHA-256 of what Pillow, transformers and timm give.

  python preprocess_goldens.py transformers  Pillow 13.0.0, transformers 5.23.0, torch 2.15.0,
                                             torchvision 0.29.2
  python preprocess_goldens.py timm          Pillow 13.0.0, torchvision 0.29.2, timm 1.0.31
  python preprocess_goldens.py internvl      Pillow 13.0.0, transformers 5.23.0, torchvision 0.29.2
  python preprocess_goldens.py awkward       Pillow 13.0.0 and the awkward files (W8A8_DATA)
  python preprocess_goldens.py photos        as transformers, and the photos (W8A8_DATA)
  python preprocess_goldens.py photos12      as photos, but Pillow 12.1.0

Each writes tests/golden/datasets/preprocess_NAME.tsv. `config` is the JSON of the file that the model
folder holds; images are made from the integer hash; `sha256` is of the binary32 pixel values of all views
of the image. The photos' digests are of the 8-bit pixels before normalization.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from resample_goldens import ROOT, digest, hash_image, require, write

SIZES = [(224, 224), (97, 61), (61, 97), (410, 643), (640, 480), (2, 300)]

SIGLIP = {"image_processor_type": "SiglipImageProcessor"}
TRANSFORMERS = [
    SIGLIP,
    {**SIGLIP, "size": {"height": 96, "width": 128}, "resample": 2, "do_convert_rgb": None},
    {**SIGLIP, "resample": 1, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    {**SIGLIP, "do_normalize": False, "rescale_factor": 0.003},
    {**SIGLIP, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
    {"image_processor_type": "CLIPImageProcessor"},
    {"image_processor_type": "CLIPImageProcessor", "size": 336, "crop_size": 336},
    {"image_processor_type": "ViTImageProcessor", "size": 112},
    {"image_processor_type": "DeiTImageProcessor"},
    {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256},
     "crop_size": {"height": 225, "width": 224}},
    {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 100},
     "crop_size": {"height": 133, "width": 121}},
]
GOT = {"image_processor_type": "GotOcr2ImageProcessorFast"}
LLAVA_NEXT = {"image_processor_type": "LlavaNextImageProcessor"}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
TRANSFORMERS += [
    {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 448, "width": 448},
     "do_pan_and_scan": None},
    {**GOT, "size": {"height": 112, "width": 112}, "crop_to_patches": True, **IMAGENET},
    {**GOT, "size": {"height": 64, "width": 80}, "processor_class": "InternVLProcessor",
     "crop_to_patches": False, "min_patches": 2, "max_patches": 6},
    {**GOT, "crop_to_patches": False},
    {"image_processor_type": "LlavaImageProcessor"},
    {**LLAVA_NEXT, "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    {"image_processor_type": "LlavaOnevisionImageProcessor"},
    {"image_processor_type": "Idefics3ImageProcessor"},
    {"image_processor_type": "SmolVLMImageProcessor", "size": {"longest_edge": 300},
     "max_image_size": {"longest_edge": 96}},
    {"image_processor_type": "SmolVLMImageProcessor", "size": {"longest_edge": 200},
     "max_image_size": {"longest_edge": 96}, "do_image_splitting": False},
    {"image_processor_type": "Siglip2ImageProcessor", "do_convert_rgb": True},
    {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 14, "max_num_patches": 100,
     "resample": 3, "do_convert_rgb": True},
]
# As the models' repositories have them.
FAMILIES = {
    "siglip": {**SIGLIP, "size": {"height": 224, "width": 224}, "resample": 3},
    "siglip2": {**SIGLIP, "size": {"height": 384, "width": 384}, "resample": 2},
    "naflex": {"image_processor_type": "Siglip2ImageProcessor", "resample": 2, "patch_size": 16,
               "max_num_patches": 256, "do_convert_rgb": True},
    "gemma3": {"image_processor_type": "Gemma3ImageProcessor", "resample": 2,
               "size": {"height": 896, "width": 896}},
    "clip": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224,
             "do_center_crop": True, "resample": 3},
    "vit": {"image_processor_type": "ViTImageProcessor", "size": 224, "resample": 2},
    "deit": {"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "crop_size": 224,
             "do_center_crop": True, "resample": 3, **IMAGENET},
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256},
               "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "resample": 3,
               **IMAGENET},
    "internvit": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 448, "crop_size": 448,
                  "do_center_crop": True, "resample": 3, **IMAGENET},
    "llava_onevision": {"image_processor_type": "LlavaOnevisionImageProcessor", "resample": 3,
                        "size": {"height": 384, "width": 384}},
    "smolvlm": {"image_processor_type": "SmolVLMImageProcessor", "resample": 1,
                "do_image_splitting": True, "size": {"longest_edge": 2048},
                "max_image_size": {"longest_edge": 512}},
    "internvl": {**GOT, "size": {"height": 448, "width": 448}, "processor_class": "InternVLProcessor",
                 "resample": 3, **IMAGENET},
}
CHAT = {"model_type": "internvl_chat", "vision_config": {"image_size": 112}}
CHATS = [
    CHAT,
    {**CHAT, "dynamic_image_size": True, "max_dynamic_patch": 12, "use_thumbnail": True},
    {**CHAT, "force_image_size": 64, "dynamic_image_size": True, "min_dynamic_patch": 2,
     "max_dynamic_patch": 6, "use_thumbnail": False},
]
TIMM = [
    {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5] * 3,
     "std": [0.5] * 3, "crop_mode": "center"},
    {"input_size": [3, 224, 224]},
    {"input_size": [3, 98, 98], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"},
    {"input_size": [3, 160, 128], "interpolation": "lanczos", "crop_pct": 0.95,
     "crop_mode": "squash"},
]


def processor_classes():
    """By name; those that end in Pil are the PIL ones."""
    from importlib import import_module

    classes = {}
    for family in ("bit", "clip", "deit", "gemma3", "got_ocr2", "idefics3", "llava", "llava_next",
                   "llava_onevision", "siglip", "siglip2", "smolvlm", "vit"):
        for kind in ("image_processing", "image_processing_pil"):
            classes |= vars(import_module(f"transformers.models.{family}.{kind}_{family}"))
    return classes


def make_processor(classes, config, resampler, **changes):
    name = config.get("image_processor_type", config.get("feature_extractor_type"))
    name = name.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    settings = {k: v for k, v in config.items() if not k.endswith("_type")}
    if settings.pop("processor_class", "") == "InternVLProcessor":
        settings["crop_to_patches"] = True
    if name.endswith(("ViTImageProcessor", "DeiTImageProcessor")) and isinstance(
            settings.get("size"), int):
        settings["size"] = {"height": settings["size"], "width": settings["size"]}
    return classes[name + ("" if resampler == "torchvision" else "Pil")](**settings, **changes)


def views_of(processor, image):
    """[views, 3, height, width]; NaFlex: [1, 1, patches, patch * patch * 3]; of the processors that cut images up, LLaVA's, the whole image."""
    outputs = processor(image, return_tensors="np")
    values = outputs["pixel_values"]
    if "spatial_shapes" in outputs:  # NaFlex: the patches of the one image, as one view
        rows, columns = outputs["spatial_shapes"][0]
        assert outputs["pixel_attention_mask"][0].sum() == rows * columns
        return values[:, None, : rows * columns]
    if values.ndim == 5:  # LLaVA's have the whole image first, Idefics3's and SmolVLM's last
        return values[0][:1] if "image_sizes" in outputs else values[0][-1:]
    return values


def transformers_cases():
    from PIL import Image

    classes = processor_classes()
    for config in TRANSFORMERS:
        for resampler in ("pillow13", "torchvision"):
            processor = make_processor(classes, config, resampler)
            for seed, (width, height) in enumerate(SIZES):
                image = Image.fromarray(hash_image(width, height, seed))
                yield json.dumps(config), resampler, width, height, seed, views_of(processor, image)


def internvl_cases():
    """InternVL's chat code: PIL tiles, then torchvision's ToTensor and Normalize."""
    import torch
    from PIL import Image
    from torchvision.transforms import Compose, Normalize, ToTensor
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    transform = Compose([ToTensor(), Normalize(IMAGENET["image_mean"], IMAGENET["image_std"])])
    for config in CHATS:
        side = config.get("force_image_size", config["vision_config"]["image_size"])
        for seed, (width, height) in enumerate(SIZES):
            image = Image.fromarray(hash_image(width, height, seed))
            columns, rows = 1, 1
            if config.get("dynamic_image_size"):
                columns, rows = get_optimal_tiled_canvas(
                    (height, width), (side, side), config.get("min_dynamic_patch", 1),
                    config["max_dynamic_patch"])
            canvas = image.resize((side * columns, side * rows), Image.Resampling.BICUBIC)
            views = [canvas.crop((side * x, side * y, side * x + side, side * y + side))
                     for y in range(rows) for x in range(columns)]
            if len(views) > 1 and config["use_thumbnail"]:
                views.append(image.resize((side, side), Image.Resampling.BICUBIC))
            values = torch.stack([transform(view) for view in views]).numpy()
            yield json.dumps(config), "pillow13", width, height, seed, values


def write_photos(resamplers):
    """50 photos: every fourth of images/calib, by name. 12 hex digits of each digest."""
    from PIL import Image, ImageOps

    data = Path(os.environ.get("W8A8_DATA", ROOT / "../shared/data"))
    paths = sorted((data / "images/calib").iterdir(), key=lambda p: p.name.encode())
    paths = [path for path in paths if path.suffix != ".tsv"][::4][:50]
    classes = processor_classes()
    lines = ["family\tconfig\tresampler\tdigests"]
    for family, config in FAMILIES.items():
        for resampler in resamplers:
            processor = make_processor(classes, config, resampler, do_rescale=False,
                                       do_normalize=False)
            digests = []
            for path in paths:
                image = ImageOps.exif_transpose(Image.open(path))
                values = views_of(processor, image)
                if values.shape[1] == 1 and family != "naflex":  # ViT's and DeiT's leave greyscale as it is; we convert
                    values = values.repeat(3, axis=1)
                assert (values == values.astype(np.uint8)).all()
                levels = values.astype(np.uint8)
                if family != "naflex":
                    levels = levels.transpose(0, 2, 3, 1)
                digests.append(digest(levels)[:12])
            lines.append(f"{family}\t{json.dumps(config)}\t{resampler}\t{' '.join(digests)}")
    write_table("photos12" if resamplers == ["pillow12"] else "photos", lines)


def timm_cases():
    import timm.data
    from PIL import Image

    for config in TIMM:
        transform = timm.data.create_transform(
            **timm.data.resolve_data_config(pretrained_cfg=config, args={}))
        for seed, (width, height) in enumerate(SIZES):
            image = Image.fromarray(hash_image(width, height, seed))
            values = transform(image).numpy()[None]
            yield json.dumps({"pretrained_cfg": config}), "pillow13", width, height, seed, values


def write_cases(name, cases):
    lines = ["config\tresampler\twidth\theight\tseed\tsha256"]
    for *case, values in cases:
        assert values.dtype == np.float32 and values.ndim == 4
        lines.append("\t".join(map(str, case)) + "\t" + digest(values))
    write_table(name, lines)


def write_awkward():
    """Each file as transformers converts it (transparency on white) and as convert("RGB") does."""
    from PIL import Image, ImageOps

    data = Path(os.environ.get("W8A8_DATA", ROOT / "../shared/data")) / "images/nasty"
    lines = ["file\tsize\twhite_sha256\tdrop_sha256"]
    for path in sorted(data.iterdir(), key=lambda p: p.name.encode()):
        if path.suffix == ".tsv":
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(path)
                image.load()
                image = ImageOps.exif_transpose(image)
        except Exception as error:
            lines.append(f"{path.name}\t{type(error).__name__}\t\t")
            continue
        white = image
        if "A" in image.getbands() or image.info.get("transparency") is not None:
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            white = Image.alpha_composite(white, image.convert("RGBA"))
        digests = [digest(np.asarray(i.convert("RGB"))) for i in (white, image)]
        lines.append(f"{path.name}\t{image.width}x{image.height}\t" + "\t".join(digests))
    write_table("awkward", lines)


def write_table(name, lines):
    write(name, lines, prefix="preprocess")


def main():
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    require("PIL", "12.1.0" if name == "photos12" else "13.0.0")
    if name in ("transformers", "internvl", "photos", "photos12"):
        require("transformers", "5.23.0")
        require("torchvision", "0.29.2")
    if name == "transformers":
        write_cases(name, transformers_cases())
    elif name == "internvl":
        write_cases(name, internvl_cases())
    elif name == "timm":
        require("timm", "1.0.31")
        require("torchvision", "0.29.2")
        write_cases(name, timm_cases())
    elif name == "awkward":
        write_awkward()
    elif name == "photos":
        write_photos(["pillow13", "torchvision"])
    elif name == "photos12":
        write_photos(["pillow12"])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
