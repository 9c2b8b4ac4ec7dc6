// The encode command: arms against each other, what must not change its bytes, and refusals.
#include <algorithm>

#include <gtest/gtest.h>

#include "eval/cli/usage_error.h"
#include "eval/export/export_quantized.h"
#include "eval/run/known_sites.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/cpu/kernels.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 7;

// A little SigLIP with two outlier channels and seven images for it, made once.
struct LittleModel {
  std::filesystem::path folder = ScratchFolder("encode");
  std::filesystem::path model = folder / "model";
  std::filesystem::path pixels = folder / "pixels.safetensors";

  LittleModel() {
    WriteHashCheckpoint(model, TinySiglip(), Dtype::kF32, /*seed=*/5, /*outliers=*/2);
    std::vector<float> values(kImages * 3 * 32 * 32);
    for (size_t i = 0; i < values.size(); ++i) values[i] = HashUniform(99, i);
    WritePixels(pixels, {kImages, 3, 32, 32}, values);
  }
  Options For(Precision precision, const std::string& out) const {
    return EncodeOptions(model, pixels, precision, folder / (out + ".safetensors"));
  }
};

const LittleModel& Little() {
  static const LittleModel little;
  return little;
}

const std::vector<std::string> kTaps = {"blocks.0.attn.qkv", "blocks.0.attn.proj",
                                        "blocks.1.mlp.fc1", "blocks.1.mlp.fc2"};

// A plan with a static site, a clipped one and one that stays FP16.
std::filesystem::path MixedPlan() {
  const std::filesystem::path file = Little().folder / "mixed.json";
  WriteFileAtomically(file, R"({"version": 1, "sites": {
    "blocks.0.attn.qkv": {"input": {"strategy": "tensor", "dynamic": false, "scale": 0.03}},
    "blocks.0.attn.proj": {"input": {"strategy": "token", "dynamic": true, "clip_range": 0.5}},
    "blocks.1.mlp.fc1": {"input": {"strategy": "token", "dynamic": true}},
    "blocks.1.mlp.fc2": null}})");
  return file;
}

// The same without clip ranges, so that compressed-tensors can express it.
std::filesystem::path StaticPlan() {
  const std::filesystem::path file = Little().folder / "static.json";
  WriteFileAtomically(file, R"({"version": 1, "sites": {
    "blocks.0.attn.qkv": {"input": {"strategy": "tensor", "dynamic": false, "scale": 0.03}},
    "blocks.0.attn.proj": {"input": {"strategy": "token", "dynamic": true}},
    "blocks.1.mlp.fc1": {"input": {"strategy": "tensor", "dynamic": false, "scale": 0.01}}}})");
  return file;
}

// Elements of the tensors in which two feature files must agree; fails where they do not.
int64_t ExpectEqualTensors(const SafetensorsFile& expected, const SafetensorsFile& actual) {
  EXPECT_EQ(Names(expected), Names(actual));
  int64_t compared = 0;
  for (const auto& [name, tensor] : expected.tensors()) {
    const TensorView& other = actual.Get(name);
    EXPECT_EQ(tensor.shape, other.shape) << name;
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, other.bytes)) << name;
    compared += tensor.elements();
  }
  return compared;
}

TEST(Encode, EmulatedEqualsInt8InEveryTensorOnEveryKernelSet) {
  for (const std::filesystem::path& plan : {std::filesystem::path(), MixedPlan()}) {
    for (const Kernels& kernels : SetsOfThisMachine()) {  // whose float products differ
      Options options = Little().For(Precision::kEmulated, "emulated");
      options.taps = kTaps;
      options.plan = plan.string();
      options.kernels = std::string(kernels.name);
      const SafetensorsFile emulated = Encode(options);
      Options int8 = Little().For(Precision::kInt8, "int8");
      int8.taps = kTaps;
      int8.plan = plan.string();
      int8.kernels = std::string(kernels.name);
      const int64_t compared = ExpectEqualTensors(emulated, Encode(int8));
      std::printf("%s: %lld numbers equal\n", int8.kernels.c_str(),
                  static_cast<long long>(compared));
      EXPECT_GT(compared, 100000);
    }
  }
}

TEST(Encode, Fp16FakeAndInt8AreThreeComputations) {
  std::vector<std::string> files;
  for (const Precision precision : {Precision::kFp16, Precision::kFake, Precision::kInt8}) {
    const SafetensorsFile features = Encode(Little().For(precision, "one"));
    const TensorView& state = features.Get("last_hidden_state");
    files.emplace_back(reinterpret_cast<const char*>(state.bytes.data()), state.bytes.size());
  }
  EXPECT_NE(files[0], files[1]);
  EXPECT_NE(files[0], files[2]);
  EXPECT_NE(files[1], files[2]);
}

TEST(Encode, BatchAndThreadsChangeNoByteOfTheFile) {
  for (const Precision precision : {Precision::kFp16, Precision::kFake, Precision::kInt8}) {
    std::string expected;
    for (const auto& [batch, threads] :
         std::vector<std::pair<int64_t, int>>{{1, 1}, {1, 2}, {2, 3}, {7, 1}, {7, 2}}) {
      Options options = Little().For(precision, "batch");
      options.taps = kTaps;
      options.batch = batch;
      options.threads = threads;
      RunEncode(options);
      const std::string bytes = ReadFile(options.out);
      if (expected.empty()) expected = bytes;
      EXPECT_TRUE(bytes == expected)
          << NameOf(precision) << " batch " << batch << " threads " << threads;
    }
  }
}

TEST(Encode, AChunkOfOneImageChangesNoByteOfTheFile) {
  Options options = Little().For(Precision::kInt8, "chunk");
  RunEncode(options);
  const std::string expected = ReadFile(options.out);
  options.memory_bytes = 1;
  RunEncode(options);
  EXPECT_TRUE(ReadFile(options.out) == expected);
}

TEST(Encode, WritesTheShapesThatInterfacesPromise) {
  Options options = Little().For(Precision::kInt8, "shapes");
  options.layers = "0,2";
  options.taps = {"blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.1.mlp.fc2"};
  options.plan = MixedPlan().string();
  const SafetensorsFile file = Encode(options);
  const std::map<std::string, std::pair<Dtype, std::vector<int64_t>>> expected = {
      {"pixel_values", {Dtype::kF32, {kImages, 3, 32, 32}}},
      {"hidden_states.0", {Dtype::kF16, {kImages, 16, 64}}},
      {"hidden_states.2", {Dtype::kF16, {kImages, 16, 64}}},
      {"last_hidden_state", {Dtype::kF16, {kImages, 16, 64}}},
      {"pooler_output", {Dtype::kF32, {kImages, 64}}},
      {"taps.blocks.0.attn.qkv.input", {Dtype::kF16, {kImages, 16, 64}}},
      {"taps.blocks.0.attn.qkv.codes", {Dtype::kI8, {kImages, 16, 64}}},
      {"taps.blocks.0.attn.qkv.input_scale", {Dtype::kF32, {1}}},
      {"taps.blocks.0.attn.qkv.acc", {Dtype::kI32, {kImages, 16, 192}}},
      {"taps.blocks.0.attn.qkv.output", {Dtype::kF16, {kImages, 16, 192}}},
      {"taps.blocks.0.attn.proj.input", {Dtype::kF16, {kImages, 16, 64}}},
      {"taps.blocks.0.attn.proj.codes", {Dtype::kI8, {kImages, 16, 64}}},
      {"taps.blocks.0.attn.proj.input_scale", {Dtype::kF32, {kImages, 16}}},
      {"taps.blocks.0.attn.proj.acc", {Dtype::kI32, {kImages, 16, 64}}},
      {"taps.blocks.0.attn.proj.output", {Dtype::kF16, {kImages, 16, 64}}},
      {"taps.blocks.1.mlp.fc2.input", {Dtype::kF16, {kImages, 16, 160}}},
      {"taps.blocks.1.mlp.fc2.output", {Dtype::kF16, {kImages, 16, 64}}},
  };
  for (const auto& [name, tensor] : file.tensors()) {
    const auto found = expected.find(name);
    ASSERT_NE(found, expected.end()) << name;
    EXPECT_EQ(tensor.dtype, found->second.first) << name;
    EXPECT_EQ(tensor.shape, found->second.second) << name;
  }
  EXPECT_EQ(file.tensors().size(), expected.size());
  for (const char* key :
       {"images", "skipped", "model_sha256", "plan_sha256", "kernels", "version"}) {
    EXPECT_TRUE(file.metadata().contains(key)) << key;
  }
}

// Exported, read back and run: with the folder's own plan, with that plan given, and as emulated.
TEST(Encode, AQuantizedFolderGivesTheBitsOfTheInt8ArmInMemory) {
  Options in_memory = Little().For(Precision::kInt8, "in_memory");
  in_memory.taps = kTaps;
  in_memory.plan = StaticPlan().string();
  const SafetensorsFile expected = Encode(in_memory);
  const EncoderConfig config = ReadEncoderConfig(Little().model);
  const Graph graph = BuildGraph(config);
  const Plan plan = ReadPlan(in_memory.plan, KnownSites(graph)).plan;
  const std::filesystem::path folder = ScratchFolder("encode_quantized") / "quantized";
  ExportQuantized(EncoderWeights(Little().model, config), graph, plan, Little().model, folder);

  Options read_back = Little().For(Precision::kInt8, "read_back");
  read_back.model = folder.string();
  read_back.taps = kTaps;
  EXPECT_GT(ExpectEqualTensors(expected, Encode(read_back)), 100000);
  read_back.plan = (folder / "plan.json").string();
  EXPECT_GT(ExpectEqualTensors(expected, Encode(read_back)), 100000);
  read_back.plan.clear();
  std::filesystem::remove(folder / "plan.json");
  read_back.precision = Precision::kEmulated;
  EXPECT_GT(ExpectEqualTensors(expected, Encode(read_back)), 100000);
  read_back.precision = Precision::kFake;
  read_back.weight_bits = 4;
  const std::string refusal = ErrorOf([&] { Encode(read_back); });
  EXPECT_TRUE(Contains(refusal, "are codes of 8 bits already, and nothing quantizes them again"))
      << refusal;
}

template <class Change>
std::string Refusal(const Change& change) {
  Options options = Little().For(Precision::kInt8, "refused");
  change(options);
  try {
    RunEncode(options);
  } catch (const BadSetting& error) {
    return error.what();
  }
  return "no UsageError was thrown";
}

TEST(Encode, RefusesCommandLinesThatContradictThemselves) {
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.granularity = Granularity::kTensor; }),
                       "static scales come from calibration"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.precision.reset(); }), "--precision is missing"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.images = "x"; }), "one of --images"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.pixels = ""; }), "one of --images"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) {
                         o.precision = Precision::kFp16;
                         o.weight_bits = 4;
                       }),
                       "leave --scheme, --weight-bits and"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.fake_given = true; }), "--fake"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.layers = "0,3"; }), "--layers 3"));
  EXPECT_TRUE(Contains(Refusal([](Options& o) { o.taps = {"blocks.2.mlp.fc1"}; }),
                       "no such site; it has blocks.0.attn.qkv"));
}

TEST(Encode, RefusesPixelsOfAnotherSizeAndLeavesNoFile) {
  Options options = Little().For(Precision::kFp16, "other_size");
  options.pixels = WritePixels(Little().folder / "small.safetensors", {1, 3, 16, 32},
                               std::vector<float>(3 * 16 * 32))
                       .string();
  EXPECT_TRUE(
      Contains(ErrorOf([&] { RunEncode(options); }),
               "pixel_values is [1, 3, 16, 32], but this encoder takes [images, 3, 32, 32]"));
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

// One channel is a matter of the patch product alone (the golden vit_pooler has one), but no
// photo is prepared for it.
TEST(Encode, AnEncoderOfOneChannelTakesPixelsAndRefusesPhotos) {
  const std::filesystem::path folder = ScratchFolder("encode_gray");
  EncoderConfig gray = TinySiglip();
  gray.channels = 1;
  WriteHashCheckpoint(folder / "model", gray, Dtype::kF32, /*seed=*/6);
  WritePixels(folder / "pixels.safetensors", {1, 1, 32, 32}, std::vector<float>(32 * 32, 0.5f));
  Options options = EncodeOptions(folder / "model", folder / "pixels.safetensors", Precision::kFp16,
                                  folder / "out.safetensors");
  EXPECT_TRUE(Encode(options).Find("pooler_output") != nullptr);
  options.pixels.clear();
  options.images = folder.string();
  const std::string message = ErrorOf([&] { RunEncode(options); });
  EXPECT_TRUE(Contains(message, "takes images of 1 channel(s)")) << message;
  EXPECT_TRUE(Contains(message, "pixel_values [images, 1, height, width]")) << message;
}

}  // namespace
}  // namespace w8a8::test
