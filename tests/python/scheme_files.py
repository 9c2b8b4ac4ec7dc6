"""A layer of scheme_weights.py as the file and the flags that `linear` takes, and what it wrote."""

import json
import struct

import numpy as np

F32 = np.float32
DTYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "I32": np.int32, "I64": np.int64}


def words(codes, bits, layout):
    """How many words of 32 bits a row takes."""
    lanes = 32 // bits
    return -(-codes * bits // 32) if layout == "dense" else -(-codes // lanes)


def packed(codes, bits, layout):
    """int32 words of each row (formats.md 1.6), by bits as 0 and 1 rather than by shifts."""
    lanes = 32 // bits
    offset = codes.astype(np.int64) + 2 ** (bits - 1)
    stream = (offset[:, :, None] >> np.arange(bits)) & 1  # [rows, cols, bits], low bit first
    rows, cols = codes.shape
    if layout == "dense":
        stream = stream.reshape(rows, cols * bits)
        stream = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    else:
        stream = np.pad(stream, ((0, 0), (0, -cols % lanes), (0, 0)))
        stream = stream.reshape(rows, -1, lanes * bits)
        stream = np.pad(stream, ((0, 0), (0, 0), (0, 32 - lanes * bits))).reshape(rows, -1)
    packed_words = stream.reshape(rows, -1, 32) @ (1 << np.arange(32))
    return packed_words.astype(np.uint32).view(np.int32)


def tensors_of(layer):
    """name: (dtype, values) of the input file."""
    tensors = {"x": ("F16", layer.x)}
    if layer.weight is not None:
        tensors["weight"] = (layer.weight_dtype, layer.weight)
    elif layer.packing is None:
        tensors["weight"] = ("I8", layer.codes)
    else:
        tensors["weight_packed"] = ("I32", packed(layer.codes, layer.bits, layer.packing))
        tensors["weight_shape"] = ("I64", np.array(layer.codes.shape))
    if layer.weight_scale is not None:
        tensors["weight_scale"] = (layer.scale_dtype, layer.weight_scale)
    if layer.zero_points is not None and layer.packing is None:
        tensors["weight_zero_point"] = ("I8", layer.zero_points)
    elif layer.zero_points is not None:
        columns = packed(layer.zero_points.T, layer.bits, layer.packing)
        tensors["weight_zero_point"] = ("I32", columns.T)
    if layer.bias is not None:
        tensors["bias"] = (layer.bias_dtype, layer.bias)
    if layer.smoothing is not None:
        tensors["smoothing"] = ("F32", layer.smoothing)
    return tensors


def tensor_bytes(dtype, values):
    if dtype == "BF16":
        return (np.ascontiguousarray(values, F32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return np.ascontiguousarray(values).astype(DTYPES[dtype]).tobytes()


def write_tensors(path, tensors):
    """A safetensors file, written by hand: numpy has no BF16."""
    header, blobs, offset = {}, [], 0
    for name, (dtype, values) in tensors.items():
        blob = tensor_bytes(dtype, values)
        offsets = [offset, offset + len(blob)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_tensors(path):
    """name: array; BF16 as binary32."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            values = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
            values = values.view(F32)
        else:
            values = np.frombuffer(data[begin:end], {**DTYPES, "U64": np.uint64}[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def flags_of(layer):
    """What `linear` needs to hear beside the file."""
    flags = []
    if layer.bits != 8 or layer.packing is not None:
        flags += ["--weight-bits", str(layer.bits)]
    if layer.group_size is not None:
        flags += ["--group-size", str(layer.group_size)]
    # A scale of shape [1] says it, too.
    if layer.per_tensor_weights and (layer.weight_scale is None or layer.m % 2):
        flags += ["--weight-granularity", "per-tensor"]
    if layer.convention == "vllm":
        flags += ["--weight-convention", "vllm"]
    if layer.weight_only:
        flags += ["--weight-only"]
    if layer.input_scale is not None:
        flags += ["--input-scale", repr(float(layer.input_scale))]
    elif np.isfinite(layer.clip_range):
        flags += ["--clip-range", repr(float(layer.clip_range))]
    if layer.input_zero_point is not None:
        flags += ["--input-zero-point", str(layer.input_zero_point)]
    if layer.asymmetric:
        flags += ["--asymmetric"]
    if layer.input_group_size is not None:
        flags += ["--input-group-size", str(layer.input_group_size)]
    if layer.output_scale is not None:
        flags += ["--output-scale", repr(float(layer.output_scale))]
    if layer.rotation is not None:
        block, mix, seed = layer.rotation
        text = f"{block}{',mix' if mix else ''}{f',seed={seed}' if seed else ''}"
        flags += ["--rotation", text]
    if layer.first_row_twice:
        flags += ["--first-row-twice"]
    if layer.dtype is not None:
        flags += ["--dtype", layer.dtype]
    return flags
