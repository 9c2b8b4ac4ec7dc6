#include "datasets/preprocess_readers.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr std::array<double, 3> kHalf = {0.5, 0.5, 0.5};
constexpr std::array<double, 3> kClipMean = {0.48145466, 0.4578275, 0.40821073};
constexpr std::array<double, 3> kClipStd = {0.26862954, 0.26130258, 0.27577711};

constexpr std::string_view kAnyres = "the anyres tiles of this processor";
constexpr std::string_view kSplits = "the tiles of this processor";
constexpr std::string_view kNaflex = "Siglip2ImageProcessor";
constexpr std::string_view kClip = "CLIPImageProcessor";
constexpr std::string_view kLlava = "LlavaImageProcessor";

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
    {kClip, 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"ViTImageProcessor", 224, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {"DeiTImageProcessor", 256, true, true, Filter::kBicubic, true, kHalf, kHalf},
    {"BitImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"Gemma3ImageProcessor", 224, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {"GotOcr2ImageProcessor", 384, true, true, Filter::kBicubic, false, kClipMean, kClipStd},
    {"Idefics3ImageProcessor", 364, true, true, Filter::kLanczos, false, kHalf, kHalf, kSplits},
    {"SmolVLMImageProcessor", 364, true, true, Filter::kLanczos, false, kHalf, kHalf, kSplits},
    {kNaflex, 0, true, true, Filter::kBilinear, false, kHalf, kHalf},
    {kLlava, 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd},
    {"LlavaNextImageProcessor", 224, false, false, Filter::kBicubic, true, kClipMean, kClipStd,
     kAnyres},
    {"LlavaOnevisionImageProcessor", 384, true, false, Filter::kBicubic, false, kClipMean, kClipStd,
     kAnyres},
};

const ProcessorDefaults& DefaultsOf(const JsonFields& fields, const ProcessorType& type) {
  for (const ProcessorDefaults& known : kProcessors) {
    if (type.name == known.name) return known;
  }
  std::string names;
  for (const ProcessorDefaults& known : kProcessors) names += fmt::format(" {}", known.name);
  Fail("{}: image processor '{}' is not supported. Supported:{}", fields.file(), type.name, names);
}

// These classes have steps of their own, among which is no crop, whatever their file says.
bool CanCrop(const ProcessorDefaults& defaults) {
  constexpr std::string_view kNever[] = {"Gemma3ImageProcessor", "GotOcr2ImageProcessor",
                                         "Idefics3ImageProcessor", "SmolVLMImageProcessor",
                                         kNaflex};
  return std::find(std::begin(kNever), std::end(kNever), defaults.name) == std::end(kNever);
}

// By the backend's own resize, which knows every form of `size`.
bool ResizesPlainly(const ProcessorDefaults& defaults) {
  constexpr std::string_view kPlain[] = {"SiglipImageProcessor", kClip,
                                         "ViTImageProcessor",    "DeiTImageProcessor",
                                         "BitImageProcessor",    kLlava};
  return std::ranges::find(kPlain, defaults.name) != std::end(kPlain);
}

// What a step's switch says, in Python's truth of 0 and 1 too; null is off, whatever the class's
// default.
bool IsOn(const JsonFields& fields, const char* key, bool fallback) {
  const auto found = fields.raw().find(key);
  if (found != fields.raw().end()) {
    if (found->is_null() || *found == 0) return false;
    if (found->is_number() && *found == 1) return true;
  }
  return fields.Bool(key, fallback);
}

// [height, width].
ImageSize SizeFromList(const JsonFields& size) {
  const std::vector<JsonFields> sides = size.Elements();
  if (sides.size() != 2) size.Refuse("height and width");
  return {ReadSide(sides[1]), ReadSide(sides[0])};
}

ImageSize SizeFromObject(const JsonFields& size) {
  for (const auto& [key, value] : size.Members()) {
    if (key == "height" || key == "width" || value.raw().is_null()) continue;
    value.Refuse("none: it is not supported");
  }
  if (!size.Has("height") || !size.Has("width")) size.Refuse("height and width");
  return {ReadSide(size.At("width")), ReadSide(size.At("height"))};
}

// Steps of other classes, which the class passes over.
std::vector<std::string> PassedOver(const JsonFields& fields, const ProcessorDefaults& defaults) {
  constexpr std::string_view kAll[] = {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb",
                                       "do_pad"};
  constexpr std::string_view kElsewhere[] = {"do_pan_and_scan", "do_image_splitting",
                                             "do_center_crop", "do_reduce_labels"};
  std::vector<std::string> passed_over;
  for (const auto& [key, value] : fields.Members()) {
    const std::string_view name = key;
    const bool known = std::ranges::find(kAll, name) != std::ranges::end(kAll) ||
                       std::ranges::find(kElsewhere, name) != std::ranges::end(kElsewhere);
    if (!name.starts_with("do_") || known) continue;
    if (IsOn(fields, key.c_str(), false)) passed_over.push_back(key);
  }
  if (defaults.name != kClip && IsOn(fields, "use_square_size", false)) {
    passed_over.emplace_back("use_square_size");
  }
  return passed_over;
}

// Padding brings the images of a batch to one size, which ours have; LLaVA's makes them square
// first, those of others may bring them to another size.
void RefusePadding(const JsonFields& fields, const ProcessorDefaults& defaults,
                   const PreprocessConfig& config) {
  if (!IsOn(fields, "do_pad", !defaults.left_out.empty())) return;
  if (defaults.name == kLlava) fields.At("do_pad").Refuse("false; the model must do without it");
  const std::optional<JsonFields> size = fields.Find("pad_size");
  if (!size) return;
  const bool fixed = !config.variable_size() && defaults.left_out.empty();
  if (!fixed || !size->raw().is_object() || SizeFromObject(*size) != config.OutputSize()) {
    size->Refuse("none: it is not supported");
  }
}

// Anything else that would change pixels and that we do not do.
void RefuseUnsupported(const JsonFields& fields, const ProcessorDefaults& defaults) {
  for (const char* key : {"size_divisor", "max_num_patches"}) {
    const std::optional<JsonFields> value = fields.Find(key);
    const bool read = defaults.name == kNaflex && key == std::string_view("max_num_patches");
    if (value && value->raw() != false && !read) value->Refuse("none: it is not supported");
  }
}

// PIL's code, or the name in whatever case.
Filter ReadResample(const JsonFields& value) {
  if (value.raw().is_string()) {
    std::string name = value.Text();
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    for (const Filter filter :
         {Filter::kNearest, Filter::kLanczos, Filter::kBilinear, Filter::kBicubic}) {
      if (name == FilterName(filter)) return filter;
    }
  }
  if (value.raw().is_number_integer()) {
    constexpr std::array kOfCode = {Filter::kNearest, Filter::kLanczos, Filter::kBilinear,
                                    Filter::kBicubic, Filter::kBox,     Filter::kHamming};
    const auto code = value.raw().get<int64_t>();
    if (code >= 0 && code < std::ssize(kOfCode)) return kOfCode[static_cast<size_t>(code)];
  }
  value.Refuse("0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)");
}

void ReadPatchBudget(const JsonFields& fields, PreprocessConfig& config) {
  config.resize_rule = ResizeRule::kPatchBudget;
  if (const auto patch = fields.Find("patch_size")) config.budget.patch = ReadSide(*patch);
  if (const auto most = fields.Find("max_num_patches")) config.budget.max_patches = ReadSide(*most);
}

// Under `key`; an absent object is `otherwise`.
int LongestEdge(const JsonFields& fields, const char* key, int otherwise) {
  const std::optional<JsonFields> size = fields.Find(key);
  if (!size) return otherwise;
  if (!size->raw().is_object() || !size->Has("longest_edge")) size->Refuse("a longest_edge");
  return ReadSide(size->At("longest_edge"));
}

void ReadLongestEdges(const JsonFields& fields, const ProcessorDefaults& defaults,
                      PreprocessConfig& config) {
  const int side = LongestEdge(fields, "max_image_size", defaults.side);
  config.resize_rule = ResizeRule::kExact;
  config.resize = {side, side};
  config.before = ResizeBefore{};
  config.before->longest_edge = LongestEdge(fields, "size", 4 * defaults.side);
  if (IsOn(fields, "do_image_splitting", true)) config.before->multiple_of = side;
}

// What the longer side may be at most where the shorter is resized; 0: as it comes.
int LongerSide(const JsonFields& size, const ProcessorDefaults& defaults) {
  const std::optional<JsonFields> longest = size.Find("longest_edge");
  if (!longest) return 0;
  if (!ResizesPlainly(defaults)) longest->Refuse("none: it is not supported");
  return ReadSide(*longest);
}

void ReadResize(const JsonFields& fields, const ProcessorDefaults& defaults,
                PreprocessConfig& config) {
  if (!IsOn(fields, "do_resize", true)) {
    config.resize_rule = ResizeRule::kNone;
    return;
  }
  const std::optional<JsonFields> resample = fields.Find("resample");
  config.filter = resample ? ReadResample(*resample) : defaults.filter;
  if (defaults.name == kNaflex) return ReadPatchBudget(fields, config);
  if (defaults.left_out == kSplits) return ReadLongestEdges(fields, defaults, config);
  const auto resize_to = [&](int side, ResizeRule rule) {
    config.resize_rule = rule;
    if (rule == ResizeRule::kExact) {
      config.resize = {side, side};
    } else {
      config.shortest_edge = side;
    }
  };
  const auto rule_of = [](bool square) {
    return square ? ResizeRule::kExact : ResizeRule::kShortestEdge;
  };
  const std::optional<JsonFields> size = fields.Find("size");
  if (defaults.name == kClip && IsOn(fields, "use_square_size", false)) {
    resize_to(defaults.side, ResizeRule::kExact);  // Kosmos-2's, whatever `size` says
  } else if (!size) {
    resize_to(defaults.side, rule_of(defaults.square));
  } else if (size->raw().is_array()) {
    config.resize = SizeFromList(*size);
    config.resize_rule = ResizeRule::kExact;
  } else if (!size->raw().is_object()) {
    resize_to(ReadSide(*size), rule_of(IsOn(fields, "default_to_square", defaults.integer_square)));
  } else if (const auto edge = size->Find("shortest_edge")) {
    resize_to(ReadSide(*edge), ResizeRule::kShortestEdge);
    config.longest_edge = LongerSide(*size, defaults);
  } else {
    config.resize = SizeFromObject(*size);
    config.resize_rule = ResizeRule::kExact;
  }
}

void ReadCrop(const JsonFields& fields, const ProcessorDefaults& defaults,
              PreprocessConfig& config) {
  if (!CanCrop(defaults) || !IsOn(fields, "do_center_crop", defaults.center_crop)) return;
  const std::optional<JsonFields> size = fields.Find("crop_size");
  if (!size) {
    if (!defaults.center_crop) {
      Fail("{}: 'do_center_crop' is true, but there is no 'crop_size', and {} has none of its own.",
           fields.file(), defaults.name);
    }
    config.crop = ImageSize{224, 224};
  } else if (size->raw().is_object()) {
    config.crop = SizeFromObject(*size);
  } else if (size->raw().is_array()) {
    config.crop = SizeFromList(*size);
  } else {
    const int side = ReadSide(*size);
    config.crop = ImageSize{side, side};
  }
}

void ReadTiles(const JsonFields& fields, const ProcessorDefaults& defaults, bool internvl,
               PreprocessConfig& config) {
  const bool splits = defaults.left_out != kSplits || IsOn(fields, "do_image_splitting", true);
  if (splits) config.left_out = defaults.left_out;
  if (defaults.left_out == kAnyres && config.resize_rule == ResizeRule::kNone) {
    Fail("{}: 'do_resize' is off, which {} only does by half; it must be on.", fields.file(),
         defaults.name);
  }
  if (defaults.left_out == kAnyres && config.resize_rule == ResizeRule::kShortestEdge) {
    // The whole image is squared first; the shortest edge has nothing left to do.
    config.resize_rule = ResizeRule::kExact;
    config.resize = {config.shortest_edge, config.shortest_edge};
  }
  if (IsOn(fields, "do_pan_and_scan", false)) {
    config.left_out = "the pan-and-scan crops of this processor";
  }
  if (defaults.name != "GotOcr2ImageProcessor") return;
  if (!internvl && !IsOn(fields, "crop_to_patches", false)) return;
  const Tiling tiling = ReadTiling(fields, "min_patches", "max_patches");
  if (tiling.max_tiles > 1) config.tiling = tiling;
}

}  // namespace

double ReadNumber(const JsonFields& value) {
  if (!std::isfinite(value.Number())) value.Refuse("a finite number");
  return value.Number();
}

int ReadSide(const JsonFields& value) {
  constexpr int kLargest = 8192;
  const double side = ReadNumber(value);
  if (side < 1 || side > kLargest || side != std::floor(side)) {
    value.Refuse(fmt::format("a whole number of pixels from 1 to {}", kLargest));
  }
  return static_cast<int>(side);
}

std::array<double, 3> ReadPerChannel(const JsonFields& value) {
  std::array<double, 3> channels = {};
  if (value.raw().is_number()) {
    channels.fill(ReadNumber(value));
    return channels;
  }
  if (!value.raw().is_array() || value.raw().size() != 3) {
    value.Refuse("three numbers, for red, green and blue");
  }
  std::ranges::transform(value.Elements(), channels.begin(), ReadNumber);
  return channels;
}

std::array<double, 3> ReadDeviations(const JsonFields& value) {
  const std::array<double, 3> channels = ReadPerChannel(value);
  for (const double deviation : channels) {
    if (static_cast<float>(deviation) == 0) value.Refuse("no 0 among them");
  }
  return channels;
}

PreprocessConfig ReadHuggingFaceConfig(const JsonFields& fields, const ProcessorType& type) {
  const ProcessorDefaults& defaults = DefaultsOf(fields, type);
  RefuseUnsupported(fields, defaults);
  PreprocessConfig config;
  config.source_file = fields.file();
  config.processor = defaults.name;
  config.processor_inferred_from = type.inferred_from;
  ReadResize(fields, defaults, config);
  ReadCrop(fields, defaults, config);
  ReadTiles(fields, defaults, type.internvl, config);
  RefusePadding(fields, defaults, config);
  config.passed_over = PassedOver(fields, defaults);
  config.rescale = IsOn(fields, "do_rescale", true);
  if (const auto factor = fields.Find("rescale_factor"); factor && config.rescale) {
    config.rescale_factor = ReadNumber(*factor);
  }
  config.normalize = IsOn(fields, "do_normalize", true);
  const auto used = [&](const char* key) {
    return config.normalize ? fields.Find(key) : std::nullopt;
  };
  const std::optional<JsonFields> mean = used("image_mean");
  const std::optional<JsonFields> deviation = used("image_std");
  config.mean = mean ? ReadPerChannel(*mean) : defaults.mean;
  config.std_dev = deviation ? ReadDeviations(*deviation) : defaults.std_dev;
  return config;
}

}  // namespace w8a8
