// An export of every family opens here again and computes the same, in every bit.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/export_quantized.h"
#include "runtime/base/atomic_file.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/golden_case.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

const char* const kFamilies[] = {
    "internvl_small",   "clip_small",   "vit_small", "deit_small", "dinov2_small", "dinov2_giant",
    "dinov2_registers", "in_paligemma", "in_gemma3", "in_llava",   "in_internvl",  "in_smolvlm"};

class ExportOfEveryFamily : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, ExportOfEveryFamily, testing::ValuesIn(kFamilies),
                         [](const auto& family) { return std::string(family.param); });

fs::path ExportOf(const GoldenCase& made, ExportScope scope) {
  const EncoderConfig config = ReadEncoderConfig(made.model);
  const Graph graph = BuildGraph(config);
  Plan plan;
  for (const std::string& site : graph.Sites()) plan.sites[site];
  const fs::path out = made.folder / (scope == ExportScope::kWhole ? "whole" : "tower");
  ExportQuantized(EncoderWeights(made.model, config), graph, plan, made.model, out, scope);
  return out;
}

TEST_P(ExportOfEveryFamily, OpensAndComputesTheSame) {
  const GoldenCase made(GetParam());
  const SafetensorsFile expected = made.Run(Precision::kInt8);
  const fs::path out = ExportOf(made, ExportScope::kWhole);
  const SafetensorsFile actual =
      Encode(EncodeOptions(out, made.pixels, Precision::kInt8, made.folder / "whole.safetensors"));
  ASSERT_EQ(Names(expected), Names(actual));
  for (const auto& [name, tensor] : expected.tensors()) {
    EXPECT_EQ(Equal(FloatValues(tensor), FloatValues(actual.Get(name))), "") << name;
  }
}

// The model around it may read fewer blocks than there are; so far they are equal.
TEST_P(ExportOfEveryFamily, ItsTowerAloneOpensAndComputesTheSame) {
  const GoldenCase made(GetParam());
  const SafetensorsFile expected = made.Run(Precision::kInt8);
  const fs::path out = ExportOf(made, ExportScope::kTowerOnly);
  const SafetensorsFile actual =
      Encode(EncodeOptions(out, made.pixels, Precision::kInt8, made.folder / "tower.safetensors"));
  int compared = 0;
  for (const auto& [name, tensor] : expected.tensors()) {
    if (!name.starts_with("hidden_states.")) continue;
    ++compared;
    EXPECT_EQ(Equal(FloatValues(tensor), FloatValues(actual.Get(name))), "") << name;
  }
  EXPECT_GE(compared, 2);
}

}  // namespace
}  // namespace w8a8::test
