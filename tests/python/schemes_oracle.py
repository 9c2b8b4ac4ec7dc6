"""schemes_oracle.py LINEAR_BATCH [LAYERS]: numerics.md section 6 in numpy, against `linear`.

For every scheme LAYERS (400) random layers. Every code, zero point, scale, code sum, accumulator,
count, transformed input and output bit of `emulated` and of `int8` on each usable kernel set; what
`fake` writes beside its product, too. Float products (fake, weight-only) within the bound of a
binary32 dot product and TwiceNaive. The layers run through tests/cpu/linear_batch.cc, which runs
the same command lines as the program, many in one process.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of products too small to share

import numpy as np

import scheme_contract
import scheme_files
import scheme_floats
import scheme_layers
from exact_arithmetic import check_fma, check_fma64
from tensor_differences import differences

BLOCK = 20  # layers whose command lines are sent together
SHARED_MEMORY = "/dev/shm"


def random_layer(scheme, index):
    """The same on every machine, whatever other schemes there are."""
    rng = np.random.default_rng([zlib.crc32(scheme.encode()), index])
    return scheme_layers.SCHEMES[scheme](rng)


def run_batch(lines):
    """Exit codes of command lines."""
    text = "".join(" ".join(words) + "\n" for words in lines)
    result = subprocess.run(
        [sys.argv[1]], input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    return [int(code) for code in result.stdout.split()]


def runs_of(layer, kernel_sets):
    """name: the flags of each run of a layer."""
    if layer.vllm_static:
        return {"fake": ["--precision", "fake", "--fake", "vllm-static"]}
    runs = {"emulated": ["--precision", "emulated"], "fake": ["--precision", "fake"]}
    return runs | {name: ["--precision", "int8", "--kernels", name] for name in kernel_sets}


class Tally:
    """Problems, numbers compared, and the squares of float errors in units of what they may be."""

    def __init__(self):
        self.problems, self.compared, self.actual, self.naive = [], 0, 0.0, 0.0

    def add(self, other):
        self.problems += other.problems
        self.compared += other.compared
        self.actual += other.actual
        self.naive += other.naive

    def check_integer(self, where, expected, actual):
        self.compared += sum(value.size for value in expected.values())
        self.problems += [f"{where}: {text}" for text in differences(expected, actual)]

    def check_float(self, where, layer, expected, actual):
        rest = {name: v for name, v in actual.items() if name not in ("y", "output_codes")}
        self.check_integer(where, expected.tensors, rest)
        if "y" not in actual:
            self.problems.append(f"{where}: y is missing")
            return
        actual["y"] = actual["y"].astype(np.float32)
        if quantizes_output(layer):
            wrong = scheme_floats.quantized_differences(layer, expected, actual)
        else:
            wrong, error, naive = scheme_floats.stored_differences(expected, actual["y"])
            self.actual += error
            self.naive += naive
        self.problems += [f"{where}: {text}" for text in wrong]


def quantizes_output(layer):
    return layer.output_scale is not None and layer.output_scale != 0


def check_exact(where, layer, runs, folder):
    """The runs of equal bits: what the first wrote, and that the others wrote the same file."""
    tally, first = Tally(), scheme_files.read_tensors(folder / runs[0])
    tally.check_integer(f"{where} {runs[0]}", scheme_contract.expected_integer(layer), first)
    file = (folder / runs[0]).read_bytes()
    for name in runs[1:]:
        tally.compared += sum(value.size for value in first.values())
        if (folder / name).read_bytes() != file:
            wrong = differences(first, scheme_files.read_tensors(folder / name))
            tally.problems.append(f"{where} {name}: not the bytes of {runs[0]}: {wrong}")
    return tally


def check_layer(where, layer, runs, folder):
    tally = Tally()
    fake = scheme_files.read_tensors(folder / "fake")
    if layer.vllm_static:
        tally.check_float(f"{where} fake", layer, scheme_floats.expected_vllm_static(layer), fake)
        return tally
    exact = [name for name in runs if name != "fake"]
    if layer.weight_only:
        expected = scheme_floats.expected_weight_only(layer)
        for name in exact:
            actual = scheme_files.read_tensors(folder / name)
            tally.check_float(f"{where} {name}", layer, expected, actual)
    else:
        tally.add(check_exact(where, layer, exact, folder))
    expected = scheme_floats.expected_fake(layer)
    if not np.isfinite(expected.exact).all() and not layer.weight_only:
        tally.problems.append(f"{where}: the exact product of fake is not finite")
    # Products beyond binary32 have no bound: there only what int8 writes is compared.
    if np.abs(expected.slack).max() < 1e30 or layer.weight_only:
        tally.check_float(f"{where} fake", layer, expected, fake)
    return tally


def check_block(scheme, indices, kernel_sets):
    tally, lines, jobs = Tally(), [], []
    memory = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None
    with tempfile.TemporaryDirectory(dir=memory) as name, np.errstate(all="ignore"):
        for index in indices:
            layer = random_layer(scheme, index)
            folder = pathlib.Path(name) / str(index)
            folder.mkdir()
            scheme_files.write_tensors(folder / "in", scheme_files.tensors_of(layer))
            runs = runs_of(layer, kernel_sets)
            for run, flags in runs.items():
                words = ["linear", "--quiet", "--in", str(folder / "in"), "--out", str(folder / run)]
                lines.append(words + flags + scheme_files.flags_of(layer))
            jobs.append((f"{scheme} {index}", layer, runs, folder))
        codes = run_batch(lines)
        refused = [f"exit {c}: {' '.join(w)}" for c, w in zip(codes, lines) if c != 0]
        tally.problems += refused
        for job in jobs:
            if all((job[3] / run).exists() for run in job[2]):
                tally.add(check_layer(*job))
    return scheme, tally


def check_that_it_can_fail():
    """A layer that differs from the one that ran in one weight must be found."""
    layer = random_layer("weights codes", 3)
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        folder = pathlib.Path(name)
        scheme_files.write_tensors(folder / "in", scheme_files.tensors_of(layer))
        words = ["linear", "--quiet", "--in", str(folder / "in"), "--out", str(folder / "int8")]
        words += ["--precision", "int8", *scheme_files.flags_of(layer)]
        assert run_batch([words]) == [0], "a layer was refused"
        actual = scheme_files.read_tensors(folder / "int8")
        assert not differences(scheme_contract.expected_integer(layer), actual)
        layer.codes[0, 0] ^= 1
        assert differences(scheme_contract.expected_integer(layer), actual), "went unnoticed"


def usable_kernel_sets():
    command = [os.environ["W8A8_BINARY"], "--version", "--json"]
    version = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [s["name"] for s in version["kernels"] if s["usable"]]


def main():
    check_fma()
    check_fma64()
    check_that_it_can_fail()
    kernel_sets = usable_kernel_sets()
    assert "scalar" in kernel_sets
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    blocks = [(scheme, range(begin, min(begin + BLOCK, layers)), kernel_sets)
              for scheme in scheme_layers.SCHEMES for begin in range(0, layers, BLOCK)]
    tallies = {scheme: Tally() for scheme in scheme_layers.SCHEMES}
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for scheme, tally in pool.map(check_block, *zip(*blocks)):
            tallies[scheme].add(tally)
    report(tallies, layers, kernel_sets)


def report(tallies, layers, kernel_sets):
    total = Tally()
    for scheme, tally in tallies.items():
        ratio = (tally.actual / tally.naive) ** 0.5 if tally.naive else 0
        print(f"{scheme}: {tally.compared} numbers, float error {ratio:.3f} of naive")
        if ratio > scheme_floats.TWICE:
            tally.problems.append(f"{scheme}: not TwiceNaive")
        total.add(tally)
    print(f"{layers} layers of each scheme, sets {', '.join(kernel_sets)}, emulated and fake")
    if total.problems:
        sys.exit("\n".join(total.problems[:20]) + f"\n{len(total.problems)} differences")
    assert total.compared > 1000 * layers


if __name__ == "__main__":
    main()
