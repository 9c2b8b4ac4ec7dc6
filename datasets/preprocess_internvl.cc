#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Json = nlohmann::json;

// nullptr for absent and null alike.
const Json* Find(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

bool FlagOr(const Json& json, const char* key, bool otherwise, const std::string& source) {
  const Json* value = Find(json, key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    Fail("{}: {} is {}; expected true or false", source, key, value->dump());
  return value->get<bool>();
}

int CountOr(const Json& json, const char* key, int otherwise, const std::string& where) {
  const Json* value = Find(json, key);
  if (value == nullptr) return otherwise;
  if (!value->is_number_integer() || value->get<int64_t>() < 1 ||
      value->get<int64_t>() > kMaxTilesPerImage) {
    Fail("{} = {}; expected a count from 1 to {}", where, value->dump(), kMaxTilesPerImage);
  }
  return value->get<int>();
}

}  // namespace

Tiling ReadTiling(const Json& json, const char* min_key, const char* max_key,
                  const std::filesystem::path& source) {
  Tiling tiling;
  const std::string where = source.string() + ": ";
  tiling.min_tiles = CountOr(json, min_key, tiling.min_tiles, where + min_key);
  tiling.max_tiles = CountOr(json, max_key, tiling.max_tiles, where + max_key);
  if (tiling.min_tiles > tiling.max_tiles) {
    Fail("{}{} = {} is more than {} = {}", where, min_key, tiling.min_tiles, max_key,
         tiling.max_tiles);
  }
  return tiling;
}

PreprocessConfig ReadInternVlChatConfig(const Json& json, const std::filesystem::path& source) {
  PreprocessConfig config;
  config.source_file = source;
  config.processor = "InternVL chat";
  config.alpha = AlphaRule::kDrop;
  config.arithmetic = Arithmetic::kTorch;
  config.mean = {0.485, 0.456, 0.406};
  config.std_dev = {0.229, 0.224, 0.225};
  const Json* side = Find(json, "force_image_size");
  const Json* vision = Find(json, "vision_config");
  if (side == nullptr && vision != nullptr && vision->is_object()) {
    side = Find(*vision, "image_size");
  }
  const int pixels =
      side == nullptr ? 448 : ReadSide(*side, source.string() + ": force_image_size");
  config.resize = {pixels, pixels};
  if (!FlagOr(json, "dynamic_image_size", false, source.string())) return config;
  config.tiling = ReadTiling(json, "min_dynamic_patch", "max_dynamic_patch", source);
  config.tiling->thumbnail = FlagOr(json, "use_thumbnail", false, source.string());
  return config;
}

}  // namespace w8a8
