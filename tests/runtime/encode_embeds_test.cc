// encode --embeds, --attentions and the attention mask: against transformers and against itself.
#include <algorithm>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/usage_error.h"
#include "runtime/base/counter_hash.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 2, kTokens = 21, kWidth = 64;

// The checkpoint and inputs that scripts/goldens/embeds_goldens.py describes.
struct Masked {
  fs::path folder = ScratchFolder("encode_embeds");
  SafetensorsFile golden{GoldenFolder() / "encoder/siglip_embeds.safetensors"};
  nlohmann::json errors = nlohmann::json::parse(golden.metadata().at("errors"));  // torch's in FP16
  std::vector<float> embeds = std::vector<float>(kImages * kTokens * kWidth);
  std::vector<int64_t> mask = std::vector<int64_t>(kImages * kTokens, 1);

  Masked() {
    WriteHashCheckpoint(folder / "model", TinySiglip(), Dtype::kF32, /*seed=*/1, /*outliers=*/0);
    for (size_t i = 0; i < embeds.size(); ++i) embeds[i] = HashUniform(HashText("embeds"), i);
    mask[kTokens + 3] = 0;
    std::fill(mask.end() - 6, mask.end(), 0);
  }

  Options For(Precision precision, const std::string& out) const {
    Options options =
        EncodeOptions(folder / "model", "", precision, folder / (out + ".safetensors"));
    options.embeds = (folder / "embeds.safetensors").string();
    options.attentions = true;
    return options;
  }

  // Writes the inputs and runs the arm.
  SafetensorsFile Run(Precision precision, const std::string& out, bool masked = true) const {
    SafetensorsWriter writer;
    writer.Add("inputs_embeds", Dtype::kF32, {kImages, kTokens, kWidth},
               std::span<const float>(embeds));
    if (masked) {
      writer.Add("attention_mask", Dtype::kI64, {kImages, kTokens}, std::span<const int64_t>(mask));
    }
    writer.Write(folder / "embeds.safetensors");
    return Encode(For(precision, out));
  }
};

// The rows of tokens that are not masked; `tensor` is [images, ..., tokens, cols].
std::vector<float> OfRealTokens(const TensorView& tensor, const std::vector<int64_t>& mask) {
  const std::vector<float> values = FloatValues(tensor);
  const auto cols = static_cast<size_t>(tensor.shape.back());
  const size_t rows = values.size() / cols;
  const size_t rows_per_image = rows / kImages;
  std::vector<float> kept;
  for (size_t row = 0; row < rows; ++row) {
    const size_t token = row / rows_per_image * kTokens + row % kTokens;
    if (mask[token] == 0) continue;
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(row * cols);
    kept.insert(kept.end(), first, first + static_cast<std::ptrdiff_t>(cols));
  }
  return kept;
}

// How far one output is from torch's in FP32, against what torch's own FP16 makes of it.
std::string BeyondTwiceTorch(const Masked& inputs, const SafetensorsFile& features,
                             const std::string& name) {
  const double torch_fp16 = inputs.errors.at(name);
  const double error = RelativeL2(Doubles(OfRealTokens(inputs.golden.Get(name), inputs.mask)),
                                  OfRealTokens(features.Get(name), inputs.mask));
  std::printf("%-18s %.2e, torch's FP16 %.2e\n", name.c_str(), error, torch_fp16);
  return TwiceNaive(torch_fp16, error);
}

TEST(EncodeEmbeds, WithAMaskIsAsCloseToTorchAsTorchInFp16) {
  const Masked inputs;
  const SafetensorsFile features = inputs.Run(Precision::kFp16, "fp16");
  for (const auto& [name, error] : inputs.errors.items()) {
    EXPECT_EQ(BeyondTwiceTorch(inputs, features, name), "") << name;
  }
}

TEST(EncodeEmbeds, WithoutTheMaskIsNot) {
  const Masked inputs;
  const SafetensorsFile features = inputs.Run(Precision::kFp16, "unmasked", /*masked=*/false);
  EXPECT_NE(BeyondTwiceTorch(inputs, features, "hidden_states.2"), "");
}

TEST(EncodeEmbeds, AttentionRowsSumToOneAndNobodyAttendsToPadding) {
  const Masked inputs;
  const SafetensorsFile features = inputs.Run(Precision::kInt8, "int8");
  const TensorView& attention = features.Get("attentions.1");
  ASSERT_EQ(attention.shape, (std::vector<int64_t>{kImages, 2, kTokens, kTokens}));
  const std::vector<float> values = FloatValues(attention);
  for (size_t row = 0; row * kTokens < values.size(); ++row) {
    double sum = 0;
    for (size_t key = 0; key < kTokens; ++key) {
      const float value = values[row * kTokens + key];
      sum += value;
      const bool masked = inputs.mask[row / (2 * kTokens) * kTokens + key] == 0;
      EXPECT_TRUE(!masked || value == 0.0f) << row << ", " << key;
    }
    EXPECT_NEAR(sum, 1.0, DotBound(kTokens, 1, 1)) << row;
  }
}

TEST(EncodeEmbeds, WhatPaddingHoldsChangesNothingElse) {
  Masked inputs;
  const SafetensorsFile before = inputs.Run(Precision::kInt8, "before");
  for (size_t i = 0; i < inputs.embeds.size(); ++i) {
    if (inputs.mask[i / kWidth] == 0) inputs.embeds[i] = 100.0f * inputs.embeds[i] + 1.0f;
  }
  const SafetensorsFile after = inputs.Run(Precision::kInt8, "after");
  for (const char* name : {"hidden_states.1", "hidden_states.2", "last_hidden_state"}) {
    EXPECT_EQ(Equal(OfRealTokens(before.Get(name), inputs.mask),
                    OfRealTokens(after.Get(name), inputs.mask)),
              "")
        << name;
  }
  EXPECT_EQ(
      Equal(FloatValues(before.Get("pooler_output")), FloatValues(after.Get("pooler_output"))), "");
}

TEST(EncodeEmbeds, Int8HasTheBitsOfItsEmulationUnderAMask) {
  const Masked inputs;
  const SafetensorsFile int8 = inputs.Run(Precision::kInt8, "int8");
  const SafetensorsFile emulated = inputs.Run(Precision::kEmulated, "emulated");
  ASSERT_EQ(Names(int8), Names(emulated));
  for (const auto& [name, tensor] : int8.tensors()) {
    EXPECT_EQ(Equal(FloatValues(tensor), FloatValues(emulated.Get(name))), "") << name;
  }
}

TEST(EncodeEmbeds, GoesOnWithTheBitsOfTheRunFromPixels) {
  const Masked inputs;
  std::vector<float> pixels(3 * 3 * 32 * 32);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = HashUniform(7, i);
  const fs::path file = WritePixels(inputs.folder / "pixels.safetensors", {3, 3, 32, 32}, pixels);
  for (const SlotStorage residual : {SlotStorage::kHalf, SlotStorage::kFloat}) {
    Options options = EncodeOptions(inputs.folder / "model", file, Precision::kInt8,
                                    inputs.folder / "from_pixels.safetensors");
    options.residual = residual;
    const SafetensorsFile from_pixels = Encode(options);
    const TensorView& entering = from_pixels.Get("hidden_states.0");
    SafetensorsWriter writer;
    writer.Add("inputs_embeds", entering.dtype, entering.shape, entering.bytes);
    writer.Write(inputs.folder / "entering.safetensors");
    options.pixels.clear();
    options.embeds = (inputs.folder / "entering.safetensors").string();
    options.out = (inputs.folder / "from_embeds.safetensors").string();
    const SafetensorsFile from_embeds = Encode(options);
    EXPECT_EQ(Names(from_embeds).size() + 1, Names(from_pixels).size());  // but for pixel_values
    for (const auto& [name, tensor] : from_embeds.tensors()) {
      EXPECT_EQ(Equal(FloatValues(from_pixels.Get(name)), FloatValues(tensor)), "") << name;
    }
  }
}

TEST(EncodeEmbeds, RefusesWhatDoesNotFit) {
  Masked inputs;
  const auto refusal = [&](Dtype dtype, std::vector<int64_t> shape,
                           const std::vector<int64_t>& mask) {
    SafetensorsWriter writer;
    writer.Add("inputs_embeds", Dtype::kF32, {kImages, kTokens, kWidth},
               std::span<const float>(inputs.embeds));
    writer.Add("attention_mask", dtype, std::move(shape), std::span<const int64_t>(mask));
    writer.Write(inputs.folder / "embeds.safetensors");
    return ErrorOf([&] { RunEncode(inputs.For(Precision::kFp16, "refused")); });
  };
  std::vector<int64_t> mask = inputs.mask;
  mask[5] = 2;
  EXPECT_TRUE(
      Contains(refusal(Dtype::kI64, {kImages, kTokens}, mask), "holds 2 at image 0, token 5"));
  std::fill(mask.begin(), mask.end(), 0);
  EXPECT_TRUE(Contains(refusal(Dtype::kI64, {kImages, kTokens}, mask), "image 0 without a token"));
  EXPECT_TRUE(Contains(refusal(Dtype::kI64, {kImages * kTokens}, mask), "expected I64, I32, U8"));
  SafetensorsWriter writer;
  writer.Add("inputs_embeds", Dtype::kF32, {kImages * kTokens, 1, kWidth},
             std::span<const float>(inputs.embeds));
  writer.Write(inputs.folder / "embeds.safetensors");
  Options both = inputs.For(Precision::kFp16, "refused");
  both.pixels = both.embeds;
  EXPECT_THROW(RunEncode(both), UsageError);
}

}  // namespace
}  // namespace w8a8::test
