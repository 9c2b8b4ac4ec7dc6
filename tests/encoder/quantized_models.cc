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
  return ErrorOf([&] { EncoderWeights(folder, TinySiglip()).Linear("blocks.0.attn.qkv"); });
}

}  // namespace w8a8::test
