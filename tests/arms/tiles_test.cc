// A tiled model through the commands: tiles are samples, reports are over images.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "datasets/preprocess.h"
#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/preprocess.h"
#include "eval/cli/commands/stage_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 20;

// The random demo model with InternVL's image processor, and images of many shapes.
class Tiles : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = ScratchFolder("tiles");
    Options demo;
    demo.command = "demo";
    demo.out = folder_ / "demo";
    demo.random = true;
    demo.quiet = true;
    RunDemo(demo);
    const fs::path config = folder_ / "demo/model/preprocessor_config.json";
    const nlohmann::json size = nlohmann::json::parse(ReadFile(config))["size"];
    WriteText(config, nlohmann::json{{"image_processor_type", "GotOcr2ImageProcessor"},
                                     {"crop_to_patches", true},
                                     {"max_patches", 4},
                                     {"size", size}}
                          .dump());
    for (int i = 0; i < kImages; ++i) {
      WriteImage(folder_ / fmt::format("images/{:02}.png", i),
                 HashImage(40 + 11 * (i % 7), 150 - 6 * i, static_cast<uint64_t>(i)));
    }
  }

  static Options Made(const std::string& command, const std::string& out) {
    Options options;
    options.command = command;
    options.model = folder_ / "demo/model";
    options.images = folder_ / "images";
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.precision = Precision::kInt8;
    return options;
  }

  static inline fs::path folder_;
};

TEST_F(Tiles, PixelsFromAFileGiveTheFeaturesOfTheImages) {
  const Options preprocess = Made("preprocess", "pixels.safetensors");
  RunPreprocess(preprocess);
  Options encode = Made("encode", "from_images.safetensors");
  encode.layers = "none";
  RunEncode(encode);
  encode.pixels = preprocess.out;
  encode.images.clear();
  encode.out = folder_ / "from_pixels.safetensors";
  encode.batch = 3;
  RunEncode(encode);

  const SafetensorsFile images(folder_ / "from_images.safetensors");
  const SafetensorsFile pixels(folder_ / "from_pixels.safetensors");
  const int64_t samples = images.Get("image_index").shape.at(0);
  EXPECT_GT(samples, 2 * kImages);
  EXPECT_EQ(images.Get("pooler_output").shape.at(0), samples);
  EXPECT_EQ(nlohmann::json::parse(images.metadata().at("images")).size(), size_t{kImages});
  EXPECT_EQ(images.metadata().at("images"), pixels.metadata().at("images"));
  for (const auto& [name, tensor] : images.tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, pixels.Get(name).bytes)) << name;
  }
}

TEST_F(Tiles, TheReportCountsImagesAndDoesNotDependOnBatchOrThreads) {
  Options one = Made("", "one");
  one.clip_ranges = {kNoClip};
  one.threads = 1;
  Options two = one;
  two.out = folder_ / "two";
  two.threads = 2;
  two.batch = 5;
  two.memory_bytes = 1;
  RunWholeJob(one);
  RunWholeJob(two);
  for (const char* file : {"report.json", "stats.h5", "plan.json"}) {
    EXPECT_TRUE(ReadFile(folder_ / "one" / file) == ReadFile(folder_ / "two" / file)) << file;
  }
  const nlohmann::json report = nlohmann::json::parse(ReadFile(folder_ / "one/report.json"));
  EXPECT_EQ(report["facts"]["images"]["evaluation"], kImages);
  EXPECT_EQ(report["facts"]["views"]["evaluation_images"], kImages);
  EXPECT_GT(report["facts"]["views"]["samples"], 2 * kImages);
  EXPECT_EQ(report["checks"]["int32_mismatches"], 0u);
  EXPECT_GT(report["checks"]["int32_compared"], 0u);
  const std::string preprocessing = report["facts"]["preprocessing"].dump();
  EXPECT_NE(preprocessing.find("1 to 4 tiles"), std::string::npos) << preprocessing;
}

TEST_F(Tiles, AnImageIndexThatIsNoneIsRefused) {
  const fs::path file = folder_ / "bad_index.safetensors";
  const nlohmann::json model =
      nlohmann::json::parse(ReadFile(folder_ / "demo/model/preprocessor_config.json"));
  const int64_t side = model["size"]["height"];
  const std::vector<float> pixels(static_cast<size_t>(2 * 3 * side * side));
  const std::vector<int64_t> index = {0, 2};
  SafetensorsWriter writer;
  writer.Add("pixel_values", Dtype::kF32, {2, 3, side, side}, std::span<const float>(pixels));
  writer.Add("image_index", Dtype::kI64, {2}, std::span<const int64_t>(index));
  writer.Write(file);
  Options encode = Made("encode", "never.safetensors");
  encode.images.clear();
  encode.pixels = file;
  EXPECT_TRUE(Contains(ErrorOf([&] { RunEncode(encode); }), "image_index"));
}

}  // namespace
}  // namespace w8a8::test
