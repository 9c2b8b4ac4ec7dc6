// The three fake flavours against values worked out by hand and against section 2's codes.
#include "quant/fake_quant.h"

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
  Dequantized out{
      std::vector<float>(x.size()), std::vector<int8_t>(x.size()), std::vector<float>(1), {}};
  QuantizeDequantizeRows({halves.data(), 1, cols, cols}, spec, flavour,
                         {out.values.data(), 1, cols, cols},
                         {out.codes.data(), out.scale.data(), &out.counts});
  return out;
}

TEST(FakeWeights, IdealAreTheCodesOfTheRuntimeTimesTheirScale) {
  const std::vector<float> weight = Uniform(1, 6 * 50);
  const MatView<const float> view{weight.data(), 6, 50, 50};
  const auto linear = QuantizedLinear::FromLinear("site", view, {});
  const FakeWeights fake = FakeQuantizeWeights("site", view, {}, FakeFlavour::kIdeal);
  EXPECT_EQ(test::Equal(linear.weight_codes, fake.codes), "");
  EXPECT_EQ(test::Equal(linear.weight_scale, fake.scale), "");
  for (size_t i = 0; i < weight.size(); ++i) {
    ASSERT_EQ(fake.values[i],
              static_cast<float>(linear.weight_codes[i]) * linear.weight_scale[i / 50]);
  }
}

TEST(FakeWeights, UseAllCodesOfFewerBitsAndNoMore) {
  const std::vector<float> weight = Uniform(2, 400);
  for (int bits = 2; bits <= 8; ++bits) {
    const int limit = (1 << (bits - 1)) - 1;
    const FakeWeights fake = FakeQuantizeWeights("site", {weight.data(), 1, 400, 400},
                                                 {.num_bits = bits}, FakeFlavour::kIdeal);
    int largest = 0;
    for (const int8_t code : fake.codes) largest = std::max(largest, std::abs(int{code}));
    EXPECT_EQ(largest, limit) << bits;
  }
}

TEST(FakeWeights, LlmAwqComputesInHalf) {
  const std::vector<float> weight = {1.0f, -0.3f, 0.0f, 0.01f};
  const FakeWeights fake =
      FakeQuantizeWeights("site", {weight.data(), 1, 4, 4}, {}, FakeFlavour::kLlmAwq);
  const float scale = AsHalf(1.0f / 127.0f);
  EXPECT_THAT(fake.scale, ElementsAre(scale));
  for (size_t i = 0; i < 4; ++i) {
    const float code = std::nearbyint(AsHalf(AsHalf(weight[i]) / scale));
    EXPECT_EQ(fake.values[i], AsHalf(code * scale)) << i;
  }
}

TEST(FakeWeights, VllmStaticQuantizesAgainstTheScaleItStores) {
  const std::vector<float> weight = Uniform(3, 64);
  const FakeWeights fake =
      FakeQuantizeWeights("site", {weight.data(), 1, 64, 64}, {}, FakeFlavour::kVllmStatic);
  ASSERT_EQ(fake.scale[0], AsHalf(fake.scale[0]));
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(fake.codes[i], std::nearbyint(weight[i] / fake.scale[0])) << i;
    EXPECT_EQ(fake.values[i], AsHalf(fake.values[i])) << i;
  }
}

TEST(FakeWeights, FromCodesKeepThem) {
  const std::vector<int8_t> codes = {-128, 5, 127, 0};
  const std::vector<float> scale = {0.1f, 0.3f};
  const FakeWeights fake = FakeWeightsFromCodes("site", 2, 2, codes, scale, FakeFlavour::kIdeal);
  EXPECT_THAT(fake.values, ElementsAre(-128.0f * 0.1f, 5.0f * 0.1f, 127.0f * 0.3f, 0.0f));
  EXPECT_THAT(fake.codes, ElementsAre(-128, 5, 127, 0));
}

TEST(FakeWeights, RefuseBitsAndValuesTheyCannotHold) {
  const std::vector<float> weight = {70000.0f};
  const MatView<const float> view{weight.data(), 1, 1, 1};
  EXPECT_NO_THROW(DequantizedWeights("site", view, {}, FakeFlavour::kIdeal));
  EXPECT_THROW(DequantizedWeights("site", view, {}, FakeFlavour::kLlmAwq), Error);
  EXPECT_THROW(DequantizedWeights("site", view, {.num_bits = 1}, FakeFlavour::kIdeal), Error);
  EXPECT_THROW(DequantizedWeights("site", view, {.num_bits = 9}, FakeFlavour::kIdeal), Error);
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
  const Dequantized out =
      Simulate({10.0f, kNan, 0.25f}, {.granularity = Granularity::kTensor, .scale = 0.0f},
               FakeFlavour::kVllmStatic);
  EXPECT_EQ(test::Equal(std::vector<float>{10.0f, kNan, 0.25f}, out.values), "");
}

TEST(FakeActivations, ClampToRFirst) {
  for (const FakeFlavour flavour : {FakeFlavour::kIdeal, FakeFlavour::kLlmAwq}) {
    const Dequantized out = Simulate({100.0f, -5.0f, 2.0f}, {.clip_range = 5.0f}, flavour);
    EXPECT_EQ(out.codes[0], 127) << FakeFlavourName(flavour);
    EXPECT_EQ(out.codes[1], -127) << FakeFlavourName(flavour);
    EXPECT_NEAR(out.values[0], 5.0f, 0.01f) << FakeFlavourName(flavour);
  }
}

TEST(FakeActivations, CountByTheInput) {
  const Dequantized out =
      Simulate({kNan, kInfinity, -kInfinity, 100.0f, 1.0f},
               {.granularity = Granularity::kTensor, .scale = 0.5f}, FakeFlavour::kIdeal);
  EXPECT_EQ(out.counts.nan, 1u);
  EXPECT_EQ(out.counts.inf, 2u);
  EXPECT_EQ(out.counts.saturated, 1u);
}

TEST(CheckFakeSpec, RefusesWhatAFlavourCannotRun) {
  const Quantizer tiny{.granularity = Granularity::kTensor, .scale = 1e-9f};
  EXPECT_NO_THROW(CheckFakeSpec(tiny, FakeFlavour::kIdeal, "blocks.0.mlp.fc1"));
  EXPECT_THROW(CheckFakeSpec(tiny, FakeFlavour::kLlmAwq, "blocks.0.mlp.fc1"), Error);
  EXPECT_THROW(CheckFakeSpec(tiny, FakeFlavour::kVllmStatic, "blocks.0.mlp.fc1"), Error);
  try {
    CheckFakeSpec({}, FakeFlavour::kVllmStatic, "blocks.0.mlp.fc1");
    FAIL() << "a per-token site was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("blocks.0.mlp.fc1"));
  }
}

}  // namespace
}  // namespace w8a8
