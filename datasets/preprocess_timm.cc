#include <cmath>

#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Json = nlohmann::json;

Filter FilterOfName(const std::string& name, const std::string& where) {
  for (const Filter filter :
       {Filter::kNearest, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    if (name == FilterName(filter)) return filter;
  }
  Fail("{} = '{}' is not supported; it takes nearest, bilinear, bicubic or lanczos", where, name);
}

std::string TextOr(const Json& json, const char* key, const char* otherwise,
                   const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return otherwise;
  if (!found->is_string()) Fail("{}.{} = {}; expected a string", where, key, found->dump());
  return found->get<std::string>();
}

ImageSize ReadInputSize(const Json& cfg, const std::string& where) {
  const auto found = cfg.find("input_size");
  if (found == cfg.end() || !found->is_array() || found->size() != 3) {
    Fail("{}.input_size: expected [3, height, width]", where);
  }
  if (found->at(0) != 3) {
    Fail("{}.input_size = {}: only models of 3 channels are supported", where, found->dump());
  }
  return {ReadSide(found->at(2), where + ".input_size"),
          ReadSide(found->at(1), where + ".input_size")};
}

// Both modes enlarge by 1 / crop_pct and cut out the centre; "center" keeps the aspect.
void SetResizeAndCrop(const Json& cfg, const std::string& where, PreprocessConfig& config) {
  const ImageSize input = ReadInputSize(cfg, where);
  const auto found = cfg.find("crop_pct");
  const bool given = found != cfg.end() && !found->is_null();
  const double crop_share = given ? ReadNumber(*found, where + ".crop_pct") : 0.875;
  if (!(crop_share > 0 && crop_share <= 1)) {
    Fail("{}.crop_pct = {}; expected a share in (0, 1]", where, crop_share);
  }
  const auto enlarged = [&](int side) {
    constexpr double kLargest = 32768;
    const double larger = std::floor(side / crop_share);
    if (larger > kLargest) {
      Fail("{}.crop_pct = {}: enlarges {} pixels to {}; at most {} are supported", where,
           crop_share, side, larger, kLargest);
    }
    return static_cast<int>(larger);
  };
  config.crop = input;

  const std::string mode = TextOr(cfg, "crop_mode", "center", where);
  if (mode == "squash") {
    config.resize_rule = ResizeRule::kExact;
    config.resize = {enlarged(input.width), enlarged(input.height)};
    return;
  }
  if (mode != "center") {
    Fail("{}.crop_mode = '{}' is not supported; it takes center or squash", where, mode);
  }
  if (input.width != input.height) {
    Fail("{}.input_size: {}x{} with crop_mode 'center' is not supported; only square inputs are",
         where, input.width, input.height);
  }
  config.resize_rule = ResizeRule::kShortestEdge;
  config.shortest_edge = enlarged(input.width);
}

}  // namespace

PreprocessConfig ReadTimmConfig(const Json& json, const std::filesystem::path& source) {
  const std::string where = source.string() + ": pretrained_cfg";
  const Json& cfg = json.at("pretrained_cfg");
  if (!cfg.is_object()) Fail("{}: not an object", where);
  PreprocessConfig config;
  config.source_file = source;
  config.processor = "timm pretrained_cfg";
  config.crop_rule = CropRule::kTorchvision;
  config.arithmetic = Arithmetic::kTorch;
  config.alpha = AlphaRule::kDrop;
  config.filter =
      FilterOfName(TextOr(cfg, "interpolation", "bicubic", where), where + ".interpolation");

  SetResizeAndCrop(cfg, where, config);
  // timm's own defaults are ImageNet's.
  config.mean = cfg.contains("mean") ? ReadPerChannel(cfg["mean"], where + ".mean")
                                     : std::array<double, 3>{0.485, 0.456, 0.406};
  config.std_dev = cfg.contains("std") ? ReadPerChannel(cfg["std"], where + ".std")
                                       : std::array<double, 3>{0.229, 0.224, 0.225};
  for (const double value : config.std_dev) {
    if (static_cast<float>(value) == 0) Fail("{}.std holds 0", where);
  }
  return config;
}

}  // namespace w8a8
