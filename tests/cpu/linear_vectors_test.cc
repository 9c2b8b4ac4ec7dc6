// Rows that others worked out, through `linear`: what vLLM's kernels make of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cpu/linear_layer.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;

using test::Brains;
using test::Codes;
using test::Filled;
using test::Flags;
using test::Halves;
using test::LayerTensors;

class LinearVectors : public ::testing::Test {
 protected:
  const test::LinearRunner runner_{"linear_vectors"};

  SafetensorsFile Output(const LayerTensors& tensors, const Flags& flags) const {
    return runner_.Output(tensors, flags);
  }
};

LayerTensors OneRow(const std::vector<float>& x) {
  const auto k = static_cast<int64_t>(x.size());
  return {{"x", Halves({1, k}, x)}, {"weight", Filled({1, k}, 1.0f)}};
}

TEST_F(LinearVectors, DynamicSymmetricRowOfVllm) {
  const SafetensorsFile out = Output(OneRow({1, -2, 3.5f, 0.25f, -3.5f}), {"--precision", "int8"});
  EXPECT_THAT(FloatValues(out.Get("input_scale")), ElementsAre(0.027559055f));
  EXPECT_THAT(Int8Values(out.Get("codes")), ElementsAre(36, -73, 127, 9, -127));
}

// vLLM's zero point and codes. Its range is not widened to include 0; this row's holds 0 anyway.
TEST_F(LinearVectors, DynamicAsymmetricRowOfVllm) {
  const SafetensorsFile out =
      Output(OneRow({-1, 0, 0.5f, 3}), {"--precision", "int8", "--asymmetric"});
  EXPECT_THAT(FloatValues(out.Get("input_scale")), ElementsAre(0.0156862754f));
  EXPECT_THAT(Int32Values(out.Get("input_zero_point")), ElementsAre(-64));
  EXPECT_THAT(Int8Values(out.Get("codes")), ElementsAre(-128, -64, -32, 127));
}

// Here vLLM takes (4 - 1) / 255; a range without 0 has no code for the padding of a layer.
TEST_F(LinearVectors, TheRangeOfAnAsymmetricRowIncludesZero) {
  const SafetensorsFile out = Output(OneRow({1, 4}), {"--precision", "int8", "--asymmetric"});
  EXPECT_THAT(FloatValues(out.Get("input_scale")), ElementsAre(4.0f / 255.0f));
  EXPECT_THAT(Int32Values(out.Get("input_zero_point")), ElementsAre(-128));
}

// vLLM's online int8: scale and quotient in BF16. compressed-tensors' amax / 127.5 would give
// 64 -128 32 127.
TEST_F(LinearVectors, OnlineInt8RowOfVllm) {
  const LayerTensors layer = {{"x", Halves({1, 4}, {1, 1, 1, 1})},
                              {"weight", Brains({1, 4}, {0.1f, -0.2f, 0.05f, 0.19921875f})}};
  const SafetensorsFile out = Output(layer, {"--precision", "int8", "--weight-convention", "vllm"});
  EXPECT_THAT(FloatValues(out.Get("weight_scale")), ElementsAre(0.00157928467f));
  EXPECT_THAT(Int8Values(out.Get("weight_codes")), ElementsAre(64, -127, 32, 126));
}

// fake_quant_static_int8 in BF16, as CompressedTensorsWNA8O8Int runs it: the quotient and the
// product are rounded to BF16 (10 / scale = 101.4 is 101.5 there, code 102).
TEST_F(LinearVectors, Wna8o8RowsInBf16) {
  const std::vector<float> x = {10, -12.75f, 0.1484375f, 20};
  std::vector<float> identity(16);
  for (size_t i = 0; i < 4; ++i) identity[i * 5] = 1.0f;
  const LayerTensors layer = {
      {"x", Halves({1, 4}, x)},
      {"weight", Codes({4, 4}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1})},
      {"weight_scale", Filled({4}, 1.0f)}};
  const Flags vllm = {"--precision", "fake", "--fake", "vllm-static", "--dtype", "bf16"};
  Flags input = vllm;
  input.insert(input.end(), {"--input-scale", "0.0986"});
  const SafetensorsFile of_input = Output(layer, input);
  EXPECT_THAT(FloatValues(of_input.Get("input_scale")), ElementsAre(0.0986328125f));
  EXPECT_THAT(Int8Values(of_input.Get("codes")), ElementsAre(102, -128, 2, 127));
  EXPECT_EQ(of_input.Get("y").dtype, Dtype::kBF16);
  EXPECT_THAT(FloatValues(of_input.Get("y")), ElementsAre(10.0625f, -12.625f, 0.197265625f, 12.5f));
  // The same of the output, the input being uncalibrated.
  Flags output = vllm;
  output.insert(output.end(), {"--input-scale", "0", "--output-scale", "0.0986"});
  const SafetensorsFile of_output = Output(layer, output);
  EXPECT_EQ(of_output.Find("codes"), nullptr);
  EXPECT_EQ(of_output.Find("code_sum"), nullptr);
  EXPECT_EQ(of_output.Find("input_scale"), nullptr);
  EXPECT_NE(of_output.Find("counts"), nullptr);
  EXPECT_THAT(Int8Values(of_output.Get("output_codes")), ElementsAre(102, -128, 2, 127));
  EXPECT_THAT(FloatValues(of_output.Get("y")),
              ElementsAre(10.0625f, -12.625f, 0.197265625f, 12.5f));
}

}  // namespace
}  // namespace w8a8
