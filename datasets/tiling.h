// InternVL's dynamic tiling: a large image as a grid of tiles, each as large as the encoder's
// input, and the whole image once more as a thumbnail. As InternVL's dynamic_preprocess and
// transformers' GotOcr2ImageProcessor (crop_to_patches) choose the grid.
#pragma once

#include "datasets/resample.h"

namespace w8a8 {

struct Tiling {
  int min_tiles = 1;
  int max_tiles = 12;
  bool thumbnail = true;  // after more than one tile

  // Samples that one image can become.
  int MaxViews() const { return max_tiles > 1 && thumbnail ? max_tiles + 1 : max_tiles; }
};

struct TileGrid {
  int columns = 1;
  int rows = 1;
  friend bool operator==(TileGrid, TileGrid) = default;
};

// Of all grids with min_tiles to max_tiles tiles, the one whose columns / rows is nearest to the
// image's width / height, compared in binary64. Grids are tried from few tiles to many, narrow ones
// first; a later one of exactly equal distance wins while its tiles have less than twice the
// image's pixels.
TileGrid ChooseTileGrid(ImageSize image, ImageSize tile, const Tiling& tiling);

}  // namespace w8a8
