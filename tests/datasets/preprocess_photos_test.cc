// Every family's preprocessing on photos, against the 8-bit pixels of transformers' processors: the
// PIL ones under Pillow 13 and 12, and the torchvision ones. What normalization makes of all levels
// is proven on made-up images (preprocess_test.cc).
#include <array>
#include <sstream>

#include <gtest/gtest.h>

#include "datasets/decode.h"
#include "datasets/image_set.h"
#include "datasets/preprocess.h"
#include "runtime/base/parallel.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

constexpr size_t kPhotos = 50;
// A sanitizer looks at memory, not at bytes, and takes a minute for all of them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kEvery = 5;
#else
constexpr size_t kEvery = 1;
#endif
constexpr int64_t kTaken = kPhotos / kEvery;

std::vector<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// Every fourth photo of the calibration set, as the golden script takes them.
std::vector<RgbImage> Photos(const std::filesystem::path& folder) {
  const std::vector<ImageFile> files = ListImages(folder).files;
  std::vector<RgbImage> photos(kPhotos);
  ThreadPool(2).For(kTaken, [&](int64_t taken, int) {
    const size_t i = static_cast<size_t>(taken) * kEvery;
    photos[i] = DecodeFile(files.at(i * 4).path, AlphaRule::kOnWhite);
  });
  return photos;
}

// In the order of NaFlex: patches row by row.
std::vector<uint8_t> PatchLevels(const RgbImage& image, int patch) {
  std::vector<uint8_t> levels;
  for (int top = 0; top < image.height; top += patch) {
    for (int left = 0; left < image.width; left += patch) {
      for (int y = top; y < top + patch; ++y) {
        const uint8_t* from = image.row(y) + static_cast<size_t>(left) * 3;
        levels.insert(levels.end(), from, from + patch * 3);
      }
    }
  }
  return levels;
}

std::string ViewsDigest(const Preprocessor& preprocessor, const RgbImage& photo) {
  std::vector<uint8_t> levels;
  for (const RgbImage& view : preprocessor.Views(photo)) {
    const PreprocessConfig& config = preprocessor.config();
    const std::vector<uint8_t> more =
        config.variable_size() ? PatchLevels(view, config.budget.patch) : view.pixels;
    levels.insert(levels.end(), more.begin(), more.end());
  }
  return Digest(levels).substr(0, 12);
}

class PreprocessPhotos : public testing::TestWithParam<const char*> {};

TEST_P(PreprocessPhotos, HaveTheBytesOfEveryFamilysProcessor) {
  const auto data = DataFolder() / "images/calib";
  if (!std::filesystem::exists(data)) W8A8_SKIP_OR_FAIL("data", "no " + data.string());
  const std::vector<RgbImage> photos = Photos(data);
  const auto rows = ReadGoldenTable(GetParam());
  EXPECT_GE(rows.size(), 9u);
  for (const GoldenRow& row : rows) {
    const auto folder = ScratchFolder("preprocess_photos");
    WriteText(folder / "preprocessor_config.json", row.at("config"));
    const Preprocessor preprocessor(
        ReadPreprocessConfig(folder, ResamplerFromName(row.at("resampler"))));
    const std::vector<std::string> expected = Words(row.at("digests"));
    ASSERT_EQ(expected.size(), kPhotos);
    std::array<std::string, kPhotos> actual;
    ThreadPool(2).For(kTaken, [&](int64_t taken, int) {
      const size_t i = static_cast<size_t>(taken) * kEvery;
      actual[i] = ViewsDigest(preprocessor, photos[i]);
    });
    for (size_t i = 0; i < kPhotos; i += kEvery) {
      EXPECT_EQ(actual[i], expected[i])
          << row.at("family") << " " << row.at("resampler") << ", photo " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PreprocessPhotos,
                         testing::Values("preprocess_photos.tsv", "preprocess_photos12.tsv"),
                         [](const auto& test) {
                           return std::string(test.param).find("12") == std::string::npos
                                      ? "Pillow13AndTorchvision"
                                      : "Pillow12";
                         });

}  // namespace
}  // namespace w8a8::test
