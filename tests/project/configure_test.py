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

    def test_refuses_a_cuda_backend_as_long_as_there_is_none(self):
        status, said = configure("-DW8A8_CUDA=ON")
        self.assertNotEqual(status, 0, said)
        self.assertIn("this version has no CUDA backend", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
