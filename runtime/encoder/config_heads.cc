// What transformers' classes put on top of a tower: classifiers and CLIP's projection.
#include <array>
#include <string_view>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

struct WholeClassifier {
  std::string_view model_type;
  const char* architecture;
};
constexpr std::array<WholeClassifier, 3> kWholeClassifiers = {
    {{"clip", "CLIPForImageClassification"},
     {"siglip", "SiglipForImageClassification"},
     {"siglip2", "Siglip2ForImageClassification"}}};

constexpr int64_t kMaxClasses = 10'000'000;

// PreTrainedConfig counts the names in 'id2label' where there are any, whatever 'num_labels' says,
// and has two classes where neither is stated.
int64_t ReadClasses(const JsonFields& fields) {
  const std::optional<JsonFields> names = fields.Object("id2label");
  if (names) return static_cast<int64_t>(names->raw().size());
  return fields.Int("num_labels", 2, 0, kMaxClasses);
}

}  // namespace

void SetClassifier(const JsonFields& fields, HeadInput input, EncoderConfig* config) {
  config->classes = ReadClasses(fields);
  config->head_input = input;
  if (config->classes > 0) return;
  config->distilled_head = false;
  config->notes.emplace_back("the config has no classes, so no classifier is run");
}

void SetProjection(int64_t projection, EncoderConfig* config) {
  config->projection = projection;
  config->notes.push_back(fmt::format(
      "the pooled output is projected to {}: the image embedding, which class embeddings are "
      "compared with",
      projection));
}

void ReadHeadOfWhole(const JsonFields& whole, const std::string& model_type,
                     EncoderConfig* config) {
  for (const WholeClassifier& known : kWholeClassifiers) {
    if (model_type == known.model_type && HasArchitecture(whole, known.architecture)) {
      return SetClassifier(whole, HeadInput::kMeanOfPatches, config);
    }
  }
  if (model_type == "clip") {
    SetProjection(whole.Int("projection_dim", 512, 1, kMaxWidth), config);
  }
}

}  // namespace w8a8
