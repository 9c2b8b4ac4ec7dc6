"""What of scripts/gpu-check needs no GPU: gpu_check_test.py."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

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
    """Answers what a machine would, one after the other: (status, text), or what makes them of the arguments."""

    def __init__(self, *answers, folder=pathlib.Path("/nowhere")):
        self.answers, self.folder = list(answers), folder
        self.filters, self.sets = [], []

    def run(self, program, *arguments, env=None, **options):
        self.filters.append(arguments[0])
        self.sets.append((env or {}).get("W8A8_CUDA_KERNELS"))
        answer = self.answers.pop(0)
        return answer(arguments) if callable(answer) else answer


def after(flag, arguments):
    return pathlib.Path(arguments[arguments.index(flag) + 1])


def forward(precision="int8", **figures):
    return {"model": "so400m", "images": 32, "precision": precision, "isa": "wgmma", "scales": None,
            "attention": "fp32", "ms_per_image": None, "times_faster_than_fp16": None,
            "times_faster_than_fp16_baseline": None, "times_faster_than_fp8_baseline": None, "sqnr_db": None,
            "how": None, "problem": None, "missing": None, **figures}


def measured(*lines):
    """A bench --forward that writes them."""
    def answer(arguments):
        after("--json", arguments).write_text(json.dumps({"forward": lines}), encoding="utf-8")
        return 0, "measured"
    return answer


def passing(*tests):
    return "".join(f"[ RUN      ] {test}\n[       OK ] {test} (2 ms)\n" for test in tests)


def ended_soon(pid):
    """Whether the process is gone, or dead and not yet taken leave of, within five seconds."""
    for _ in range(50):
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


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

    def test_names_what_hung_and_drops_what_is_behind_it(self):
        machine, results = RecordedMachine((None, HUNG)), CHECK.Results(self.folder)
        tests = ["NormKernels.A", "NormKernels.B", "NormKernels.C"]
        CHECK.run_suite(machine, "NormKernels", tests, results, 100, {})
        self.assertEqual(results.lines, [("tests", "NormKernels", "FAILED",
                                          "1 of 3: NormKernels.B (hung); 1 not run")])

    def test_a_test_that_the_end_of_the_stage_cuts_off_does_not_hang(self):
        def late(arguments):
            time.sleep(2)
            return None, HUNG
        results = CHECK.Results(self.folder)
        CHECK.run_suite(RecordedMachine(late), "NormKernels", ["NormKernels.A", "NormKernels.B"], results, 2.5, {})
        self.assertEqual(results.lines, [("tests", "NormKernels", "skipped", "out of time before NormKernels.B")])

    def test_goes_on_behind_what_died_but_not_for_ever(self):
        names = ["NormKernels.A", "NormKernels.B", "NormKernels.C"]
        machine, results = RecordedMachine((-11, HUNG), (1, WRONG)), CHECK.Results(self.folder)
        CHECK.run_suite(machine, "NormKernels", names, results, 100, {})
        self.assertEqual(machine.filters[1], "--gtest_filter=NormKernels.C")
        self.assertEqual(results.lines[0][3], "2 of 3: NormKernels.B (died: -11), NormKernels.C")
        many = [f"N.{i}" for i in range(9)]
        machine = RecordedMachine(*((-11, f"[ RUN      ] {name}\n") for name in many))
        CHECK.run_suite(machine, "N", many, results, 100, {})
        self.assertRegex(results.lines[1][3], r"^3 of 9: .*; 6 not run$")

    def test_what_stands_behind_a_failure_runs_in_a_fresh_process(self):
        poisoned = WRONG.replace("NormKernels.C", "NormKernels.A") + WRONG.replace("NormKernels.C", "NormKernels.B")
        machine, results = RecordedMachine((1, poisoned), (0, passing("NormKernels.B"))), CHECK.Results(self.folder)
        CHECK.run_suite(machine, "NormKernels", ["NormKernels.A", "NormKernels.B"], results, 100, {})
        self.assertEqual(machine.filters[1], "--gtest_filter=NormKernels.B")
        self.assertEqual(results.lines, [("tests", "NormKernels", "FAILED", "1 of 2: NormKernels.A")])

    def test_nothing_runs_by_a_product_that_is_wrong(self):
        listed = (0, "Graphs.\n  A\nWholePrograms.\n  A\nTiles/WgmmaOnGpu.\n  Is/0  # GetParam() = 0\n")
        for said, tried in ((PARAM, [None, "", "cublaslt", "cublaslt", "mma"]),
                            (passing("Tiles/WgmmaOnGpu.Is/0"), [None, "", "", "wgmma", "cublaslt", "mma"])):
            others = [(0, passing("Graphs.A"))] + [(0, passing("WholePrograms.A"))] * 3
            machine, results = RecordedMachine(listed, (0, said), *others), CHECK.Results(self.folder)
            CHECK.run_tests(machine, results, CHECK.Clock(460), dict.fromkeys(CHECK.KERNEL_SETS, ""))
            self.assertEqual(machine.sets, tried)
            self.assertEqual(machine.filters[1], "--gtest_filter=Tiles/WgmmaOnGpu.Is/0")

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
        self.assertEqual(results.lines, [("tests", "W", "missing", "1 of 1: SKIPPED: another GPU")])

    def test_a_set_that_this_machine_cannot_use_is_missing_and_no_failure(self):
        said = ("kernels    wgmma        not usable: the kernel is code for sm_90a\n"
                "kernels    cublaslt     usable: INT8\nkernels    mma          usable: INT8\n")
        sets = CHECK.kernel_sets(RecordedMachine((0, said)))
        self.assertEqual(sets, {"wgmma": "the kernel is code for sm_90a", "cublaslt": "", "mma": ""})
        listed = (0, "WholePrograms.\n  A\n")
        machine, results = RecordedMachine(listed, *[(0, passing("WholePrograms.A"))] * 2), CHECK.Results(self.folder)
        CHECK.run_tests(machine, results, CHECK.Clock(460), sets)
        self.assertEqual([line[1:3] for line in results.lines], [
            ("WholePrograms wgmma", "missing"), ("WholePrograms cublaslt", "passed"), ("WholePrograms mma", "passed")])
        self.assertEqual(CHECK.by_trust(results, sets), ["cublaslt", "mma"])

    def test_trusts_the_best_set_whose_tests_passed(self):
        results, sets = CHECK.Results(self.folder), dict.fromkeys(CHECK.KERNEL_SETS, "")
        self.assertEqual(CHECK.by_trust(results, sets), ["wgmma", "cublaslt", "mma"])
        for suite in CHECK.SUITES_BY_SET:
            for kernels in sets:
                results.add("tests", f"{suite} {kernels}", "passed")
        self.assertEqual(CHECK.by_trust(results, sets), ["wgmma", "cublaslt", "mma"])
        results.add("tests", "Tiles/WgmmaOnGpu", "FAILED")
        self.assertEqual(CHECK.by_trust(results, sets), ["cublaslt", "mma", "wgmma"])
        results.add("tests", "JobOnDevice cublaslt", "skipped")
        self.assertEqual(CHECK.by_trust(results, sets), ["mma", "cublaslt", "wgmma"])

    def test_prints_forwards_beside_their_baselines(self):
        lines = CHECK.forward_table([
            forward(scales="static", ms_per_image=0.75, times_faster_than_fp16=1.5,
                    times_faster_than_fp16_baseline=1.25, sqnr_db=21.04),
            forward("fp8 speed baseline", missing="too old"), forward("fp16 speed baseline", problem="7 dB")])
        self.assertRegex(lines[1], r"^so400m x 32 int8 static, wgmma +0.750 +1.50 +1.25 +- +21.0$")
        self.assertRegex(lines[2], r"^so400m x 32 fp8 speed baseline, wgmma +- +- +- +- +-$")
        self.assertEqual(lines[4:], ["fp8 speed baseline: too old", "fp16 speed baseline: 7 dB"])

    def forwards(self, *answers, sets=("wgmma", "mma"), seconds=460):
        machine, results = RecordedMachine(*answers), CHECK.Results(self.folder)
        CHECK.run_forwards(machine, results, CHECK.Clock(seconds), self.folder, list(sets))
        written = json.loads((self.folder / "forward.json").read_text(encoding="utf-8"))["forward"]
        return machine, [line[1:3] for line in results.lines], written

    def test_a_forward_that_died_is_run_again_by_the_next_set(self):
        machine, lines, written = self.forwards((-11, "signal"), *[measured(forward(isa="mma"))] * 2, (1, "no memory"),
                                                (1, "no memory"))
        self.assertEqual(machine.sets, ["wgmma", "mma", "wgmma", "wgmma", "mma"])
        self.assertEqual(lines, [("so400m wgmma", "FAILED"), ("so400m mma", "passed"),
                                 ("internvit-300m wgmma", "passed"), ("internvit-6b wgmma", "FAILED"),
                                 ("internvit-6b mma", "FAILED")])
        self.assertEqual(len(written), 2)

    def test_forwards_that_are_wrong_have_failed_and_what_they_lack_is_missing(self):
        wrong, lacking = measured(forward(), forward(problem="3.1 dB")), measured(forward(missing="no cuBLASLt"))
        machine, lines, written = self.forwards(wrong, lacking, lacking, measured(forward()))
        self.assertEqual(lines, [("so400m wgmma", "FAILED"), ("so400m mma", "missing"),
                                 ("internvit-300m wgmma", "missing"), ("internvit-6b wgmma", "passed")])
        self.assertEqual(len(written), 5)

    def test_an_encoder_that_hangs_leaves_the_others_their_time(self):
        patience = []

        class Hanging(RecordedMachine):
            def run(self, program, *arguments, seconds, **options):
                patience.append(seconds)
                clock.begin -= seconds  # it has passed
                return (None, "") if "so400m" in arguments else measured(forward())(arguments)

        clock, results = CHECK.Clock(460), CHECK.Results(self.folder)
        CHECK.run_forwards(Hanging(), results, clock, self.folder, ["wgmma", "mma"])
        self.assertEqual([line[1:3] for line in results.lines],
                         [("so400m wgmma", "FAILED"), ("so400m mma", "skipped"), ("internvit-300m wgmma", "passed"),
                          ("internvit-6b wgmma", "passed")])
        all_of_it = 460 * CHECK.SHARES["forward"]
        for found, part in zip(patience, (0.5, 0.25, 0.25)):
            self.assertAlmostEqual(found / all_of_it, part, delta=0.01)

    def test_the_sanitizer_passes_only_what_ran(self):
        judged = lambda status, said: CHECK.judge_sanitized(status, said, 45)[0]
        self.assertEqual(judged(0, passing("N.A") + "========= ERROR SUMMARY: 0 errors\n"), "passed")
        self.assertEqual(judged(99, passing("N.A") + "========= ERROR SUMMARY: 3 errors\n"), "FAILED")
        self.assertEqual(judged(0, "[==========] 0 tests from 0 test suites ran. (0 ms total)\n"), "FAILED")
        skipped = "*** SKIPPED: another GPU ***\n[ RUN      ] N.A\n[  SKIPPED ] N.A (0 ms)\n"
        self.assertEqual(judged(0, skipped), "missing")
        self.assertEqual(judged(None, passing("N.A") + "[ RUN      ] N.B\n"), "skipped")
        self.assertEqual(judged(1, "========= Error: this device is not supported\n"), "missing")

    def test_the_sanitizer_meets_every_suite_of_kernels(self):
        listed = {name.split(".")[0].lstrip("*") for _, names in CHECK.SANITIZED for name in names}
        there = set()
        for file in (CHECK.ROOT / "tests/cuda").glob("*_kernels_test.cc"):
            there |= set(re.findall(r"^TEST_F\((\w+),", file.read_text(encoding="utf-8"), re.M))
        self.assertEqual(listed, there | {"WgmmaOnGpu"})

    def test_runs_the_sanitizer_on_each_group_or_says_why_not(self):
        tool = self.folder / "compute-sanitizer"
        tool.write_text("#!/bin/sh\n", encoding="utf-8")
        tool.chmod(0o755)
        for path, answers, states in (
                ("/nowhere", [], {"missing"}),
                (str(self.folder), [(0, passing("N.A"))] * len(CHECK.SANITIZED), {"passed"})):
            machine, results = RecordedMachine(*answers), CHECK.Results(self.folder)
            with unittest.mock.patch.dict(os.environ, {"PATH": path}):
                CHECK.run_sanitizer(machine, results, CHECK.Clock(460))
            self.assertEqual({line[2] for line in results.lines}, states)
            self.assertEqual(len(results.lines), len(CHECK.SANITIZED))

    def test_runs_the_job_by_each_set_beside_the_cpus(self):
        def writing(sqnr):
            def answer(arguments):
                after("--out", arguments).mkdir()
                (after("--out", arguments) / "report.json").write_text(json.dumps(report(sqnr)), encoding="utf-8")
                return 0, ""
            return answer

        machine = RecordedMachine(writing(40.0), writing(35.0), (-6, "died"), (None, ""), folder=self.folder)
        results = CHECK.Results(self.folder)
        CHECK.run_jobs(machine, results, CHECK.Clock(460), self.folder, ["wgmma", "cublaslt", "mma"])
        self.assertEqual([line[1:3] for line in results.lines], [(k, "FAILED") for k in ("wgmma", "cublaslt", "mma")])
        self.assertIn("5.000 dB", results.lines[0][3])
        self.assertEqual(results.lines[2][3], "hung")
        self.assertEqual(machine.sets, [None, "wgmma", "cublaslt", "mma"])

    def test_a_benchmark_is_as_good_as_its_worst_figure(self):
        figure, unchecked = "a: INT8 | 1.0 TOPS 3.0 us\n", "b | 1.0 GB/s 3.0 us  (not checked)\n"
        late, wrong, lacks = "NO FIGURE c: not begun within 9 s\n", "NO FIGURE d: WRONG\n", "MISSING e: no cuBLASLt\n"
        for said, status, state in ((figure + unchecked, 0, "passed"), (figure + lacks, 3, "missing"),
                                    (figure + lacks + late, 1, "skipped"), (figure + late + wrong, 1, "FAILED"),
                                    ("", -6, "FAILED"), (figure, -6, "FAILED")):
            results = CHECK.Results(self.folder)
            CHECK.run_bench(RecordedMachine((status, said)), results, CHECK.Clock(460))
            self.assertEqual(results.lines[0][2], state, said)

    def machine_of(self, script):
        program = self.folder / "program"
        program.write_text("#!/bin/sh\n" + script, encoding="utf-8")
        program.chmod(0o755)
        return CHECK.Machine(self.folder, [], loader="machine")

    def test_what_hangs_ends_with_all_that_it_started(self):
        for options in ({"seconds": 1}, {"seconds": 60, "quiet": 1}):
            began = time.monotonic()
            status, said = self.machine_of("sleep 50 & echo begun $!; wait").run("program", **options)
            self.assertLess(time.monotonic() - began, 20)
            self.assertIsNone(status)
            self.assertRegex(said, r"^begun \d+\n$")
            self.assertTrue(ended_soon(said.split()[1]), said)

    def test_what_ends_says_how(self):
        ended = self.machine_of('echo "$1"; exit 3').run("program", "told", seconds=60, quiet=30)
        self.assertEqual(ended, (3, "told\n"))

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
        one_more = report(40.0)
        one_more["sites"].append({**one_more["sites"][0], "site": "blocks.0.attn.proj"})
        for cpu, gpu in ((one_more, report(40.0)), (report(40.0), one_more)):
            right, note = CHECK.compare_reports(cpu, gpu)
            self.assertFalse(right)
            self.assertIn("1 have a figure on one device alone, the first: int8/plan blocks.0.attn.proj", note)

    def test_prints_the_table_last_from_what_a_run_left(self):
        (self.folder / "results.tsv").write_text(
            "tests\tNormKernels\tpassed\t3 tests\njobs\twgmma\tFAILED\thung\nsanitizer\tx\tskipped\tno\n",
            encoding="utf-8")
        figure = {"unit": "TOPS", "value": 4000.4, "microseconds": 1000.0, "checked": "mma", "problem": "",
                  "missing": ""}
        (self.folder / "cuda_bench.json").write_text(json.dumps([
            {**figure, "name": "copy on the device, 2 GiB", "unit": "GB/s"},
            {**figure, "name": "so400m M=729 fc1: INT8 wgmma 128x256 (ChooseTiles)", "value": 1234.4},
            {**figure, "name": "so400m M=729 fc1: INT8 set wgmma, GELU to codes", "value": 987, "checked": ""},
            {**figure, "name": "so400m M=729 fc1: FP8 cuBLASLt", "missing": "no such library"},
            {**figure, "name": "so400m M=729 fc1: INT8 set mma", "problem": "WRONG: 1 of 2 values differ"}]),
            encoding="utf-8")
        said = said_by("table", str(self.folder))
        self.assertEqual(said.returncode, 0, said.stderr)
        lines = said.stdout.splitlines()
        self.assertEqual(len(lines), 9)
        self.assertRegex(lines[0], r"copy on the device, 2 GiB +4000.4 GB/s +1000.0 us")
        self.assertRegex(lines[2], r"^so400m M=729 fc1 +1234\* +987\? +- +-$")
        self.assertEqual(lines[3], "NO FIGURE (1 cases, the first: so400m M=729 fc1: INT8 set mma): "
                                   "WRONG: 1 of 2 values differ")
        self.assertEqual(lines[4], "MISSING (1 cases, the first: so400m M=729 fc1: FP8 cuBLASLt): no such library")
        self.assertEqual(lines[-1], "1 passed, 1 FAILED, 1 skipped, 0 missing")

    def test_exits_with_0_only_where_all_passed(self):
        for states, status in ((("passed", "passed"), 0), (("passed", "FAILED", "skipped"), 1),
                               (("passed", "skipped"), 3), (("missing", "passed"), 3), (("skipped",), 1)):
            (self.folder / "results.tsv").write_text(
                "".join(f"tests\tN\t{state}\t\n" for state in states), encoding="utf-8")
            self.assertEqual(CHECK.table(self.folder)[1], status, states)


if __name__ == "__main__":
    unittest.main()
