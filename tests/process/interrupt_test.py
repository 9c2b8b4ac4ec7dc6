"""Ctrl-C on a real process: what is finished stays and is used again, nothing else is left."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from standin_demo import BINARY, make_standin, run

QUICK = ["--device", "cpu", "--threads", "1"]


class Interrupt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="w8a8-interrupt-test-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.demo = make_standin(cls.folder / "standin")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def stopped(self, arguments, number, ready):
        """Starts the tool, sends signal `number` once ready() is true, and waits for its end."""
        environment = dict(os.environ, W8A8_DEMO_DIR=str(self.demo))
        process = subprocess.Popen([BINARY, *map(str, arguments)], env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (self.catches(process.pid, number) and ready()):
            time.sleep(0.002)
        process.send_signal(number)
        said = process.communicate(timeout=120)[1]
        return process.returncode, said

    @staticmethod
    def catches(pid, number):
        """Whether the process has come as far as to handle the signal."""
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16) >> (number - 1) & 1 == 1
        return False

    def no_temporary_file(self, out):
        self.assertEqual([p for p in out.rglob("*") if p.name.endswith(".tmp")], [])

    def test_keeps_the_finished_calibration_and_goes_on_from_it(self):
        out = self.folder / "kept"
        job = [*QUICK, "--out", out]
        for number in (signal.SIGINT, signal.SIGTERM):
            (out / "plan.json").unlink(missing_ok=True)  # the stage after the calibration writes it
            code, said = self.stopped(job, number, lambda: (out / "plan.json").exists())
            self.assertEqual(code, 130, said)
            self.assertIn("The same command", said)
            self.assertEqual(sorted(p.name for p in out.iterdir()),
                             [".w8a8-calib", "plan.json", "stats.h5"])
            self.no_temporary_file(out)
        finished = (out / "stats.h5").read_bytes()
        short = ["--clip-ranges", "inf", "--granularities", "per-token"]
        again = run(*job, *short, demo=self.demo)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("calibrate  taken from", again.stderr)
        self.assertEqual((out / "stats.h5").read_bytes(), finished)
        fresh = run(*QUICK, *short, "--out", self.folder / "fresh", demo=self.demo)
        self.assertEqual(fresh.returncode, 0, fresh.stderr)
        for name in ("stats.h5", "report.json", "plan.json"):
            self.assertEqual((out / name).read_bytes(), (self.folder / "fresh" / name).read_bytes())

    def test_calibrates_again_where_anything_differs(self):
        out = self.folder / "changed"
        short = [*QUICK, "--clip-ranges", "inf", "--granularities", "per-token", "--out", out]
        self.assertEqual(run(*short, demo=self.demo).returncode, 0)
        for change in (["--seed", "1"], ["--max-images", "19"], ["--resampler", "pillow12"]):
            again = run(*short, *change, demo=self.demo)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertNotIn("taken from", again.stderr, change)
        with open(out / "stats.h5", "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"?")
        again = run(*short, demo=self.demo)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertNotIn("taken from", again.stderr)

    def test_writes_nothing_if_stopped_while_encoding(self):
        out = self.folder / "encode"
        out.mkdir()
        many = self.folder / "list.txt"
        images = sorted((self.demo / "images").rglob("*.png"))
        many.write_text("".join(f"{images[i % len(images)]}\n" for i in range(4000)))
        code, said = self.stopped(
            ["encode", *QUICK, "--images", many, "--precision", "int8", "--out",
             out / "features.safetensors"], signal.SIGINT, lambda: True)
        self.assertEqual(code, 130, said)
        self.assertIn("interrupted: nothing was written", said)
        self.assertEqual(list(out.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
