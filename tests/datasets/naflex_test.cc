#include "datasets/naflex.h"

#include <numeric>

#include <gtest/gtest.h>

#include "tests/datasets/golden_images.h"

namespace w8a8::test {
namespace {

TEST(Naflex, SizesEqualTransformersSearch) {
  for (const GoldenRow& row : ReadGoldenTable("naflex_sizes.tsv")) {
    const auto number = [&](const char* key) { return std::stoi(row.at(key)); };
    const ImageSize size = SizeWithinBudget({number("width"), number("height")},
                                            {number("patch"), number("max_patches")});
    EXPECT_EQ(size, (ImageSize{number("out_width"), number("out_height")}))
        << number("width") << "x" << number("height") << " in " << number("max_patches")
        << " patches: " << size.width << "x" << size.height;
  }
}

TEST(Naflex, PatchesAreInTheOrderRowColumnChannelAndComeBack) {
  // Two channels, 2 rows of 3 patches of 2 x 2: value = channel * 100 + y * 10 + x.
  std::vector<float> planes;
  for (int c = 0; c < 2; ++c) {
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 6; ++x) planes.push_back(static_cast<float>(c * 100 + y * 10 + x));
    }
  }
  const std::vector<float> patches = ToPatches(planes, 2, {6, 4}, 2);
  const std::vector<float> second(patches.begin() + 8, patches.begin() + 16);
  EXPECT_EQ(second, (std::vector<float>{2, 102, 3, 103, 12, 112, 13, 113}));
  EXPECT_EQ(FromPatches(patches, 2, {6, 4}, 2), planes);
}

TEST(Naflex, ABatchIsPaddedWithZerosAndMasked) {
  std::vector<float> planes(3 * (2 * 2 + 2 * 6));
  std::iota(planes.begin(), planes.end(), 1.0f);
  const std::vector<ImageSize> sizes = {{2, 2}, {6, 2}};
  const PatchBatch batch = MakePatchBatch(planes, sizes, {.patch = 2, .max_patches = 4});
  EXPECT_EQ(batch.mask, (std::vector<int32_t>{1, 0, 0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(batch.grids, (std::vector<int64_t>{1, 1, 1, 3}));
  const std::vector<float> first = ToPatches(std::span(planes).first(12), 3, {2, 2}, 2);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), batch.values.begin()));
  EXPECT_EQ(std::accumulate(batch.values.begin() + 12, batch.values.begin() + 48, 0.0f), 0.0f);
  EXPECT_EQ(batch.values[48 + 36 + 1], 0.0f);
}

}  // namespace
}  // namespace w8a8::test
