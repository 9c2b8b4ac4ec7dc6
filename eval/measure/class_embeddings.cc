#include "eval/measure/class_embeddings.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "eval/measure/task_accuracy.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

constexpr const char* kTensor = "class_embeddings";
constexpr const char* kNames = "classes";

std::vector<std::string> ReadNames(const SafetensorsFile& file) {
  const std::string path = file.path().string();
  const auto found = file.metadata().find(kNames);
  if (found == file.metadata().end()) {
    Fail(
        "{}: its metadata has no '{}'. Write the class names there, in the order of the rows, as a "
        "JSON list: [\"cat\", \"dog\"].",
        path, kNames);
  }
  const nlohmann::json list = nlohmann::json::parse(found->second, nullptr, false);
  if (!list.is_array()) Fail("{}: the metadata '{}' is not a JSON list.", path, kNames);
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const nlohmann::json& name : list) {
    if (!name.is_string() || name.get<std::string>().empty()) {
      Fail("{}: entry {} of the metadata '{}' is not a name.", path, names.size(), kNames);
    }
    names.push_back(name.get<std::string>());
    if (!seen.insert(names.back()).second) {
      Fail("{}: the class '{}' is named twice; a label could mean either.", path, names.back());
    }
  }
  return names;
}

// Their Euclidean lengths.
std::vector<double> CheckRows(const ClassEmbeddings& classes) {
  std::vector<double> lengths;
  const auto width = static_cast<size_t>(classes.width);
  for (size_t row = 0; row < classes.names.size(); ++row) {
    double sum_sq = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      const auto value = static_cast<double>(classes.rows[i]);
      sum_sq += value * value;
    }
    if (!std::isfinite(sum_sq)) {
      Fail(
          "{}: the embedding of class '{}' (row {}) holds a value that is not finite. Export it "
          "again.",
          classes.file, classes.names[row], row);
    }
    if (sum_sq == 0) {
      Fail(
          "{}: the embedding of class '{}' (row {}) is zero and has no direction. Export it again, "
          "or leave the class out.",
          classes.file, classes.names[row], row);
    }
    lengths.push_back(std::sqrt(sum_sq));
  }
  return lengths;
}

void RefuseEqualRows(const ClassEmbeddings& classes) {
  const auto first = classes.rows.begin(), end = classes.rows.end();
  // Each value equals the one a row before it.
  if (!std::equal(first + classes.width, end, first)) return;
  Fail(
      "{}: the embeddings of its {} classes are all equal, so there is nothing to rank. Export "
      "them "
      "again.",
      classes.file, classes.classes());
}

}  // namespace

std::vector<double> ClassEmbeddings::Cosines(std::span<const Half> embedding) const {
  W8A8_CHECK(static_cast<int64_t>(embedding.size()) == width);
  std::vector<float> feature(embedding.size());
  ToFloat(embedding, feature);
  double feature_sq = 0;
  for (const float value : feature) feature_sq += static_cast<double>(value) * value;
  std::vector<double> cosines(names.size(), 0.0);
  if (feature_sq == 0) return cosines;
  const double feature_length = std::sqrt(feature_sq);
  for (size_t c = 0; c < cosines.size(); ++c) {
    const float* row = rows.data() + c * feature.size();
    double product = 0;
    for (size_t i = 0; i < feature.size(); ++i) product += static_cast<double>(row[i]) * feature[i];
    cosines[c] = product / (lengths[c] * feature_length);
  }
  return cosines;
}

ClassEmbeddings ReadClassEmbeddings(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const TensorView& tensor = file.Get(kTensor);
  if (tensor.shape.size() != 2 || tensor.shape[0] < 1 || tensor.shape[1] < 1) {
    Fail("{}: '{}' has the shape {}; [classes, width] is wanted.", path.string(), kTensor,
         tensor.ShapeText());
  }
  ClassEmbeddings classes;
  classes.file = path.string();
  classes.sha256 = Sha256HexOfFile(path);
  classes.names = ReadNames(file);
  classes.width = tensor.shape[1];
  if (classes.classes() != tensor.shape[0]) {
    Fail("{}: '{}' has {} rows, but the metadata '{}' names {} classes.", path.string(), kTensor,
         tensor.shape[0], kNames, classes.classes());
  }
  if (classes.classes() < kMinClasses) {
    Fail(
        "{}: it holds one class ('{}'), so there is nothing to rank: every image would be of it. "
        "Give two or more, or none: the features are compared then.",
        path.string(), classes.names.front());
  }
  classes.rows = FloatValues(tensor);
  classes.lengths = CheckRows(classes);
  RefuseEqualRows(classes);
  return classes;
}

void CheckEmbeddingWidth(const ClassEmbeddings& classes, int64_t image_width) {
  if (image_width == 0) {
    Fail("{}: this model has no pooled output to compare with class embeddings.", classes.file);
  }
  if (classes.width != image_width) {
    Fail(
        "{}: its embeddings are {} wide, but the model's are {}. Export them with the text tower "
        "that belongs to this model.",
        classes.file, classes.width, image_width);
  }
}

}  // namespace w8a8
