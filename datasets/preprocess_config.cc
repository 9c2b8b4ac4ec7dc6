#include "datasets/preprocess_config.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "datasets/preprocess_readers.h"
#include "runtime/base/setting.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::optional<Json> ReadObject(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  return ReadJsonObject(path);
}

// A timm model's config.json; old timm had the fields of pretrained_cfg beside `architecture`.
bool IsTimm(const Json& model) {
  return model.contains("pretrained_cfg") ||
         (model.contains("architecture") && model.contains("input_size"));
}

PreprocessConfig ReadProcessor(const JsonFields& fields, const std::optional<JsonFields>& around,
                               const std::optional<JsonFields>& model) {
  // transformers' timm wrapper, and a folder that we exported from a timm model.
  if (fields.Has("pretrained_cfg")) return ReadTimmConfig(fields);
  return ReadHuggingFaceConfig(fields, ProcessorTypeOf(fields, around, model));
}

std::optional<PreprocessConfig> ReadAny(const fs::path& folder) {
  const fs::path model_file = folder / "config.json";
  const std::optional<Json> model_json = ReadObject(model_file);
  std::optional<JsonFields> model;
  if (model_json) model.emplace(*model_json, model_file.string(), "");
  if (model && model->Text("model_type", "") == "internvl_chat") {
    return ReadInternVlChatConfig(*model);
  }
  const fs::path processor_file = folder / "processor_config.json";
  if (const auto json = ReadObject(processor_file)) {
    const JsonFields processor(*json, processor_file.string(), "");
    const std::optional<JsonFields> nested = processor.Object("image_processor");
    if (nested) return ReadProcessor(*nested, processor, model);
  }
  if (model_json && IsTimm(*model_json)) return ReadTimmConfig(*model);
  const fs::path own_file = folder / "preprocessor_config.json";
  if (const auto json = ReadObject(own_file)) {
    return ReadProcessor(JsonFields(*json, own_file.string(), ""), std::nullopt, model);
  }
  return model ? CumoPreprocessing(*model, folder) : std::nullopt;
}

// LLaVA and VILA say in the model's config.json what their own code cuts images into.
std::string OwnViews(const Json& model) {
  const Json aspect = model.value("image_aspect_ratio", Json()),
             scales = model.value("scales", Json());
  if (scales.is_array() && scales.size() > 1) {
    return fmt::format("the pyramid of config.json (scales {}, image_aspect_ratio {})",
                       scales.dump(), aspect.dump());
  }
  if (aspect.is_string() && aspect != "square" && aspect != "resize") {
    return fmt::format("'{}' of config.json (image_aspect_ratio)", aspect.get<std::string>());
  }
  return model.value("s2", Json()) == true ? "the S2 scales of config.json" : "";
}

void CheckFixedSize(const PreprocessConfig& config) {
  if (config.crop || config.resize_rule == ResizeRule::kExact || config.variable_size()) return;
  Fail(
      "{}: {} gives images of different sizes here ({} and no centre crop); the encoder needs one "
      "fixed size. Set \"size\": {{\"height\": H, \"width\": W}} or a crop_size.",
      config.source_file.string(), config.processor,
      config.resize_rule == ResizeRule::kNone ? "no resize" : "the shortest edge is resized");
}

// Each side is bounded where it is read; together they could still ask for gigabytes an image.
void CheckPixels(const PreprocessConfig& config) {
  constexpr int64_t kMostPixels = int64_t{1} << 24;
  int64_t pixels = int64_t{config.budget.patch} * config.budget.patch * config.budget.max_patches;
  if (!config.variable_size()) {
    const ImageSize size = config.OutputSize();
    pixels = int64_t{size.width} * size.height * (config.tiling ? config.tiling->MaxViews() : 1);
  }
  if (pixels <= kMostPixels) return;
  Fail(
      "{}: {} asks for {} pixels of one image in all its views; at most {} are supported. Lower "
      "its size, patches or tiles.",
      config.source_file.string(), config.processor, pixels, kMostPixels);
}

void UseTorchvision(PreprocessConfig& config) {
  if (!IsInTorchvision(config.filter) && config.resize_rule != ResizeRule::kNone) {
    throw BadSetting(
        fmt::format("{}: asks for {}, which the resampler torchvision does not do; pillow13 "
                    "does.",
                    config.source_file.string(), FilterName(config.filter)));
  }
  if (config.arithmetic != Arithmetic::kNumpy) return;
  config.arithmetic = Arithmetic::kFused;
  config.crop_rule = CropRule::kFast;
}

std::string Triple(const std::array<double, 3>& values) {
  return fmt::format("{}, {}, {}", values[0], values[1], values[2]);
}

std::string ResizeText(const PreprocessConfig& config) {
  if (config.resize_rule == ResizeRule::kNone) return "no resize";
  const std::string how =
      fmt::format("{} ({})", FilterName(config.filter), ResamplerName(config.resampler));
  if (config.resize_rule == ResizeRule::kShortestEdge) {
    return fmt::format(
        "shorter side to {}, {}{}", config.shortest_edge,
        config.longest_edge > 0 ? fmt::format("longer to at most {}, ", config.longest_edge) : "",
        how);
  }
  if (config.variable_size()) {
    return fmt::format("aspect kept, at most {} patches of {}x{}, {}", config.budget.max_patches,
                       config.budget.patch, config.budget.patch, how);
  }
  const std::string size = fmt::format("{}x{}", config.resize.width, config.resize.height);
  if (config.before) {
    const int multiple = config.before->multiple_of;
    return fmt::format("longer side to {}, {}then resize to {}, {}", config.before->longest_edge,
                       multiple > 0 ? fmt::format("both to multiples of {}, ", multiple) : "", size,
                       how);
  }
  if (!config.tiling) return fmt::format("resize to {}, {}", size, how);
  return fmt::format("{} to {} tiles of {}{}, {}", config.tiling->min_tiles,
                     config.tiling->max_tiles, size,
                     config.tiling->thumbnail ? " and a thumbnail" : "", how);
}

}  // namespace

PreprocessConfig ReadPreprocessConfig(const fs::path& model_folder, Resampler resampler) {
  if (!fs::is_directory(model_folder)) {
    Fail(
        "{}: no such folder. It takes a local folder; fetch a hub model first: "
        "hf download NAME --local-dir DIR",
        model_folder.string());
  }
  std::optional<PreprocessConfig> config = ReadAny(model_folder);
  if (!config) {
    Fail(
        "{}: no preprocessing config (processor_config.json with an image_processor, "
        "preprocessor_config.json, or config.json with a pretrained_cfg). Without it nobody knows "
        "how this model wants its images: copy preprocessor_config.json or processor_config.json "
        "from the model's repository into the folder.",
        model_folder.string());
  }
  const std::optional<Json> model = ReadObject(model_folder / "config.json");
  if (config->left_out.empty() && model) config->left_out = OwnViews(*model);
  CheckFixedSize(*config);
  CheckPixels(*config);
  config->resampler = resampler;
  if (resampler == Resampler::kTorchvision) UseTorchvision(*config);
  return *config;
}

std::string DescribePreprocessing(const PreprocessConfig& config) {
  std::string text = config.processor;
  if (!config.processor_inferred_from.empty()) {
    text += fmt::format(" (by {})", config.processor_inferred_from);
  }
  text += ": " + ResizeText(config);
  if (config.crop) {
    text += fmt::format(", centre crop {}x{}", config.crop->width, config.crop->height);
  }
  if (config.arithmetic == Arithmetic::kTorch) {
    text += ", / 255";
  } else if (config.rescale) {
    text += fmt::format(", * {}", config.rescale_factor);
  }
  if (config.normalize) {
    text += fmt::format(", mean ({}), std ({})", Triple(config.mean), Triple(config.std_dev));
  }
  text += config.alpha == AlphaRule::kOnWhite ? ", transparency on white" : ", alpha dropped";
  if (!config.left_out.empty()) {
    text += fmt::format("; the whole image only, without {}", config.left_out);
  }
  for (const std::string& step : config.passed_over) {
    text += fmt::format("; '{}' is passed over: {} has no such step", step, config.processor);
  }
  return text;
}

std::string PreprocessingSha256(const PreprocessConfig& config) {
  const ImageSize crop = config.crop.value_or(ImageSize{});
  const bool resizes = config.resize_rule != ResizeRule::kNone;
  const bool rescales = config.rescale || config.arithmetic == Arithmetic::kTorch;
  const std::string tiles = config.tiling
                                ? fmt::format(" tiles={},{},{}", config.tiling->min_tiles,
                                              config.tiling->max_tiles, config.tiling->thumbnail)
                                : "";
  const std::string budget =
      config.variable_size()
          ? fmt::format(" budget={},{}", config.budget.patch, config.budget.max_patches)
          : "";
  const std::string before =
      config.before
          ? fmt::format(" before={},{}", config.before->longest_edge, config.before->multiple_of)
          : "";
  const std::string longest =
      config.longest_edge > 0 ? fmt::format(" longest={}", config.longest_edge) : "";
  return Sha256Hex(fmt::format(
      "w8a8-preprocessing/1 resize={} {}x{} edge={} filter={} order={} crop={} {}x{} rule={} "
      "rescale={:a} normalize={} mean={:a},{:a},{:a} std={:a},{:a},{:a} alpha={} "
      "arithmetic={}{}{}{}{}",
      static_cast<int>(config.resize_rule), config.resize.width, config.resize.height,
      config.shortest_edge, resizes ? FilterName(config.filter) : "",
      resizes ? ResamplerName(config.resampler) : "", config.crop.has_value(), crop.width,
      crop.height, static_cast<int>(config.crop_rule), rescales ? config.rescale_factor : 1.0,
      config.normalize, config.mean[0], config.mean[1], config.mean[2], config.std_dev[0],
      config.std_dev[1], config.std_dev[2], static_cast<int>(config.alpha),
      static_cast<int>(config.arithmetic), tiles, budget, before, longest));
}

}  // namespace w8a8
