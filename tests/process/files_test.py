"""What commands leave on the disk and in their streams when something goes wrong, on a real process."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy
from safetensors import safe_open
from safetensors.numpy import save_file

from standin_demo import BINARY, make_standin

QUICK = ["--device", "cpu", "--threads", "1"]
SHORT = ["--clip-ranges", "inf", "--granularities", "per-token"]
FINISHED = {".w8a8-calib", "stats.h5", "plan.json"}  # what a whole job that fails later leaves


def tool(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more):
    return subprocess.run([BINARY, *map(str, arguments)], stdout=stdout, stderr=stderr, timeout=300,
                          **more)


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*"))


def contents(folder):
    return {n: (folder / n).read_bytes() for n in names_in(folder) if (folder / n).is_file()}


def largest_file(path, pattern):
    files = [path] if path.is_file() else [p for p in path.rglob(pattern) if p.is_file()]
    return max(p.stat().st_size for p in files)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="w8a8-files-test-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.demo = make_standin(cls.folder / "standin")
        cls.environment = {**os.environ, "W8A8_DEMO_DIR": str(cls.demo)}
        model, images = cls.demo / "model", cls.demo / "images/calib"
        few = cls.folder / "few"
        few.mkdir()
        for image in sorted(images.rglob("*.png"))[:3]:
            shutil.copy(image, few)
        layer = cls.folder / "layer.safetensors"
        save_file({"x": numpy.ones((3, 16), numpy.float16), "weight": numpy.ones((8, 16), numpy.float32)},
                  layer)
        on = ["--model", model, "--images", few, *QUICK]
        # What writes a file, and what writes a folder.
        cls.file_commands = {
            "preprocess": ["preprocess", "--model", model, "--images", few],
            "encode": ["encode", *on, "--precision", "int8"],
            "linear": ["linear", "--in", layer, "--precision", "int8", "--device", "cpu"],
            "calibrate": ["calibrate", *on],
            "plan": ["plan", "--model", model, "--device", "cpu"],
        }
        cls.folder_commands = {
            "demo": ["demo"],
            "random": ["demo", "--random"],
            "quantize": ["quantize", "--model", model],
            "compare": ["compare", *on],
            "job": [*QUICK, *SHORT],
        }
        cls.commands = {**cls.file_commands, **cls.folder_commands}
        for part, chosen in (("a", slice(0, 2)), ("b", slice(2, 3))):
            listed = cls.folder / f"{part}.txt"
            listed.write_text("".join(f"{p}\n" for p in sorted(few.iterdir())[chosen]))
            made = tool("calibrate", "--model", model, "--images", listed, *QUICK, "--out",
                        cls.folder / f"{part}.h5")
            assert made.returncode == 0, made.stderr
        cls.commands["merge"] = ["merge", cls.folder / "a.h5", cls.folder / "b.h5"]
        cls.whole = {}
        for name, arguments in cls.commands.items():
            out = cls.folder / "whole" / name
            out.parent.mkdir(exist_ok=True)
            made = tool(*arguments, "--out", out, env=cls.environment)
            assert made.returncode == 0, made.stderr
            cls.whole[name] = out
        cls.commands["report"] = ["report", cls.whole["job"]]
        cls.whole["report"] = cls.whole["job"]
        cls.read_only = {
            "inspect": ["inspect", cls.folder / "a.h5"],
            "inspect_json": ["inspect", "--json", "--model", model],
            "inspect_report": ["inspect", cls.whole["job"]],
            "diff": ["diff", cls.folder / "a.h5", cls.folder / "b.h5"],
            "help": ["--help"],
            "help_of_command": ["encode", "--help"],
            "version": ["--version"],
            "version_json": ["--version", "--json"],
        }

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        self.out = self.place / "out"

    def tearDown(self):
        shutil.rmtree(self.place)

    def run_command(self, name, **more):
        arguments = [*self.commands[name], "--out", self.out] if name in self.commands else (
            self.read_only[name])
        return tool(*arguments, env=self.environment, **more)

    def no_litter(self):
        left = [n for n in names_in(self.place) if n.endswith((".tmp", ".lock"))]
        self.assertEqual(left, [])

    def test_a_disk_that_fills_up_is_an_error_that_names_the_file(self):
        for name, whole in self.whole.items():
            largest = largest_file(whole, "report.*" if name == "report" else "*")
            for size in {0, largest // 3, largest - 1}:
                with self.subTest(command=name, size=size):
                    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                    full = self.run_command(name, preexec_fn=limit)
                    said = full.stderr.decode()
                    self.assertEqual(full.returncode, 1, said)
                    self.assertIn("writing failed: File too large", said)
                    self.assertIn(str(self.out), said)
                    self.no_litter()
                    left = set(names_in(self.out)) if self.out.exists() else set()
                    self.assertLessEqual(left, FINISHED if name == "job" else set())
                    self.assertTrue(left or not self.out.exists())
                    shutil.rmtree(self.out, ignore_errors=True)

    def test_a_full_disk_leaves_what_was_there(self):
        for name in ("quantize", "report", "demo"):
            shutil.copytree(self.whole[name], self.out)
            before = contents(self.out)
            size = largest_file(self.out, "report.*" if name == "report" else "*") - 1
            limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            self.assertEqual(self.run_command(name, preexec_fn=limit).returncode, 1)
            self.assertEqual(before, contents(self.out))
            shutil.rmtree(self.out)

    def refused(self, arguments, out, says):
        before = out.read_bytes()
        refused = tool(*arguments, "--out", out, env=self.environment)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn(says.encode(), refused.stderr)
        self.assertIn(f"error: --out {out}: ".encode(), refused.stderr)
        self.assertEqual(refused.stdout, b"")
        self.assertEqual(out.read_bytes(), before)
        self.no_litter()

    def test_a_file_that_a_command_did_not_write_is_not_replaced(self):
        image = next((self.demo / "images").rglob("*.png"))
        text = self.folder / "notes.txt"
        text.write_text("mine\n")
        of_others = {"statistics": self.whole["calibrate"], "scales": self.whole["quantize"] / "scales.h5",
                     "plan": self.whole["plan"], "features": self.whole["encode"],
                     "layer": self.whole["linear"], "config": self.demo / "model/config.json",
                     "weights": self.demo / "model/model.safetensors", "in": self.folder / "layer.safetensors",
                     "report": self.whole["job"] / "report.json", "tables": self.whole["job"] / "report.h5",
                     "photo": image, "text": text}
        own = {"calibrate": "statistics", "merge": "statistics", "plan": "plan", "encode": "features",
               "preprocess": "features", "linear": "layer"}
        for name, kind in own.items():
            for other, file in of_others.items():
                with self.subTest(command=name, over=other):
                    out = self.out if other == kind else self.place / ("out" + file.suffix)
                    shutil.copy(file, out)
                    if other == kind:
                        self.assertEqual(self.run_command(name).returncode, 0)
                        self.assertEqual(out.read_bytes(), self.whole[name].read_bytes())
                    else:
                        self.refused(self.commands[name], out, "it would be lost. Choose another name")
            self.out.write_bytes(b"")  # of mktemp
            self.assertEqual(self.run_command(name).returncode, 0)
            self.assertEqual(self.run_command(name).returncode, 0)
            self.assertEqual(self.out.read_bytes(), self.whole[name].read_bytes())

    def test_an_input_is_not_replaced_under_any_of_its_names(self):
        model, photos = self.place / "model", self.place / "photos"
        shutil.copytree(self.demo / "model", model)
        shutil.copytree(self.folder / "few", photos)
        (photos / "empty.png").touch()
        listed = self.place / "list.txt"
        listed.write_text("".join(f"photos/{p.name}\n" for p in photos.iterdir()))
        images = [*photos.iterdir(), listed]
        files = [p for p in model.rglob("*") if p.is_file()]
        run = ["--model", model, "--images", listed, *QUICK]
        quantized = self.place / "quantized"
        shutil.copytree(self.whole["quantize"], quantized)
        pixels, plan, layer, stats = (self.place / n for n in ("pixels", "p.json", "layer", "a.h5"))
        for source, copy in ((self.whole["preprocess"], pixels), (self.whole["plan"], plan),
                             (self.folder / "layer.safetensors", layer), (self.folder / "a.h5", stats)):
            shutil.copy(source, copy)
        fp16, int8 = ["--precision", "fp16"], ["--precision", "int8", "--device", "cpu"]
        for arguments, inputs in (
                (["calibrate", *run], [*files, *images]),
                (["encode", *run, *fp16], [*files, *images]),
                (["preprocess", "--model", model, "--images", photos], [*files, *images[:-1]]),
                (["plan", "--model", model, "--plan", plan], [*files, plan]),
                (["plan", "--model", model, "--stats", stats], [*files, stats]),
                (["plan", "--model", quantized], [quantized / "plan.json", quantized / "scales.h5"]),
                (["encode", "--model", model, "--pixels", pixels, *fp16], [pixels]),
                (["encode", "--model", model, "--embeds", pixels, *fp16], [pixels]),
                (["encode", *run, "--plan", plan, "--precision", "int8"], [plan]),
                (["linear", "--in", layer, *int8], [layer]),
                (["merge", self.folder / "b.h5", stats], [stats])):
            for number, file in enumerate(inputs):
                symbolic, hard = self.place / f"symbolic{number}", self.place / f"hard{number}"
                symbolic.symlink_to(file)
                hard.hardlink_to(file)
                for out in (file, symbolic, hard):
                    with self.subTest(command=arguments[0], over=file.name, out=out.name):
                        self.refused(arguments, out, "is the input ")
                symbolic.unlink()
                hard.unlink()

    def test_results_beside_their_inputs_are_renewed(self):
        place = self.place / "model"
        shutil.copytree(self.demo / "model", place)
        shutil.copytree(self.folder / "few", place / "few")
        run = ["--model", place, "--images", place, *QUICK]
        for arguments in (["calibrate", *run], ["encode", *run, "--precision", "fp16"],
                          ["preprocess", *run[:4]], ["plan", "--model", place]):
            out = place / arguments[0]
            for _ in range(2):
                done = tool(*arguments, "--out", out, env=self.environment)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_results_that_stdout_does_not_take_are_an_error(self):
        for name in [*self.commands, *self.read_only]:
            if name == "linear":
                continue  # says nothing
            for how in ("full", "closed"):
                with self.subTest(command=name, stdout=how):
                    close = (lambda: os.close(1)) if how == "closed" else None
                    with open("/dev/full", "wb") as full:
                        lost = self.run_command(name, stdout=full, preexec_fn=close)
                    self.assertEqual(lost.returncode, 1, lost.stderr)
                    self.assertIn(b"the results cannot be written to standard output: ", lost.stderr)
                    self.no_litter()
                    shutil.rmtree(self.out, ignore_errors=True)
                    self.out.unlink(missing_ok=True)

    def test_quiet_needs_no_stdout(self):
        quiet = tool(*self.commands["calibrate"], "--quiet", "--out", self.out, preexec_fn=lambda: os.close(1))
        self.assertEqual(quiet.returncode, 0, quiet.stderr)
        self.assertEqual(self.out.read_bytes(), self.whole["calibrate"].read_bytes())

    def test_a_reader_that_has_gone_ends_it_quietly_by_sigpipe(self):
        for name in ("help", "inspect_json", "job"):
            reader, writer = os.pipe()
            os.close(reader)
            gone = self.run_command(name, stdout=writer)
            os.close(writer)
            self.assertEqual(gone.returncode, -signal.SIGPIPE, gone.stderr)
            self.assertNotIn(b"error", gone.stderr)
            self.no_litter()
        # Where the caller ignores SIGPIPE, it is told.
        reader, writer = os.pipe()
        os.close(reader)
        ignoring = tool("--help", stdout=writer, restore_signals=False,
                        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
        os.close(writer)
        self.assertEqual(ignoring.returncode, 1)
        self.assertIn(b"Broken pipe", ignoring.stderr)

    def test_a_stderr_that_nobody_reads_changes_nothing(self):
        def check(**streams):
            done = self.run_command("calibrate", **streams)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(self.out.read_bytes(), self.whole["calibrate"].read_bytes())
            self.out.unlink()

        with open("/dev/full", "wb") as full:
            check(stderr=full)
        check(preexec_fn=lambda: os.close(2))
        check(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=lambda: (os.close(0), os.close(2)))
        reader, writer = os.pipe()
        os.close(reader)
        check(stderr=writer)
        os.close(writer)

    def start(self, *arguments):
        return subprocess.Popen([BINARY, *map(str, arguments)], env=self.environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def test_a_second_run_is_told_who_writes_there(self):
        many = self.place / "many.txt"
        images = sorted((self.demo / "images").rglob("*.png"))
        many.write_text("".join(f"{images[i % len(images)]}\n" for i in range(4000)))
        job = [*QUICK, *SHORT, "--model", self.demo / "model", "--images", self.demo / "images/calib",
               "--eval-images", many, "--out", self.out]
        file = self.place / "features.safetensors"
        encode = ["encode", *QUICK, "--model", self.demo / "model", "--images", many, "--precision", "fp16",
                  "--out", file]
        inside = self.out / "quantized"
        for first, lock, seconds in (
                (job, self.out / ".w8a8-calib.lock",
                 [[*QUICK, *SHORT, "--out", self.out], ["demo", "--out", self.out],
                  ["quantize", "--out", self.out], ["quantize", "--out", inside],
                  ["compare", *QUICK, "--out", self.out], ["report", self.whole["job"], "--out", self.out],
                  ["calibrate", *QUICK, "--out", self.out / "stats.h5"]]),
                (encode, self.place / ".features.safetensors.lock",
                 [encode, ["plan", "--out", file], ["calibrate", *QUICK, "--out", file]])):
            holder = self.start(*first)
            while holder.poll() is None and not (lock.exists() and lock.stat().st_size):
                time.sleep(0.005)
            for second in seconds:
                refused = tool(*second, env=self.environment)
                self.assertEqual(refused.returncode, 1, second)
                self.assertIn(f"is being written by process {holder.pid} on ".encode(), refused.stderr)
            self.assertEqual(tool("inspect", self.whole["job"]).returncode, 0)
            holder.kill()  # dies without a word: the next run takes over
            holder.communicate()
            self.assertTrue(lock.exists())
            again = self.start(*first)
            while again.poll() is None and f"process {again.pid} " not in lock.read_text():
                time.sleep(0.005)
            again.terminate()
            self.assertEqual(again.communicate()[1].splitlines()[-1].split(":")[0], "interrupted")
            self.assertFalse(lock.exists())

    def test_what_an_interrupted_run_says_is_true_at_every_moment(self):
        began = time.monotonic()
        self.assertEqual(self.run_command("job").returncode, 0)
        duration = time.monotonic() - began
        shutil.rmtree(self.out)
        for moment in range(12):
            number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[moment % 3]
            process = self.start(*self.commands["job"], "--out", self.out)
            time.sleep(duration * moment / 11)
            process.send_signal(number)
            said = process.communicate(timeout=120)[1]
            with self.subTest(moment=moment, code=process.returncode):
                left = set(names_in(self.out)) if self.out.exists() else set()
                if process.returncode == 130:
                    last = said.splitlines()[-1]
                    self.assertIn(last.split(":")[0], "interrupted")
                    for name in sorted(FINISHED - {".w8a8-calib"}):
                        self.assertEqual(name in left, f"{self.out / name}" in last.split("Th")[0], last)
                    self.assertEqual("nothing was written" in last, not left, last)
                    self.assertLessEqual(left, FINISHED)
                else:  # before the tool was there to catch it, or after its work
                    self.assertIn(process.returncode, (0, -number))
                self.no_litter()
            shutil.rmtree(self.out, ignore_errors=True)

    def test_two_signals_leave_no_temporary_file(self):
        for command in ("calibrate", "encode"):
            for moment in range(6):
                process = self.start(*self.commands[command], "--out", self.out)
                time.sleep(0.03 * moment)
                for _ in range(2):
                    process.send_signal(signal.SIGTERM)
                process.communicate(timeout=120)
                self.no_litter()
                self.out.unlink(missing_ok=True)

    def test_names_that_are_not_utf8_stay_apart_in_every_file(self):
        place = self.place
        images, model, out = (place / os.fsdecode(n) for n in (b"im\xe4ges", b"mod\xffel", b"out\xff"))
        images.mkdir()
        shutil.copytree(self.demo / "model", model)
        shown = {b"caf\xe9.png": "caf\\xe9.png", b"caf\xe8.png": "caf\\xe8.png",
                 b"caf\\xe9.png": "caf\\x5cxe9.png", b"tab\tline\nbell\x07.png": "tab\tline\nbell\x07.png",
                 "größe.png".encode(): "größe.png", b"n" * 250 + b".png": "n" * 250 + ".png"}
        for name, source in zip(shown, sorted((self.demo / "images").rglob("*.png"))):
            shutil.copy(source, images / os.fsdecode(name))
        for name in (b"bad\xff.png", b"bad\xfe.png"):
            (images / os.fsdecode(name)).write_bytes(b"no image")
        bad = {"bad\\xff.png", "bad\\xfe.png"}
        on = ["--model", model, "--images", images, "--json"]
        job = tool(*QUICK, *SHORT, *on, "--out", out)
        self.assertEqual(job.returncode, 0, job.stderr)
        json.loads(job.stdout.decode())
        report = json.loads((out / "report.json").read_bytes().decode())
        self.assertEqual({i["file"] for i in report["skipped_images"]}, bad)
        for name in ("report.html", "report.json", "run.json", "quantized/config.json"):
            self.assertNotIn("\ufffd", (out / name).read_bytes().decode(), name)
        names = h5py.File(out / "stats.h5")["images/name"].asstr()[:]
        self.assertEqual(sorted(names), sorted(shown.values()))
        features = place / "features.safetensors"
        for command in (["preprocess"], ["encode", "--precision", "fp16", "--layers", "none"]):
            done = tool(*command, *on, "--out", features)
            self.assertEqual(done.returncode, 0, done.stderr)
            json.loads(done.stdout.decode())
            metadata = safe_open(features, "np").metadata()
            self.assertEqual(sorted(json.loads(metadata["images"])), sorted(shown.values()))
            self.assertEqual({i["file"] for i in json.loads(metadata["skipped"])}, bad)


if __name__ == "__main__":
    unittest.main()
