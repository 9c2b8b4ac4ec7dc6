"""What the golden makers of the encoders share: the error measure and the file."""

import json
import pathlib

import numpy as np
import safetensors.numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def relative_l2(expected, actual):
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def save(name, tensors, metadata, errors):
    """tests/golden/encoder/<name>.safetensors; metadata values are written as text."""
    metadata = {key: str(value) for key, value in metadata.items()}
    metadata["errors"] = json.dumps(errors)
    metadata["made_with"] = (
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"numpy {np.__version__}, safetensors {safetensors.__version__}"
    )
    path = ROOT / "tests" / "golden" / "encoder" / f"{name}.safetensors"
    safetensors.numpy.save_file(tensors, path, metadata)
    print(f"{path.name}: {path.stat().st_size} bytes")
    for tensor, error in errors.items():
        print("  ", tensor, error)
