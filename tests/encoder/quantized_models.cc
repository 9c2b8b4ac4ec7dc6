#include "tests/encoder/quantized_models.h"

#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "runtime/encoder/weights.h"
#include "tests/support/errors.h"

namespace w8a8::test {

namespace fs = std::filesystem;

std::vector<float> Scales(size_t rows) {
  std::vector<float> scales(rows);
  for (size_t i = 0; i < rows; ++i) scales[i] = 0.001f * static_cast<float>(i + 1);
  return scales;
}

void QuantizeStem(OwnedTensors& tensors, const std::string& stem, int64_t rows, int64_t inputs) {
  OwnedTensor codes{Dtype::kI8, {rows, inputs}, {}};
  for (int64_t i = 0; i < rows * inputs; ++i) {
    codes.bytes.push_back(static_cast<std::byte>((i + 128) & 0xff));
  }
  tensors[stem + ".weight"] = codes;
  tensors[stem + ".weight_scale"] = Floats({rows, 1}, Scales(static_cast<size_t>(rows)));
}

void QuantizeQkv(OwnedTensors& tensors) {
  for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
    QuantizeStem(tensors, std::string(kAttention) + part, 64, 64);
  }
}

fs::path QuantizedFolder(const std::string& name, const std::function<void(OwnedTensors&)>& edit) {
  const fs::path folder = TinySiglipFolder(name);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    QuantizeQkv(tensors);
    edit(tensors);
  });
  return folder;
}

WeightCodes SmallCodes(int64_t rows, int64_t inputs, int bits, int64_t group_size,
                       bool zero_points) {
  WeightCodes weight{.n = rows, .k = inputs, .bits = bits};
  const auto values = int64_t{1} << bits;
  const auto code = [&](int64_t i) {
    return static_cast<int8_t>((i * 37 + i / values * 5) % values - values / 2);
  };
  for (int64_t i = 0; i < rows * inputs; ++i) weight.codes.push_back(code(i));
  if (group_size > 0) weight.scale = {Granularity::kGroup, group_size};
  for (int64_t i = 0; i < rows * weight.groups(); ++i) {
    weight.scale.values.push_back(0.001f * static_cast<float>(i + 1));
    if (zero_points) weight.zero_points.push_back(code(i + 3));
  }
  FinishCodes("small codes", weight);
  return weight;
}

void StoreCodes(OwnedTensors& tensors, const std::string& stem, const WeightCodes& weight,
                const Storage& storage) {
  tensors.erase(stem + ".weight");
  const int64_t groups = weight.groups();
  const auto words_of = [&](const std::vector<int32_t>& words, int64_t height, int64_t width) {
    return TensorOf(Dtype::kI32, {height, width}, words);
  };
  if (storage.packed) {
    const auto words =
        PackRows({weight.codes.data(), weight.n, weight.k, weight.k}, weight.bits, storage.layout);
    tensors[stem + ".weight_packed"] = words_of(words, weight.n, std::ssize(words) / weight.n);
    tensors[stem + ".weight_shape"] =
        TensorOf(Dtype::kI64, {2}, std::vector<int64_t>{weight.n, weight.k});
  } else {
    tensors[stem + ".weight"] = TensorOf(Dtype::kI8, {weight.n, weight.k}, weight.codes);
  }
  tensors[stem + ".weight_scale"] = Floats({weight.n, groups}, weight.scale.values);
  if (weight.zero_points.empty()) return;
  const std::string point = stem + ".weight_zero_point";
  if (storage.packed) {
    const auto words = PackColumns({weight.zero_points.data(), weight.n, groups, groups},
                                   weight.bits, storage.layout);
    tensors[point] = words_of(words, std::ssize(words) / groups, groups);
  } else {
    tensors[point] = TensorOf(Dtype::kI8, {weight.n, groups}, weight.zero_points);
  }
}

std::string OneGroup(const std::string& format, const std::string& weights,
                     const std::string& inputs, const std::string& outputs) {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format +
         R"(", "config_groups": {"group_0": {"targets": ["Linear"], "weights": )" + weights +
         R"(, "input_activations": )" + inputs + R"(, "output_activations": )" + outputs + "}}}";
}

void DescribeQuantization(const fs::path& folder, const std::string& quantization,
                          const std::string& place) {
  nlohmann::json config = nlohmann::json::parse(std::ifstream(folder / "config.json"));
  nlohmann::json* where = &config;
  std::istringstream parts(place);
  for (std::string part; std::getline(parts, part, '.');) where = &(*where)[part];
  *where = nlohmann::json::parse(quantization);
  WriteText(folder / "config.json", config.dump());
}

std::string ErrorOfReading(const fs::path& folder) {
  return ErrorOf([&] {
    const EncoderWeights weights(folder, TinySiglip());
    weights.Linear("blocks.0.attn.qkv");
    weights.StoredSite("blocks.0.attn.qkv");
  });
}

}  // namespace w8a8::test
