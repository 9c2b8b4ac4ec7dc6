"""What scripts/gpu_check_parts.py says of layers and scales: gpu_check_parts_test.py.

The CPU stands in for the device, so that the command lines are the tool's own.
"""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["W8A8_SOURCE"]) / "scripts"))
import gpu_check_parts as parts

SETS = ("wgmma", "mma")


class CpuAsDevice:
    """Runs the binary, on the CPU where a device is asked for; what `spoil` names is changed afterwards."""

    def __init__(self, folder, spoil=()):
        self.folder, self.spoil = folder, spoil

    def run(self, program, *arguments, seconds, env=None):
        on_device = "cuda" in arguments
        done = subprocess.run([os.environ["W8A8_BINARY"], *("cpu" if a == "cuda" else a for a in arguments)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False)
        if on_device and (env["W8A8_CUDA_KERNELS"], arguments[arguments.index("--in") + 1].rsplit("/", 1)[1]) in self.spoil:
            out = arguments[arguments.index("--out") + 1]
            tensors = parts.read_tensors(out)
            dtype, shape, data = tensors["acc"]
            tensors["acc"] = (dtype, shape, data[:21] + bytes([data[21] ^ 1]) + data[22:])
            parts.write_tensors(out, tensors)
        return done.returncode, done.stdout


class Results:
    def __init__(self):
        self.lines = []

    def add(self, *line):
        self.lines.append(line)

    def log(self, name, text):
        pass


class Clock:
    def left(self, share=1.0):
        return 60


def plan(**scales):
    return {"sites": {site: {"input": {"strategy": "tensor", "scale": scale}} if scale else None
                      for site, scale in scales.items()}}


class GpuCheckParts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="w8a8-gpu-check-parts-")
        cls.folder = pathlib.Path(cls.scratch.name)
        tool = lambda *arguments: subprocess.run([os.environ["W8A8_BINARY"], *arguments, "--quiet"], check=True)
        model = str(cls.folder / "demo/model")
        tool("demo", "--random", "--out", str(cls.folder / "demo"))
        for job in ("cpu", *SETS):
            (cls.folder / job).mkdir()
            tool("calibrate", "--model", model, "--images", str(cls.folder / "demo/images"), "--max-images", "2",
                 "--device", "cpu", "--out", str(cls.folder / job / "stats.h5"))
        tool("plan", "--model", model, "--granularity", "per-token", "--out", str(cls.folder / "cpu/plan.json"))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def lines_of(self, stage, machine):
        results = Results()
        stage(machine, results, Clock(), self.folder, SETS, 1)
        return results.lines

    def test_layers_of_an_equal_device_pass_by_name_of_the_set(self):
        self.assertEqual(self.lines_of(parts.run_layers, CpuAsDevice(self.folder)),
                         [("layers", kernels, "passed", "8 layers, 64 tensors as the CPU's in every bit")
                          for kernels in SETS])

    def test_one_sum_that_differs_fails_its_set_and_names_site_and_tensor(self):
        spoiled = CpuAsDevice(self.folder, spoil={("mma", "layers-static-blocks.0.mlp.fc1.safetensors")})
        lines = self.lines_of(parts.run_layers, spoiled)
        self.assertEqual(lines[0][2], "passed")
        self.assertEqual(lines[1], ("layers", "mma", "FAILED", "1 of 8: layers-static blocks.0.mlp.fc1: "
                                                               "acc: 1 of 65536 differ, the first is 5"))

    def test_a_device_that_runs_nothing_fails_every_layer(self):
        class Dead(CpuAsDevice):
            def run(self, program, *arguments, seconds, env=None):
                return (1, "no device") if "cuda" in arguments else super().run(program, *arguments, seconds=seconds)

        lines = self.lines_of(parts.run_layers, Dead(self.folder))
        self.assertEqual([line[1:3] for line in lines], [(kernels, "FAILED") for kernels in SETS])
        self.assertIn("8 of 8: plan blocks.0.attn.qkv: exit 1: no device", lines[0][3])

    def test_scales_from_equal_statistics_are_equal(self):
        lines = self.lines_of(parts.run_scales, CpuAsDevice(self.folder))
        self.assertEqual([line[:3] for line in lines], [("scales", kernels, "passed") for kernels in SETS])
        self.assertRegex(lines[0][3], r"^abs-max: scales of \d\d sites at most 0\.000 % .*; best rules: scales of ")

    def test_scales_may_be_half_a_percent_apart_and_no_more(self):
        right, note = parts.compare_scales(plan(a=1.0, b=0.5), plan(a=1.0, b=0.502))
        self.assertTrue(right)
        self.assertEqual(note, "scales of 2 sites at most 0.400 % from the CPU's (b: 0.502, the CPU's 0.5)")
        self.assertTrue(parts.compare_scales(plan(a=1.0), plan(a=0.996))[0])
        self.assertFalse(parts.compare_scales(plan(a=1.0), plan(a=1.006))[0])
        self.assertFalse(parts.compare_scales(plan(a=1.0), plan(a=0.994))[0])

    def test_sites_without_a_scale_on_one_side_fail(self):
        right, note = parts.compare_scales(plan(a=1.0, b=1.0), plan(a=1.0, b=None))
        self.assertFalse(right)
        self.assertEqual(note, "static scales of 1 sites, the CPU's of 2: b")
        self.assertFalse(parts.compare_scales(plan(a=None), plan(a=None))[0])

    def test_a_difference_says_which_tensor_and_where(self):
        one = {"y": ("F16", [3], struct.pack("<3e", 1, 2, 3)), "acc": ("I32", [1], b"\1\0\0\0")}
        self.assertEqual(parts.difference(one, dict(one)), "")
        self.assertEqual(parts.difference(one, {**one, "y": ("F16", [3], struct.pack("<3e", 1, 4, 5))}),
                         "y: 2 of 3 differ, the first is 1")
        self.assertEqual(parts.difference(one, {"y": ("F16", [1, 3], one["y"][2]), "z": one["y"]}),
                         "acc is missing; y is F16 [1, 3], not F16 [3]; z is too much")


if __name__ == "__main__":
    unittest.main()
