"""OpenVINO: FP32, BF16, INT8 by NNCF, INT8 of a QDQ model, INT8 weights with inputs in groups."""

import logging

import onnx_peers

HINTS = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
GROUP = 32


def _runner(case, model, **more):
    import openvino
    compiled = openvino.Core().compile_model(model, "CPU", {**HINTS, **more})
    request = compiled.create_infer_request()
    pixels = openvino.Tensor(case.image.numpy())
    return lambda: request.infer([pixels])


def _model(case):
    import openvino
    model = openvino.convert_model(onnx_peers.export(case))
    model.reshape(list(case.image.shape))
    return model


def _nncf():
    logging.disable(logging.WARNING)
    import nncf
    return nncf


def fp32(case):
    return _runner(case, _model(case), INFERENCE_PRECISION_HINT="f32")


def bf16(case):
    import openvino
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in capabilities:
        raise RuntimeError("the CPU has no BF16")
    return _runner(case, _model(case), INFERENCE_PRECISION_HINT="bf16")


def int8_nncf(case):
    nncf = _nncf()
    data = nncf.Dataset([image.numpy() for image in case.images])
    model = nncf.quantize(_model(case), data, model_type=nncf.ModelType.TRANSFORMER,
                          subset_size=len(case.images))
    return _runner(case, model, INFERENCE_PRECISION_HINT="f32")


def int8_qdq(case):
    import openvino
    return _runner(case, openvino.convert_model(onnx_peers.static_model(case)),
                   INFERENCE_PRECISION_HINT="f32")


def int8_weights(case):
    nncf = _nncf()
    model = nncf.compress_weights(_model(case), mode=nncf.CompressWeightsMode.INT8_SYM)
    return _runner(case, model, INFERENCE_PRECISION_HINT="f32",
                   DYNAMIC_QUANTIZATION_GROUP_SIZE=GROUP)


PEERS = [("OpenVINO FP32", fp32), ("OpenVINO BF16", bf16),
         ("OpenVINO INT8 (NNCF, transformer)", int8_nncf),
         ("OpenVINO INT8 (QDQ model)", int8_qdq),
         (f"OpenVINO INT8 weights, inputs in groups of {GROUP}", int8_weights)]
