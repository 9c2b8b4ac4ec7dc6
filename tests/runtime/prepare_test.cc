// What a plan makes of a layer's parameters: plans share weights exactly where they may.
#include "runtime/prepare.h"

#include <algorithm>
#include <memory>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/lower.h"
#include "tests/encoder/small_models.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr const char* kSite = "blocks.0.mlp.fc2";
constexpr FakeFlavour kOurs = FakeFlavour::kIdeal;

SitePlan WithBits(int bits) { return {.weight = WeightSpec{.num_bits = bits}}; }

SitePlan WithSmoothing(size_t channels) {
  SitePlan plan;
  for (size_t c = 0; c < channels; ++c) plan.smoothing.push_back(c % 2 == 0 ? 0.5f : 3.0f);
  return plan;
}

// The layer's own codes but for the first, and a bias of its own.
SitePlan WithGiven(const LinearParameters& parameters) {
  GivenWeights given{.weight = Prepare(kSite, parameters, {}, kOurs).layer.weight};
  given.weight.codes.front() = given.weight.codes.front() == 3 ? 4 : 3;
  FinishCodes(kSite, given.weight);
  given.bias = std::vector<float>(static_cast<size_t>(parameters.n), 0.25f);
  return {.given = {std::make_shared<const GivenWeights>(given)}};
}

// The last stage but one of a small encoder, which holds kSite.
class LoweredBlock {
 public:
  explicit LoweredBlock(const std::string& name)
      : graph(BuildGraph(TinySiglip())),
        weights(TinySiglipFolder(name), TinySiglip()),
        backend(Select("")),
        lowering(graph, weights, backend) {
    lowering.BeginStage(1);
  }

  // The packed weights that an arm of this plan runs at kSite.
  PackedPtr Packed(Precision precision, const SitePlan& plan) {
    const Program program = lowering.Lower(precision, {.sites = {{kSite, plan}}}, kOurs);
    for (size_t i = 0; i < program.steps.size(); ++i) {
      if (graph.nodes[static_cast<size_t>(program.nodes[i])].site != kSite) continue;
      if (const auto* step = std::get_if<GemmFakeStep>(&program.steps[i])) return step->weight;
      if (const auto* step = std::get_if<GemmS8Step>(&program.steps[i])) return step->weight;
      if (const auto* step = std::get_if<GemmW8Step>(&program.steps[i])) return step->weight;
      if (const auto* step = std::get_if<GemmCodesStep>(&program.steps[i])) return step->weight;
    }
    return nullptr;
  }

  const Graph graph;
  const EncoderWeights weights;
  CpuBackend backend;
  Lowering lowering;
};

TEST(Prepare, PlansThatDifferInTheirQuantizersOnlyShareWeights) {
  LoweredBlock block("prepare_shared");
  const SitePlan clipped{.input = Quantizer{.clip_range = kClipRange}};
  const SitePlan still{.input = Quantizer::Static(0.1f)};
  for (const Precision precision : {Precision::kFake, Precision::kEmulated, Precision::kInt8}) {
    const PackedPtr first = block.Packed(precision, {});
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(block.Packed(precision, clipped), first);
    EXPECT_EQ(block.Packed(precision, still), first);
  }
  EXPECT_EQ(block.lowering.Prepared(kSite, {}, kOurs),
            block.lowering.Prepared(kSite, clipped, kOurs));
}

TEST(Prepare, PlansThatDifferInSmoothingOnlyDoNotShareWeights) {
  LoweredBlock block("prepare_smoothing");
  const auto plain = block.lowering.Prepared(kSite, {}, kOurs);
  const SitePlan smoothing = WithSmoothing(static_cast<size_t>(plain->layer.weight.k));
  const auto smoothed = block.lowering.Prepared(kSite, smoothing, kOurs);
  EXPECT_NE(plain->layer.weight.codes, smoothed->layer.weight.codes);
  EXPECT_EQ(plain->transform, nullptr);
  EXPECT_EQ(smoothed->transform->inv_smoothing[1], 1.0f / 3.0f);
}

TEST(Prepare, PlansThatDifferInBitsOnlyDoNotShareWeights) {
  LoweredBlock block("prepare_bits");
  EXPECT_NE(block.Packed(Precision::kFake, WithBits(4)), block.Packed(Precision::kFake, {}));
  EXPECT_EQ(block.lowering.Prepared(kSite, WithBits(4), kOurs)->layer.weight.bits, 4);
}

TEST(Prepare, PlansThatDifferInGivenCodesOnlyDoNotShareWeights) {
  LoweredBlock block("prepare_given");
  const LinearParameters parameters = block.weights.Linear(kSite);
  const SitePlan given = WithGiven(parameters);
  for (const Precision precision : {Precision::kFake, Precision::kEmulated, Precision::kInt8}) {
    EXPECT_NE(block.Packed(precision, given), block.Packed(precision, {}));
    // Compared by what is given, not by where it lies.
    EXPECT_EQ(block.Packed(precision, given), block.Packed(precision, WithGiven(parameters)));
  }
  const auto prepared = block.lowering.Prepared(kSite, given, kOurs);
  EXPECT_EQ(prepared->layer.weight, given.given.value->weight);
  EXPECT_EQ(Equal(prepared->layer.bias, *given.given.value->bias), "");
}

TEST(Prepare, ConventionsDoNotShareWeights) {
  LoweredBlock block("prepare_conventions");
  const auto ours = block.lowering.Prepared(kSite, {}, kOurs);
  const auto theirs = block.lowering.Prepared(kSite, {}, FakeFlavour::kLlmAwq);
  EXPECT_TRUE(ours->values.empty());
  EXPECT_FALSE(theirs->values.empty());
  EXPECT_NE(Equal(ours->FloatOperand(), theirs->FloatOperand()), "");
}

TEST(Prepare, WeightsAreSmoothedInBinary64AndRoundedOnce) {
  LinearParameters parameters{.n = 1, .k = 2, .values = {3.0f, 0x1.000002p0f}};
  const SitePlan plan{.smoothing = {1.0f, 0x1.000006p0f}};
  const WeightCodes weight = Prepare("site", parameters, plan, kOurs).layer.weight;
  parameters.values[1] = static_cast<float>(double{0x1.000002p0f} * double{0x1.000006p0f});
  EXPECT_EQ(weight, Prepare("site", parameters, {}, kOurs).layer.weight);
}

TEST(Prepare, SmoothingThatOverflowsIsNamed) {
  const LinearParameters parameters{.n = 1, .k = 1, .values = {0x1p127f}};
  const std::string message =
      ErrorOf([&] { Prepare("site", parameters, {.smoothing = {4.0f}}, kOurs); });
  EXPECT_TRUE(Contains(message, "site: a weight in row 0 is 6.80564733841877e+38 after smoothing"))
      << message;
}

// A file's codes are those of the transformed weights: only x is transformed.
TEST(Prepare, StoredCodesAreNotSmoothedAgain) {
  const LinearParameters stored{
      .n = 1, .k = 2, .codes = {{.n = 1, .k = 2, .codes = {-128, 5}, .scale = {.values = {0.5f}}}}};
  const PreparedLinear prepared = Prepare("site", stored, {.smoothing = {2.0f, 4.0f}}, kOurs);
  EXPECT_EQ(prepared.layer.weight.codes, stored.codes->codes);
  EXPECT_EQ(prepared.transform->inv_smoothing, (std::vector<float>{0.5f, 0.25f}));
}

TEST(Prepare, CodesThatStandHaveTheirOwnBits) {
  const LinearParameters stored{
      .n = 1, .k = 2, .codes = {{.n = 1, .k = 2, .codes = {-7, 5}, .scale = {.values = {0.5f}}}}};
  for (const FakeFlavour flavour : {kOurs, FakeFlavour::kLlmAwq, FakeFlavour::kVllmStatic}) {
    const std::string message =
        ErrorOf([&] { Prepare("blocks.0.mlp.fc2", stored, WithBits(4), flavour); });
    EXPECT_TRUE(Contains(message, "blocks.0.mlp.fc2: the plan asks for weights of 4 bits"))
        << message;
  }
}

TEST(Prepare, CodesWithOneScaleForAllRunUnderAPlanOfRows) {
  LinearParameters stored{.n = 2, .k = 1, .codes = {{.n = 2, .k = 1, .codes = {3, -4}}}};
  stored.codes->scale = {Granularity::kTensor, 0, {0.5f}};
  const WeightCodes rows = Prepare("s", stored, {}, FakeFlavour::kIdeal).layer.weight;
  EXPECT_EQ(rows.scale, (Scales{Granularity::kChannel, 0, {0.5f, 0.5f}}));
  SitePlan whole;
  whole.weight->granularity = Granularity::kTensor;
  EXPECT_EQ(Prepare("s", stored, whole, FakeFlavour::kIdeal).layer.weight.scale,
            stored.codes->scale);
}

TEST(Prepare, GivenCodesMustFitTheLayer) {
  const LinearParameters parameters{.n = 1, .k = 2, .values = {1.0f, 2.0f}};
  const SitePlan wide = WithGiven({.n = 1, .k = 3, .values = {1.0f, 2.0f, 3.0f}});
  const std::string message = ErrorOf([&] { Prepare("site", parameters, wide, kOurs); });
  EXPECT_TRUE(Contains(message, "the given codes are [1, 3], but the layer is [1, 2]")) << message;
}

// Keeps what was packed for the last float product.
class FloatsSeen final : public CpuBackend {
 public:
  FloatsSeen() : CpuBackend(Select("")) {}
  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override {
    values.assign(weight.data, weight.data + weight.rows * weight.cols);
    packed_for = operands;
    return CpuBackend::PackFloat(weight, operands);
  }

  std::vector<float> values;
  FloatOperands packed_for = FloatOperands::kAny;
};

// The other operand: tests/runtime/fake_schemes_test.cc.
TEST(Lowering, TakesTheProductOfFp16ValuesWhereTheWeightsOfAFlavourAreThat) {
  const Graph graph = BuildGraph(TinySiglip());
  const EncoderWeights weights(TinySiglipFolder("prepare_operands"), TinySiglip());
  const SitePlan still{.input = Quantizer::Static(0.1f)};
  for (const FakeFlavour flavour :
       {kOurs, FakeFlavour::kLlmAwq, FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    FloatsSeen backend;
    Lowering lowering(graph, weights, backend);
    lowering.BeginStage(1);
    const auto at = std::ranges::find(graph.nodes, kSite, &Node::site);
    lowering.LowerLayer(static_cast<int32_t>(at - graph.nodes.begin()), Precision::kFake,
                        {.sites = {{kSite, still}}}, flavour);
    const bool wanted = flavour == FakeFlavour::kLlmAwq || flavour == FakeFlavour::kVllmStatic;
    EXPECT_EQ(backend.packed_for == FloatOperands::kHalf, wanted) << NameOf(flavour);
    const bool half = std::ranges::all_of(
        backend.values, [](float value) { return ToFloat(ToHalf(value)) == value; });
    EXPECT_TRUE(half || !wanted) << NameOf(flavour);
    EXPECT_FALSE(half && flavour == kOurs) << "the weights show nothing";
  }
}

TEST(Lowering, GivesEveryPrecisionItsStepForEveryScheme) {
  LoweredBlock block("prepare_schemes");
  const auto channels = static_cast<size_t>(block.weights.Linear(kSite).k);
  SitePlan weight_only, output, twice;
  weight_only.input.reset();
  output.output = Quantizer::Static(0.1f);
  twice.first_row_twice = true;
  for (const SitePlan& plan : {WithSmoothing(channels), weight_only, output, twice}) {
    for (const Precision precision : {Precision::kFake, Precision::kEmulated, Precision::kInt8}) {
      EXPECT_NE(block.Packed(precision, plan), nullptr) << NameOf(precision);
    }
  }
}

// The slots of a lone layer are not those of the graph, whose first one holds pixels.
TEST(Lowering, ALoneLayerHasTheInputsOfItsOwn) {
  LoweredBlock block("prepare_lone_layer");
  const auto at = std::ranges::find(block.graph.nodes, kSite, &Node::site);
  ASSERT_NE(at, block.graph.nodes.end());
  const Program program =
      block.lowering.LowerLayer(static_cast<int32_t>(at - block.graph.nodes.begin()),
                                Precision::kInt8, {.sites = {{kSite, {}}}}, kOurs);
  const auto& quantize = std::get<QuantizeStep>(program.steps.front());
  EXPECT_EQ(quantize.codes.group, block.weights.Linear(kSite).k);
  EXPECT_NE(quantize.codes.group, block.graph.slots.front().cols);
}

}  // namespace
}  // namespace w8a8::test
