#include "datasets/resample.h"

#include <gtest/gtest.h>

#include "runtime/base/setting.h"
#include "tests/datasets/golden_images.h"

namespace w8a8::test {
namespace {

Filter FilterFromName(const std::string& name) {
  for (const Filter filter : {Filter::kNearest, Filter::kBilinear, Filter::kBicubic,
                              Filter::kLanczos, Filter::kBox, Filter::kHamming}) {
    if (name == FilterName(filter)) return filter;
  }
  throw Error("no filter " + name);
}

struct Case {
  RgbImage image;
  ImageSize size;
  Filter filter;
  std::string sha256;
};

Case CaseOf(const GoldenRow& row) {
  const auto number = [&](const char* key) { return std::stoi(row.at(key)); };
  return {HashImage(number("width"), number("height"), static_cast<uint64_t>(number("seed"))),
          {number("out_width"), number("out_height")},
          FilterFromName(row.at("filter")),
          row.at("sha256")};
}

std::string Text(const GoldenRow& row) {
  return row.at("width") + "x" + row.at("height") + " to " + row.at("out_width") + "x" +
         row.at("out_height") + " " + row.at("filter");
}

class ResampleGolden : public testing::TestWithParam<Resampler> {
 protected:
  std::vector<GoldenRow> Rows() const {
    return ReadGoldenTable("resample_" + std::string(ResamplerName(GetParam())) + ".tsv");
  }
};

TEST_P(ResampleGolden, EqualsTheLibraryInEveryByte) {
  const auto rows = Rows();
  EXPECT_GE(rows.size(), 200u);
  for (const GoldenRow& row : rows) {
    const Case c = CaseOf(row);
    EXPECT_EQ(Digest(Resize(c.image, c.size, c.filter, GetParam()).pixels), c.sha256) << Text(row);
  }
}

TEST_P(ResampleGolden, AWindowHasTheBytesOfTheWholeImage) {
  uint64_t seed = 0;
  for (const GoldenRow& row : Rows()) {
    const Case c = CaseOf(row);
    const RgbImage whole = Resize(c.image, c.size, c.filter, GetParam());
    const RgbImage dice = HashImage(4, 1, ++seed);
    Window window{dice.pixels[0] % c.size.width, dice.pixels[1] % c.size.height, 1, 1};
    window.width += dice.pixels[2] % (c.size.width - window.x);
    window.height += dice.pixels[3] % (c.size.height - window.y);
    const RgbImage part = ResizeWindow(c.image, c.size, window, c.filter, GetParam());
    for (int y = 0; y < window.height; ++y) {
      const uint8_t* expected = whole.row(window.y + y) + window.x * 3;
      ASSERT_TRUE(std::equal(part.row(y), part.row(y) + window.width * 3, expected)) << Text(row);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ResampleGolden,
                         testing::Values(Resampler::kPillow13, Resampler::kPillow12,
                                         Resampler::kTorchvision),
                         [](const auto& test) { return std::string(ResamplerName(test.param)); });

TEST(Resample, TheGoldensTellTheOrdersOfThePassesApart) {
  int different = 0;
  for (const GoldenRow& row : ReadGoldenTable("resample_pillow13.tsv")) {
    const Case c = CaseOf(row);
    different += Digest(Resize(c.image, c.size, c.filter, Resampler::kPillow12).pixels) != c.sha256;
  }
  EXPECT_GE(different, 20);
}

TEST(Resample, TheGoldensNoticeOneLevelOfOnePixel) {
  const Case c = CaseOf(ReadGoldenTable("resample_pillow13.tsv").front());
  RgbImage out = Resize(c.image, c.size, c.filter, Resampler::kPillow13);
  out.pixels[out.pixels.size() / 2] ^= 1;
  EXPECT_NE(Digest(out.pixels), c.sha256);
}

TEST(Resample, AVeryLongImageCostsOnlyItsWindow) {
  // 8 x 16384 with the shorter side to 2048 is 2048 x 4,194,304: 24 GiB if all of it were made.
  const RgbImage image = HashImage(8, 16384, 3);
  const RgbImage out = ResizeWindow(image, {2048, 4194304}, {900, 2000000, 224, 224},
                                    Filter::kBicubic, Resampler::kPillow13);
  EXPECT_EQ(SizeText(out), "224x224");
}

TEST(Resample, UnknownNamesAndNearestByTorchvisionAreBadSettings) {
  EXPECT_EQ(ResamplerFromName("pillow12"), Resampler::kPillow12);
  EXPECT_THROW(ResamplerFromName("pillow"), BadSetting);
  EXPECT_THROW(Resize(HashImage(4, 4, 1), {2, 2}, Filter::kNearest, Resampler::kTorchvision),
               BadSetting);
}

}  // namespace
}  // namespace w8a8::test
