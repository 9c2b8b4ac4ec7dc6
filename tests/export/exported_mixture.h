// Models with experts, exported under plans that treat experts unlike, and run from their folder.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/export/export_quantized.h"
#include "eval/run/known_sites.h"
#include "eval/run/stored_plan.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "tests/encoder/mixture_models.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {

inline SitePlan WeightOnly() {
  SitePlan plan;
  plan.input = std::nullopt;
  return plan;
}

inline Plan PlanOfAll(const Graph& graph, const SitePlan& site) {
  Plan plan;
  for (const std::string& name : graph.Sites()) plan.sites[name] = site;
  return plan;
}

// Expert 1 stays FP16, and of expert 0 one layer's inputs.
inline Plan MixedPlan(const Graph& graph) {
  Plan plan = PlanOfAll(graph, {});
  std::erase_if(plan.sites, [](const auto& entry) { return Contains(entry.first, "experts.1."); });
  for (auto& [site, site_plan] : plan.sites) {
    if (site.ends_with("experts.0.fc2")) site_plan = WeightOnly();
  }
  return plan;
}

struct Exported {
  std::filesystem::path model, out;
  Graph graph;
  Plan plan;
  std::vector<std::string> warnings;
};

inline Exported ExportOf(const std::string& name, const std::filesystem::path& model,
                         const std::function<Plan(const Graph&)>& plan_of) {
  const EncoderConfig config = ReadEncoderConfig(model);
  Exported exported{model, ScratchFolder(name + "_out"), BuildGraph(config), {}, {}};
  exported.plan = plan_of(exported.graph);
  exported.warnings = ExportQuantized(EncoderWeights(model, config), exported.graph, exported.plan,
                                      model, exported.out);
  return exported;
}

inline std::filesystem::path SomePixels(int64_t side) {
  std::vector<float> values(static_cast<size_t>(2 * 3 * side * side));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 37 % 255) / 127.5f - 1;
  }
  return WritePixels(ScratchFolder("experts_pixels") / "pixels.safetensors", {2, 3, side, side},
                     values);
}

// The int8 arm of the folder, as it is stored, and of the model, under the plan: equal bytes.
inline void ExpectRunsAsFromMemory(const Exported& exported, int64_t side) {
  const std::filesystem::path folder = ScratchFolder("experts_run"), pixels = SomePixels(side);
  const auto config = ReadEncoderConfig(exported.out);
  const EncoderWeights stored(exported.out, config);
  EXPECT_TRUE(stored.notes().empty());
  EXPECT_EQ(StoredPlan(stored, exported.graph), exported.plan);
  WritePlan(folder / "plan.json", {.model_sha256 = "", .plan = exported.plan},
            KnownSites(exported.graph));
  Options memory =
      EncodeOptions(exported.model, pixels, Precision::kInt8, folder / "memory.safetensors");
  memory.plan = (folder / "plan.json").string();
  const SafetensorsFile expected = Encode(memory);
  const SafetensorsFile actual =
      Encode(EncodeOptions(exported.out, pixels, Precision::kInt8, folder / "folder.safetensors"));
  ASSERT_EQ(Names(expected), Names(actual));
  for (const auto& [name, tensor] : expected.tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, actual.Get(name).bytes)) << name;
  }
}

inline nlohmann::json ConfigOf(const Exported& exported) {
  return nlohmann::json::parse(ReadFile(exported.out / "config.json"));
}

inline bool Ignores(const nlohmann::json& config, const std::string& module) {
  const auto& ignored = config.at("quantization_config").at("ignore");
  return std::count(ignored.begin(), ignored.end(), module) == 1;
}

}  // namespace w8a8::test
