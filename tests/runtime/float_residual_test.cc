// --residual fp32: a stream beyond the range of FP16 survives, and the arms stay equal.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/half.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 3;
constexpr int64_t kWidth = 64;
constexpr int64_t kLoudChannel = 3;
constexpr float kLoud = 100000.0f;  // FP16 ends at 65,504

// A little SigLIP whose position table puts `kLoud` into one channel of every token, and its twin
// with nothing there.
struct LoudModel {
  std::filesystem::path folder = ScratchFolder("float_residual");
  std::filesystem::path model = folder / "model";
  std::filesystem::path silent = folder / "silent";
  std::filesystem::path pixels = folder / "pixels.safetensors";

  LoudModel() {
    WriteHashCheckpoint(folder / "quiet", TinySiglip(), Dtype::kF32, /*seed=*/5, /*outliers=*/0);
    WritePositions(kLoud, model);
    WritePositions(0.0f, silent);
    std::vector<float> values(kImages * 3 * 32 * 32);
    for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(99, i);
    WritePixels(pixels, {kImages, 3, 32, 32}, values);
  }

  // The quiet model with `value` as every token's position in the channel.
  void WritePositions(float value, const std::filesystem::path& to) const {
    std::filesystem::create_directories(to);
    std::filesystem::copy_file(folder / "quiet/config.json", to / "config.json");
    const std::string key = "vision_model.embeddings.position_embedding.weight";
    const SafetensorsFile original(folder / "quiet/model.safetensors");
    std::vector<float> positions = FloatValues(original.Get(key));
    for (size_t i = kLoudChannel; i < positions.size(); i += kWidth) positions[i] = value;
    SafetensorsWriter writer;
    for (const auto& [name, tensor] : original.tensors()) {
      writer.Add(name, tensor.dtype, tensor.shape,
                 name == key ? std::as_bytes(std::span<const float>(positions)) : tensor.bytes);
    }
    writer.Write(to / "model.safetensors");
  }

  SafetensorsFile Run(Precision precision, SlotStorage residual, const std::string& out,
                      int64_t batch = 1) const {
    Options options = EncodeOptions(model, pixels, precision, folder / (out + ".safetensors"));
    options.residual = residual;
    options.batch = batch;
    return Encode(options);
  }
};

const LoudModel& Loud() {
  static const LoudModel loud;
  return loud;
}

bool AllFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

TEST(FloatResidual, KeepsAStreamThatOverflowsHalf) {
  const SafetensorsFile half = Loud().Run(Precision::kFp16, SlotStorage::kHalf, "half");
  const SafetensorsFile wide = Loud().Run(Precision::kFp16, SlotStorage::kFloat, "wide");
  EXPECT_FALSE(AllFinite(FloatValues(half.Get("hidden_states.0"))));
  EXPECT_EQ(half.metadata().at("residual"), "fp16");
  EXPECT_EQ(wide.metadata().at("residual"), "fp32");
  for (const std::string name : {"hidden_states.0", "hidden_states.1", "hidden_states.2"}) {
    const TensorView& stream = wide.Get(name);
    EXPECT_EQ(stream.dtype, Dtype::kF32) << name;
    const std::vector<float> values = FloatValues(stream);
    EXPECT_TRUE(AllFinite(values)) << name;
    for (size_t i = kLoudChannel; i < values.size(); i += kWidth) {
      EXPECT_GT(values[i], kMaxHalf) << name << " element " << i;
    }
  }
  EXPECT_EQ(wide.Get("last_hidden_state").dtype, Dtype::kF16);
  EXPECT_TRUE(AllFinite(FloatValues(wide.Get("pooler_output"))));
}

TEST(FloatResidual, AddsAPositionInBinary32) {
  const SafetensorsFile loud = Loud().Run(Precision::kFp16, SlotStorage::kFloat, "loud");
  Options options = EncodeOptions(Loud().silent, Loud().pixels, Precision::kFp16,
                                  Loud().folder / "silent.safetensors");
  options.residual = SlotStorage::kFloat;
  const SafetensorsFile silent = Encode(options);
  std::vector<float> expected = FloatValues(silent.Get("hidden_states.0"));
  for (size_t i = kLoudChannel; i < expected.size(); i += kWidth) expected[i] += kLoud;
  EXPECT_EQ(Equal(expected, FloatValues(loud.Get("hidden_states.0"))), "");
}

TEST(FloatResidual, LeavesEmulatedAndInt8EqualInEveryBit) {
  const SafetensorsFile emulated =
      Loud().Run(Precision::kEmulated, SlotStorage::kFloat, "emulated");
  const SafetensorsFile int8 = Loud().Run(Precision::kInt8, SlotStorage::kFloat, "int8");
  ASSERT_EQ(Names(emulated), Names(int8));
  for (const auto& [name, tensor] : int8.tensors()) {
    EXPECT_EQ(Equal(FloatValues(emulated.Get(name)), FloatValues(tensor)), "") << name;
  }
  const SafetensorsFile fp16 = Loud().Run(Precision::kFp16, SlotStorage::kFloat, "fp16");
  EXPECT_NE(FloatValues(fp16.Get("hidden_states.2")), FloatValues(int8.Get("hidden_states.2")));
}

TEST(FloatResidual, DoesNotDependOnTheBatch) {
  const SafetensorsFile one = Loud().Run(Precision::kInt8, SlotStorage::kFloat, "one", 1);
  const SafetensorsFile three = Loud().Run(Precision::kInt8, SlotStorage::kFloat, "three", 3);
  for (const auto& [name, tensor] : one.tensors()) {
    EXPECT_EQ(Equal(FloatValues(tensor), FloatValues(three.Get(name))), "") << name;
  }
}

}  // namespace
}  // namespace w8a8::test
