"""ONNX Runtime: FP32, INT8 dynamic, INT8 static with quantize-dequantize pairs."""

import logging
import os

import onnx
import torch


def export(case):
    """The model's ONNX file; made once for all who read it."""
    path = os.path.join(case.folder, "model.onnx")
    if not os.path.exists(path):
        torch.onnx.export(case.model, (case.image,), path, input_names=["pixels"],
                          output_names=["pooled"], dynamo=True, external_data=False, verbose=False)
    return path


def _session(path):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session


def _runner(case, path):
    session = _session(path)
    feed = {session.get_inputs()[0].name: case.image.numpy()}
    return lambda: session.run(None, feed)


def _prepared(case):
    from onnxruntime.quantization.shape_inference import quant_pre_process
    path = os.path.join(case.folder, "prepared.onnx")
    if not os.path.exists(path):
        quant_pre_process(export(case), path, skip_symbolic_shape=True)
    return path


def fp32(case):
    return _runner(case, export(case))


def dynamic(case):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    path = os.path.join(case.folder, "dynamic.onnx")
    logging.disable(logging.WARNING)
    quantize_dynamic(_prepared(case), path, op_types_to_quantize=["MatMul", "Gemm"],
                     per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"MatMulConstBOnly": True})
    return _runner(case, path)


class _Reader:
    def __init__(self, name, images):
        self.name, self.images = name, iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {self.name: image.numpy()}


def static_model(case):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    path = os.path.join(case.folder, "static.onnx")
    if not os.path.exists(path):
        logging.disable(logging.WARNING)
        name = onnx.load(_prepared(case), load_external_data=False).graph.input[0].name
        quantize_static(_prepared(case), path, _Reader(name, case.images),
                        quant_format=QuantFormat.QDQ, op_types_to_quantize=["MatMul", "Gemm"],
                        per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})
    return path


def static(case):
    return _runner(case, static_model(case))


PEERS = [("ONNX Runtime FP32", fp32), ("ONNX Runtime INT8 (dynamic)", dynamic),
         ("ONNX Runtime INT8 (static, QDQ)", static)]
