// Exports of CuMo's folders: a CLIP tower with experts in every block, the last of which is not
// run.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/export/exported_mixture.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

class ExportOfCumo : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Experts, ExportOfCumo, testing::Values(4, 0));

TEST_P(ExportOfCumo, RunsFromItsFolderAsFromMemory) {
  const fs::path model = CumoFolder("export_cumo", 3, GetParam());
  ExpectRunsAsFromMemory(
      ExportOf("export_cumo", model, [](const Graph& graph) { return PlanOfAll(graph, {}); }), 112);
  ExpectRunsAsFromMemory(ExportOf("export_cumo", model, MixedPlan), 112);
}

TEST_P(ExportOfCumo, CarriesTheBlockThatIsNotRunAndTheLanguageModel) {
  const fs::path model = CumoFolder("export_cumo_rest", 3, GetParam());
  const Exported exported = ExportOf(
      "export_cumo_rest", model, [](const Graph& graph) { return PlanOfAll(graph, WeightOnly()); });
  const OwnedTensors before = ReadTensors(model / "model.safetensors");
  const OwnedTensors after = ReadTensors(exported.out / "model.safetensors");
  const std::string layers = "model.vision_tower.vision_model.encoder.layers.";
  int carried = 0;
  for (const auto& [key, tensor] : before) {
    if (key.starts_with(layers) && !key.starts_with(layers + "2.")) continue;
    ++carried;
    ASSERT_TRUE(after.contains(key)) << key;
    EXPECT_EQ(after.at(key).bytes, tensor.bytes) << key;
  }
  EXPECT_GT(carried, 10);
  auto config = ConfigOf(exported);
  EXPECT_TRUE(Ignores(config, "model.mm_projector.gate"));
  EXPECT_TRUE(Ignores(config, layers + "2.self_attn.q_proj"));
  EXPECT_EQ(Ignores(config, layers + "0.gate"), GetParam() > 0);
  config.erase("quantization_config");
  EXPECT_EQ(config, nlohmann::json::parse(ReadFile(model / "config.json")));
}

TEST_P(ExportOfCumo, TheTowerAloneIsRefused) {
  const fs::path model = CumoFolder("export_cumo_tower", 3, GetParam());
  const EncoderConfig config = ReadEncoderConfig(model);
  const Graph graph = BuildGraph(config);
  const fs::path out = ScratchFolder("export_cumo_tower_out");
  const std::string message = ErrorOf([&] {
    ExportQuantized(EncoderWeights(model, config), graph, PlanOfAll(graph, {}), model, out,
                    ExportScope::kTowerOnly);
  });
  EXPECT_TRUE(Contains(message, "the tower of CuMo alone")) << message;
  EXPECT_FALSE(fs::exists(out / "config.json"));
}

TEST(WhyTowerOnly, OfCumoWithALanguageModelOfAnotherMethodCannotBeWrittenAtAll) {
  const fs::path model = CumoFolder(
      "export_cumo_gptq", 2, 2, R"(, "quantization_config": {"quant_method": "gptq", "bits": 4})");
  const std::string message = ErrorOf([&] { WhyTowerOnly(model); });
  EXPECT_TRUE(Contains(message, "the model is quantized by 'gptq'")) << message;
}

}  // namespace
}  // namespace w8a8::test
