#include "datasets/loader.h"

#include <gtest/gtest.h>

#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

Preprocessor SmallPreprocessor() {
  PreprocessConfig config;
  config.resize = {16, 16};
  return Preprocessor(config);
}

// 24 images, every fifth of which is no image.
std::vector<ImageFile> MixedFiles() {
  const fs::path folder = ScratchFolder("loader");
  for (int i = 0; i < 24; ++i) {
    const fs::path path = folder / ("image_" + std::to_string(100 + i) + ".png");
    if (i % 5 == 0) {
      WriteText(path, "no image");
    } else {
      WriteImage(path, HashImage(10 + i * 7, 300 - i * 9, static_cast<uint64_t>(i)));
    }
  }
  return ListImages(folder).files;
}

struct Loaded {
  std::vector<std::string> names, digests, skipped;
  friend bool operator==(const Loaded&, const Loaded&) = default;
};

Loaded LoadAll(LoaderOptions options) {
  ImageLoader loader(MixedFiles(), SmallPreprocessor(), options);
  Loaded all;
  while (const auto image = loader.Next()) {
    all.names.push_back(image->name);
    all.digests.push_back(Digest(image->views.front().pixels) + image->sha256);
  }
  for (const SkippedImage& image : loader.skipped()) {
    all.skipped.push_back(image.file + ": " + image.reason);
  }
  return all;
}

TEST(ImageLoader, OrderAndResultDoNotDependOnThreads) {
  const Loaded expected = LoadAll({.threads = 1, .ahead = 1, .max_images = {}});
  ASSERT_EQ(expected.names.size(), 19u);
  EXPECT_TRUE(std::is_sorted(expected.names.begin(), expected.names.end()));
  ASSERT_EQ(expected.skipped.size(), 5u);
  EXPECT_EQ(expected.skipped[1], "image_105.png: not a JPEG, PNG, WebP, BMP or TIFF file");
  for (const int threads : {1, 2, 7}) {
    for (const int ahead : {1, 3, 64}) {
      EXPECT_EQ(LoadAll({.threads = threads, .ahead = ahead, .max_images = {}}), expected)
          << threads << " threads, " << ahead << " ahead";
    }
  }
}

TEST(ImageLoader, MaxImagesCountsThoseThatDecode) {
  const Loaded first = LoadAll({.threads = 2, .ahead = 4, .max_images = 5});
  EXPECT_EQ(first.names,
            (std::vector<std::string>{"image_101.png", "image_102.png", "image_103.png",
                                      "image_104.png", "image_106.png"}));
  EXPECT_EQ(first.skipped.size(), 2u);
}

TEST(ImageLoader, ATiledImageComesWithAllItsViews) {
  PreprocessConfig config;
  config.resize = {16, 16};
  config.tiling = Tiling{1, 4, true};
  const Preprocessor preprocessor(config);
  ImageLoader loader(MixedFiles(), preprocessor, {.threads = 2, .ahead = 2, .max_images = {}});
  size_t tiled = 0;
  while (const auto image = loader.Next()) {
    tiled += image->views.size() > 1;
    for (const ImageView& view : image->views) {
      EXPECT_EQ(view.resized.pixels.size(), 16u * 16 * 3);
      EXPECT_EQ(view.pixels, preprocessor.Normalize(view.resized));
    }
  }
  EXPECT_GT(tiled, 5u);
}

TEST(ImageLoader, CanBeLeftEarly) {
  ImageLoader loader(MixedFiles(), SmallPreprocessor(),
                     {.threads = 2, .ahead = 2, .max_images = {}});
  EXPECT_TRUE(loader.Next().has_value());
}

TEST(ImageLoader, KeepDecodableGivesTheListBeforehand) {
  std::vector<SkippedImage> skipped;
  const auto kept = KeepDecodable(MixedFiles(), SmallPreprocessor(),
                                  {.threads = 2, .ahead = 4, .max_images = 5}, &skipped);
  ASSERT_EQ(kept.size(), 5u);
  EXPECT_EQ(kept.back().name, "image_106.png");
  EXPECT_EQ(skipped.size(), 2u);
}

}  // namespace
}  // namespace w8a8::test
