#include <cmath>

#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

Filter FilterOf(const JsonFields& cfg) {
  const std::string name = cfg.Text("interpolation", "bicubic");
  for (const Filter filter :
       {Filter::kNearest, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    if (name == FilterName(filter)) return filter;
  }
  cfg.At("interpolation").Refuse("nearest, bilinear, bicubic or lanczos");
}

// timm's default is 224.
ImageSize ReadInputSize(const JsonFields& cfg) {
  if (!cfg.Has("input_size")) return {224, 224};
  const JsonFields size = cfg.At("input_size");
  if (!size.raw().is_array() || size.raw().size() != 3 || size.raw()[0] != 3) {
    size.Refuse("[3, height, width]: only models of 3 channels are supported");
  }
  const std::vector<JsonFields> sides = size.Elements();
  return {ReadSide(sides[2]), ReadSide(sides[1])};
}

// Both modes enlarge by 1 / crop_pct and cut out the centre; "center" keeps the aspect.
void SetResizeAndCrop(const JsonFields& cfg, PreprocessConfig& config) {
  const ImageSize input = ReadInputSize(cfg);
  const std::optional<JsonFields> given = cfg.Find("crop_pct");
  const double crop_share = given ? ReadNumber(*given) : 0.875;
  if (!(crop_share > 0 && crop_share <= 1)) given->Refuse("a share in (0, 1]");
  const auto enlarged = [&](int side) {
    constexpr double kLargest = 32768;
    const double larger = std::floor(side / crop_share);
    if (larger > kLargest) {
      given->Refuse(fmt::format("a share that enlarges {} pixels to at most {}", side, kLargest));
    }
    return static_cast<int>(larger);
  };
  config.crop = input;

  const std::string mode = cfg.Text("crop_mode", "center");
  if (mode == "squash") {
    config.resize_rule = ResizeRule::kExact;
    config.resize = {enlarged(input.width), enlarged(input.height)};
    return;
  }
  if (mode != "center") cfg.At("crop_mode").Refuse("center or squash");
  if (input.width != input.height) {
    cfg.At("input_size").Refuse("a square, where crop_mode is center");
  }
  config.resize_rule = ResizeRule::kShortestEdge;
  config.shortest_edge = enlarged(input.width);
}

}  // namespace

PreprocessConfig ReadTimmConfig(const JsonFields& fields) {
  const JsonFields cfg = fields.Find("pretrained_cfg").value_or(fields);
  PreprocessConfig config;
  config.source_file = fields.file();
  config.processor = "timm pretrained_cfg";
  config.crop_rule = CropRule::kTorchvision;
  config.arithmetic = Arithmetic::kTorch;
  config.alpha = AlphaRule::kDrop;
  config.filter = FilterOf(cfg);
  SetResizeAndCrop(cfg, config);
  // timm's own defaults are ImageNet's.
  const std::optional<JsonFields> mean = cfg.Find("mean"), deviation = cfg.Find("std");
  config.mean = mean ? ReadPerChannel(*mean) : std::array<double, 3>{0.485, 0.456, 0.406};
  config.std_dev =
      deviation ? ReadDeviations(*deviation) : std::array<double, 3>{0.229, 0.224, 0.225};
  return config;
}

}  // namespace w8a8
