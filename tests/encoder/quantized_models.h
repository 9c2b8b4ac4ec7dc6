// Small checkpoints whose layers are stored as INT8 codes.
#pragma once

#include <span>

#include "quant/bit_packing.h"
#include "quant/weight_codes.h"
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

// How StoreCodes() puts codes into a file.
struct Storage {
  bool packed = false;
  PackedLayout layout = PackedLayout::kDense;
};

// Codes of the whole range of `bits` bits in no order, with distinct scales for each row or group
// of `group_size` inputs (0: none), and with distinct zero points or none; finished.
WeightCodes SmallCodes(int64_t rows, int64_t inputs, int bits, int64_t group_size = 0,
                       bool zero_points = false);
// Replaces what is stored for `stem` but its bias.
void StoreCodes(OwnedTensors& tensors, const std::string& stem, const WeightCodes& weight,
                const Storage& storage);
template <class T>
OwnedTensor TensorOf(Dtype dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

// A config of one group: the arguments as JSON, "null" for none.
std::string OneGroup(const std::string& format, const std::string& weights,
                     const std::string& inputs = "null", const std::string& outputs = "null");

// Puts `quantization` under `place` ("vision_config.quantization_config") of the folder's config.
void DescribeQuantization(const std::filesystem::path& folder, const std::string& quantization,
                          const std::string& place = "quantization_config");

std::string ErrorOfReading(const std::filesystem::path& folder);

}  // namespace w8a8::test
