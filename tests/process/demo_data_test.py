"""The embedded demo is what its README says: sizes, counts, classes, origin and accuracy.

Images are redrawn with the trainer's generator, and top-1 is computed here, in numpy, from the
features that the tool writes.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

DEMO = pathlib.Path(os.environ["W8A8_SOURCE"]) / "datasets/demo"
sys.path.insert(0, str(DEMO / "trainer"))
import draw  # noqa: E402

MODEL_LIMIT_BYTES = 4 << 20
IMAGES_LIMIT_BYTES = 3 << 20


def folder_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def class_embeddings():
    """Names and rows scaled to length 1."""
    with safe_open(DEMO / "class_embeddings.safetensors", "numpy") as file:
        names = json.loads(file.metadata()["classes"])
        rows = file.get_tensor("class_embeddings")
    return names, rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def pooled_output(precision):
    """Image name to pooled output, of the evaluation images in one arm."""
    with tempfile.TemporaryDirectory(prefix="w8a8-demo-data-") as scratch:
        out = pathlib.Path(scratch) / "features.safetensors"
        subprocess.run(
            [os.environ["W8A8_BINARY"], "encode", "--model", DEMO / "model", "--images",
             DEMO / "images/eval", "--precision", precision, "--layers", "none", "--quiet",
             "--device", "cpu", "--out", out],
            check=True, timeout=300)
        return load_file(out)["pooler_output"].astype(numpy.float32)


class DemoData(unittest.TestCase):
    def test_stays_below_the_limits_of_size(self):
        self.assertLess(folder_bytes(DEMO / "model"), MODEL_LIMIT_BYTES)
        self.assertLess(folder_bytes(DEMO / "images"), IMAGES_LIMIT_BYTES)

    def test_names_the_classes_like_the_sub_folders(self):
        names, rows = class_embeddings()
        width = json.loads((DEMO / "model/config.json").read_text())["hidden_size"]
        self.assertEqual(rows.shape, (len(names), width))
        self.assertGreaterEqual(len(names), 12)
        for split, images in (("calib", 64), ("eval", 240)):
            folders = {path.name for path in (DEMO / "images" / split).iterdir()}
            self.assertEqual(folders, set(names))
            self.assertEqual(len(list((DEMO / "images" / split).rglob("*.png"))), images)

    def test_keeps_the_weights_in_fp16(self):
        weights = load_file(DEMO / "model/model.safetensors")
        self.assertEqual({str(values.dtype) for values in weights.values()}, {"float16"})

    def test_holds_images_that_the_generator_draws(self):
        for split, count in (("calib", draw.CALIB_IMAGES), ("eval", draw.EVAL_IMAGES)):
            for index in (0, 17, count - 1):
                name = draw.CLASSES[index % len(draw.CLASSES)]
                stored = Image.open(DEMO / f"images/{split}/{name}/{index:03d}.png")
                # Another Pillow may round an anti-aliased edge differently; another seed or class
                # differs by tens of grey levels.
                drawn = draw.draw_image(split, index).astype(int)
                difference = numpy.abs(drawn - numpy.asarray(stored, dtype=int)).mean()
                self.assertLess(difference, 1.0, f"{split} {index}")

    def test_recognizes_nine_of_ten_images_in_fp16_and_hardly_fewer_in_int8(self):
        names, rows = class_embeddings()
        images = sorted((DEMO / "images/eval").rglob("*.png"), key=lambda path: path.as_posix())
        truth = numpy.array([names.index(path.parent.name) for path in images])
        best = {p: (pooled_output(p) @ rows.T).argmax(axis=1) for p in ("fp16", "int8")}
        top1 = {precision: (found == truth).mean() for precision, found in best.items()}
        agreement = (best["fp16"] == best["int8"]).mean()
        print(f"top-1 fp16 {top1['fp16']:.4f}, int8 {top1['int8']:.4f}, agreement {agreement:.4f}")
        self.assertGreaterEqual(top1["fp16"], 0.90)
        self.assertGreaterEqual(top1["int8"], top1["fp16"] - 0.01)
        self.assertGreaterEqual(agreement, 0.98)


if __name__ == "__main__":
    unittest.main()
