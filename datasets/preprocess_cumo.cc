// CuMo (github.com/SHI-Labs/CuMo) takes the processor of the hub name in 'mm_vision_tower', which
// is not in its folder.
#include <cmath>

#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kClipSide = 224;
constexpr int64_t kMostPixelsASide = 8192;

bool IsCumoModel(const JsonFields& model) {
  const std::string type = model.Text("model_type", "");
  return (type == "llava_mistral" || type == "llava_mixtral") && model.Has("clip_smoe");
}

// The patch times the grid of the position table, which a class token precedes; 0: not told.
int64_t SideByTensors(const fs::path& folder) {
  int64_t patch = 0, positions = 0;
  for (const fs::directory_entry& file : fs::directory_iterator(folder)) {
    if (file.path().extension() != ".safetensors") continue;
    const SafetensorsFile tensors(file.path());
    for (const auto& [key, tensor] : tensors.tensors()) {
      const size_t rank = tensor.shape.size();
      if (key.ends_with("embeddings.patch_embedding.weight") && rank == 4) patch = tensor.shape[3];
      if (key.ends_with("embeddings.position_embedding.weight") && rank == 2) {
        positions = tensor.shape[0];
      }
    }
  }
  const double grid = std::sqrt(static_cast<double>(positions - 1));
  const double side = static_cast<double>(patch) * std::round(grid);
  return side >= 1 && side <= kMostPixelsASide ? static_cast<int64_t>(side) : 0;
}

}  // namespace

std::optional<PreprocessConfig> CumoPreprocessing(const JsonFields& model, const fs::path& folder) {
  if (!IsCumoModel(model)) return std::nullopt;
  const std::optional<JsonFields> vision = model.Object("vision_config");
  const int64_t side = vision ? vision->Sides("image_size", kClipSide, kMostPixelsASide).first
                              : SideByTensors(folder);
  if (side == 0) return std::nullopt;
  const nlohmann::json fields = {{"size", {{"shortest_edge", side}}}, {"crop_size", side}};
  return ReadHuggingFaceConfig(JsonFields(fields, model.file(), ""),
                               {.name = "CLIPImageProcessor",
                                .inferred_from = "'clip_smoe' of CuMo, without a processor file"});
}

}  // namespace w8a8
