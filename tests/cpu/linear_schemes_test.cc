// `linear` beyond symmetric W8A8: which flags go together and what a file must hold. The arithmetic
// of every scheme is tests/python/schemes_oracle.py's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/bit_packing.h"
#include "tests/cpu/linear_layer.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using test::Codes;
using test::Filled;
using test::Flags;
using test::Halves;
using test::LayerTensors;
using test::Tensor;
using test::TensorOf;
using test::Words;

constexpr int64_t kN = 4, kK = 48;

// A small layer; tests add to it or spoil it.
LayerTensors FloatLayer() {
  return {{"x", Halves({2, kK}, std::vector<float>(2 * kK, 0.5f))},
          {"weight", Filled({kN, kK}, 0.25f)}};
}
LayerTensors CodeLayer() {
  LayerTensors layer = FloatLayer();
  layer["weight"] = Codes({kN, kK}, std::vector<int8_t>(kN * kK, 3));
  layer["weight_scale"] = Filled({kN}, 0.5f);
  return layer;
}
LayerTensors PackedLayer(int bits, PackedLayout layout = PackedLayout::kDense) {
  LayerTensors layer = CodeLayer();
  layer.erase("weight");
  const std::vector<int8_t> codes(kN * kK, 1);
  layer["weight_packed"] = Words({kN, PackedWords(kK, bits, layout)},
                                 PackRows({codes.data(), kN, kK, kK}, bits, layout));
  layer["weight_shape"] = TensorOf(Dtype::kI64, {2}, std::vector<int64_t>{kN, kK});
  return layer;
}
Tensor PackedZeroPoints(int bits, PackedLayout layout = PackedLayout::kDense) {
  const std::vector<int8_t> points(kN, -1);
  return Words({PackedWords(kN, bits, layout), 1},
               PackColumns({points.data(), kN, 1, 1}, bits, layout));
}

class LinearSchemes : public ::testing::Test {
 protected:
  const test::LinearRunner runner_{"linear_schemes"};

  std::string Run(const LayerTensors& tensors, const Flags& flags) const {
    return runner_.Run(tensors, flags);
  }
};

TEST_F(LinearSchemes, RefusesFlagsThatDoNotGoTogether) {
  const Flags int8 = {"--precision", "int8"};
  const Flags vllm = {"--precision", "fake", "--fake", "vllm-static"};
  const Flags awq = {"--precision", "fake", "--fake", "llm-awq"};
  const std::vector<std::pair<Flags, Flags>> refused = {
      {int8, {"--weight-only", "--input-scale", "0.1"}},
      {int8, {"--weight-only", "--asymmetric"}},
      {int8, {"--weight-only", "--clip-range", "5"}},
      {int8, {"--weight-only", "--input-group-size", "8"}},
      {int8, {"--weight-only", "--granularity", "per-token"}},
      {int8, {"--weight-only", "--first-row-twice"}},
      {int8, {"--input-group-size", "8", "--input-scale", "0.1"}},
      {int8, {"--input-group-size", "8", "--asymmetric"}},
      {int8, {"--input-group-size", "0"}},
      {int8, {"--asymmetric", "--input-scale", "0.1"}},
      {int8, {"--input-zero-point", "0"}},
      {int8, {"--input-scale", "0.1", "--input-zero-point", "128"}},
      {int8, {"--input-scale", "0.1", "--input-zero-point", "1.5"}},
      {int8, {"--input-scale", "0"}},
      {int8, {"--output-scale", "0"}},
      {int8, {"--output-scale", "-1"}},
      {int8, {"--output-scale", "516"}},    // code 127 beyond FP16
      {int8, {"--output-scale", "1e-40"}},  // its reciprocal is infinite
      {int8, {"--group-size", "0"}},
      {int8, {"--group-size", "8", "--weight-granularity", "channel"}},
      {int8, {"--group-size", "8", "--weight-granularity", "per-tensor"}},
      {int8, {"--weight-granularity", "per-token"}},
      {int8, {"--weight-bits", "1"}},
      {int8, {"--weight-convention", "onnx"}},
      {int8, {"--weight-convention", "vllm", "--weight-bits", "4"}},
      {int8, {"--weight-convention", "vllm", "--weight-granularity", "per-tensor"}},
      {int8, {"--weight-convention", "vllm", "--group-size", "8"}},
      {int8, {"--weight-convention", "vllm", "--rotation", "8"}},
      {int8, {"--rotation", "6"}},
      {int8, {"--rotation", "1"}},
      {int8, {"--rotation", "32"}},  // does not divide K = 48
      {int8, {"--rotation", "8,seed=9007199254740992"}},
      {int8, {"--rotation", "8,spin"}},
      {int8, {"--first-row-twice", "--asymmetric"}},
      {int8, {"--first-row-twice", "--input-scale", "0.1", "--input-zero-point", "0"}},
      {int8, {"--first-row-twice", "--group-size", "8"}},
      {int8, {"--first-row-twice", "--input-group-size", "8"}},
      {int8, {"--group-size", "8", "--input-group-size", "12"}},
      {int8, {"--dtype", "fp16"}},
      {int8, {"--fake", "ideal"}},
      {{"--precision", "fake"}, {"--dtype", "bf16"}},
      {vllm, {}},
      {vllm, {"--input-scale", "0.1", "--dtype", "fp32"}},
      {vllm, {"--input-scale", "1e-9"}},  // 0 in FP16
      {vllm, {"--input-scale", "0.1", "--output-scale", "1e6"}},
      {vllm, {"--input-scale", "-1"}},
      {vllm, {"--input-scale", "0.1", "--input-zero-point", "3"}},
      {vllm, {"--input-scale", "0.1", "--rotation", "8"}},
      {vllm, {"--input-scale", "0.1", "--first-row-twice"}},
      {awq, {"--group-size", "8"}},
      {awq, {"--output-scale", "0.1"}},
      {awq, {"--weight-only"}},
      {awq, {"--asymmetric"}},
      {awq, {"--rotation", "8"}},
  };
  for (const auto& [arm, scheme] : refused) {
    Flags flags = arm;
    flags.insert(flags.end(), scheme.begin(), scheme.end());
    EXPECT_THAT(Run(FloatLayer(), flags), StartsWith("usage: ")) << ::testing::PrintToString(flags);
  }
}

TEST_F(LinearSchemes, Fp16TakesNoFlagOfAScheme) {
  const std::vector<Flags> schemes = {{"--weight-bits", "8"},
                                      {"--group-size", "8"},
                                      {"--weight-granularity", "channel"},
                                      {"--weight-convention", "native"},
                                      {"--weight-only"},
                                      {"--input-group-size", "8"},
                                      {"--asymmetric"},
                                      {"--input-zero-point", "0"},
                                      {"--output-scale", "0.1"},
                                      {"--rotation", "8"},
                                      {"--first-row-twice"},
                                      {"--dtype", "fp16"},
                                      {"--fake", "ideal"}};
  for (Flags flags : schemes) {
    const std::string flag = flags.front();
    flags.insert(flags.begin(), {"--precision", "fp16"});
    EXPECT_THAT(Run(FloatLayer(), flags), StartsWith("usage: ")) << flag;
  }
}

TEST_F(LinearSchemes, AFlagThatTheFileNeedsOrContradictsIsTheCommandLinesFault) {
  LayerTensors groups = CodeLayer();
  groups["weight_scale"] = Filled({kN, 3}, 0.5f);
  EXPECT_THAT(Run(groups, {"--precision", "int8"}), HasSubstr("--group-size G"));
  EXPECT_THAT(Run(groups, {"--precision", "int8", "--group-size", "12"}), StartsWith("usage: "));
  EXPECT_EQ(Run(groups, {"--precision", "int8", "--group-size", "16"}), "");
  EXPECT_THAT(Run(CodeLayer(), {"--precision", "int8", "--group-size", "8"}),
              StartsWith("usage: "));
  EXPECT_EQ(Run(CodeLayer(), {"--precision", "int8", "--group-size", "48"}), "");
  // K + G passes what an int64_t holds.
  EXPECT_THAT(Run(groups, {"--precision", "int8", "--group-size", "9223372036854775807"}),
              HasSubstr("(1 groups)"));
  EXPECT_THAT(Run(CodeLayer(), {"--precision", "int8", "--weight-granularity", "per-tensor"}),
              StartsWith("usage: "));
  EXPECT_THAT(Run(CodeLayer(), {"--precision", "int8", "--weight-convention", "vllm"}),
              StartsWith("usage: "));
  LayerTensors tensor = CodeLayer();
  tensor["weight_scale"] = Filled({1}, 0.5f);
  EXPECT_EQ(Run(tensor, {"--precision", "int8"}), "");
  EXPECT_EQ(Run(tensor, {"--precision", "int8", "--weight-granularity", "per-tensor"}), "");
  EXPECT_THAT(Run(tensor, {"--precision", "int8", "--weight-granularity", "channel"}),
              StartsWith("usage: "));
  EXPECT_THAT(Run(PackedLayer(4), {"--precision", "int8"}), HasSubstr("--weight-bits"));
  LayerTensors smooth = FloatLayer();
  smooth["smoothing"] = Filled({kK}, 2.0f);
  EXPECT_THAT(Run(smooth, {"--precision", "int8", "--weight-convention", "vllm"}),
              StartsWith("usage: "));
}

TEST_F(LinearSchemes, ATensorThatDoesNotFitIsTheFilesFault) {
  const auto says = [&](LayerTensors layer, const std::string& name, const Tensor& tensor,
                        const Flags& flags) {
    layer[name] = tensor;
    const std::string text = Run(layer, flags);
    EXPECT_THAT(text, HasSubstr(name));
    EXPECT_THAT(text, Not(StartsWith("usage: "))) << name;
    return text;
  };
  const Flags int8 = {"--precision", "int8"}, fp16 = {"--precision", "fp16"};
  const Tensor points = Codes({kN}, std::vector<int8_t>(kN, 1));
  says(CodeLayer(), "weight_scale", Filled({kN + 1}, 0.5f), int8);
  says(CodeLayer(), "weight_scale", Filled({kN}, -0.5f), int8);
  says(CodeLayer(), "weight_scale", TensorOf(Dtype::kI32, {kN}, std::vector<int32_t>(kN, 1)), int8);
  says(CodeLayer(), "weight_zero_point", Codes({kN, 1}, std::vector<int8_t>(kN, 1)), int8);
  says(CodeLayer(), "weight_zero_point", Words({kN}, std::vector<int32_t>(kN, 1)), int8);
  says(FloatLayer(), "weight_zero_point", points, int8);
  says(FloatLayer(), "weight_shape", TensorOf(Dtype::kI64, {2}, std::vector<int64_t>{kN, kK}),
       int8);
  says(FloatLayer(), "weight_g_idx", Words({kK}, std::vector<int32_t>(kK)), int8);
  says(FloatLayer(), "smoothing", Filled({kK}, 0.0f), int8);
  says(FloatLayer(), "smoothing", Filled({kK - 1}, 1.0f), int8);
  says(FloatLayer(), "smoothing", Halves({kK}, std::vector<float>(kK, 1.0f)), int8);
  says(FloatLayer(), "smoothing", Filled({kK}, 1.0f), fp16);
  says(FloatLayer(), "weight_scale", Filled({kN}, 1.0f), fp16);
  says(CodeLayer(), "weight_zero_point", points, fp16);
  LayerTensors one_scale = CodeLayer();
  one_scale["weight_scale"] = Filled({1}, 0.5f);
  says(one_scale, "weight_zero_point", Codes({1}, {1}), int8);
  const Flags four = {"--precision", "int8", "--weight-bits", "4"};
  says(PackedLayer(4), "weight_zero_point", points, four);
  says(PackedLayer(4), "weight", Filled({kN, kK}, 0.25f), four);
  says(CodeLayer(), "weight_zero_point", Codes({kN}, std::vector<int8_t>(kN, 8)), four);
  EXPECT_THAT(says(PackedLayer(4), "weight_shape",
                   TensorOf(Dtype::kI64, {2}, std::vector<int64_t>{kN, kK + 1}), four),
              HasSubstr("[4, 49]"));
  says(PackedLayer(4), "weight_packed", Words({kN, 4}, std::vector<int32_t>(kN * 4)), four);
  LayerTensors eight = CodeLayer();
  eight["weight"] = Codes({kN, kK}, std::vector<int8_t>(kN * kK, 8));
  EXPECT_THAT(Run(eight, four), HasSubstr("code 8, beyond the -8 to 7 of 4 bits"));
  LayerTensors unknown = FloatLayer();
  unknown["comment"] = Filled({3}, 0.0f);
  EXPECT_EQ(Run(unknown, int8), "");
}

TEST_F(LinearSchemes, ReadsBothLayoutsAndTellsThemByTheWidthOfTheWeights) {
  const Flags six = {"--precision", "int8", "--weight-bits", "6"};
  const PackedLayout old = PackedLayout::kAligned;
  for (const PackedLayout layout : {PackedLayout::kDense, old}) {
    LayerTensors layer = PackedLayer(6, layout);
    layer["weight_zero_point"] = PackedZeroPoints(6, layout);
    EXPECT_THAT(Int8Values(runner_.Output(layer, six).Get("weight_codes")),
                ElementsAreArray(std::vector<int8_t>(kN * kK, 1)));
  }
  const Flags three = {"--precision", "int8", "--weight-bits", "3"};
  LayerTensors mixed = PackedLayer(3);
  mixed["weight_zero_point"] = Words({2, 1}, {0, 0});
  EXPECT_THAT(Run(mixed, three), HasSubstr("'weight_zero_point': 4 codes of 3 bits take 1 words"));
  LayerTensors stray = PackedLayer(3);  // 144 of 160 bits
  stray["weight_packed"] = Words({kN, 5}, std::vector<int32_t>(kN * 5, -1));
  EXPECT_THAT(Run(stray, three), HasSubstr("may be the old one"));
}

TEST_F(LinearSchemes, ZeroPointsBoundTheInputsOfAnExactProduct) {
  constexpr int64_t kMost = 33025;
  for (const int64_t k : {kMost, kMost + 1}) {
    const auto count = static_cast<size_t>(k);
    const LayerTensors layer = {{"x", Halves({1, k}, std::vector<float>(count, -1.0f))},
                                {"weight", Codes({1, k}, std::vector<int8_t>(count, -128))},
                                {"weight_scale", Filled({1}, 1.0f)},
                                {"weight_zero_point", Codes({1}, {127})}};
    const Flags flags = {"--precision",        "int8", "--input-scale", "0.001",
                         "--input-zero-point", "127"};
    if (k == kMost) {  // 255 * 255 * 33025: the largest sum there is
      EXPECT_THAT(Int32Values(runner_.Output(layer, flags).Get("acc")),
                  ElementsAre(255 * 255 * kMost));
    } else {
      EXPECT_THAT(Run(layer, flags), HasSubstr("33026"));
      EXPECT_THAT(Run(layer, flags), Not(StartsWith("usage: ")));
    }
  }
}

}  // namespace
}  // namespace w8a8
