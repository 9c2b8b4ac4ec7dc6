#include "tests/encoder/mixture_models.h"

#include <cstring>

#include <fmt/format.h>

#include "runtime/encoder/hash_checkpoint.h"
#include "tests/support/environment.h"

namespace w8a8::test {

namespace fs = std::filesystem;

namespace {

std::vector<float> ValuesOf(const OwnedTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

OwnedTensor Turned(const OwnedTensor& tensor) {
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  const std::vector<float> from = ValuesOf(tensor);
  std::vector<float> to;
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < rows; ++r) to.push_back(from[static_cast<size_t>(r * cols + c)]);
  }
  return Floats({cols, rows}, to);
}

// One tensor over the other, along the first dimension.
OwnedTensor Joined(OwnedTensor upper, const OwnedTensor& lower) {
  upper.shape.front() += lower.shape.front();
  upper.bytes.insert(upper.bytes.end(), lower.bytes.begin(), lower.bytes.end());
  return upper;
}

OwnedTensor Taken(OwnedTensors& tensors, const std::string& key) {
  return std::move(tensors.extract(key).mapped());
}

struct StackNames {
  const char *fc1, *fc2, *fc1_bias, *fc2_bias;
};

void StackExperts(OwnedTensors& tensors, const StackNames& names, bool turned) {
  const std::string from = std::string(kMixtureBlock) + "mlp.experts.";
  const auto push = [&](const char* name, OwnedTensor tensor) {
    tensor.shape.insert(tensor.shape.begin(), 1);
    OwnedTensor& stack = tensors[from + name];
    stack = stack.bytes.empty() ? tensor : Joined(stack, tensor);
  };
  for (int64_t e = 0; e < TinyMixture().mixture.experts; ++e) {
    const std::string own = from + std::to_string(e);
    for (const char* part : {".weight", ".bias"}) {
      const bool weight = std::string(part) == ".weight";
      const OwnedTensor gate = Taken(tensors, own + ".gate_proj" + part);
      const OwnedTensor up = Taken(tensors, own + ".up_proj" + part);
      const OwnedTensor down = Taken(tensors, own + ".down_proj" + part);
      const OwnedTensor both = Joined(gate, up);
      push(weight ? names.fc1 : names.fc1_bias, weight && turned ? Turned(both) : both);
      push(weight ? names.fc2 : names.fc2_bias, weight && turned ? Turned(down) : down);
    }
  }
}

}  // namespace

EncoderConfig TinyMixture() {
  EncoderConfig config = TinySiglip();
  config.mixture = {.experts = 3,
                    .chosen = 2,
                    .renormalized = true,
                    .gated = true,
                    .width = 40,
                    .in_block = {false, true},
                    .spelling = "one each"};
  return config;
}

fs::path MixtureFolder(const std::string& name, const EncoderConfig& config) {
  const fs::path folder = ScratchFolder(name);
  WriteHashCheckpoint(folder, config, Dtype::kF32, /*seed=*/1);
  return folder;
}

void Respell(OwnedTensors& tensors, const std::string& spelling) {
  constexpr StackNames kFused = {"gate_up_proj", "down_proj", "gate_up_proj_bias",
                                 "down_proj_bias"};
  if (spelling == "w1, w3, w2") {
    RenameStem(tensors, ".gate_proj.", ".w1.");
    RenameStem(tensors, ".up_proj.", ".w3.");
    RenameStem(tensors, ".down_proj.", ".w2.");
  } else if (spelling == "vLLM") {
    StackExperts(tensors, {"w13_weight", "w2_weight", "w13_bias", "w2_bias"}, false);
  } else if (spelling == "fused") {
    StackExperts(tensors, kFused, false);
  } else if (spelling == "fused, y = x W") {
    StackExperts(tensors, kFused, true);
  }
}

void RenameStem(OwnedTensors& tensors, const std::string& from, const std::string& to) {
  OwnedTensors renamed;
  for (auto& [key, tensor] : tensors) {
    std::string name = key;
    if (const size_t at = name.find(from); at != name.npos) name.replace(at, from.size(), to);
    renamed[name] = tensor;
  }
  tensors = renamed;
}

fs::path CumoFolder(const std::string& name, int64_t blocks, int64_t experts,
                    const std::string& fields) {
  // A CLIP tower whose experts stand beside the block's attention, without a final norm.
  const fs::path folder = ScratchFolder(name);
  const auto vision = [&](const char* more) {
    return fmt::format(
        R"({{"model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 48,
           "num_hidden_layers": {}, "num_attention_heads": 1, "image_size": 112, "patch_size": 28{}}})",
        blocks, more);
  };
  const bool dense = experts == 0;
  const std::string mixture = fmt::format(
      R"(, "num_experts": {}, "num_experts_per_tok": 1, "norm_topk_prob": true)", experts);
  WriteHashCheckpoint(folder, vision(dense ? "" : mixture.c_str()), Dtype::kF32, /*seed=*/1);
  EditTensors(folder, [&](OwnedTensors& tensors) {
    OwnedTensors tower;
    for (auto& [key, tensor] : tensors) {
      if (key.starts_with("post_layernorm")) continue;
      tower["model.vision_tower.vision_model." + key] = tensor;
    }
    if (!dense) {
      RenameStem(tower, ".mlp.gate.", ".gate.");
      RenameStem(tower, ".mlp.experts.", ".experts.");
    }
    tower["model.mm_projector.gate.weight"] = Zeros({4, 64});
    tower["model.layers.0.block_sparse_moe.experts.0.w1.weight"] = Zeros({2, 2});
    tensors = tower;
  });
  std::string config = fmt::format(
      R"({{"model_type": "llava_mistral", "clip_smoe": {}, "num_experts": {}, "num_selected": 2,
         "mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_vision_select_layer": -1,
         "mm_vision_select_feature": "patch", "image_aspect_ratio": "pad"{}}})",
      !dense, dense ? 8 : experts, fields);
  WriteText(folder / "config.json", config);
  return folder;
}

}  // namespace w8a8::test
