"""Goldens of decoding and preprocessing: SHA-256 of what Pillow, transformers and timm give.

  python preprocess_goldens.py transformers  Pillow 13.0.0, transformers 5.23.0, torch 2.15.0,
                                             torchvision 0.29.2
  python preprocess_goldens.py timm          Pillow 13.0.0, torchvision 0.29.2, timm 1.0.31
  python preprocess_goldens.py awkward       Pillow 13.0.0 and the awkward files (W8A8_DATA)

Each writes tests/golden/datasets/preprocess_NAME.tsv. `config` is the JSON of the file that the model
folder holds; images are made from the integer hash; `sha256` is of the binary32 pixel values.
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
TIMM = [
    {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5] * 3,
     "std": [0.5] * 3, "crop_mode": "center"},
    {"input_size": [3, 224, 224]},
    {"input_size": [3, 98, 98], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"},
    {"input_size": [3, 160, 128], "interpolation": "lanczos", "crop_pct": 0.95,
     "crop_mode": "squash"},
]


def transformers_cases():
    from PIL import Image
    from transformers.models.bit import image_processing_bit, image_processing_pil_bit
    from transformers.models.clip import image_processing_clip, image_processing_pil_clip
    from transformers.models.deit import image_processing_deit, image_processing_pil_deit
    from transformers.models.siglip import image_processing_pil_siglip, image_processing_siglip
    from transformers.models.vit import image_processing_pil_vit, image_processing_vit

    modules = [
        image_processing_bit, image_processing_pil_bit, image_processing_clip,
        image_processing_pil_clip, image_processing_deit, image_processing_pil_deit,
        image_processing_pil_siglip, image_processing_siglip, image_processing_pil_vit,
        image_processing_vit,
    ]
    classes = {name: value for module in modules for name, value in vars(module).items()}
    for config in TRANSFORMERS:
        name = config["image_processor_type"]
        for resampler, cls in (("pillow13", name + "Pil"), ("torchvision", name)):
            processor = classes[cls](**{k: v for k, v in config.items() if not k.endswith("_type")})
            for seed, (width, height) in enumerate(SIZES):
                image = Image.fromarray(hash_image(width, height, seed))
                values = processor(image, return_tensors="np")["pixel_values"][0]
                yield json.dumps(config), resampler, width, height, seed, values


def timm_cases():
    import timm.data
    from PIL import Image

    for config in TIMM:
        transform = timm.data.create_transform(
            **timm.data.resolve_data_config(pretrained_cfg=config, args={}))
        for seed, (width, height) in enumerate(SIZES):
            image = Image.fromarray(hash_image(width, height, seed))
            values = transform(image).numpy()
            yield json.dumps({"pretrained_cfg": config}), "pillow13", width, height, seed, values


def write_cases(name, cases):
    lines = ["config\tresampler\twidth\theight\tseed\tsha256"]
    for *case, values in cases:
        assert values.dtype == np.float32 and values.ndim == 3
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
    require("PIL", "13.0.0")
    if name == "transformers":
        require("transformers", "5.23.0")
        require("torchvision", "0.29.2")
        write_cases(name, transformers_cases())
    elif name == "timm":
        require("timm", "1.0.31")
        require("torchvision", "0.29.2")
        write_cases(name, timm_cases())
    elif name == "awkward":
        write_awkward()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
