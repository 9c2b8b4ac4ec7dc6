"""What of scripts/gpu-check needs no GPU: gpu_check_test.py."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(os.environ["W8A8_SOURCE"]) / "scripts/gpu-check"
LOADER = importlib.machinery.SourceFileLoader("gpu_check", str(SCRIPT))
CHECK = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", LOADER))
LOADER.exec_module(CHECK)

LIST = "NormKernels.\n  A\n  B\n  C\nTiles/WgmmaOnGpu.\n  Is/0  # GetParam() = 0\n"
HUNG = "[ RUN      ] NormKernels.A\n[       OK ] NormKernels.A (2 ms)\n[ RUN      ] NormKernels.B\n"
WRONG = ("[ RUN      ] NormKernels.C\n[  FAILED  ] NormKernels.C (1 ms)\n"
         "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] NormKernels.C\n")
PARAM = ("[ RUN      ] Tiles/WgmmaOnGpu.Is/0\n"
         "[  FAILED  ] Tiles/WgmmaOnGpu.Is/0, where GetParam() = 0 (7 ms)\n")


def said_by(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], text=True, capture_output=True, check=False)


class RecordedMachine:
    """Answers what a machine would, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.filters = []

    def run(self, program, *arguments, **options):
        self.filters.append(arguments[0])
        return self.answers.pop(0)


def report(sqnr, mismatches=0):
    return {"checks": {"int32_compared": 7, "int32_mismatches": mismatches, "codes_compared": 5,
                       "code_mismatches": 0, "outputs_compared": 3, "output_mismatches": 0},
            "arms": [{"name": "int8/plan", "outputs": {"pooled": {"sqnr_db": {"value": 30.0, "low": 29.0}}}}],
            "sites": [{"arm": "int8/plan", "site": "blocks.0.attn.qkv", "view": "end_to_end", "sqnr_db": sqnr}]}


class GpuCheck(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="w8a8-gpu-check-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def test_says_what_a_pack_needs(self):
        said = said_by("needs")
        self.assertEqual(said.returncode, 0)
        for needed in ("cuda_gpu_test", "cuda_bench", "w8a8-calib", "lib/", "base/", "demo/"):
            self.assertIn(needed, said.stdout)

    def test_refuses_wrong_arguments(self):
        for arguments in ((), ("walk",), ("run",), ("run", "--from", "x"), ("table",)):
            self.assertEqual(said_by(*arguments).returncode, 2, arguments)
        said = said_by("run", "--from", str(self.folder), "--out", str(self.folder / "out"))
        self.assertEqual(said.returncode, 1)
        self.assertIn("holds no gpu-check.tar.xz", said.stderr)

    def test_fails_on_a_machine_without_a_gpu(self):
        if CHECK.folders_with("libcuda.so.1", CHECK.DRIVER_FOLDERS):
            self.skipTest("this machine has NVIDIA's driver")
        (self.folder / CHECK.ARCHIVE).write_bytes(b"")
        said = said_by("run", "--from", str(self.folder), "--out", str(self.folder / "out"))
        self.assertEqual(said.returncode, 1)
        self.assertIn("no GPU here: libcuda.so.1", said.stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_keeps_the_c_library_apart_from_what_needs_it(self):
        for name in ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libstdc++.so.6", "libgcc_s.so.1"):
            self.assertTrue(CHECK.BASE.match(name), name)
        for name in ("libcrypto.so.3", "libmd.so.0", "libhdf5_serial.so.103", "libcfitsio.so.10"):
            self.assertFalse(CHECK.BASE.match(name), name)

    def test_finds_the_libraries_of_a_program(self):
        found = CHECK.libraries_of(os.environ["W8A8_BINARY"], self.folder)
        self.assertTrue(any(name.startswith("libopencv_core") for name in found), found)
        self.assertTrue(any(name.startswith("libc.so") for name in found), found)

    def test_reads_suites_with_their_tests(self):
        suites = CHECK.suites(RecordedMachine((0, "Running main() from gtest_main.cc\n" + LIST)))
        self.assertEqual(suites, {"NormKernels.": ["NormKernels.A", "NormKernels.B", "NormKernels.C"],
                                  "Tiles/WgmmaOnGpu.": ["Tiles/WgmmaOnGpu.Is/0"]})

    def test_names_what_hung_and_goes_on_behind_it(self):
        machine, results = RecordedMachine((None, HUNG), (1, WRONG)), CHECK.Results(self.folder)
        tests = ["NormKernels.A", "NormKernels.B", "NormKernels.C"]
        CHECK.run_suite(machine, "NormKernels", tests, results, 100, {})
        self.assertEqual(machine.filters[1], "--gtest_filter=NormKernels.C")
        self.assertEqual(results.lines, [("tests", "NormKernels", "FAILED",
                                          "2 of 3: NormKernels.B (hung), NormKernels.C")])

    def test_names_what_died_and_what_has_parameters(self):
        results = CHECK.Results(self.folder)
        CHECK.run_suite(RecordedMachine((-11, HUNG), (0, WRONG.replace("[  FAILED  ]", "[       OK ]"))), "N",
                        ["NormKernels.A", "NormKernels.B", "NormKernels.C"], results, 100, {})
        CHECK.run_suite(RecordedMachine((1, PARAM)), "W", ["Tiles/WgmmaOnGpu.Is/0"], results, 100, {})
        self.assertEqual([line[3] for line in results.lines],
                         ["1 of 3: NormKernels.B (died: -11)", "1 of 1: Tiles/WgmmaOnGpu.Is/0"])

    def test_a_skipped_test_is_done_and_says_why(self):
        skipped = ("[ RUN      ] Tiles/WgmmaOnGpu.Is/0\nx.cc:3: Skipped\n*** SKIPPED: another GPU ***\n"
                   "[  SKIPPED ] Tiles/WgmmaOnGpu.Is/0 (0 ms)\n")
        results = CHECK.Results(self.folder)
        CHECK.run_suite(RecordedMachine((0, skipped)), "W", ["Tiles/WgmmaOnGpu.Is/0"], results, 100, {})
        self.assertEqual(results.lines, [("tests", "W", "skipped", "1 of 1: SKIPPED: another GPU")])

    def test_prints_forwards_beside_their_baselines(self):
        forward = {"model": "so400m", "images": 32, "precision": "int8", "scales": "static", "attention": "fp32",
                   "ms_per_image": 0.75, "times_faster_than_fp16": 1.5, "times_faster_than_fp16_baseline": 1.25,
                   "times_faster_than_fp8_baseline": None, "sqnr_db": 21.04, "how": None, "problem": None}
        missing = {**dict.fromkeys(forward), "model": "so400m", "images": 32, "precision": "fp8 speed baseline",
                   "attention": "fp32", "problem": "too old"}
        lines = CHECK.forward_table([forward, missing])
        self.assertRegex(lines[1], r"^so400m x 32 int8 static +0.750 +1.50 +1.25 +- +21.0$")
        self.assertRegex(lines[2], r"^so400m x 32 fp8 speed baseline +- +- +- +- +-$")
        self.assertEqual(lines[3], "fp8 speed baseline: too old")

    def test_forwards_of_all_encoders_stand_in_one_file_and_one_that_fails_costs_its_own_line(self):
        class Measuring:
            def run(self, program, *arguments, seconds):
                encoder = arguments[arguments.index("--encoder") + 1]
                if encoder == "internvit-300m":
                    return 1, "no memory"
                to = pathlib.Path(arguments[arguments.index("--json") + 1])
                to.write_text(json.dumps({"forward": [{"model": encoder}]}), encoding="utf-8")
                return 0, "measured"

        results = CHECK.Results(self.folder)
        CHECK.run_forwards(Measuring(), results, CHECK.Clock(460), self.folder)
        self.assertEqual([line[1:3] for line in results.lines],
                         [("so400m", "passed"), ("internvit-300m", "FAILED"), ("internvit-6b", "passed")])
        written = json.loads((self.folder / "forward.json").read_text(encoding="utf-8"))
        self.assertEqual([f["model"] for f in written["forward"]], ["so400m", "internvit-6b"])

    def test_a_test_that_nobody_ran_has_not_passed(self):
        results = CHECK.Results(self.folder)
        CHECK.run_suite(RecordedMachine((127, "no such file")), "N", ["N.A"], results, 100, {})
        CHECK.run_suite(RecordedMachine(), "N", ["N.A"], results, 1, {})
        self.assertEqual([line[2] for line in results.lines], ["FAILED", "skipped"])

    def test_compares_the_jobs_reports(self):
        right, note = CHECK.compare_reports(report(40.0), report(40.25))
        self.assertTrue(right)
        self.assertIn("0 mismatches of 15; SQNR of 2 sites and outputs", note)
        self.assertIn("at most 0.250 dB from the CPU's (int8/plan blocks.0.attn.qkv end_to_end)", note)
        self.assertFalse(CHECK.compare_reports(report(40.0), report(39.6))[0])
        self.assertFalse(CHECK.compare_reports(report(40.0), report(40.0, mismatches=1))[0])
        self.assertFalse(CHECK.compare_reports(report(40.0), {"checks": report(1.0)["checks"]})[0])

    def test_prints_the_table_last_from_what_a_run_left(self):
        (self.folder / "results.tsv").write_text(
            "tests\tNormKernels\tpassed\t3 tests\njobs\twgmma\tFAILED\thung\nsanitizer\tx\tskipped\tno\n",
            encoding="utf-8")
        figure = {"unit": "TOPS", "value": 4000.4, "microseconds": 1000.0, "checked": "", "problem": ""}
        (self.folder / "cuda_bench.json").write_text(json.dumps([
            {**figure, "name": "copy on the device, 2 GiB", "unit": "GB/s"},
            {**figure, "name": "so400m M=729 fc1: INT8 wgmma 128x256 (ChooseTiles)", "value": 1234.4},
            {**figure, "name": "so400m M=729 fc1: INT8 set wgmma, GELU to codes", "value": 987},
            {**figure, "name": "so400m M=729 fc1: INT8 set mma", "problem": "WRONG: 1 of 2 values differ"}]),
            encoding="utf-8")
        said = said_by("table", str(self.folder))
        self.assertEqual(said.returncode, 0, said.stderr)
        lines = said.stdout.splitlines()
        self.assertEqual(len(lines), 8)
        self.assertRegex(lines[0], r"copy on the device, 2 GiB +4000.4 GB/s +1000.0 us")
        self.assertRegex(lines[2], r"^so400m M=729 fc1 +1234\* +987 +-$")
        self.assertEqual(lines[3], "NO FIGURE (1 cases, the first: so400m M=729 fc1: INT8 set mma): "
                                   "WRONG: 1 of 2 values differ")
        self.assertEqual(lines[-1], "1 passed, 1 FAILED, 1 skipped")


if __name__ == "__main__":
    unittest.main()
