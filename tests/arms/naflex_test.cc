// A NaFlex model through the whole job, on images of many shapes.
#include "datasets/naflex.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "calib/stats_file.h"
#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/merge.h"
#include "eval/cli/commands/preprocess.h"
#include "eval/cli/commands/stage_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr int kImages = 18;
constexpr PatchBudget kBudget = {.patch = 8, .max_patches = 24};
constexpr const char* kModel = R"({"model_type": "siglip2_vision_model", "hidden_size": 64,
    "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8,
    "num_patches": 16})";
constexpr const char* kProcessor = R"({"image_processor_type": "Siglip2ImageProcessor",
    "patch_size": 8, "max_num_patches": 24})";

ImageSize SizeOf(int image) { return {30 + 17 * (image % 6), 110 - 5 * image}; }

class NaflexJob : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = ScratchFolder("naflex_job");
    WriteHashCheckpoint(folder_ / "model", kModel, Dtype::kF32, 1);
    WriteText(folder_ / "model/preprocessor_config.json", kProcessor);
    for (int i = 0; i < kImages; ++i) {
      WriteImage(Image(i), HashImage(SizeOf(i).width, SizeOf(i).height, static_cast<uint64_t>(i)));
    }
  }

  static fs::path Image(int i) { return folder_ / fmt::format("images/{:02}.png", i); }

  static Options Made(const std::string& command, const std::string& out) {
    Options options;
    options.command = command;
    options.model = folder_ / "model";
    options.images = folder_ / "images";
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.threads = 1;
    return options;
  }

  static inline fs::path folder_;
};

TEST_F(NaflexJob, DoesNotDependOnBatchThreadsOrChunk) {
  Options one = Made("", "one");
  one.clip_ranges = {kNoClip};
  Options two = one;
  two.out = folder_ / "two";
  two.threads = 2;
  two.batch = 5;
  two.memory_bytes = 1;
  RunWholeJob(one);
  RunWholeJob(two);
  for (const char* file : {"report.json", "stats.h5", "plan.json", "quantized/model.safetensors"}) {
    EXPECT_TRUE(ReadFile(folder_ / "one" / file) == ReadFile(folder_ / "two" / file)) << file;
  }
  const nlohmann::json report = nlohmann::json::parse(ReadFile(folder_ / "one/report.json"));
  EXPECT_EQ(report["checks"]["int32_mismatches"], 0u);
  EXPECT_EQ(report["checks"]["code_mismatches"], 0u);
  EXPECT_GT(report["checks"]["int32_compared"], 0u);
  EXPECT_EQ(report["facts"]["model"]["image"], "any shape");
}

TEST_F(NaflexJob, StatisticsOfImagesAloneMergeIntoThoseOfAllAndSeeNoPadding) {
  Options merge = Made("merge", "merged.h5");
  std::string list;
  uint64_t patches = 0;
  for (int i = 0; i < kImages; ++i) {
    Options alone = Made("calibrate", fmt::format("{:02}.h5", i));
    alone.images = folder_ / fmt::format("{:02}.txt", i);
    WriteText(alone.images, fmt::format("images/{:02}.png\n", i));
    RunCalibrate(alone);
    merge.inputs.push_back(alone.out);
    list += fmt::format("images/{:02}.png\n", i);
    const ImageSize size = SizeWithinBudget(SizeOf(i), kBudget);
    patches += static_cast<uint64_t>(size.width / 8 * (size.height / 8));
  }
  RunMerge(merge);
  Options all = Made("calibrate", "all.h5");
  all.images = folder_ / "all.txt";
  WriteText(all.images, list);
  all.batch = 4;
  RunCalibrate(all);
  EXPECT_TRUE(ReadFile(folder_ / "all.h5") == ReadFile(folder_ / "merged.h5"));
  for (const auto& [site, statistics] : ReadStats(folder_ / "all.h5").sites) {
    EXPECT_EQ(statistics.Rows(), patches) << site;
  }
}

TEST_F(NaflexJob, PreprocessedPatchesGiveTheFeaturesOfTheImages) {
  RunPreprocess(Made("preprocess", "pixels.safetensors"));
  Options encode = Made("encode", "from_images.safetensors");
  encode.precision = Precision::kInt8;
  RunEncode(encode);
  encode.pixels = folder_ / "pixels.safetensors";
  encode.images.clear();
  encode.out = folder_ / "from_pixels.safetensors";
  RunEncode(encode);
  const SafetensorsFile images(folder_ / "from_images.safetensors");
  const SafetensorsFile pixels(folder_ / "from_pixels.safetensors");
  EXPECT_EQ(images.Get("last_hidden_state").shape,
            (std::vector<int64_t>{kImages, kBudget.max_patches, 64}));
  for (const auto& [name, tensor] : images.tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, pixels.Get(name).bytes)) << name;
  }
}

TEST_F(NaflexJob, AProcessorOfOneSizeIsRefused) {
  const fs::path model = folder_ / "square";
  WriteHashCheckpoint(model, kModel, Dtype::kF32, 1);
  WriteText(model / "preprocessor_config.json",
            R"({"image_processor_type": "SiglipImageProcessor"})");
  Options options = Made("calibrate", "never.h5");
  options.model = model;
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCalibrate(options); }), "any shape"));
}

}  // namespace
}  // namespace w8a8::test
