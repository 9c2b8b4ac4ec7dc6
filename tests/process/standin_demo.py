"""A small folder in the layout of the embedded demo, for tests of what is done with it."""
import os
import pathlib
import shutil
import subprocess

import numpy
from safetensors.numpy import load_file, save_file

BINARY = os.environ["W8A8_BINARY"]
NAMES = '["circle", "square"]'


def run(*arguments, binary=BINARY, demo=None, cwd=None):
    environment = {k: v for k, v in os.environ.items() if k != "W8A8_DEMO_DIR"}
    if demo is not None:
        environment["W8A8_DEMO_DIR"] = str(demo)
    return subprocess.run([str(binary), *map(str, arguments)], env=environment, cwd=cwd,
                          capture_output=True, text=True, timeout=300)


def make_standin(folder):
    """Random weights; 20 calibration and 6 evaluation images in two classes."""
    folder = pathlib.Path(folder)
    made = run("demo", "--random", "--out", folder)
    assert made.returncode == 0, made.stderr
    drawn = sorted((folder / "images").glob("*.png"))
    for part, images in (("calib", drawn[:20]), ("eval", drawn[20:26])):
        for i, image in enumerate(images):
            target = folder / "images" / part / ("circle" if i % 2 else "square") / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(image, target)
    for image in drawn[26:]:
        image.unlink()
    features = folder / "features.safetensors"
    encoded = run("encode", "--model", folder / "model", "--images", folder / "images/eval",
                  "--precision", "fp16", "--layers", "none", "--out", features)
    assert encoded.returncode == 0, encoded.stderr
    pooled = load_file(features)["pooler_output"]
    features.unlink()
    rows = numpy.stack([pooled[0], pooled[-1]])
    save_file({"class_embeddings": rows}, folder / "class_embeddings.safetensors",
              metadata={"classes": NAMES})
    return folder
