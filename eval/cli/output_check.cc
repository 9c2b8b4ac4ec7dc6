#include "eval/cli/output_check.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "datasets/image_paths.h"
#include "eval/cli/artifacts/artifact.h"
#include "eval/cli/commands/linear_output.h"
#include "eval/cli/usage_error.h"
#include "eval/export/exported_folder.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

bool HoldsPlan(const fs::path& file) {
  const nlohmann::json object = ReadJsonObject(file);
  const auto version = object.find("version"), sites = object.find("sites");
  return version != object.end() && version->is_number_integer() && sites != object.end() &&
         sites->is_object();
}

bool HoldsFeatures(const fs::path& file) {
  const SafetensorsFile tensors(file);
  const auto said = [&](const char* key) { return tensors.metadata().contains(key); };
  return said("images") && said("skipped") &&
         (said("preprocessing_sha256") || said("model_sha256"));
}

// `y` alone is what linear writes in FP16 (codes and scales of weights stand beside it otherwise).
// An input of linear has `x` and `weight`.
bool HoldsLayer(const fs::path& file) {
  const SafetensorsFile layer(file);
  const TensorView* y = layer.Find("y");
  if (y == nullptr || !layer.metadata().empty()) return false;
  const bool known = std::ranges::all_of(layer.tensors(), [&](const auto& tensor) {
    return std::ranges::find(kLinearTensors, tensor.first) != kLinearTensors.end();
  });
  return known && (layer.tensors().size() == 1 || layer.Find("weight_codes") != nullptr);
}

bool Holds(const fs::path& file, Output output) {
  try {
    switch (output) {
      case Output::kStatistics:
        return RecognizeArtifact(file) == ArtifactKind::kStatistics;
      case Output::kPlan:
        return HoldsPlan(file);
      case Output::kFeatures:
        return HoldsFeatures(file);
      case Output::kLayer:
        return HoldsLayer(file);
      case Output::kNothing:
      case Output::kFolder:
      case Output::kItsOwnFolder:
        break;
    }
  } catch (const Error&) {
    // What cannot be read as one of these is none of them.
  }
  return false;
}

const char* KindName(Output output) {
  switch (output) {
    case Output::kStatistics:
      return "statistics (stats.h5)";
    case Output::kPlan:
      return "a plan (plan.json)";
    case Output::kFeatures:
      return "tensors of encode or preprocess";
    case Output::kLayer:
      return "tensors of linear";
    case Output::kNothing:
    case Output::kFolder:
    case Output::kItsOwnFolder:
      break;
  }
  W8A8_CHECK(!"an Output that is no file");
  return "";
}

bool IsFile(Output output) {
  return output != Output::kNothing && output != Output::kFolder && output != Output::kItsOwnFolder;
}

// By device and inode, so that a link of either kind is its file.
bool IsSame(const fs::path& x, const fs::path& y) {
  std::error_code ignored;  // what does not exist is nothing's equal
  return fs::equivalent(x, y, ignored);
}

[[noreturn]] void FailInput(const std::string& out, const std::string& input) {
  FailUsage("--out {}: is the input {}; it would be overwritten. Choose another name.", out, input);
}

void CheckNamedInputs(const Options& o) {
  const std::vector<std::pair<const char*, std::string>> named = {
      {"--images ", o.images}, {"--eval-images ", o.eval_images},
      {"--labels ", o.labels}, {"--classes ", o.classes},
      {"--model ", o.model},   {"--plan ", o.plan},
      {"--in ", o.in},         {"--stats ", o.stats},
      {"--pixels ", o.pixels}, {"--embeds ", o.embeds}};
  for (const auto& [flag, path] : named) {
    if (!path.empty() && IsSame(path, o.out)) FailInput(o.out, flag + path);
  }
  for (const std::string& path : o.inputs) {
    if (IsSame(path, o.out)) FailInput(o.out, path);
  }
}

// Images that cannot be listed are the command's to report.
std::vector<fs::path> ImagesAt(const std::string& path) {
  try {
    return path.empty() ? std::vector<fs::path>() : ListImagePaths(path);
  } catch (const Error&) {
    return {};
  }
}

void CheckImages(const Options& options) {
  for (const std::string& images : {options.images, options.eval_images}) {
    for (const fs::path& image : ImagesAt(images)) {
      if (IsSame(image, options.out)) FailInput(options.out, "image " + image.string());
    }
  }
}

void CheckModelFiles(const Options& options) {
  if (options.model.empty()) return;
  std::error_code error;
  fs::recursive_directory_iterator at(options.model, fs::directory_options::skip_permission_denied,
                                      error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (IsSame(at->path(), options.out)) {
      FailInput(options.out, at->path().string() + " of --model");
    }
  }
}

// Whether a file of the command's own kind may be one that a model is read from. Features and
// statistics that lie in a model's folder are an earlier run's; a plan is part of an export.
bool MayBeOfModel(const Options& options, Output output) {
  std::error_code ignored;
  return output == Output::kPlan && fs::exists(fs::path(options.model) / kScalesFile, ignored);
}

}  // namespace

void CheckOutput(const Options& options, Output output) {
  if (options.out.empty() || output == Output::kNothing || output == Output::kItsOwnFolder) return;
  CheckNamedInputs(options);
  // What cannot be looked at cannot be written either, which is said later.
  std::error_code ignored;
  if (!IsFile(output) || !fs::is_regular_file(options.out, ignored)) return;
  CheckImages(options);
  const bool empty = fs::is_empty(options.out, ignored);
  const bool ours = !empty && Holds(options.out, output);
  if (!ours || MayBeOfModel(options, output)) CheckModelFiles(options);
  if (empty || ours) return;
  FailUsage(
      "--out {}: is a file that does not hold {}, which {} writes; it would be lost. Choose "
      "another name, or remove it first.",
      options.out, KindName(output), options.command);
}

}  // namespace w8a8
