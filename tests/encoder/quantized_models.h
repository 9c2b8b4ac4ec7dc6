// Small checkpoints whose layers are stored as INT8 codes.
#pragma once

#include "tests/encoder/small_models.h"

namespace w8a8::test {

constexpr const char* kAttention = "vision_model.encoder.layers.0.self_attn.";

// 0.001, 0.002, ...
std::vector<float> Scales(size_t rows);

// Stores `stem` as codes -128, -127, ... (wrapping), with distinct scales.
void QuantizeStem(OwnedTensors& tensors, const std::string& stem, int64_t rows, int64_t inputs);

// A TinySiglipFolder() whose q, k and v of block 0 are such codes.
std::filesystem::path QuantizedFolder(
    const std::string& name, const std::function<void(OwnedTensors&)>& edit = [](OwnedTensors&) {});

// Puts `quantization` under `place` ("vision_config.quantization_config") of the folder's config.
void DescribeQuantization(const std::filesystem::path& folder, const std::string& quantization,
                          const std::string& place = "quantization_config");

std::string ErrorOfReading(const std::filesystem::path& folder);

}  // namespace w8a8::test
