"""Writes tests/golden/base/dtypes.safetensors with the Python package safetensors (0.8.0).

Every dtype that the package knows, each as a matrix, a scalar and an empty tensor; the bytes of
tensor i are (31 i + 7 j) mod 256, so that the C++ test makes them without this file.
Usage: python scripts/goldens/safetensors_golden.py
"""
import ctypes
import pathlib

from safetensors import TensorSpec, serialize_file

# The package's name and the bytes per element.
DTYPES = [
    ("bool", 1), ("uint8", 1), ("int8", 1), ("float8_e5m2", 1), ("float8_e4m3fn", 1),
    ("float8_e8m0fnu", 1), ("float8_e4m3fnuz", 1), ("float8_e5m2fnuz", 1), ("int16", 2),
    ("uint16", 2), ("float16", 2), ("bfloat16", 2), ("int32", 4), ("uint32", 4), ("float32", 4),
    ("complex64", 8), ("float64", 8), ("int64", 8), ("uint64", 8),
]
SHAPES = [("matrix", [2, 3]), ("scalar", []), ("empty", [4, 0])]


def main():
    specs, alive = {}, []
    for i, (dtype, width) in enumerate(DTYPES):
        for kind, shape in SHAPES:
            elements = 1
            for extent in shape:
                elements *= extent
            data = bytes((31 * i + 7 * j) % 256 for j in range(elements * width))
            buffer = ctypes.create_string_buffer(data, max(len(data), 1))
            alive.append(buffer)
            specs[f"{kind}.{dtype}"] = TensorSpec(
                dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffer), data_len=len(data))
    specs['quote" back\\ newline\n bell\x07 e\u0301'] = TensorSpec(
        dtype="uint8", shape=[0], data_ptr=ctypes.addressof(alive[0]), data_len=0)
    target = pathlib.Path(__file__).parents[2] / "tests/golden/base/dtypes.safetensors"
    serialize_file(specs, str(target), {"format": "pt"})
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
