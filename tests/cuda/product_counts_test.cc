// What a kernel set makes and what it leaves is counted and said, on the model of a block with a
// set of the test's.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/portable_backend.h"
#include "tests/cpu/random_schemes.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test {
namespace {

using Takes = std::function<bool(const ProductArgs&)>;

// Makes what it takes by the kernels for every GPU.
class StandInSet final : public CudaProducts {
 public:
  StandInSet(Takes takes, bool floats) : takes_(std::move(takes)), floats_(floats) {}
  bool Product(Queue queue, const ProductArgs& args) override {
    if (!takes_(args)) return false;
    LaunchProduct(queue, args);
    return true;
  }
  bool FloatProduct(Queue queue, const FloatProductArgs& args) override {
    if (floats_) LaunchFloatProduct(queue, args);
    return floats_;
  }

 private:
  const Takes takes_;
  const bool floats_;
};

bool Everything(const ProductArgs&) { return true; }
bool Nothing(const ProductArgs&) { return false; }
bool AllWithoutSums(const ProductArgs& args) { return args.acc == nullptr; }

struct LayerPlan {
  std::optional<Quantizer> input = Quantizer{};
  WeightSpec weight = {};
};

constexpr int64_t kRows = 3, kInputs = 8, kOutputs = 4;

QuantizedLinear LayerOf(const WeightSpec& spec) {
  WeightCodes weight{.n = kOutputs, .k = kInputs};
  weight.scale = {spec.granularity, spec.group_size, {}};
  weight.codes.assign(kOutputs * kInputs, int8_t{5});
  const auto scales = static_cast<size_t>(kOutputs * weight.scale.GroupsOf(kInputs));
  weight.scale.values.assign(scales, 0.5f);
  if (!spec.symmetric) weight.zero_points.assign(scales, int8_t{1});
  FinishCodes("layer", weight);
  return {"layer", weight, {}};
}

// The counts after one layer by a set that takes what `takes` says.
std::shared_ptr<ProductCounts> CountsOf(const LayerPlan& given, const Takes& takes, bool trace) {
  const auto counts = std::make_shared<ProductCounts>();
  auto set = std::make_unique<StandInSet>(takes, true);
  set->CountIn(counts);
  CudaBackend backend(0, std::move(set));
  const SitePlan plan = Normalized({.input = given.input, .weight = given.weight}, kInputs);
  const int64_t group = ProductGroup(plan, kInputs);
  const PackedPtr weight = backend.PackInt8(LayerOf(*plan.weight), group);
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare({HalfSlot(kRows, kInputs), HalfSlot(kRows, kOutputs), CodesSlot(kRows, kInputs)},
                 {.images = 1});
  SetSlot(*arena, 0, RandomFloats(kRows * kInputs, 1));
  if (!plan.input) {
    arena->Run(GemmW8Step{.in = 0, .out = 1, .transform = nullptr, .weight = weight},
               {.trace = trace});
    return counts;
  }
  const InputSteps input{.quantizer = plan.input};
  arena->Run(QuantizeStep{.in = 0, .codes = {2, input, group}}, {});
  arena->Run(GemmS8Step{.codes = 2, .out = 1, .weight = weight}, {.trace = trace});
  return counts;
}

void ExpectLeft(const LayerPlan& plan, const std::string& what) {
  const auto counts = CountsOf(plan, Everything, false);
  EXPECT_EQ(counts->LeftText(), "by the kernels for every GPU: " + what);
  EXPECT_EQ(counts->Of(ProductKind::kInt8), 0);
}

TEST(ProductCounts, APlainProductIsTheSets) {
  for (const bool trace : {false, true}) {
    const auto counts = CountsOf({}, Everything, trace);
    EXPECT_EQ(counts->Of(ProductKind::kInt8), 1);
    EXPECT_EQ(counts->LeftText(), "");
  }
}

TEST(ProductCounts, SchemesWithoutAFastKernelAreSaid) {
  ExpectLeft({.weight = {.granularity = Granularity::kGroup, .group_size = 4}},
             "products with scales of groups");
  ExpectLeft({.input = Quantizer{.granularity = Granularity::kGroup, .group_size = 4}},
             "products with scales of groups");
  ExpectLeft({.input = Quantizer{.symmetric = false}}, "products with zero points");
  ExpectLeft({.weight = {.symmetric = false}}, "products with zero points");
  ExpectLeft({.input = std::nullopt}, "weight-only products");
}

TEST(ProductCounts, WhatTheSetRefusesIsSaid) {
  const auto refused = CountsOf({}, Nothing, false);
  EXPECT_EQ(refused->Of(ProductKind::kInt8), 0);
  EXPECT_EQ(refused->LeftText(),
            "by the kernels for every GPU: INT8 products of sizes that the set does not take");
  // A set that keeps its sums makes the outputs even where somebody looks at them.
  const auto sums = CountsOf({}, AllWithoutSums, true);
  EXPECT_EQ(sums->Of(ProductKind::kInt8), 1);
  EXPECT_EQ(sums->LeftText(), "by the kernels for every GPU: INT32 sums that are looked at");
}

TEST(ProductCounts, Fp16ProductsAreCountedAsWell) {
  for (const bool takes : {true, false}) {
    const auto counts = std::make_shared<ProductCounts>();
    auto set = std::make_unique<StandInSet>(Everything, takes);
    set->CountIn(counts);
    CudaBackend backend(0, std::move(set));
    const std::vector<float> weight = RandomHalfFloats(kOutputs * kInputs, 2);
    const PackedPtr packed =
        backend.PackFloat({weight.data(), kOutputs, kInputs, kInputs}, FloatOperands::kHalf);
    const std::unique_ptr<Arena> arena = backend.MakeArena();
    arena->Prepare({HalfSlot(kRows, kInputs), HalfSlot(kRows, kOutputs)}, {.images = 1});
    SetSlot(*arena, 0, RandomFloats(kRows * kInputs, 1));
    arena->Run(GemmF16Step{.in = 0, .out = 1, .weight = packed, .bias = nullptr}, {});
    EXPECT_EQ(counts->Of(ProductKind::kHalf), takes ? 1 : 0);
    EXPECT_EQ(counts->LeftText(), takes ? ""
                                        : "by the kernels for every GPU: FP16 products of sizes "
                                          "that the set does not take");
  }
}

}  // namespace
}  // namespace w8a8::test
