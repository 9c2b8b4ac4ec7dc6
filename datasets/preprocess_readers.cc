#include "datasets/preprocess_readers.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Json = nlohmann::json;

constexpr std::array<double, 3> kHalf = {0.5, 0.5, 0.5};
constexpr std::array<double, 3> kClipMean = {0.48145466, 0.4578275, 0.40821073};
constexpr std::array<double, 3> kClipStd = {0.26862954, 0.26130258, 0.27577711};

constexpr std::string_view kAnyres = "the anyres tiles of this processor";
constexpr std::string_view kSplits = "the tiles of this processor";
constexpr std::string_view kNaflex = "Siglip2ImageProcessor";

// What a class does where the file is silent (transformers 5, image_processing_pil_*.py).
struct ProcessorDefaults {
  std::string_view name;
  int side;
  bool square;          // the default size is a square, not the shorter side
  bool integer_square;  // and so is a bare integer size
  Filter filter;
  bool center_crop;
  std::array<double, 3> mean, std_dev;
  std::string_view left_out = "";  // what it always shows besides the whole image
};

constexpr ProcessorDefaults kProcessors[] = {
    {"SiglipImageProcessor", 224, true, false, Filter::kBicubic, false, kHalf, kHalf},
    {"CLIPImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"ViTImageProcessor", 224, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {"DeiTImageProcessor", 256, true, true, Filter::kBicubic, true, kHalf, kHalf},
    {"BitImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"Gemma3ImageProcessor", 224, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {"GotOcr2ImageProcessor", 384, true, true, Filter::kBicubic, false, kClipMean, kClipStd},
    {"Idefics3ImageProcessor", 364, true, true, Filter::kLanczos, false, kHalf, kHalf, kSplits},
    {"SmolVLMImageProcessor", 364, true, true, Filter::kLanczos, false, kHalf, kHalf, kSplits},
    {kNaflex, 0, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {"LlavaImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"LlavaNextImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd,
     kAnyres},
    {"LlavaOnevisionImageProcessor", 384, true, false, Filter::kBicubic, false, kClipMean, kClipStd,
     kAnyres},
};

std::string Where(const std::filesystem::path& source, std::string_view key) {
  return fmt::format("{}: {}", source.string(), key);
}

// nullptr for absent and null alike: both mean the class's default.
const Json* Find(const Json& json, std::string_view key) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

bool Flag(const Json& json, std::string_view key, bool otherwise,
          const std::filesystem::path& source) {
  const Json* value = Find(json, key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    Fail("{} is {}; expected true or false", Where(source, key), value->dump());
  }
  return value->get<bool>();
}

const ProcessorDefaults& DefaultsOf(const Json& json, const std::filesystem::path& source) {
  const Json* type = Find(json, "image_processor_type");
  if (type == nullptr) type = Find(json, "feature_extractor_type");
  if (type == nullptr || !type->is_string()) {
    Fail("{}: neither image_processor_type nor feature_extractor_type names the processor",
         source.string());
  }
  const std::string given = type->get<std::string>();
  std::string name = given;
  for (const std::string_view suffix : {"Fast", "Pil"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  constexpr std::string_view kOld = "FeatureExtractor";
  if (name.ends_with(kOld)) name.replace(name.size() - kOld.size(), kOld.size(), "ImageProcessor");
  for (const ProcessorDefaults& known : kProcessors) {
    if (name == known.name) return known;
  }
  std::string names;
  for (const ProcessorDefaults& known : kProcessors) names += fmt::format(" {}", known.name);
  Fail("{}: image processor '{}' is not supported. Supported:{}", source.string(), given, names);
}

// Anything else that would change pixels and that we do not do.
void RefuseUnsupported(const Json& json, const ProcessorDefaults& defaults,
                       const std::filesystem::path& source) {
  constexpr std::string_view kKnown[] = {"do_resize",       "do_center_crop",    "do_rescale",
                                         "do_normalize",    "do_convert_rgb",    "do_reduce_labels",
                                         "do_pan_and_scan", "do_image_splitting"};
  for (const auto& [key, value] : json.items()) {
    const bool pads_batches = key == "do_pad" && !defaults.left_out.empty();
    const bool known =
        pads_batches || std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
    if (key.starts_with("do_") && !known && value.is_boolean() && value.get<bool>()) {
      Fail("{}: true is not supported; set it to false if the model does without it",
           Where(source, key));
    }
  }
  for (const std::string_view key :
       {"pad_size", "size_divisor", "use_square_size", "max_num_patches"}) {
    const Json* value = Find(json, key);
    const bool read = defaults.name == kNaflex && key == "max_num_patches";
    if (value != nullptr && *value != false && !read) {
      Fail("{} = {} is not supported", Where(source, key), value->dump());
    }
  }
}

Filter FilterOfPilCode(const Json& value, const std::string& where) {
  if (value.is_number_integer()) {
    switch (value.get<int64_t>()) {
      case 0:
        return Filter::kNearest;
      case 1:
        return Filter::kLanczos;
      case 2:
        return Filter::kBilinear;
      case 3:
        return Filter::kBicubic;
      default:
        break;
    }
  }
  Fail("{} = {} is not supported; it takes 0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)",
       where, value.dump());
}

ImageSize SizeFromObject(const Json& size, const std::string& where) {
  for (const auto& [key, value] : size.items()) {
    if (key != "height" && key != "width" && !value.is_null()) {
      Fail("{}.{} is not supported", where, key);
    }
  }
  const Json* height = Find(size, "height");
  const Json* width = Find(size, "width");
  if (height == nullptr || width == nullptr)
    Fail("{} = {}: needs height and width", where, size.dump());
  return {ReadSide(*width, where + ".width"), ReadSide(*height, where + ".height")};
}

void ReadPatchBudget(const Json& json, PreprocessConfig& config) {
  config.resize_rule = ResizeRule::kPatchBudget;
  if (const Json* patch = Find(json, "patch_size")) {
    config.budget.patch = ReadSide(*patch, Where(config.source_file, "patch_size"));
  }
  if (const Json* most = Find(json, "max_num_patches")) {
    config.budget.max_patches = ReadSide(*most, Where(config.source_file, "max_num_patches"));
  }
}

// Under `key`; an absent object is `otherwise`.
int LongestEdge(const Json& json, std::string_view key, int otherwise,
                const std::filesystem::path& source) {
  const Json* size = Find(json, key);
  if (size == nullptr) return otherwise;
  const Json* edge = size->is_object() ? Find(*size, "longest_edge") : nullptr;
  if (edge == nullptr) Fail("{} = {}: needs longest_edge", Where(source, key), size->dump());
  return ReadSide(*edge, Where(source, key) + ".longest_edge");
}

void ReadLongestEdges(const Json& json, const ProcessorDefaults& defaults,
                      PreprocessConfig& config) {
  const int side = LongestEdge(json, "max_image_size", defaults.side, config.source_file);
  config.resize_rule = ResizeRule::kExact;
  config.resize = {side, side};
  config.before = ResizeBefore{};
  config.before->longest_edge = LongestEdge(json, "size", 4 * defaults.side, config.source_file);
  if (Flag(json, "do_image_splitting", true, config.source_file)) config.before->multiple_of = side;
}

void ReadResize(const Json& json, const ProcessorDefaults& defaults, PreprocessConfig& config) {
  if (!Flag(json, "do_resize", true, config.source_file)) {
    config.resize_rule = ResizeRule::kNone;
    return;
  }
  const Json* resample = Find(json, "resample");
  config.filter = resample == nullptr
                      ? defaults.filter
                      : FilterOfPilCode(*resample, Where(config.source_file, "resample"));
  if (defaults.name == kNaflex) return ReadPatchBudget(json, config);
  if (defaults.left_out == kSplits) return ReadLongestEdges(json, defaults, config);
  const std::string where = Where(config.source_file, "size");
  const auto set_side = [&](int side, bool square) {
    config.resize_rule = square ? ResizeRule::kExact : ResizeRule::kShortestEdge;
    (square ? config.resize.width : config.shortest_edge) = side;
    if (square) config.resize.height = side;
  };
  const Json* size = Find(json, "size");
  if (size == nullptr) {
    set_side(defaults.side, defaults.square);
  } else if (size->is_object()) {
    const Json* edge = Find(*size, "shortest_edge");
    if (edge == nullptr) {
      config.resize = SizeFromObject(*size, where);
      config.resize_rule = ResizeRule::kExact;
    } else {
      if (Find(*size, "longest_edge") != nullptr) Fail("{}.longest_edge is not supported", where);
      set_side(ReadSide(*edge, where + ".shortest_edge"), false);
    }
  } else {
    const bool square =
        Flag(json, "default_to_square", defaults.integer_square, config.source_file);
    set_side(ReadSide(*size, where), square);
  }
}

void ReadCrop(const Json& json, const ProcessorDefaults& defaults, PreprocessConfig& config) {
  if (!Flag(json, "do_center_crop", defaults.center_crop, config.source_file)) return;
  const std::string where = Where(config.source_file, "crop_size");
  const Json* size = Find(json, "crop_size");
  if (size == nullptr) {
    config.crop = ImageSize{224, 224};
  } else if (size->is_object()) {
    config.crop = SizeFromObject(*size, where);
  } else {
    const int side = ReadSide(*size, where);
    config.crop = ImageSize{side, side};
  }
}

void ReadTiles(const Json& json, const ProcessorDefaults& defaults, PreprocessConfig& config) {
  const bool splits =
      defaults.left_out != kSplits || Flag(json, "do_image_splitting", true, config.source_file);
  if (splits) config.left_out = defaults.left_out;
  if (defaults.left_out == kAnyres && config.resize_rule == ResizeRule::kShortestEdge) {
    // The whole image is squared first; the shortest edge has nothing left to do.
    config.resize_rule = ResizeRule::kExact;
    config.resize = {config.shortest_edge, config.shortest_edge};
  }
  if (Flag(json, "do_pan_and_scan", false, config.source_file)) {
    config.left_out = "the pan-and-scan crops of this processor";
  }
  if (defaults.name != "GotOcr2ImageProcessor") return;
  // InternVLProcessor asks for tiles itself, whatever the image processor's own file says.
  const Json* processor_class = Find(json, "processor_class");
  const bool internvl = processor_class != nullptr && *processor_class == "InternVLProcessor";
  if (!internvl && !Flag(json, "crop_to_patches", false, config.source_file)) return;
  const Tiling tiling = ReadTiling(json, "min_patches", "max_patches", config.source_file);
  if (tiling.max_tiles > 1) config.tiling = tiling;
}

}  // namespace

double ReadNumber(const Json& value, const std::string& where) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    Fail("{} = {}; expected a number", where, value.dump());
  }
  return value.get<double>();
}

int ReadSide(const Json& value, const std::string& where) {
  constexpr int kLargest = 8192;
  const double side = ReadNumber(value, where);
  if (side < 1 || side > kLargest || side != std::floor(side)) {
    Fail("{} = {}; expected a whole number of pixels from 1 to {}", where, value.dump(), kLargest);
  }
  return static_cast<int>(side);
}

std::array<double, 3> ReadPerChannel(const Json& value, const std::string& where) {
  if (value.is_number()) {
    const double one = ReadNumber(value, where);
    return {one, one, one};
  }
  if (!value.is_array() || value.size() != 3) {
    Fail("{} = {}; expected three numbers, for red, green and blue", where, value.dump());
  }
  return {ReadNumber(value[0], where), ReadNumber(value[1], where), ReadNumber(value[2], where)};
}

PreprocessConfig ReadHuggingFaceConfig(const Json& json, const std::filesystem::path& source) {
  if (!json.is_object()) Fail("{}: the image processor's config is not an object", source.string());
  const ProcessorDefaults& defaults = DefaultsOf(json, source);
  RefuseUnsupported(json, defaults, source);
  PreprocessConfig config;
  config.source_file = source;
  config.processor = defaults.name;
  ReadResize(json, defaults, config);
  ReadCrop(json, defaults, config);
  ReadTiles(json, defaults, config);
  config.rescale = Flag(json, "do_rescale", true, source);
  if (const Json* factor = Find(json, "rescale_factor")) {
    config.rescale_factor = ReadNumber(*factor, Where(source, "rescale_factor"));
  }
  config.normalize = Flag(json, "do_normalize", true, source);
  const Json* mean = Find(json, "image_mean");
  const Json* std_dev = Find(json, "image_std");
  config.mean = mean ? ReadPerChannel(*mean, Where(source, "image_mean")) : defaults.mean;
  config.std_dev =
      std_dev ? ReadPerChannel(*std_dev, Where(source, "image_std")) : defaults.std_dev;
  for (const double value : config.std_dev) {
    if (static_cast<float>(value) == 0) Fail("{} holds 0", Where(source, "image_std"));
  }
  return config;
}

}  // namespace w8a8
