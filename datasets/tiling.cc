#include "datasets/tiling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::vector<TileGrid> GridsInOrder(const Tiling& tiling) {
  std::vector<TileGrid> grids;
  for (int columns = 1; columns <= tiling.max_tiles; ++columns) {
    for (int rows = 1; columns * rows <= tiling.max_tiles; ++rows) {
      if (columns * rows >= tiling.min_tiles) grids.push_back({columns, rows});
    }
  }
  std::stable_sort(grids.begin(), grids.end(),
                   [](TileGrid a, TileGrid b) { return a.columns * a.rows < b.columns * b.rows; });
  return grids;
}

}  // namespace

TileGrid ChooseTileGrid(ImageSize image, ImageSize tile, const Tiling& tiling) {
  W8A8_CHECK(image.width > 0 && image.height > 0);
  const double aspect = static_cast<double>(image.width) / image.height;
  const double pixels = static_cast<double>(image.width) * image.height;
  const double tile_pixels = static_cast<double>(tile.width) * tile.height;
  TileGrid best;
  double best_distance = std::numeric_limits<double>::infinity();
  for (const TileGrid grid : GridsInOrder(tiling)) {
    const double distance = std::abs(aspect - static_cast<double>(grid.columns) / grid.rows);
    const bool nearer = distance < best_distance;
    const bool tie_with_room =
        distance == best_distance && pixels > 0.5 * tile_pixels * grid.columns * grid.rows;
    if (!nearer && !tie_with_room) continue;
    best_distance = distance;
    best = grid;
  }
  return best;
}

}  // namespace w8a8
