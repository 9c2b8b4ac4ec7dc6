"""Goldens of the resampler: SHA-256 of what each library makes of made-up images and of photos.

  python resample_goldens.py pillow13     with Pillow 13.0.0
  python resample_goldens.py pillow12     with Pillow 12.1.0
  python resample_goldens.py torchvision  with torch 2.15.0, torchvision 0.29.2 (on a CPU with AVX2)
  python resample_goldens.py photos       with Pillow 13.0.0 and the photos (W8A8_DATA)

Each writes tests/golden/datasets/resample_NAME.tsv. The images come from tests/python/counter_hash.py,
so the files hold sizes and digests only.
"""

import hashlib
import os
import random
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/python"))
from counter_hash import counter_hash  # noqa: E402

FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1}  # PIL's codes
RARER_FILTERS = {"box": 4, "hamming": 5}
SIDES = [1, 2, 3, 7, 16, 31, 64, 100, 224, 248, 333]
# Around the rule that chooses the order of the passes, and what photos look like.
PLANNED = [
    (410, 643, 224, 224), (643, 410, 224, 224), (100, 200, 50, 100), (100, 201, 50, 100),
    (101, 200, 50, 100), (200, 100, 100, 50), (50, 600, 50, 100), (600, 50, 100, 50),
    (3, 640, 3, 64), (640, 3, 64, 3), (1, 500, 1, 7), (500, 1, 7, 1), (1, 1, 64, 64),
    (64, 64, 1, 1), (30, 400, 60, 100), (400, 30, 100, 60), (64, 64, 64, 64), (224, 300, 224, 224),
    (300, 224, 224, 224), (20, 20, 333, 17),
]


def hash_image(width, height, seed):
    counters = np.arange(width * height * 3, dtype=np.uint64)
    return (counter_hash(seed, counters) >> np.uint64(56)).astype(np.uint8).reshape(height, width, 3)


def cases():
    chance = random.Random(20)
    side = lambda: chance.choice(SIDES) if chance.random() < 0.5 else chance.randint(1, 400)
    sizes = PLANNED + [(side(), side(), side(), side()) for _ in range(60)]
    rarer = [(*size, name) for size in sizes for name in RARER_FILTERS]
    return [(*size, name) for size in sizes for name in FILTERS] + rarer


def pillow_resize(image, width, height, name):
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), (FILTERS | RARER_FILTERS)[name]))


def torchvision_resize(image, width, height, name):
    import torch
    import torchvision.transforms.v2.functional as functional
    from torchvision.transforms import InterpolationMode

    tensor = torch.from_numpy(image).permute(2, 0, 1)
    mode = InterpolationMode[name.upper()]
    return functional.resize(tensor, [height, width], mode, antialias=True).permute(1, 2, 0).numpy()


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def write_cases(order, resize):
    lines = ["width\theight\tout_width\tout_height\tfilter\tseed\tsha256"]
    for seed, (width, height, out_width, out_height, name) in enumerate(cases()):
        if order == "torchvision" and name in ("nearest", *RARER_FILTERS):
            continue
        out = resize(hash_image(width, height, seed), out_width, out_height, name)
        lines.append(f"{width}\t{height}\t{out_width}\t{out_height}\t{name}\t{seed}\t{digest(out)}")
    write(order, lines)


def write_photos():
    """Shorter side to 248 bicubic, centre crop 224: what timm does for vit_tiny_patch16_224."""
    from PIL import Image, ImageOps

    data = Path(os.environ.get("W8A8_DATA", ROOT / "../shared/data"))
    lines = ["file\tsize\tsha256"]
    for path in sorted((data / "images/calib").iterdir(), key=lambda p: p.name.encode()):
        if path.suffix == ".tsv":
            continue
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        short, long = min(image.size), max(image.size)
        other = int(248 * long / short)
        size = (248, other) if image.width <= image.height else (other, 248)
        resized = image.resize(size, FILTERS["bicubic"])
        left, top = round((size[0] - 224) / 2.0), round((size[1] - 224) / 2.0)
        crop = resized.crop((left, top, left + 224, top + 224))
        lines.append(f"{path.name}\t{image.width}x{image.height}\t{digest(np.asarray(crop))}")
    write("photos", lines)


def write(name, lines, prefix="resample"):
    target = ROOT / f"tests/golden/datasets/{prefix}_{name}.tsv"
    target.write_text("\n".join(lines) + "\n")
    print(f"{target}: {len(lines) - 1} cases")


def require(module, version):
    found = __import__(module).__version__.split("+")[0]
    if found != version:
        sys.exit(f"{module} is {found}; these goldens are defined by {version}")


def main():
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name == "torchvision":
        require("torch", "2.15.0")
        require("torchvision", "0.29.2")
        write_cases(name, torchvision_resize)
    elif name in ("pillow13", "pillow12"):
        require("PIL", {"pillow13": "13.0.0", "pillow12": "12.1.0"}[name])
        write_cases(name, pillow_resize)
    elif name == "photos":
        require("PIL", "13.0.0")
        write_photos()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
