// Whatever stands in a config.json: a run ends in features or in an Error with a sentence, never in
// a broken invariant, an exception of a library, or an endless loop.
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/golden_case.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using nlohmann::json;

// Each replaces every field in turn.
const json& OddValues() {
  static const json values = json::parse(R"([0, -1, 1, 2, 3, 7, 33, 65536, 65537, 2147483648,
      4611686018427387904, 9223372036854775807, 18446744073709551615, 1e300, 1e-300, 2.5, -0.0, "",
      "64", null, true, false, [], [1], [8, 16], [0, 0], [4294967296, 4294967296], [[1]], {},
      {"0": 1}])");
  return values;
}

// Fields that classes know and that a saved config may leave out.
constexpr const char* kOtherFields[] = {
    "num_channels",        "qkv_bias",           "vision_use_head", "use_swiglu_ffn",
    "num_labels",          "id2label",           "pooler_act",      "pooler_output_size",
    "num_register_tokens", "qk_normalization",   "norm_type",       "attention_bias",
    "use_qk_norm",         "use_mean_pooling",   "mlp_ratio",       "use_moe",
    "projection_dim",      "vision_config_dict", "select_layer",    "vision_feature_layer",
    "architectures",       "quantization_config"};

std::set<json::json_pointer> FieldsOf(const json& config) {
  std::set<json::json_pointer> fields;
  const json::json_pointer root;
  for (const auto& [key, value] : config.items()) {
    if (key == "text_config" || key == "label2id") continue;
    fields.insert(root / key);
    if (!value.is_object()) continue;
    for (const auto& [inner, unused] : value.items()) fields.insert(root / key / inner);
  }
  for (const char* key : kOtherFields) {
    fields.insert(root / key);
    if (config.contains("vision_config")) fields.insert(root / "vision_config" / key);
  }
  return fields;
}

// Empty where it ended as it may.
std::string OddEnd(const GoldenCase& made) {
  try {
    made.Run(Precision::kInt8);
  } catch (const Error& error) {
    return std::string(error.what()).size() > 20 ? "" : error.what();
  } catch (const std::exception& problem) {
    return problem.what();
  }
  return "";
}

class ConfigValues : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, ConfigValues,
                         testing::Values("siglip_classifier", "internvl_small", "clip_small",
                                         "clip_classifier", "vit_pooler", "deit_small",
                                         "dinov2_registers_classifier", "in_llava", "in_smolvlm"),
                         [](const auto& family) { return std::string(family.param); });

TEST_P(ConfigValues, OfAnyKindInAnyFieldEndInFeaturesOrInASentence) {
  const GoldenCase made(GetParam());
  const json config = json::parse(made.Metadata("config"));
  for (const json::json_pointer& field : FieldsOf(config)) {
    for (const json& value : OddValues()) {
      json changed = config;
      changed[field] = value;
      WriteText(made.model / "config.json", changed.dump());
      EXPECT_EQ(OddEnd(made), "") << field.to_string() << " is " << value;
    }
  }
}

}  // namespace
}  // namespace w8a8::test
