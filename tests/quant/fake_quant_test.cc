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
  const Dequantized out =
      Simulate({10.0f, kNan, 0.25f}, {.granularity = Granularity::kTensor, .scale = 0.0f},
               FakeFlavour::kVllmStatic);
  EXPECT_EQ(test::Equal(std::vector<float>{10.0f, kNan, 0.25f}, out.values), "");
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

TEST(FakeActivations, CountByTheInput) {
  const Dequantized out =
      Simulate({kNan, kInfinity, -kInfinity, 100.0f, 1.0f},
               {.granularity = Granularity::kTensor, .scale = 0.5f}, FakeFlavour::kIdeal);
  EXPECT_EQ(out.counts.nan, 1u);
  EXPECT_EQ(out.counts.inf, 2u);
  EXPECT_EQ(out.counts.saturated, 1u);
}

TEST(CheckFakeQuantizer, RefusesWhatAFlavourCannotRun) {
  const Quantizer tiny{.granularity = Granularity::kTensor, .scale = 1e-9f};
  EXPECT_NO_THROW(CheckFakeQuantizer(tiny, FakeFlavour::kIdeal, "blocks.0.mlp.fc1"));
  EXPECT_THROW(CheckFakeQuantizer(tiny, FakeFlavour::kLlmAwq, "blocks.0.mlp.fc1"), Error);
  EXPECT_THROW(CheckFakeQuantizer(tiny, FakeFlavour::kVllmStatic, "blocks.0.mlp.fc1"), Error);
  try {
    CheckFakeQuantizer({}, FakeFlavour::kVllmStatic, "blocks.0.mlp.fc1");
    FAIL() << "a per-token site was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("blocks.0.mlp.fc1"));
  }
}

}  // namespace
}  // namespace w8a8
