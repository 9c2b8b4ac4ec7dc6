// encode --attention: the arms that it is a choice of, on every kernel set of this machine.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <span>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/lower.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 3, kTokens = 16, kWidth = 64;
constexpr std::array kOtherThanFp32 = {AttentionPrecision::kBf16, AttentionPrecision::kInt8};
const std::vector<std::string> kTaps = {"blocks.0.attn.qkv", "blocks.0.attn.proj",
                                        "blocks.1.mlp.fc2"};

// A little SigLIP with the MAP head, and what enters its first block; of the last two images some
// tokens are padding.
struct Padded {
  fs::path folder;
  std::vector<float> embeds = std::vector<float>(kImages * kTokens * kWidth);
  std::vector<int64_t> mask = std::vector<int64_t>(kImages * kTokens, 1);

  explicit Padded(const std::string& name) : folder(ScratchFolder(name)) {
    WriteHashCheckpoint(folder / "model", TinySiglip(), Dtype::kF32, /*seed=*/5, /*outliers=*/2);
    for (size_t i = 0; i < embeds.size(); ++i) embeds[i] = HashUniform(7, i);
    mask[kTokens + 3] = 0;
    std::fill(mask.end() - 6, mask.end(), 0);
  }

  SafetensorsFile Run(Precision precision, AttentionPrecision attention, std::string_view kernels,
                      int64_t batch = 1) const {
    SafetensorsWriter writer;
    writer.Add("inputs_embeds", Dtype::kF32, {kImages, kTokens, kWidth},
               std::span<const float>(embeds));
    writer.Add("attention_mask", Dtype::kI64, {kImages, kTokens}, std::span<const int64_t>(mask));
    writer.Write(folder / "embeds.safetensors");
    Options options = EncodeOptions(folder / "model", "", precision,
                                    folder / (std::string(NameOf(precision)) + ".safetensors"));
    options.embeds = (folder / "embeds.safetensors").string();
    options.attention = attention;
    options.attentions = true;
    options.taps = kTaps;
    options.kernels = std::string(kernels);
    options.batch = batch;
    return Encode(options);
  }
};

std::vector<float> Values(const SafetensorsFile& file, const std::string& name) {
  return FloatValues(file.Get(name));
}

void ExpectEqualTensors(const SafetensorsFile& expected, const SafetensorsFile& actual) {
  EXPECT_EQ(Names(expected), Names(actual));
  for (const auto& [name, tensor] : expected.tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, actual.Get(name).bytes)) << name;
  }
}

TEST(EncodeAttention, EmulatedEqualsInt8InEveryTensorOnEveryKernelSet) {
  const Padded inputs("attention_twins");
  for (const Kernels& kernels : SetsOfThisMachine()) {
    for (const AttentionPrecision attention : kOtherThanFp32) {
      SCOPED_TRACE(std::string(kernels.name) + " " + std::string(NameOf(attention)));
      const SafetensorsFile int8 = inputs.Run(Precision::kInt8, attention, kernels.name);
      ExpectEqualTensors(inputs.Run(Precision::kEmulated, attention, kernels.name), int8);
      ExpectEqualTensors(int8, inputs.Run(Precision::kInt8, attention, kernels.name, kImages));
      EXPECT_EQ(int8.metadata().at("attention"), NameOf(attention));
    }
  }
}

TEST(EncodeAttention, IsAChoiceOfEveryArmButTheReference) {
  const Padded inputs("attention_arms");
  for (const Precision precision : {Precision::kFake, Precision::kEmulated, Precision::kInt8}) {
    std::set<std::vector<float>> different;
    for (const AttentionPrecision attention :
         {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
      different.insert(Values(inputs.Run(precision, attention, ""), "hidden_states.1"));
    }
    EXPECT_EQ(different.size(), 3u) << NameOf(precision);
  }
}

// The codes of a row's weights: the largest is 255.
std::vector<float> CodesOf(std::span<const float> p) {
  const float largest = *std::max_element(p.begin(), p.end());
  std::vector<float> codes;
  for (const float value : p) codes.push_back(std::nearbyint(value / largest * 255.0f));
  return codes;
}

TEST(EncodeAttention, Int8ProbabilitiesAreCodesOverTheirSumAndPaddingHasNone) {
  const Padded inputs("attention_p");
  const SafetensorsFile features = inputs.Run(Precision::kInt8, AttentionPrecision::kInt8, "");
  const std::vector<float> p = Values(features, "attentions.0");
  const size_t rows = p.size() / kTokens;
  for (size_t row = 0; row < rows; ++row) {
    const std::span<const float> weights = std::span(p).subspan(row * kTokens, kTokens);
    const std::vector<float> codes = CodesOf(weights);
    const float sum = std::accumulate(codes.begin(), codes.end(), 0.0f);
    const size_t image = row * kImages / rows;
    for (size_t key = 0; key < kTokens; ++key) {
      EXPECT_EQ(weights[key], codes[key] / sum) << "row " << row << ", key " << key;
      if (inputs.mask[image * kTokens + key] == 0) {
        EXPECT_EQ(weights[key], 0.0f) << "row " << row;
      }
    }
  }
}

TEST(EncodeAttention, Int8TakesNothingFromPadding) {
  Padded inputs("attention_padding");
  const SafetensorsFile before = inputs.Run(Precision::kInt8, AttentionPrecision::kInt8, "");
  const std::vector<float> pooled = Values(before, "pooler_output");
  for (size_t i = 0; i < inputs.embeds.size(); ++i) {
    if (inputs.mask[i / kWidth] == 0) inputs.embeds[i] *= 50.0f;
  }
  const SafetensorsFile after = inputs.Run(Precision::kInt8, AttentionPrecision::kInt8, "");
  EXPECT_EQ(Equal(pooled, Values(after, "pooler_output")), "");
}

TEST(Lowering, EveryAttentionStepFollowsItsArm) {
  const fs::path folder = TinySiglipFolder("attention_steps");
  const Graph graph = BuildGraph(TinySiglip(), SlotStorage::kHalf);
  const EncoderWeights weights(folder, TinySiglip(), "");
  CpuBackend backend(Select(""));
  Lowering lowering(graph, weights, backend);
  int steps = 0;
  for (size_t stage = 0; stage < graph.stages.size(); ++stage) {
    lowering.BeginStage(static_cast<int>(stage));
    for (const Precision precision :
         {Precision::kFp16, Precision::kFake, Precision::kEmulated, Precision::kInt8}) {
      const Program program =
          lowering.Lower(precision, {}, FakeFlavour::kIdeal, AttentionPrecision::kInt8);
      for (const Step& step : program.steps) {
        const auto* attention = std::get_if<AttentionStep>(&step);
        if (attention == nullptr) continue;
        ++steps;
        EXPECT_EQ(attention->precision, precision == Precision::kFp16 ? AttentionPrecision::kFp32
                                                                      : AttentionPrecision::kInt8);
        EXPECT_EQ(attention->emulated, precision == Precision::kEmulated);
      }
    }
  }
  EXPECT_EQ(steps, 4 * 3) << "two blocks and the pooling head";
}

}  // namespace
}  // namespace w8a8::test
