#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/error.h"

namespace w8a8 {

Tiling ReadTiling(const JsonFields& fields, const char* min_key, const char* max_key) {
  Tiling tiling;
  tiling.min_tiles = static_cast<int>(fields.Int(min_key, tiling.min_tiles, 1, kMaxTilesPerImage));
  tiling.max_tiles = static_cast<int>(fields.Int(max_key, tiling.max_tiles, 1, kMaxTilesPerImage));
  if (tiling.min_tiles > tiling.max_tiles) {
    Fail("{}: '{}' = {} is more than '{}' = {}.", fields.file(), min_key, tiling.min_tiles, max_key,
         tiling.max_tiles);
  }
  return tiling;
}

PreprocessConfig ReadInternVlChatConfig(const JsonFields& fields) {
  PreprocessConfig config;
  config.source_file = fields.file();
  config.processor = "InternVL chat";
  config.alpha = AlphaRule::kDrop;
  config.arithmetic = Arithmetic::kTorch;
  config.mean = {0.485, 0.456, 0.406};
  config.std_dev = {0.229, 0.224, 0.225};
  std::optional<JsonFields> side = fields.Find("force_image_size");
  const std::optional<JsonFields> vision = fields.Find("vision_config");
  if (!side && vision && vision->raw().is_object()) side = vision->Find("image_size");
  const int pixels = side ? ReadSide(*side) : 448;
  config.resize = {pixels, pixels};
  if (!fields.Bool("dynamic_image_size", false)) return config;
  config.tiling = ReadTiling(fields, "min_dynamic_patch", "max_dynamic_patch");
  config.tiling->thumbnail = fields.Bool("use_thumbnail", false);
  return config;
}

}  // namespace w8a8
