// QuantizedLinear: what each constructor stores, and every refusal with its tensor's name.
#include "quant/quantized_linear.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const float kNan = std::nanf("");
constexpr float kInfinity = std::numeric_limits<float>::infinity();

MatView<const float> View(const std::vector<float>& values, int64_t rows) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  return {values.data(), rows, cols, cols};
}

template <class Body>
std::string MessageOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(QuantizedLinear, FromLinearTakesAmaxOver127PerRow) {
  const std::vector<float> weight = {127.0f, -1.5f, 0.5f, 0.0f, 0.0f, 0.0f, -2.54f, 2.54f, 1.27f};
  const auto linear = QuantizedLinear::FromLinear("site", View(weight, 3), {});
  EXPECT_THAT(linear.weight.scale.values, ElementsAre(1.0f, 1.0f, 2.54f / 127.0f));
  EXPECT_THAT(linear.weight.codes, ElementsAre(127, -2, 0, 0, 0, 0, -127, 127, 64));
  EXPECT_THAT(linear.weight.code_sum, ElementsAre(125, 0, 64));
  EXPECT_THAT(linear.bias, IsEmpty());
}

TEST(QuantizedLinear, FromLinearWithScalesUsesThemAsTheyAre) {
  const std::vector<float> weight = {1.0f, 100.0f};
  const std::vector<float> scale = {0.25f};
  const std::vector<float> bias = {3.0f};
  const auto linear = QuantizedLinear::FromLinearWithScales("site", View(weight, 1), scale, bias);
  EXPECT_THAT(linear.weight.codes, ElementsAre(4, 127));
  EXPECT_THAT(linear.weight.scale.values, ElementsAre(0.25f));
  EXPECT_THAT(linear.bias, ElementsAre(3.0f));
}

TEST(QuantizedLinear, FromQkvStacksRowsAndFillsMissingBiases) {
  const std::vector<float> q = {127.0f, 1.0f};
  const std::vector<float> k = {2.0f, 254.0f};
  const std::vector<float> v = {1.0f, 1.0f, 0.0f, 127.0f};
  const std::vector<float> v_bias = {5.0f, 6.0f};
  const auto fused =
      QuantizedLinear::FromQkv("qkv", View(q, 1), View(k, 1), View(v, 2), {}, {}, v_bias);
  EXPECT_EQ(fused.weight.n, 4);
  EXPECT_THAT(fused.weight.codes, ElementsAre(127, 1, 1, 127, 127, 127, 0, 127));
  EXPECT_THAT(fused.bias, ElementsAre(0.0f, 0.0f, 5.0f, 6.0f));
  EXPECT_THAT(QuantizedLinear::FromQkv("qkv", View(q, 1), View(k, 1), View(v, 2), {}, {}, {}).bias,
              IsEmpty());
}

TEST(QuantizedLinear, FromCodesKeepsMinus128) {
  const auto linear = QuantizedLinear::FromCodes("site", 1, 3, {-128, 127, 1}, {0.5f}, {});
  EXPECT_THAT(linear.weight.codes, ElementsAre(-128, 127, 1));
  EXPECT_THAT(linear.weight.code_sum, ElementsAre(0));
}

TEST(QuantizedLinear, EmptyIsLoadedIntoAndFinished) {
  auto linear = QuantizedLinear::Empty("site", 2, 2);
  EXPECT_THAT(linear.weight.scale.values, ElementsAre(1.0f, 1.0f));
  EXPECT_THAT(linear.bias, ElementsAre(0.0f, 0.0f));
  linear.weight.codes = {1, 2, 3, 4};
  linear.Finish();
  EXPECT_THAT(linear.weight.code_sum, ElementsAre(3, 7));
}

TEST(WeightCodes, UseAllCodesOfFewerBitsAndNoMore) {
  std::vector<float> weight(401);
  std::iota(weight.begin(), weight.end(), -200.0f);
  for (int bits = 2; bits <= 8; ++bits) {
    const WeightCodes made = QuantizeWeights("site", View(weight, 1), {.num_bits = bits});
    EXPECT_EQ(std::ranges::min(made.codes), -MaxCode(bits));
    EXPECT_EQ(std::ranges::max(made.codes), MaxCode(bits));
    EXPECT_EQ(made.scale.values[0], 200.0f / static_cast<float>(MaxCode(bits)));
  }
}

TEST(WeightCodes, AreTheirScaleTimesTheCode) {
  const auto linear = QuantizedLinear::FromCodes("site", 2, 2, {-128, 5, 127, 0}, {0.1f, 0.3f}, {});
  EXPECT_THAT(linear.weight.RealValues(),
              ElementsAre(-128.0f * 0.1f, 5.0f * 0.1f, 127.0f * 0.3f, 0.0f));
}

TEST(WeightCodes, RefuseWhatTheirBitsCannotHold) {
  auto linear = QuantizedLinear::FromCodes("site", 1, 2, {-8, 7}, {1.0f}, {});
  linear.weight.bits = 4;
  EXPECT_NO_THROW(linear.Finish());
  linear.weight.codes = {-9, 7};
  EXPECT_THAT(MessageOf([&] { linear.Finish(); }), HasSubstr("-9, beyond the -8 to 7 of 4 bits"));
  linear.weight.bits = 9;
  EXPECT_THAT(MessageOf([&] { linear.Finish(); }), HasSubstr("weights of 9 bits"));
}

// Of numerics.md section 6; each is refused until something computes it.
TEST(WeightCodes, RefuseScalesOfRowsOfTheInputAndZeroPointsThatNoFileGave) {
  const std::vector<float> weight = {1.0f, 2.0f};
  EXPECT_THAT(MessageOf([&] {
                QuantizeWeights("site", View(weight, 1), {.granularity = Granularity::kToken});
              }),
              HasSubstr("site: weights are per-token"));
  EXPECT_THAT(MessageOf([&] { QuantizeWeights("site", View(weight, 1), {.symmetric = false}); }),
              HasSubstr("never made here"));
  const WeightSpec no_group{.granularity = Granularity::kGroup};
  EXPECT_THAT(MessageOf([&] { QuantizeWeights("site", View(weight, 1), no_group); }),
              HasSubstr("group size is 0"));
}

TEST(QuantizedLinear, NamesTheTensorThatIsNotFinite) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    const std::vector<float> weight = {1.0f, 2.0f, 3.0f, bad};
    EXPECT_THAT(MessageOf([&] { QuantizedLinear::FromLinear("site", View(weight, 2), {}); }),
                HasSubstr("site: weight[1, 1] is"));
    const std::vector<float> good = {1.0f, 2.0f, 3.0f, 4.0f};
    const std::vector<float> bias = {1.0f, bad};
    EXPECT_THAT(MessageOf([&] { QuantizedLinear::FromLinear("site", View(good, 2), bias); }),
                HasSubstr("site: bias[1] is"));
  }
}

TEST(QuantizedLinear, RefusesScalesThatAreNotPositive) {
  for (const float bad : {0.0f, -1.0f, kNan, kInfinity}) {
    EXPECT_THAT(MessageOf([&] { QuantizedLinear::FromCodes("site", 1, 1, {1}, {bad}, {}); }),
                HasSubstr("site: weight_scale[0] is"));
  }
}

TEST(QuantizedLinear, RefusesShapesThatDoNotAgree) {
  EXPECT_THAT(MessageOf([] {
                QuantizedLinear::FromCodes("site", 2, 1, {1, 2}, {1.0f}, {});
              }),
              HasSubstr("weight_scale holds 1 values; the weight's shape demands 2"));
  EXPECT_THAT(MessageOf([] {
                QuantizedLinear::FromCodes("site", 1, 1, {1}, {1}, {1, 2});
              }),
              HasSubstr("bias holds 2 values"));
  EXPECT_THAT(MessageOf([] {
                QuantizedLinear::FromCodes("site", 1, 3, {1, 2}, {1}, {});
              }),
              HasSubstr("the weight holds 2 values"));
  const std::vector<float> wide = {1.0f, 2.0f};
  const std::vector<float> narrow = {1.0f};
  EXPECT_THAT(MessageOf([&] {
                QuantizedLinear::FromQkv("qkv", View(wide, 1), View(narrow, 1), View(wide, 1), {},
                                         {}, {});
              }),
              HasSubstr("q, k and v have 2, 1 and 2 inputs"));
}

TEST(QuantizedLinear, RefusesSumsThatCouldOverflow) {
  EXPECT_NO_THROW(QuantizedLinear::Empty("site", 1, 131071));
  EXPECT_THAT(MessageOf([] { QuantizedLinear::Empty("site", 1, 131072); }),
              HasSubstr("site: K = 131072"));
  EXPECT_THAT(MessageOf([] { QuantizedLinear::Empty("site", 0, 4); }),
              HasSubstr("site: the weight is [0, 4]"));
}

}  // namespace
}  // namespace w8a8
