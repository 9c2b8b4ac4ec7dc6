#include "runtime/encoder/hash_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/encoder/layout.h"

namespace w8a8 {
namespace {

constexpr const char* kPrefix = "vision_model.";
constexpr float kOutlierGain = 16.0f;

constexpr std::string_view kLayerScales[] = {"lambda_1", "lambda_2", "lambda1"};
constexpr std::string_view kTablesAndTokens[] = {"position_embedding.weight",
                                                 "position_embeddings",
                                                 "class_embedding",
                                                 "cls_token",
                                                 "distillation_token",
                                                 "register_tokens",
                                                 "probe"};

bool EndsWithAny(std::string_view key, std::span<const std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [key](std::string_view ending) { return key.ends_with(ending); });
}

std::map<std::string, std::vector<int64_t>> TensorShapes(const EncoderConfig& config) {
  const CheckpointLayout layout = LayoutOf(config);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const LinearLayout& linear : layout.linears) {
    for (const StoredTensor& weight : linear.weights) {
      shapes[FullKey("", weight.key)] = weight.shape;
    }
    for (const StoredTensor& bias : linear.biases) shapes[FullKey("", bias.key)] = bias.shape;
  }
  for (const VectorLayout& vector : layout.vectors) {
    for (const StoredTensor& part : vector.tensors) shapes[part.key] = part.shape;
  }
  return shapes;
}

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t side : shape) count *= side;
  return count;
}

// The norms of a block and the layers that read them carry the outlier channels.
bool IsBlockNorm(const std::string& key) {
  return key.ends_with(".layer_norm1.weight") || key.ends_with(".layer_norm2.weight");
}

constexpr std::string_view kReadersOfNorms[] = {
    "q_proj.weight",    "k_proj.weight",  "v_proj.weight", "fc1.weight",
    "gate_proj.weight", "up_proj.weight", "gate.weight"};

bool ReadsBlockNorm(const std::string& key) {
  return key.starts_with("encoder.layers.") && EndsWithAny(key, kReadersOfNorms);
}

class HashTensors {
 public:
  HashTensors(const EncoderConfig& config, uint64_t seed, int64_t outliers)
      : seed_(seed), gain_(static_cast<size_t>(config.width), 1.0f) {
    for (int64_t j = 0; j < outliers; ++j) {
      const uint64_t channel =
          CounterHash(seed, static_cast<uint64_t>(j)) % static_cast<uint64_t>(config.width);
      gain_[channel] = kOutlierGain;
    }
  }

  std::vector<float> Make(const std::string& key, const std::vector<int64_t>& shape) const {
    std::vector<float> values(static_cast<size_t>(Elements(shape)));
    const uint64_t tensor_seed = CounterHash(seed_, HashText(key));
    for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(tensor_seed, i);
    ScaleByKind(key, shape, values);
    if (IsBlockNorm(key) || ReadsBlockNorm(key)) PlantOutliers(key, values);
    return values;
  }

 private:
  static void ScaleByKind(const std::string& key, const std::vector<int64_t>& shape,
                          std::vector<float>& values) {
    const bool is_norm = key.find("norm") != std::string::npos && key.ends_with(".weight");
    if (is_norm) {
      for (float& value : values) value = 1.0f + value * 0.25f;
      return;
    }
    if (EndsWithAny(key, kLayerScales)) {
      for (float& value : values) value = 0.5f + value * 0.25f;
      return;
    }
    const bool is_bias = key.ends_with("bias");
    const bool is_table = EndsWithAny(key, kTablesAndTokens);
    const int64_t inputs = Elements(shape) / shape.front();
    const float fan_in = std::sqrt(3.0f / static_cast<float>(inputs));
    const float bound = is_bias ? 0.0625f : is_table ? 0.5f : fan_in;
    for (float& value : values) value *= bound;
  }

  void PlantOutliers(const std::string& key, std::vector<float>& values) const {
    const bool is_norm = IsBlockNorm(key);
    for (size_t i = 0; i < values.size(); ++i) {
      const float gain = gain_[i % gain_.size()];
      values[i] *= is_norm ? gain : 1.0f / gain;
    }
  }

  uint64_t seed_;
  std::vector<float> gain_;  // by channel
};

std::vector<std::byte> StoredAs(const std::vector<float>& values, Dtype dtype) {
  const size_t size = static_cast<size_t>(DtypeBits(dtype) / 8);
  std::vector<std::byte> bytes(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half =
        dtype == Dtype::kF16 ? ToHalf(values[i]).bits : ToBFloat16(values[i]).bits;
    const void* source = dtype == Dtype::kF32 ? static_cast<const void*>(&values[i]) : &half;
    std::memcpy(bytes.data() + i * size, source, size);
  }
  return bytes;
}

void WriteTensors(const std::filesystem::path& folder, const EncoderConfig& config,
                  const std::string& prefix, Dtype dtype, const HashTensors& tensors) {
  W8A8_CHECK(dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16);
  std::map<std::string, std::vector<std::byte>> stored;
  SafetensorsWriter writer;
  for (const auto& [key, shape] : TensorShapes(config)) {
    const auto [entry, added] = stored.emplace(key, StoredAs(tensors.Make(key, shape), dtype));
    writer.Add(prefix + key, dtype, shape, entry->second);
  }
  writer.Write(folder / "model.safetensors");
}

const char* ActivationName(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return "gelu";
    case ActivationKind::kGeluTanh:
      return "gelu_pytorch_tanh";
    case ActivationKind::kQuickGelu:
      return "quick_gelu";
    case ActivationKind::kSilu:
      return "silu";
  }
  return "";
}

void AddMixture(const EncoderConfig& config, nlohmann::ordered_json& fields) {
  const MixtureConfig& mixture = config.mixture;
  if (mixture.experts == 0) return;
  fields["num_experts"] = mixture.experts;
  fields["num_experts_per_tok"] = mixture.chosen;
  fields["norm_topk_prob"] = mixture.renormalized;
  fields["moe_intermediate_size"] = mixture.width;
  fields["shared_expert_intermediate_size"] = mixture.shared_width;
  fields["mlp_only_layers"] = nlohmann::ordered_json::array();
  for (int64_t block = 0; block < config.blocks; ++block) {
    if (!mixture.in(block)) fields["mlp_only_layers"].push_back(block);
  }
}

void WriteConfigs(const std::filesystem::path& folder, const EncoderConfig& config) {
  nlohmann::ordered_json fields = {
      {"architectures", {"SiglipVisionModel"}},
      {"model_type", "siglip_vision_model"},
      {"hidden_size", config.width},
      {"intermediate_size", config.mlp_width},
      {"num_hidden_layers", config.blocks},
      {"num_attention_heads", config.heads},
      {"num_channels", config.channels},
      {"image_size", config.image_height},
      {"patch_size", config.patch},
      {"hidden_act", ActivationName(config.activation)},
      // The shortest decimal of the binary32 value, 1e-06 rather than 9.99999997e-07.
      {"layer_norm_eps", std::stod(fmt::format("{}", config.norm_eps))},
      {"vision_use_head", config.pool == PoolKind::kAttentionProbe}};
  AddMixture(config, fields);
  WriteFileAtomically(folder / "config.json", fields.dump(2) + "\n");
  const nlohmann::ordered_json preprocessor = {
      {"image_processor_type", "SiglipImageProcessor"},
      {"do_convert_rgb", true},
      {"do_resize", true},
      {"size", {{"height", config.image_height}, {"width", config.image_width}}},
      {"resample", 3},
      {"do_rescale", true},
      {"rescale_factor", 1.0 / 255.0},
      {"do_normalize", true},
      {"image_mean", {0.5, 0.5, 0.5}},
      {"image_std", {0.5, 0.5, 0.5}}};
  WriteFileAtomically(folder / "preprocessor_config.json", preprocessor.dump(2) + "\n");
}

}  // namespace

void WriteHashCheckpoint(const std::filesystem::path& folder, const EncoderConfig& config,
                         Dtype dtype, uint64_t seed, int64_t outliers) {
  W8A8_CHECK(config.family == "siglip" && config.image_height == config.image_width);
  MakeGroupFolders(folder);
  WriteTensors(folder, config, kPrefix, dtype, HashTensors(config, seed, outliers));
  WriteConfigs(folder, config);
}

void WriteHashCheckpoint(const std::filesystem::path& folder, const std::string& config_json,
                         Dtype dtype, uint64_t seed) {
  MakeGroupFolders(folder);
  WriteFileAtomically(folder / "config.json", config_json);
  const EncoderConfig config = ReadEncoderConfig(folder);
  WriteTensors(folder, config, "", dtype, HashTensors(config, seed, /*outliers=*/0));
}

}  // namespace w8a8
