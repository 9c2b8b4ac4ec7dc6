#include "datasets/tiling.h"

#include <gtest/gtest.h>

#include "datasets/preprocess.h"
#include "tests/datasets/golden_images.h"

namespace w8a8::test {
namespace {

TEST(Tiling, GridsEqualTransformersChoice) {
  for (const GoldenRow& row : ReadGoldenTable("tile_grids.tsv")) {
    const auto number = [&](const char* key) { return std::stoi(row.at(key)); };
    const Tiling tiling{number("min_tiles"), number("max_tiles"), true};
    const ImageSize image{number("width"), number("height")};
    const TileGrid grid = ChooseTileGrid(image, {number("tile"), number("tile")}, tiling);
    EXPECT_EQ(grid, (TileGrid{number("columns"), number("rows")}))
        << image.width << "x" << image.height << " in " << tiling.min_tiles << " to "
        << tiling.max_tiles << " tiles: " << grid.columns << "x" << grid.rows;
  }
}

TEST(Tiling, OfTwoEquallyGoodGridsTheLargerWinsOnlyWithPixelsEnough) {
  // 0.5 * 448^2 * 4 pixels is a square of 633.6.
  const Tiling tiling{1, 4, true};
  EXPECT_EQ(ChooseTileGrid({633, 633}, {448, 448}, tiling), (TileGrid{1, 1}));
  EXPECT_EQ(ChooseTileGrid({634, 634}, {448, 448}, tiling), (TileGrid{2, 2}));
}

PreprocessConfig SmallTiles() {
  PreprocessConfig config;
  config.resize = {8, 6};
  config.tiling = Tiling{1, 12, true};
  return config;
}

TEST(Tiling, ViewsAreTheTilesRowByRowAndThenTheWholeImage) {
  const PreprocessConfig config = SmallTiles();
  const RgbImage image = HashImage(16, 8, 1);
  ASSERT_EQ(ChooseTileGrid({16, 8}, config.resize, *config.tiling), (TileGrid{2, 1}));
  const RgbImage canvas = Resize(image, {16, 6}, config.filter, config.resampler);
  const std::vector<RgbImage> views = Preprocessor(config).Views(image);
  ASSERT_EQ(views.size(), 3u);
  for (int tile = 0; tile < 2; ++tile) {
    for (int y = 0; y < 6; ++y) {
      const std::vector<uint8_t> expected(canvas.row(y) + tile * 24,
                                          canvas.row(y) + tile * 24 + 24);
      const auto& view = views[static_cast<size_t>(tile)];
      EXPECT_EQ(std::vector<uint8_t>(view.row(y), view.row(y) + 24), expected) << tile << " " << y;
    }
  }
  EXPECT_EQ(views[2].pixels, Resize(image, {8, 6}, config.filter, config.resampler).pixels);
}

TEST(Tiling, OneTileNeedsNoThumbnailAndTheThumbnailCanBeOff) {
  PreprocessConfig config = SmallTiles();
  EXPECT_EQ(Preprocessor(config).Views(HashImage(5, 5, 1)).size(), 1u);
  config.tiling->thumbnail = false;
  EXPECT_EQ(Preprocessor(config).Views(HashImage(16, 8, 1)).size(), 2u);
}

}  // namespace
}  // namespace w8a8::test
