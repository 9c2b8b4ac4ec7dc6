// Every family against torch: encoders of the counter hash, their outputs held against goldens of
// transformers' classes (scripts/goldens/encoder_goldens.py).
#include <algorithm>
#include <cstring>
#include <functional>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/counter_hash.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

Dtype DtypeOf(const std::string& name) {
  return name == "F32" ? Dtype::kF32 : name == "F16" ? Dtype::kF16 : Dtype::kBF16;
}

// A golden with the checkpoint and the pixels that it was made of.
struct GoldenCase {
  explicit GoldenCase(const std::string& case_name)
      : name(case_name),
        golden(GoldenFolder() / "encoder" / (name + ".safetensors")),
        folder(ScratchFolder("family_" + name)) {
    WriteHashCheckpoint(folder / "model", Metadata("config"), DtypeOf(Metadata("dtype")),
                        std::stoull(Metadata("seed")));
    const std::vector<int64_t> shape = {std::stoll(Metadata("images")), 3,
                                        std::stoll(Metadata("height")),
                                        std::stoll(Metadata("width"))};
    std::vector<float> values(static_cast<size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
    for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(HashText("pixels"), i);
    WritePixels(pixels, shape, values);
  }
  ~GoldenCase() { fs::remove_all(folder); }  // half a GB of weights for the widest encoder

  const std::string& Metadata(const std::string& key) const { return golden.metadata().at(key); }

  SafetensorsFile Run(Precision precision) const {
    return Encode(EncodeOptions(folder / "model", pixels, precision,
                                folder / fmt::format("{}.safetensors", PrecisionName(precision))));
  }

  std::string name;
  SafetensorsFile golden;
  fs::path folder;
  fs::path pixels = folder / "pixels.safetensors";
};

std::vector<float> Sampled(const std::vector<float>& values, size_t stride) {
  std::vector<float> sampled;
  for (size_t i = 0; i < values.size(); i += stride) sampled.push_back(values[i]);
  return sampled;
}

bool IsWhole(const std::string& tensor) {
  return tensor == "pooler_output" || tensor == "image_embeds" || tensor == "logits";
}

// Our error over what torch's own FP16 model makes, the worst over all stored tensors.
double WorstShareOfTorch(const GoldenCase& made, const SafetensorsFile& features) {
  const auto errors = nlohmann::json::parse(made.Metadata("errors"));
  const size_t stride = std::stoull(made.Metadata("stride"));
  double worst = 0;
  for (const auto& [tensor, expected] : made.golden.tensors()) {
    const std::vector<float> values = FloatValues(features.Get(tensor));
    const double ours =
        RelativeL2(Doubles(FloatValues(expected)), Sampled(values, IsWhole(tensor) ? 1 : stride));
    const double torch = errors.at(tensor).at("torch_fp16");
    std::printf("%s %s: %.2e, torch FP16 %.2e, ratio %.2f\n", made.name.c_str(), tensor.c_str(),
                ours, torch, ours / torch);
    worst = std::max(worst, ours / torch);
  }
  return worst;
}

const char* const kCases[] = {"siglip_so400m", "internvl_small", "internvl_resized",
                              "internvl_300m", "internvl_6b"};

class FamilyGolden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, testing::ValuesIn(kCases),
                         [](const auto& family) { return std::string(family.param); });

TEST_P(FamilyGolden, Fp16IsAtMostTwiceAsFarFromTorchFp32AsTorchFp16AndInt8EqualsEmulated) {
  const GoldenCase made(GetParam());
  const SafetensorsFile fp16 = made.Run(Precision::kFp16);
  EXPECT_LE(WorstShareOfTorch(made, fp16), 2.0);
  const SafetensorsFile emulated = made.Run(Precision::kEmulated);
  const SafetensorsFile int8 = made.Run(Precision::kInt8);
  ASSERT_EQ(Names(emulated), Names(int8));
  for (const auto& [name, tensor] : int8.tensors()) {
    EXPECT_EQ(Equal(FloatValues(emulated.Get(name)), FloatValues(tensor)), "") << name;
  }
  EXPECT_NE(FloatValues(fp16.Get("last_hidden_state")), FloatValues(int8.Get("last_hidden_state")));
}

}  // namespace
}  // namespace w8a8::test
