"""Where the tool finds its demo, what it does with it and what it says: demo_test.py CMAKE BUILD."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from standin_demo import make_standin, run

CMAKE, BUILD = sys.argv[1:3]
QUICK = ("--clip-ranges", "inf", "--granularities", "per-token", "--device", "cpu")


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="w8a8-demo-test-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.demo = make_standin(cls.folder / "standin")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_runs_the_whole_job_without_model_and_images(self):
        job = run(*QUICK, demo=self.demo, cwd=self.folder)
        self.assertEqual(job.returncode, 0, job.stderr)
        said = [line for line in job.stderr.splitlines() if "no --model given" in line]
        self.assertEqual(len(said), 1, job.stderr)
        self.assertIn("and its images", said[0])
        report = json.loads((self.folder / "w8a8-demo/report.json").read_text())
        self.assertEqual(report["facts"]["demo"], "the embedded demo model and its images")
        self.assertEqual(report["facts"]["images"]["calibration"], 20)
        self.assertEqual(report["facts"]["images"]["evaluation"], 6)
        self.assertEqual(report["facts"]["classes"]["count"], 2)
        self.assertEqual(len(report["facts"]["classes"]["sha256"]), 64)
        for arm in report["arms"]:
            self.assertIsNotNone(arm["top1"], arm["name"])
            self.assertIsNotNone(arm["agreement"], arm["name"])

    def test_uses_the_demo_model_on_own_images_and_their_labels_only_if_they_fit(self):
        own = self.folder / "own/elsewhere"
        shutil.copytree(self.demo / "images/eval/circle", own)
        job = run(*QUICK, "--images", own.parent, "--out", self.folder / "own_out", demo=self.demo)
        self.assertEqual(job.returncode, 0, job.stderr)
        self.assertNotIn("and its images", job.stderr)
        self.assertIn("the sub-folder 'elsewhere' is none of the model's 2 classes", job.stderr)
        report = json.loads((self.folder / "own_out/report.json").read_text())
        self.assertEqual(report["facts"]["demo"], "the embedded demo model")
        self.assertIsNone(report["arms"][1]["top1"])
        self.assertIsNotNone(report["arms"][1]["agreement"])

    def test_names_the_sub_folder_that_is_no_class_of_a_given_file(self):
        own = self.folder / "named/elsewhere"
        shutil.copytree(self.demo / "images/eval/circle", own)
        job = run(*QUICK, "--images", own.parent, "--model", self.demo / "model", "--classes",
                  self.demo / "class_embeddings.safetensors", "--out", self.folder / "named_out")
        self.assertEqual(job.returncode, 1)
        self.assertIn("sub-folder 'elsewhere' is none of the model's 2 classes (of", job.stderr)

    def test_does_not_lend_its_images_to_another_model(self):
        job = run("--model", self.demo / "model", demo=self.demo)
        self.assertEqual(job.returncode, 2)
        self.assertIn("serve the demo model only", job.stderr)

    def test_refuses_a_wrong_override(self):
        job = run(demo=self.folder)
        self.assertEqual(job.returncode, 1)
        self.assertIn("W8A8_DEMO_DIR", job.stderr)
        self.assertIn("holds no demo", job.stderr)

    def test_exits_3_below_a_threshold_and_still_writes_the_report(self):
        out = self.folder / "below"
        job = run(*QUICK, "--out", out, "--min-sqnr-db", "200", "--quiet", demo=self.demo)
        self.assertEqual(job.returncode, 3)
        self.assertEqual(len(job.stderr.splitlines()), 1, job.stderr)
        self.assertIn("pooled SQNR of int8/plan", job.stderr)
        self.assertTrue((out / "report.html").exists())

    def test_copies_itself(self):
        job = run("demo", "--out", self.folder / "copy", demo=self.demo)
        self.assertEqual(job.returncode, 0, job.stderr)
        for part in ("model/model.safetensors", "class_embeddings.safetensors"):
            self.assertEqual((self.folder / "copy" / part).read_bytes(),
                             (self.demo / part).read_bytes())
        self.assertEqual(len(list((self.folder / "copy/images").rglob("*.png"))), 26)

    def test_is_found_by_an_installed_tool_from_any_working_directory(self):
        prefix = self.folder / "prefix"
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", prefix], check=True,
                       capture_output=True)
        installed = prefix / "share/w8a8-calib/demo"
        if not (installed / "model").exists():
            shutil.copytree(self.demo, installed, dirs_exist_ok=True)
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        job = run("preprocess", "--out", "pixels.safetensors", binary=prefix / "bin/w8a8-calib",
                  cwd=elsewhere)
        self.assertEqual(job.returncode, 0, job.stderr)
        self.assertIn(str(installed), job.stderr)
        self.assertTrue((elsewhere / "pixels.safetensors").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
