// A block with experts: what is gathered, run and summed, by every arm, against moe.md section 4.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/fuse_row_steps.h"
#include "runtime/lower.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kWidth = 48, kTokens = 17;

EncoderConfig MixtureOf(int64_t experts, int64_t chosen) {
  EncoderConfig config;
  config.family = "siglip";
  config.width = kWidth;
  config.mlp_width = 80;
  config.heads = 2;
  config.blocks = 1;
  config.image_height = config.image_width = 8;
  config.patch = 8;
  config.mixture = {.experts = experts,
                    .chosen = chosen,
                    .renormalized = true,
                    .gated = false,
                    .width = 72,
                    .shared_width = 0,
                    .in_block = {true}};
  return config;
}

EncoderConfig GatedMixture() {
  EncoderConfig config = MixtureOf(3, 2);
  config.activation = ActivationKind::kSilu;
  config.mixture.renormalized = false;
  config.mixture.gated = true;
  config.mixture.shared_width = 40;
  return config;
}

// Random parameters of any graph; those of `given` are as they are there.
class RandomWeights final : public Weights {
 public:
  explicit RandomWeights(const Graph& graph) {
    for (const Node& node : graph.nodes) {
      if (node.kind != NodeKind::kLinear) continue;
      sizes_[node.weight] = {graph.slot(node.out).cols, graph.slot(node.in).cols};
    }
  }

  LinearParameters Linear(const std::string& stem) const override {
    const auto [n, k] = sizes_.at(stem);
    return {.n = n,
            .k = k,
            .values = RandomHalfFloats(n * k, SeedOf(stem), 0.3f),
            .bias = RandomFloats(n, SeedOf(stem) + 1)};
  }
  std::vector<float> Vector(const std::string& stem, const char*) const override {
    if (stem.ends_with("router") && !router.empty()) return router;
    return RandomFloats(stem.ends_with("router") ? 64 * kWidth : kWidth, SeedOf(stem));
  }
  const EncoderWeights& checkpoint() const override { throw Error("there is none"); }

  std::vector<float> router;

 private:
  static uint64_t SeedOf(const std::string& stem) { return HashText(stem); }

  std::map<std::string, std::pair<int64_t, int64_t>> sizes_;
};

Plan PlanOf(const Graph& graph, const SitePlan& site) {
  Plan plan;
  for (const std::string& name : graph.Sites()) plan.sites[name] = site;
  return plan;
}

SitePlan TokenPlan() {
  SitePlan plan;
  plan.input = Quantizer{.granularity = Granularity::kToken};
  plan.weight = WeightSpec{};
  return plan;
}

SitePlan WeightOnlyPlan() {
  SitePlan plan;
  plan.weight = WeightSpec{};
  return plan;
}

struct Block {
  explicit Block(const EncoderConfig& config)
      : graph(BuildGraphFromEmbeds(config, kTokens)), weights(graph) {}

  Graph graph;
  RandomWeights weights;
};

// The stream behind block 0, of `images` images from `first` on.
std::vector<Half> RunBlock(const Block& block, const Kernels& kernels, Precision precision,
                           const SitePlan& site, int64_t first, int64_t images,
                           std::vector<uint8_t> key_mask = {}) {
  CpuBackend backend(kernels);
  Lowering lowering(block.graph, block.weights, backend);
  lowering.BeginStage(1);
  Program program = lowering.Lower(precision, PlanOf(block.graph, site), FakeFlavour::kIdeal);
  if (precision == Precision::kInt8) FuseRowSteps(&program);
  CpuArena arena(kernels);
  arena.Prepare(program.slots, {.images = images, .key_mask = std::move(key_mask)});
  FillSlot(arena, block.graph.stream, 5, first);
  for (const Step& step : program.steps) arena.Run(step, {});
  return Copy(arena.HostHalf(block.graph.stream));
}

TEST(Mixture, Int8EqualsEmulatedOnEverySet) {
  for (const EncoderConfig& config :
       {MixtureOf(4, 2), MixtureOf(1, 1), MixtureOf(5, 5), MixtureOf(9, 1), GatedMixture()}) {
    const Block block(config);
    for (const Kernels& set : SetsOfThisMachine()) {
      EXPECT_EQ(Equal(RunBlock(block, set, Precision::kEmulated, TokenPlan(), 0, 3),
                      RunBlock(block, set, Precision::kInt8, TokenPlan(), 0, 3)),
                "")
          << set.name << ", " << config.mixture.experts << " experts";
    }
  }
}

TEST(Mixture, DoesNotDependOnTheBatch) {
  struct Arm {
    Precision precision;
    SitePlan plan;
  };
  const std::vector<Arm> arms = {{Precision::kFp16, TokenPlan()},
                                 {Precision::kFake, TokenPlan()},
                                 {Precision::kInt8, TokenPlan()},
                                 {Precision::kInt8, WeightOnlyPlan()},
                                 {Precision::kEmulated, WeightOnlyPlan()}};
  for (const EncoderConfig& config : {MixtureOf(4, 2), GatedMixture()}) {
    const Block block(config);
    for (const Arm& arm : arms) {
      std::vector<Half> alone;
      for (int64_t image = 0; image < 3; ++image) {
        const std::vector<Half> one =
            RunBlock(block, Select(""), arm.precision, arm.plan, image, 1);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      EXPECT_EQ(Equal(alone, RunBlock(block, Select(""), arm.precision, arm.plan, 0, 3)), "")
          << NameOf(arm.precision);
    }
  }
}

int64_t ArenaBytes(const EncoderConfig& config) {
  const Block block(config);
  CpuBackend backend(Select(""));
  Lowering lowering(block.graph, block.weights, backend);
  lowering.BeginStage(1);
  const Program program =
      lowering.Lower(Precision::kInt8, PlanOf(block.graph, TokenPlan()), FakeFlavour::kIdeal);
  CpuArena arena(Select(""));
  arena.Prepare(program.slots, {.images = 2});
  FillSlot(arena, block.graph.stream, 5);
  for (const Step& step : program.steps) arena.Run(step, {});
  return arena.bytes();
}

// All experts of a block take turns in the same slots.
TEST(Mixture, MoreExpertsTakeNoMoreMemoryThanTheirRoutersWeights) {
  // Of two images, and the logits of one token.
  const auto weights = int64_t{(2 * kTokens + 1) * (8 - 2)} * static_cast<int64_t>(sizeof(float));
  EXPECT_LE(ArenaBytes(MixtureOf(8, 2)), ArenaBytes(MixtureOf(2, 2)) + weights);
}

// What the steps of a block left, to be held against their definition.
struct Steps {
  std::vector<Half> normed;
  std::vector<float> routing;
  std::vector<std::vector<RowOwner>> owners;  // by expert
  std::vector<std::vector<Half>> inputs, outputs;
  std::vector<Half> shared;  // empty: none
  std::vector<Half> sum;
};

Steps RunStepByStep(const Block& block, int64_t images) {
  const Kernels& kernels = Select("");
  CpuBackend backend(kernels);
  Lowering lowering(block.graph, block.weights, backend);
  lowering.BeginStage(1);
  const Program program = lowering.Lower(Precision::kFp16, {}, FakeFlavour::kIdeal);
  CpuArena arena(kernels);
  arena.Prepare(program.slots, {.images = images});
  FillSlot(arena, block.graph.stream, 5);
  Steps seen;
  for (const Step& step : program.steps) {
    arena.Run(step, {});
    if (const auto* route = std::get_if<RouteStep>(&step)) {
      seen.normed = Copy(arena.HostHalf(route->in));
      seen.routing = Copy(arena.HostFloats(route->out));
    } else if (const auto* gather = std::get_if<GatherStep>(&step)) {
      seen.owners.emplace_back(arena.routed().begin(), arena.routed().end());
      seen.inputs.push_back(Copy(arena.HostHalf(gather->out)));
    } else if (const auto* mix = std::get_if<MixStep>(&step)) {
      seen.outputs.push_back(Copy(arena.HostHalf(mix->in)));
    } else if (const auto* shared = std::get_if<MixSharedStep>(&step)) {
      seen.shared = Copy(arena.HostHalf(shared->in));
    } else if (const auto* convert = std::get_if<ConvertStep>(&step)) {
      seen.sum = Copy(arena.HostHalf(convert->out));
    }
  }
  return seen;
}

TEST(Mixture, GathersTheRowsOfEachExpertInOrder) {
  const Block block(MixtureOf(4, 2));
  const Steps seen = RunStepByStep(block, 2);
  ASSERT_EQ(seen.owners.size(), 4u);
  size_t rows = 0;
  for (size_t e = 0; e < 4; ++e) {
    std::vector<Half> expected;
    for (const RowOwner& owner : seen.owners[e]) {
      const int64_t row = owner.sample * kTokens + owner.token;
      EXPECT_NE(seen.routing[static_cast<size_t>(row) * 4 + e], kNotRouted);
      const auto from = seen.normed.begin() + row * kWidth;
      expected.insert(expected.end(), from, from + kWidth);
    }
    EXPECT_EQ(Equal(expected, seen.inputs[e]), "") << "expert " << e;
    EXPECT_TRUE(std::ranges::is_sorted(seen.owners[e]));
    rows += seen.owners[e].size();
  }
  EXPECT_EQ(rows, 2u * 2u * kTokens);
}

// t = fma(w, y, t) by ascending expert, the shared expert last, one rounding.
TEST(Mixture, SumsWhatTheExpertsGave) {
  for (const EncoderConfig& config : {MixtureOf(4, 2), MixtureOf(9, 3), GatedMixture()}) {
    const Block block(config);
    const Steps seen = RunStepByStep(block, 2);
    const auto experts = static_cast<size_t>(config.mixture.experts);
    std::vector<float> sum(seen.normed.size(), 0.0f);
    for (size_t e = 0; e < experts; ++e) {
      for (size_t r = 0; r < seen.owners[e].size(); ++r) {
        const RowOwner& owner = seen.owners[e][r];
        const auto row = static_cast<size_t>(owner.sample * kTokens + owner.token);
        for (size_t c = 0; c < kWidth; ++c) {
          float& t = sum[row * kWidth + c];
          t = std::fma(seen.routing[row * experts + e], ToFloat(seen.outputs[e][r * kWidth + c]),
                       t);
        }
      }
    }
    const bool shared = config.mixture.shared_width > 0;
    ASSERT_EQ(seen.shared.empty(), !shared);
    std::vector<float> gate = block.weights.Vector("blocks.0.mlp.shared_gate", "");
    for (float& value : gate) value = RoundedToHalf(value);
    for (size_t row = 0; shared && row < 2u * kTokens; ++row) {
      float v = 0;  // of kWidth < 256 values: the tree over single terms
      Select("").rows->row_products({.x = seen.normed.data() + row * kWidth,
                                     .cols = kWidth,
                                     .weight = gate.data(),
                                     .count = 1,
                                     .y = &v});
      const double s = 1 / (1 + std::exp(-double{v}));
      for (size_t c = 0; c < kWidth; ++c) {
        float& t = sum[row * kWidth + c];
        t = static_cast<float>(s * ToFloat(seen.shared[row * kWidth + c]) + t);
      }
    }
    std::vector<Half> expected(sum.size());
    ToHalf(sum, expected);
    if (!shared) {
      EXPECT_EQ(Equal(expected, seen.sum), "");
      continue;
    }
    std::vector<double> exact(sum.begin(), sum.end());
    for (size_t i = 0; i < exact.size(); ++i) {
      EXPECT_LE(std::abs(exact[i] - ToFloat(seen.sum[i])), HalfUlp(exact[i])) << i;
    }
  }
}

TEST(Mixture, AZeroRouterGivesEqualWeightsToTheFirstExperts) {
  Block block(MixtureOf(4, 2));
  block.weights.router.assign(4 * kWidth, 0.0f);
  const Steps seen = RunStepByStep(block, 1);
  for (size_t token = 0; token < kTokens; ++token) {
    const auto* row = seen.routing.data() + token * 4;
    EXPECT_EQ(std::vector<float>(row, row + 4), (std::vector<float>{0.5f, 0.5f, -1, -1}));
  }
  EXPECT_TRUE(seen.owners[2].empty());
  EXPECT_TRUE(seen.outputs.at(2).empty());
}

TEST(Mixture, PaddingGoesToNoExpertAndChangesNoOther) {
  const Block block(MixtureOf(4, 2));
  std::vector<uint8_t> mask(kTokens, 1);
  mask.back() = 0;
  const std::vector<Half> masked =
      RunBlock(block, Select(""), Precision::kInt8, TokenPlan(), 0, 1, mask);
  std::vector<uint8_t> twice = mask;
  twice.insert(twice.end(), mask.begin(), mask.end());
  const std::vector<Half> both =
      RunBlock(block, Select(""), Precision::kInt8, TokenPlan(), 0, 2, twice);
  const auto kept = static_cast<size_t>((kTokens - 1) * kWidth);
  EXPECT_EQ(Equal(std::span(masked).first(kept), std::span(both).first(kept)), "");
}

TEST(Mixture, FirstRowTwiceIsRefusedAtAnExpert) {
  const Block block(MixtureOf(2, 1));
  SitePlan plan = TokenPlan();
  plan.first_row_twice = true;
  const Plan one = {.sites = {{"blocks.0.mlp.experts.1.fc2", plan}}};
  try {
    CheckPlan(block.graph, Precision::kInt8, one, FakeFlavour::kIdeal);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("blocks.0.mlp.experts.1.fc2"), std::string::npos);
  }
}

TEST(Mixture, SitesAreThoseOfEachExpertInOrder) {
  const Graph graph = BuildGraphFromEmbeds(GatedMixture(), kTokens);
  const std::vector<std::string> expected = {"blocks.0.attn.qkv",
                                             "blocks.0.attn.proj",
                                             "blocks.0.mlp.experts.0.fc1",
                                             "blocks.0.mlp.experts.0.fc2",
                                             "blocks.0.mlp.experts.1.fc1",
                                             "blocks.0.mlp.experts.1.fc2",
                                             "blocks.0.mlp.experts.2.fc1",
                                             "blocks.0.mlp.experts.2.fc2",
                                             "blocks.0.mlp.shared_expert.fc1",
                                             "blocks.0.mlp.shared_expert.fc2"};
  EXPECT_EQ(graph.Sites(), expected);
}

}  // namespace
}  // namespace w8a8::test
