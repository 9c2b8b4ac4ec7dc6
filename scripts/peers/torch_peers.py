"""torch as a user would run it: FP32, BF16, INT8."""

import copy

import torch


def _forward(model, pixels):
    def run():
        with torch.inference_mode():
            return model(pixels)
    return run


def fp32(case):
    return _forward(case.model, case.image)


def bf16(case):
    return _forward(copy.deepcopy(case.model).to(torch.bfloat16), case.image.to(torch.bfloat16))


def int8_dynamic(case):
    model = torch.ao.quantization.quantize_dynamic(
        copy.deepcopy(case.model), {torch.nn.Linear}, dtype=torch.qint8)
    return _forward(model, case.image)


def int8_torchao(case):
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    model = copy.deepcopy(case.model)
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    run = _forward(torch.compile(model), case.image)
    run()
    return run


PEERS = [("torch FP32", fp32), ("torch BF16", bf16),
         ("torch INT8 (torch.ao, dynamic)", int8_dynamic),
         ("torch INT8 (torchao, dynamic per-token, compiled)", int8_torchao)]
