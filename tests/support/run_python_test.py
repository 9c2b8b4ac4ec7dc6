"""Runs a Python test script for ctest: run_python_test.py MODULES WORD SCRIPT [ARG...]

MODULES is a comma list of what the script imports. If one is missing, the test is skipped loudly
(exit 77), or fails if the environment variable W8A8_REQUIRE names WORD.
"""
import importlib.util
import os
import pathlib
import runpy
import sys


def main():
    modules, word, script = sys.argv[1:4]
    missing = [m for m in modules.split(",") if importlib.util.find_spec(m) is None]
    if missing:
        lacking = f"{sys.executable} lacks {', '.join(missing)}"
        if word in os.environ.get("W8A8_REQUIRE", "").split(","):
            sys.exit(f"W8A8_REQUIRE names {word}, but {lacking}")
        print(f"*** SKIPPED, {word} is missing: {lacking}; pip installs them ***")
        sys.exit(77)
    sys.argv = sys.argv[3:]
    sys.path[0] = str(pathlib.Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
