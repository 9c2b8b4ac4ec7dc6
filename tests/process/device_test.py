"""What the tool does where --device asks for what this machine or build does not have: device_test.py."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BINARY = os.environ["W8A8_BINARY"]


def run(*arguments, **environment):
    return subprocess.run([BINARY, *map(str, arguments)], env={**os.environ, **environment}, capture_output=True,
                          text=True, timeout=60, check=False)


CUDA = json.loads(run("--version", "--json").stdout)["cuda"]


class Device(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="w8a8-device-test-")
        cls.folder = pathlib.Path(cls.scratch.name)
        made = run("demo", "--random", "--quiet", "--out", cls.folder / "demo")
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def commands(self, *flags):
        """Every command that runs on a device, on the demo; each with what it would write."""
        model = ("--model", self.folder / "demo/model")
        images = (*model, "--images", self.folder / "demo/images", "--max-images", "2")
        for name, *arguments in (("", *images), ("encode", *images, "--precision", "int8"), ("calibrate", *images),
                                 ("compare", *images), ("linear", "--in", "x.safetensors", "--precision", "int8")):
            out = self.folder / f"out-{name}"
            yield name, run(*([name] if name else []), *arguments, "--out", out, *flags), out

    def refused(self, status, says, *flags):
        for name, done, out in self.commands(*flags):
            self.assertEqual(done.returncode, status, f"{name}: {done.stderr}")
            self.assertIn(says, done.stderr, name)
            self.assertFalse(out.exists() and (not out.is_dir() or any(out.iterdir())), name)

    def test_a_device_that_cannot_be_used_is_an_error_with_the_reason(self):
        self.refused(1, f"error: cuda:0: {CUDA['reason']}. Use the CPU.", "--device", "cuda")
        self.refused(1, "error: cuda:7: ", "--device", "cuda:7")

    def test_a_set_of_the_device_does_not_change_that(self):
        self.refused(1, f"error: cuda:0: {CUDA['reason']}", "--device", "cuda", "--kernels", "wgmma")

    def test_an_unknown_set_gets_the_names_of_those_of_the_device(self):
        for device, known, others in (("cuda", [s["name"] for s in CUDA["kernels"]], "scalar"),
                                      ("cpu", ["scalar"], "cublaslt")):
            if not known:
                continue  # built without CUDA
            done = run("linear", "--in", "x", "--out", self.folder / "out", "--precision", "int8", "--device", device,
                       "--kernels", "wgma")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--kernels wgma: no kernel set", done.stderr)
            self.assertIn(", ".join(known), done.stderr)
            self.assertNotIn(others, done.stderr)


if __name__ == "__main__":
    if CUDA["usable"]:
        print("*** SKIPPED: this machine has a CUDA device ***")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
