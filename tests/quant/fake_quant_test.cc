// The fake flavours against values worked out by hand and against section 2's codes.
#include "quant/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/quantized_linear.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const float kNan = std::nanf("");
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float AsHalf(float value) { return ToFloat(ToHalf(value)); }
float AsBFloat16(float value) { return ToFloat(ToBFloat16(value)); }

std::vector<float> Uniform(uint64_t seed, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = HashUniform(seed, i);
  return values;
}

struct Dequantized {
  std::vector<float> values;
  std::vector<int8_t> codes;
  std::vector<float> scale;
  QuantizeCounts counts;
};

Dequantized Simulate(const std::vector<float>& x, const Quantizer& spec, FakeFlavour flavour) {
  std::vector<Half> halves(x.size());
  ToHalf(x, halves);
  const auto cols = static_cast<int64_t>(x.size());
  std::vector<float> values(x.size());
  ReferenceRows rows = QuantizeDequantizeRows({halves.data(), 1, cols, cols}, {.quantizer = spec},
                                              flavour, {values.data(), 1, cols, cols});
  return {values, rows.codes, rows.scales.values, rows.counts};
}

TEST(FakeWeights, UseAllCodesOfFewerBitsAndNoMore) {
  const std::vector<float> weight = Uniform(2, 400);
  for (const FakeFlavour flavour : {FakeFlavour::kLlmAwq, FakeFlavour::kVllmStatic}) {
    for (int bits = 2; bits <= 8; ++bits) {
      const FakeWeights fake =
          FakeQuantizeWeights("site", {weight.data(), 1, 400, 400}, {.num_bits = bits}, flavour);
      int largest = 0;
      for (const int8_t code : fake.weight.codes) largest = std::max(largest, std::abs(int{code}));
      EXPECT_EQ(largest, MaxCode(bits)) << bits;
    }
  }
}

TEST(FakeWeights, LlmAwqComputesInHalf) {
  const std::vector<float> weight = {1.0f, -0.3f, 0.0f, 0.01f};
  const FakeWeights fake =
      FakeQuantizeWeights("site", {weight.data(), 1, 4, 4}, {}, FakeFlavour::kLlmAwq);
  const float scale = AsHalf(1.0f / 127.0f);
  EXPECT_THAT(fake.weight.scale.values, ElementsAre(scale));
  for (size_t i = 0; i < 4; ++i) {
    const float code = std::nearbyint(AsHalf(AsHalf(weight[i]) / scale));
    EXPECT_EQ(fake.values[i], AsHalf(code * scale)) << i;
  }
}

TEST(FakeWeights, VllmStaticQuantizesAgainstTheScaleItStores) {
  const std::vector<float> weight = Uniform(3, 64);
  const FakeWeights fake =
      FakeQuantizeWeights("site", {weight.data(), 1, 64, 64}, {}, FakeFlavour::kVllmStatic);
  const float scale = fake.weight.scale.values[0];
  ASSERT_EQ(scale, AsHalf(scale));
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(fake.weight.codes[i], std::nearbyint(weight[i] / scale)) << i;
    EXPECT_EQ(fake.values[i], AsHalf(fake.values[i])) << i;
  }
}

TEST(FakeWeights, FromCodesKeepThem) {
  const float small = AsHalf(0.1f), large = AsHalf(0.3f);
  const auto stored = QuantizedLinear::FromCodes("site", 2, 2, {-128, 5, 127, 0}, {0.1f, 0.3f}, {});
  const FakeWeights fake = FakeWeightsFromCodes("site", stored.weight, FakeFlavour::kVllmStatic);
  EXPECT_THAT(fake.values, ElementsAre(AsHalf(-128.0f * small), AsHalf(5.0f * small),
                                       AsHalf(127.0f * large), 0.0f));
  EXPECT_EQ(fake.weight.codes, stored.weight.codes);
}

TEST(FakeWeights, RefuseBitsAndValuesTheyCannotHold) {
  const std::vector<float> weight = {70000.0f};
  const MatView<const float> view{weight.data(), 1, 1, 1};
  for (const FakeFlavour flavour : {FakeFlavour::kLlmAwq, FakeFlavour::kVllmStatic}) {
    EXPECT_THROW(FakeQuantizeWeights("site", view, {}, flavour), Error);
    EXPECT_THROW(FakeQuantizeWeights("site", view, {.num_bits = 1}, flavour), Error);
    EXPECT_THROW(FakeQuantizeWeights("site", view, {.num_bits = 9}, flavour), Error);
  }
}

TEST(FakeActivations, IdealKeepBinary32) {
  const Dequantized out = Simulate({1.0f, 0.3f, -0.004f}, {}, FakeFlavour::kIdeal);
  const float scale = 1.0f / 127.0f;
  EXPECT_THAT(out.codes, ElementsAre(127, 38, -1));
  EXPECT_THAT(out.values, ElementsAre(127.0f * scale, 38.0f * scale, -1.0f * scale));
}

TEST(FakeActivations, LlmAwqIsHalfArithmeticWithAFloorUnderTheScale) {
  const Dequantized zeros = Simulate({0.0f, 0.0f}, {}, FakeFlavour::kLlmAwq);
  EXPECT_EQ(zeros.scale[0], 0x1p-24f);  // fp16(1e-5) / 127 rounds to the smallest subnormal
  EXPECT_THAT(zeros.values, ElementsAre(0.0f, 0.0f));
  const Dequantized out = Simulate({3.0f, -1.0f}, {}, FakeFlavour::kLlmAwq);
  const float scale = AsHalf(3.0f / 127.0f);
  EXPECT_THAT(out.values, ElementsAre(AsHalf(127.0f * scale), AsHalf(-42.0f * scale)));
}

TEST(FakeActivations, VllmStaticDividesAndReachesMinus128) {
  const float scale = AsHalf(0.0986f);
  const Dequantized out =
      Simulate({10.0f, -12.75f, 20.0f, 0.1484375f},
               {.granularity = Granularity::kTensor, .scale = 0.0986f}, FakeFlavour::kVllmStatic);
  EXPECT_THAT(out.codes, ElementsAre(static_cast<int8_t>(std::nearbyint(AsHalf(10.0f / scale))),
                                     -128, 127, 2));
  EXPECT_THAT(out.values,
              ElementsAre(AsHalf(static_cast<float>(out.codes[0]) * scale), AsHalf(-128.0f * scale),
                          AsHalf(127.0f * scale), AsHalf(2.0f * scale)));
}

TEST(FakeActivations, VllmStaticLeavesAnUncalibratedInputAlone) {
  for (const FakeFlavour flavour : {FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    const Dequantized out =
        Simulate({10.0f, kNan, 0.25f, 1000.5f, kInfinity}, Quantizer::Static(0.0f), flavour);
    const bool bf16 = flavour == FakeFlavour::kVllmStaticBf16;
    const std::vector<float> expected{10.0f, kNan, 0.25f, bf16 ? 1000.0f : 1000.5f, kInfinity};
    EXPECT_EQ(test::Equal(expected, out.values), "");
    EXPECT_TRUE(out.codes.empty());
    EXPECT_TRUE(out.scale.empty());
    EXPECT_EQ(out.counts.nan, 1u);
    EXPECT_EQ(out.counts.inf, 1u);
    EXPECT_EQ(out.counts.saturated, 0u);
  }
}

// Vectors of BF16 arithmetic: the scale 0.0986 is 0.0986328125; in binary32 10 / s is 101.39, code
// 101.
TEST(FakeActivations, VllmStaticInBf16RoundsScaleQuotientAndProduct) {
  const Dequantized out = Simulate({10.0f, -12.75f, 20.0f, 0.1484375f, kNan},
                                   Quantizer::Static(0.0986f), FakeFlavour::kVllmStaticBf16);
  EXPECT_THAT(out.scale, ElementsAre(0.0986328125f));
  EXPECT_THAT(out.codes, ElementsAre(102, -128, 127, 2, 0));
  EXPECT_EQ(
      test::Equal(std::vector<float>{10.0625f, -12.625f, 12.5f, 0.197265625f, kNan}, out.values),
      "");
  EXPECT_EQ(out.counts.nan, 1u);
  EXPECT_EQ(out.counts.saturated, 2u);  // -129 and 203; -128 would be a code
}

TEST(FakeActivations, VllmStaticCountsMinus128AsACode) {
  const Dequantized out = Simulate({-128.0f, -128.5f, -129.0f, 127.0f, 127.5f},
                                   Quantizer::Static(1.0f), FakeFlavour::kVllmStatic);
  EXPECT_THAT(out.codes, ElementsAre(-128, -128, -128, 127, 127));
  EXPECT_EQ(out.counts.saturated, 2u);  // -129 and 127.5, which rounds to 128
}

TEST(FakeActivations, IdealKnowsZeroPointsGroupsAndTheFirstRowTwice) {
  const std::vector<float> x = {3.0f, -1.0f, 0.5f, 2.25f, -0.125f, 0.0f};
  std::vector<Half> halves(x.size());
  ToHalf(x, halves);
  std::vector<float> values(x.size());
  const InputScheme schemes[] = {
      {.quantizer = {.symmetric = false}},
      {.quantizer = {.granularity = Granularity::kGroup, .group_size = 2}},
      {.quantizer = {}, .rows_per_image = 2}};
  for (const InputScheme& scheme : schemes) {
    const ReferenceRows rows = QuantizeDequantizeRows(
        {halves.data(), 2, 3, 3}, scheme, FakeFlavour::kIdeal, {values.data(), 2, 3, 3});
    for (int64_t i = 0; i < 6; ++i) {
      const ActivationScale scale = rows.scales.At(i / 3, i % 3);
      const auto at = static_cast<size_t>(i);
      float expected = static_cast<float>(rows.codes[at] - scale.zero_point) * scale.scale;
      if (scheme.rows_per_image > 0 && i < 3) {
        expected += static_cast<float>(rows.codes[6 + at]) * rows.scales.second_values[0];
      }
      EXPECT_EQ(values[at], expected) << i;
    }
  }
}

TEST(FakeActivations, ClampToRFirst) {
  for (const FakeFlavour flavour : {FakeFlavour::kIdeal, FakeFlavour::kLlmAwq}) {
    const Dequantized out = Simulate({100.0f, -5.0f, 2.0f}, {.clip_range = 5.0f}, flavour);
    EXPECT_EQ(out.codes[0], 127) << NameOf(flavour);
    EXPECT_EQ(out.codes[1], -127) << NameOf(flavour);
    // Scale and product are rounded to FP16.
    EXPECT_NEAR(out.values[0], 5.0f, 2 * test::HalfUlp(5.0)) << NameOf(flavour);
  }
}

// bias 0.3 in BF16 is 0.30078125; each result is worked out by hand.
TEST(FakeOutputs, InBf16AreRoundedOnceThenQuantizedInBf16) {
  const std::vector<float> bias = FakeBias("site", {0.3f}, FakeFlavour::kVllmStaticBf16);
  EXPECT_EQ(bias[0], 0.30078125f);
  std::vector<float> y = {9.69921875f, 1000.5f, kNan, -0.3125f};
  std::vector<int8_t> codes(4);
  const FakeOutput output{
      .flavour = FakeFlavour::kVllmStaticBf16, .bias = bias, .output = Quantizer::Static(0.0986f)};
  EXPECT_EQ(FinishFakeRows(output, {y.data(), 4, 1, 1}, {codes.data(), 4, 1, 1}), 1u);
  EXPECT_THAT(codes, ElementsAre(102, 127, 0, 0));
  EXPECT_EQ(test::Equal(std::vector<float>{10.0625f, 12.5f, kNan, -0.0f}, y), "");
}

TEST(FakeOutputs, OfAScaleOf0AreLeftAlone) {
  for (const FakeFlavour flavour : {FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    std::vector<float> y = {1.001953125f, -70000.0f};
    const FakeOutput output{.flavour = flavour, .output = Quantizer::Static(0.0f)};
    EXPECT_FALSE(HasOutputCodes(output));
    EXPECT_EQ(FinishFakeRows(output, {y.data(), 1, 2, 2}), 0u);
    const bool bf16 = flavour == FakeFlavour::kVllmStaticBf16;
    EXPECT_EQ(y[0], bf16 ? 1.0f : 1.001953125f);
    EXPECT_EQ(y[1], bf16 ? -70144.0f : -kInfinity);
  }
}

TEST(FakeOutputs, IdealGoThroughTheCodesOfTheFp16Output) {
  std::vector<float> y = {1.0001f, -3.0f, 0.02f, kNan, kInfinity};
  std::vector<int8_t> codes(5);
  const FakeOutput output{.output = Quantizer::Static(0.02f)};
  EXPECT_EQ(FinishFakeRows(output, {y.data(), 1, 5, 5}, {codes.data(), 1, 5, 5}), 1u);
  EXPECT_THAT(codes, ElementsAre(50, -127, 1, 0, 127));
  EXPECT_THAT(y, ElementsAre(AsHalf(50 * 0.02f), AsHalf(-127 * 0.02f), AsHalf(0.02f), 0.0f,
                             AsHalf(127 * 0.02f)));
}

TEST(FakeActivations, CountByTheInput) {
  const Dequantized out =
      Simulate({kNan, kInfinity, -kInfinity, 100.0f, 1.0f},
               {.granularity = Granularity::kTensor, .scale = 0.5f}, FakeFlavour::kIdeal);
  EXPECT_EQ(out.counts.nan, 1u);
  EXPECT_EQ(out.counts.inf, 2u);
  EXPECT_EQ(out.counts.saturated, 1u);
}

TEST(FakeWeights, VllmStaticTakesGroupsAndOneScaleForAllInItsDtype) {
  const std::vector<float> weight = Uniform(4, 96);
  for (const FakeFlavour flavour : {FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    const auto as_dtype = flavour == FakeFlavour::kVllmStatic ? AsHalf : AsBFloat16;
    for (const WeightSpec& spec :
         {WeightSpec{.granularity = Granularity::kGroup, .num_bits = 4, .group_size = 20},
          WeightSpec{.granularity = Granularity::kTensor, .num_bits = 6}}) {
      const FakeWeights fake =
          FakeQuantizeWeights("site", {weight.data(), 2, 48, 48}, spec, flavour);
      const float limit = static_cast<float>(MaxCode(spec.num_bits));
      for (size_t i = 0; i < 96; ++i) {
        const auto at = static_cast<int64_t>(i);
        const float scale = fake.weight.ScaleOf(at / 48, at % 48 / fake.weight.group());
        const float code = std::clamp(std::nearbyint(weight[i] / scale), -limit, limit);
        EXPECT_EQ(scale, as_dtype(scale));
        EXPECT_EQ(fake.weight.codes[i], code) << i;
        EXPECT_EQ(fake.values[i], as_dtype(code * scale)) << i;
      }
    }
  }
}

TEST(FakeWeights, AScaleThatTheDtypeMakes0IsOneWhereMadeAndAnErrorWhereRead) {
  const std::vector<float> weight(8, 1e-7f);
  const MatView<const float> view{weight.data(), 1, 8, 8};
  const FakeWeights made = FakeQuantizeWeights("site", view, {}, FakeFlavour::kVllmStatic);
  EXPECT_THAT(made.weight.scale.values, ElementsAre(1.0f));
  EXPECT_EQ(made.values, std::vector<float>(8));
  const WeightCodes read = QuantizeWeights("site", view);
  EXPECT_THROW(FakeWeightsFromCodes("site", read, FakeFlavour::kVllmStatic), Error);
  EXPECT_NO_THROW(FakeWeightsFromCodes("site", read, FakeFlavour::kVllmStaticBf16));
}

// What is said of the plan; "" where the flavour runs it.
std::string RefusalOf(const SitePlan& plan, FakeFlavour flavour) {
  try {
    CheckFakePlan("blocks.0.mlp.fc1", plan, 64, flavour);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

SitePlan Planned(const Quantizer& input, WeightSpec weight = {}) {
  return {.input = input, .weight = weight};
}

TEST(CheckFakePlan, LlmAwqKnowsBitsAndNothingElseOfSection6) {
  SitePlan weight_only, output, smoothed, rotated, twice;
  weight_only.input.reset();
  output.output = Quantizer::Static(0.1f);
  smoothed.smoothing.assign(64, 2.0f);
  rotated.rotation = Rotation{.block = 32};
  twice.first_row_twice = true;
  const WeightSpec groups{.granularity = Granularity::kGroup, .group_size = 32};
  for (const SitePlan& plan :
       {weight_only, output, smoothed, rotated, twice, Planned({.symmetric = false}),
        Planned({.granularity = Granularity::kGroup, .group_size = 32}), Planned({}, groups),
        Planned({}, {.granularity = Granularity::kTensor}), Planned({}, {.symmetric = false}),
        Planned({}, {.convention = WeightConvention::kVllm})}) {
    const std::string message = RefusalOf(plan, FakeFlavour::kLlmAwq);
    EXPECT_THAT(message, HasSubstr("blocks.0.mlp.fc1"));
    EXPECT_THAT(message, HasSubstr("llm-awq"));
    EXPECT_EQ(RefusalOf(plan, FakeFlavour::kIdeal), "");
  }
  EXPECT_THAT(RefusalOf(Planned(Quantizer::Static(1e-9f)), FakeFlavour::kLlmAwq),
              HasSubstr("1e-09 becomes 0 in FP16"));
  EXPECT_EQ(RefusalOf(Planned({}, {.num_bits = 3}), FakeFlavour::kLlmAwq), "");
  EXPECT_EQ(RefusalOf(Planned({.granularity = Granularity::kGroup, .group_size = 64}),
                      FakeFlavour::kLlmAwq),
            "");  // one group a row is none
}

TEST(CheckFakePlan, VllmStaticTakesEitherSideOrNoneAndScalesThatItsDtypeHolds) {
  const Quantizer still = Quantizer::Static(0.1f), uncalibrated = Quantizer::Static(0.0f);
  SitePlan none = Planned(still), output = Planned(still), both = Planned(still);
  none.input.reset();
  output.input.reset();
  output.output = Quantizer::Static(0.1f);
  both.output = uncalibrated;
  SitePlan tiny = both, large = both, negative = both;
  tiny.output = Quantizer::Static(1e-9f);
  large.output = Quantizer::Static(1e5f);
  negative.output = Quantizer::Static(-1.0f);
  for (const FakeFlavour flavour : {FakeFlavour::kVllmStatic, FakeFlavour::kVllmStaticBf16}) {
    for (const SitePlan& plan : {none, output, both, Planned(still), Planned(uncalibrated)}) {
      EXPECT_EQ(RefusalOf(plan, flavour), "");
    }
    EXPECT_EQ(RefusalOf(tiny, flavour).empty(), flavour == FakeFlavour::kVllmStaticBf16);
    EXPECT_EQ(RefusalOf(large, flavour).empty(), flavour == FakeFlavour::kVllmStaticBf16);
    EXPECT_THAT(RefusalOf(negative, flavour), HasSubstr("output scale"));
    for (const SitePlan& plan :
         {Planned({}), Planned({.symmetric = false}), Planned(still, {.symmetric = false})}) {
      EXPECT_THAT(RefusalOf(plan, flavour), HasSubstr("blocks.0.mlp.fc1"));
    }
  }
}

}  // namespace
}  // namespace w8a8
