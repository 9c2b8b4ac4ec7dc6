"""What the configure step says where something is missing: configure_test.py CMAKE."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CMAKE = sys.argv[1]
SOURCE = pathlib.Path(os.environ["W8A8_SOURCE"])
# What scripts/setup alone leaves a Debian with.
WITHOUT_GOOGLETEST = "-DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON"
WITHOUT_NVCC = ("-DW8A8_NVCC=/none/nvcc",)


def configure(*flags):
    """Exit status and everything said, in one line."""
    with tempfile.TemporaryDirectory(prefix="w8a8-configure-") as build:
        done = subprocess.run([CMAKE, "-S", SOURCE, "-B", build, "-G", "Ninja", *flags],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, " ".join(done.stdout.split())


class Configure(unittest.TestCase):
    def test_leaves_the_tests_out_where_their_packages_are_missing_and_says_so(self):
        status, said = configure(WITHOUT_GOOGLETEST)
        self.assertEqual(status, 0, said)
        self.assertIn("Tests: not built, they need GoogleTest", said)
        self.assertIn("scripts/setup --tests", said)

    def test_fails_where_tests_are_required_and_their_packages_are_missing(self):
        status, said = configure(WITHOUT_GOOGLETEST, "-DW8A8_TESTS=ON")
        self.assertNotEqual(status, 0, said)
        self.assertIn("scripts/setup --tests", said)

    def test_says_what_the_cuda_backend_needs_where_it_is_required_and_missing(self):
        status, said = configure("-DW8A8_CUDA=ON", *WITHOUT_NVCC)
        self.assertNotEqual(status, 0, said)
        self.assertIn("the CUDA backend needs nvcc", said)

    def test_leaves_the_cuda_backend_out_where_there_is_no_nvcc_and_says_so(self):
        status, said = configure(WITHOUT_GOOGLETEST, *WITHOUT_NVCC)
        self.assertEqual(status, 0, said)
        self.assertIn("CUDA backend: not built, it needs nvcc", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
