// What vLLM picks, by the dispatch of its compressed_tensors.py (August 2026).
#include "eval/export/vllm_scheme.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/artifacts/inspect.h"
#include "tests/encoder/quantized_models.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

constexpr CompressedFormat kInt = CompressedFormat::kIntQuantized;
constexpr CompressedFormat kPack = CompressedFormat::kPackQuantized;

SitePlan Weights(int bits, Granularity granularity = Granularity::kChannel) {
  SitePlan plan;
  plan.weight = {.granularity = granularity, .num_bits = bits};
  if (granularity == Granularity::kGroup) plan.weight->group_size = 128;
  return plan;
}

SitePlan With(SitePlan plan, std::optional<Quantizer> input,
              std::optional<Quantizer> output = std::nullopt) {
  plan.input = input;
  plan.output = output;
  return plan;
}

const Quantizer kStatic = Quantizer::Static(0.5f);

TEST(VllmScheme, IntegerInputsOfEightBitWeightsAreItsInt8Product) {
  for (const SitePlan& plan :
       {Weights(8), Weights(8, Granularity::kTensor), With(Weights(8), kStatic)}) {
    EXPECT_EQ(VllmSchemeOf(plan, kInt).name, "W8A8Int8");
    EXPECT_EQ(VllmSchemeOf(plan, kInt).verdict, VllmVerdict::kAsPlanned);
    EXPECT_EQ(VllmSchemeOf(plan, kInt).note, "");
  }
}

TEST(VllmScheme, BothSidesStaticAreWNA8O8AndOneSideIsNot) {
  for (const CompressedFormat format : {kInt, kPack}) {
    for (const SitePlan& plan : {Weights(8), Weights(4, Granularity::kGroup), Weights(2)}) {
      const VllmScheme scheme = VllmSchemeOf(With(plan, kStatic, kStatic), format);
      EXPECT_EQ(scheme.name, "WNA8O8Int");
      EXPECT_EQ(scheme.verdict, VllmVerdict::kAsPlanned);
    }
  }
  EXPECT_EQ(VllmSchemeOf(With(Weights(8), kStatic), kInt).name, "W8A8Int8");
  const VllmScheme output_only = VllmSchemeOf(With(Weights(8), Quantizer(), kStatic), kInt);
  EXPECT_EQ(output_only.verdict, VllmVerdict::kRefused);
  EXPECT_TRUE(Contains(output_only.note, "output_scale")) << output_only.note;
}

TEST(VllmScheme, AZeroScaleOfWNA8O8IsUncalibrated) {
  const Quantizer zero = Quantizer::Static(0.0f);
  EXPECT_TRUE(Contains(VllmSchemeOf(With(Weights(8), zero, kStatic), kInt).note, "uncalibrated"));
  EXPECT_TRUE(Contains(VllmSchemeOf(With(Weights(8), kStatic, zero), kInt).note, "uncalibrated"));
  EXPECT_FALSE(
      Contains(VllmSchemeOf(With(Weights(8), kStatic, kStatic), kInt).note, "uncalibrated"));
}

TEST(VllmScheme, WNA8O8TakesSomeWidthsAndNoZeroPoints) {
  EXPECT_EQ(VllmSchemeOf(With(Weights(3), kStatic, kStatic), kInt).verdict, VllmVerdict::kRefused);
  Quantizer asymmetric = kStatic;
  asymmetric.symmetric = false;
  EXPECT_EQ(VllmSchemeOf(With(Weights(8), asymmetric, kStatic), kInt).verdict,
            VllmVerdict::kRefused);
}

TEST(VllmScheme, WeightOnlyIntegersMustBePacked) {
  EXPECT_EQ(VllmSchemeOf(With(Weights(8), std::nullopt), kPack).name, "WNA16");
  EXPECT_EQ(VllmSchemeOf(With(Weights(4, Granularity::kGroup), std::nullopt), kPack).name, "WNA16");
  EXPECT_EQ(VllmSchemeOf(With(Weights(8), std::nullopt), kInt).verdict, VllmVerdict::kRefused);
  SitePlan three = With(Weights(3), std::nullopt);
  three.weight->symmetric = false;
  EXPECT_EQ(VllmSchemeOf(three, kPack).verdict, VllmVerdict::kRefused);
}

TEST(VllmScheme, PackedWeightsWithDynamicInputsLeaveTheInputsAlone) {
  for (const int bits : {4, 8}) {
    const VllmScheme scheme = VllmSchemeOf(Weights(bits, Granularity::kGroup), kPack);
    EXPECT_EQ(scheme.name, "WNA8Int");
    EXPECT_EQ(scheme.verdict, VllmVerdict::kOtherwise);
    EXPECT_TRUE(Contains(scheme.note, "backend is humming")) << scheme.note;
  }
}

// fc2 of block 0 as 4-bit codes in groups, with dynamic inputs.
std::filesystem::path FolderOfCodes(bool packed) {
  const std::filesystem::path folder = TinySiglipFolder("vllm_stored");
  EditTensors(folder, [packed](OwnedTensors& tensors) {
    StoreCodes(tensors, "vision_model.encoder.layers.0.mlp.fc2", SmallCodes(64, 160, 4, 32),
               {packed, PackedLayout::kDense});
  });
  DescribeQuantization(folder, OneGroup(packed ? "pack-quantized" : "int-quantized",
                                        R"({"strategy": "group", "num_bits": 4, "group_size": 32})",
                                        R"({"strategy": "token", "dynamic": true})"));
  return folder;
}

TEST(InspectModel, SaysWhatVllmMakesOfCodesAsTheyLieInTheFolder) {
  const auto bytes = InspectModel(FolderOfCodes(false), "");
  EXPECT_TRUE(bytes["compressed_tensors"].get<std::string>().starts_with("int-quantized; "));
  EXPECT_TRUE(Contains(bytes["vllm"].get<std::string>(), "W4A8Int"));
  const auto packed = InspectModel(FolderOfCodes(true), "");
  EXPECT_TRUE(packed["compressed_tensors"].get<std::string>().starts_with("pack-quantized; "));
  EXPECT_TRUE(Contains(packed["vllm"].get<std::string>(),
                       "WNA8Int, which computes something else: weight-only kernels"));
}

TEST(InspectModel, CountsTheWeightsOfCodesWhateverTheirWidthInTheFile) {
  const auto floats = InspectModel(TinySiglipFolder("vllm_floats"), "");
  for (const bool packed : {false, true}) {
    const auto codes = InspectModel(FolderOfCodes(packed), "");
    EXPECT_EQ(codes["parameters"], floats["parameters"]);
    EXPECT_EQ(codes["memory"], floats["memory"]);
  }
}

TEST(VllmScheme, GroupsBesideIntegerInputsHaveFewKernels) {
  EXPECT_EQ(VllmSchemeOf(Weights(4, Granularity::kGroup), kInt).name, "W4A8Int");
  EXPECT_EQ(VllmSchemeOf(Weights(8, Granularity::kGroup), kInt).verdict, VllmVerdict::kRefused);
  const Quantizer groups{.granularity = Granularity::kGroup, .group_size = 32};
  EXPECT_EQ(VllmSchemeOf(With(Weights(8), groups), kInt).verdict, VllmVerdict::kRefused);
}

}  // namespace
}  // namespace w8a8::test
