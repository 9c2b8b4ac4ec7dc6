"""Tensors of a plan that Python's safetensors wrote are read, and Python reads those of ours.

plan_tensors_oracle.py TOOL: `plan --plan` reads a plan and writes it again in the tool's own words.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

SITE = "blocks.1.attn.qkv"
INPUTS, OUTPUTS, GROUP = 128, 384, 48  # of the model of `demo --random`; a last group of 32


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_tensors():
    random = np.random.default_rng(5)
    groups = -(-INPUTS // GROUP)
    return {
        "smoothing": random.uniform(0.5, 2, INPUTS).astype(np.float32),
        "codes": random.integers(-8, 8, (OUTPUTS, INPUTS), dtype=np.int8),
        "weight_scale": random.uniform(1e-3, 2e-3, (OUTPUTS, groups)).astype(np.float32),
        "weight_zero_point": random.integers(-8, 8, (OUTPUTS, groups), dtype=np.int8),
        "bias": random.normal(size=OUTPUTS).astype(np.float32),
    }


def plan_of(tensors):
    """The plan, with these tensors beside it."""
    return {
        "version": 2,
        "sites": {SITE: {
            "input": {"strategy": "token"},
            "weight": {"num_bits": 4, "strategy": "group", "group_size": GROUP,
                       "symmetric": False, "rounding": "given"},
            "transform": {"smoothing": True},
        }},
        "tensors": {"file": tensors.name, "sha256": sha256(tensors)},
    }


def main():
    tool = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([tool, "demo", "--random", "--out", folder / "demo", "--quiet"], check=True)
        made = {f"{SITE}.{key}": values for key, values in made_tensors().items()}
        save_file(made, folder / "made.safetensors")
        (folder / "made.json").write_text(json.dumps(plan_of(folder / "made.safetensors")))
        command = [tool, "plan", "--model", folder / "demo/model", "--quiet", "--plan"]
        subprocess.run([*command, folder / "made.json", "--out", folder / "ours.json"], check=True)

        ours = json.loads((folder / "ours.json").read_text())
        assert ours["tensors"]["file"] == "ours.safetensors", ours["tensors"]
        assert ours["tensors"]["sha256"] == sha256(folder / "ours.safetensors")
        assert ours["sites"][SITE]["weight"]["rounding"] == "given", ours["sites"][SITE]
        read = load_file(folder / "ours.safetensors")
        assert set(read) == set(made), sorted(read)
        for key, values in made.items():
            assert read[key].dtype == values.dtype and np.array_equal(read[key], values), key

        made[f"{SITE}.codes"] = made[f"{SITE}.codes"] + np.int8(8)  # up to 15: beyond four bits
        save_file(made, folder / "made.safetensors")
        (folder / "made.json").write_text(json.dumps(plan_of(folder / "made.safetensors")))
        refused = subprocess.run([*command, folder / "made.json", "--out", folder / "no.json"],
                                 capture_output=True, text=True)
        assert refused.returncode == 1 and SITE in refused.stderr, refused
    print(f"{sum(values.size for values in made.values())} values of {len(made)} tensors, all equal")


if __name__ == "__main__":
    main()
