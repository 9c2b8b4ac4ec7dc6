#include "eval/job/demo_mixture.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/job/demo_data.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr int kStep = 2;  // every second block has experts
constexpr uint64_t kSeed = 14;

struct HalfTensor {
  std::vector<int64_t> shape;
  std::vector<Half> values;
};
using HalfTensors = std::map<std::string, HalfTensor>;

// The weights of expert `key`, which began as `dense`.
HalfTensor Upcycled(const std::string& key, const TensorView& dense) {
  HalfTensor tensor{dense.shape, HalfValues(dense)};
  const uint64_t seed = CounterHash(kSeed, HashText(key));
  for (size_t i = 0; i < tensor.values.size(); ++i) {
    const float factor = 1.0f + HashUniform(seed, i) / 16.0f;
    tensor.values[i] = ToHalf(ToFloat(tensor.values[i]) * factor);
  }
  return tensor;
}

// Logits of rows of variance 1 have variance 1.
HalfTensor Router(const std::string& key, int64_t width) {
  HalfTensor tensor{{kDemoExperts, width}, {}};
  const uint64_t seed = CounterHash(kSeed, HashText(key));
  const float bound = std::sqrt(3.0f / static_cast<float>(width));
  for (uint64_t i = 0; i < static_cast<uint64_t>(kDemoExperts * width); ++i) {
    tensor.values.push_back(ToHalf(HashUniform(seed, i) * bound));
  }
  return tensor;
}

// The tensors of a feed-forward step, "<stem>fc1.weight" and so on, as those of experts.
void AddExperts(const SafetensorsFile& dense, const std::string& stem, int64_t width,
                HalfTensors* tensors) {
  (*tensors)[stem + "gate.weight"] = Router(stem + "gate.weight", width);
  for (int e = 0; e < kDemoExperts; ++e) {
    for (const char* part : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}) {
      const std::string key = fmt::format("{}experts.{}.{}", stem, e, part);
      (*tensors)[key] = Upcycled(key, dense.Get(stem + part));
    }
  }
}

bool IsUnder(const std::string& key, const std::vector<std::string>& stems) {
  for (const std::string& stem : stems) {
    if (key.starts_with(stem)) return true;
  }
  return false;
}

HalfTensors WithExperts(const SafetensorsFile& dense, int64_t blocks, int64_t width) {
  HalfTensors tensors;
  std::vector<std::string> replaced;
  for (int64_t block = kStep - 1; block < blocks; block += kStep) {
    replaced.push_back(fmt::format("encoder.layers.{}.mlp.", block));
    AddExperts(dense, replaced.back(), width, &tensors);
  }
  for (const auto& [key, view] : dense.tensors()) {
    if (!IsUnder(key, replaced)) tensors[key] = {view.shape, HalfValues(view)};
  }
  return tensors;
}

}  // namespace

void WriteMixtureDemo(const fs::path& folder) {
  const DemoData demo = FindDemo();
  CopyDemoImages(folder);
  const fs::path model = folder / "model";
  MakeGroupFolders(model);
  nlohmann::ordered_json config =
      nlohmann::ordered_json::parse(ReadFile(demo.model() / "config.json"));
  const HalfTensors tensors = WithExperts(SafetensorsFile(demo.model() / "model.safetensors"),
                                          config.at("num_hidden_layers"), config.at("hidden_size"));
  config["num_experts"] = kDemoExperts;
  config["num_experts_per_tok"] = kDemoChosen;
  config["norm_topk_prob"] = true;
  config["decoder_sparse_step"] = kStep;
  WriteFileAtomically(model / "config.json", config.dump(2) + "\n");
  const char* processor = "preprocessor_config.json";
  WriteFileAtomically(model / processor, ReadFile(demo.model() / processor));
  SafetensorsWriter writer;
  for (const auto& [key, tensor] : tensors) {
    writer.Add(key, Dtype::kF16, tensor.shape, std::span<const Half>(tensor.values));
  }
  writer.Write(model / "model.safetensors");
}

}  // namespace w8a8
