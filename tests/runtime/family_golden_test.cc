// Every family against torch: encoders of the counter hash, their outputs held against goldens of
// transformers' classes (scripts/goldens/encoder_goldens.py); and faults that must be seen.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include <gtest/gtest.h>

#include "tests/encoder/small_models.h"
#include "tests/runtime/golden_case.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

const char* const kCases[] = {
    "siglip_so400m",      "siglip_classifier", "internvl_small",
    "internvl_resized",   "internvl_300m",     "internvl_6b",
    "clip_small",         "clip_classifier",   "vit_small",
    "vit_pooler",         "deit_small",        "deit_classifier",
    "deit_pooler",        "dinov2_small",      "dinov2_giant",
    "dinov2_classifier",  "dinov2_registers",  "dinov2_registers_classifier",
    "in_paligemma",       "in_gemma3",         "in_llava",
    "in_llava_onevision", "in_internvl",       "in_smolvlm"};

class FamilyGolden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, testing::ValuesIn(kCases),
                         [](const auto& family) { return std::string(family.param); });

TEST_P(FamilyGolden, Fp16IsAtMostTwiceAsFarFromTorchFp32AsTorchFp16AndInt8EqualsEmulated) {
  const GoldenCase made(GetParam());
  const SafetensorsFile fp16 = made.Run(Precision::kFp16);
  EXPECT_LE(made.WorstShareOfTorch(fp16), kTwiceNaive);
  const SafetensorsFile emulated = made.Run(Precision::kEmulated);
  const SafetensorsFile int8 = made.Run(Precision::kInt8);
  ASSERT_EQ(Names(emulated), Names(int8));
  for (const auto& [name, tensor] : int8.tensors()) {
    EXPECT_EQ(Equal(FloatValues(emulated.Get(name)), FloatValues(tensor)), "") << name;
  }
  EXPECT_NE(FloatValues(fp16.Get("last_hidden_state")), FloatValues(int8.Get("last_hidden_state")));
}

// Every way into and out of a binary32 stream: pre-norm, no final norm, registers, projection.
TEST(FamilyResidual, ABinary32ResidualIsCloserToTorchFp32) {
  for (const char* name : {"internvl_resized", "clip_small", "deit_small", "dinov2_registers"}) {
    const GoldenCase made(name);
    const double half = made.WorstShareOfTorch(made.Run(Precision::kFp16));
    const double wide = made.WorstShareOfTorch(made.Run(Precision::kFp16, {}, SlotStorage::kFloat));
    EXPECT_LT(wide, half) << name;
  }
}

using Edit = std::function<void(OwnedTensors&)>;

double ShareWithFault(const std::string& name, const Edit& edit) {
  const GoldenCase made(name);
  EditTensors(made.model, edit);
  return made.WorstShareOfTorch(made.Run(Precision::kFp16));
}

TEST(FamilyFault, OnePerturbedWeightIsSeen) {
  EXPECT_GT(ShareWithFault("internvl_small",
                           [](OwnedTensors& tensors) {
                             OwnedTensor& tensor = tensors.at("encoder.layer.1.mlp.fc2.weight");
                             float value = 0;
                             std::memcpy(&value, tensor.bytes.data(), sizeof value);
                             value += 1.0f;
                             std::memcpy(tensor.bytes.data(), &value, sizeof value);
                           }),
            kTwiceNaive);
}

TEST(FamilyFault, SwappedQueryAndKeyAreSeen) {
  const auto swapped = [](const std::string& query, const std::string& key) {
    return [=](OwnedTensors& tensors) { std::swap(tensors.at(query), tensors.at(key)); };
  };
  EXPECT_GT(ShareWithFault("internvl_small", swapped("encoder.layer.0.attention.q_proj.weight",
                                                     "encoder.layer.0.attention.k_proj.weight")),
            kTwiceNaive);
  EXPECT_GT(
      ShareWithFault("dinov2_small", swapped("encoder.layer.1.attention.attention.query.weight",
                                             "encoder.layer.1.attention.attention.key.weight")),
      kTwiceNaive);
}

TEST(FamilyFault, ALayerScaleOfOneIsSeenAndAMissingOneIsNamed) {
  const auto ones = [](OwnedTensors& tensors) {
    tensors.at("encoder.layer.0.lambda_2") = Floats({64}, std::vector<float>(64, 1.0f));
  };
  EXPECT_GT(ShareWithFault("internvl_small", ones), kTwiceNaive);
  const GoldenCase made("dinov2_small");
  EditTensors(made.model,
              [](OwnedTensors& tensors) { tensors.erase("encoder.layer.1.layer_scale2.lambda1"); });
  EXPECT_TRUE(Contains(ErrorOf([&] { made.Run(Precision::kFp16); }),
                       "missing: encoder.layer.1.layer_scale2.lambda1"));
}

TEST(FamilyFault, SwappedGateAndValueAreSeen) {
  const auto swap_halves = [](OwnedTensors& tensors) {
    for (const char* key :
         {"encoder.layer.0.mlp.weights_in.weight", "encoder.layer.0.mlp.weights_in.bias"}) {
      std::vector<std::byte>& bytes = tensors.at(key).bytes;
      std::rotate(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2),
                  bytes.end());
    }
  };
  EXPECT_GT(ShareWithFault("dinov2_giant", swap_halves), kTwiceNaive);
}

// The error of the stream does not tell gelu_erf from gelu_tanh, 4.7e-4 apart at most; the taps
// around the activation do: within an FP16 ulp or 2^-15 of the right one, not of the other.
double WorstDeviation(const SafetensorsFile& features, const std::function<double(double)>& gelu) {
  const std::vector<float> x = FloatValues(features.Get("taps.blocks.0.mlp.fc1.output"));
  const std::vector<float> y = FloatValues(features.Get("taps.blocks.0.mlp.fc2.input"));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = gelu(x[i]);
    worst = std::max(worst, std::abs(y[i] - exact) / HalfUlp(exact));
  }
  return worst;
}

double GeluErf(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }
double GeluTanh(double x) {
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}
double QuickGelu(double x) { return x / (1.0 + std::exp(-1.702 * x)); }

TEST(FamilyFault, TheActivationIsTheConfigsAndNoOtherGelu) {
  struct Chosen {
    const char* name;
    double (*right)(double);
    double (*wrong)(double);
  };
  for (const Chosen& chosen :
       {Chosen{"internvl_small", GeluErf, GeluTanh}, Chosen{"dinov2_small", GeluErf, GeluTanh},
        Chosen{"siglip_so400m", GeluTanh, GeluErf}, Chosen{"clip_small", QuickGelu, GeluErf}}) {
    const GoldenCase made(chosen.name);
    const SafetensorsFile features =
        made.Run(Precision::kFp16, {"blocks.0.mlp.fc1", "blocks.0.mlp.fc2"});
    EXPECT_LE(WorstDeviation(features, chosen.right), 1.0) << chosen.name;
    EXPECT_GT(WorstDeviation(features, chosen.wrong), 1.0) << chosen.name;
  }
}

}  // namespace
}  // namespace w8a8::test
