// Drawn images for the demo: shapes, gradients and noise, from a seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "datasets/rgb_image.h"

namespace w8a8 {

// The `index`-th picture of a seed: 160 to 480 pixels a side, a gradient, 3 to 8 filled discs and
// rectangles, a little noise. The same bytes on every machine (integers only).
RgbImage DrawImage(uint64_t seed, int64_t index);

// Writes drawn_0000.png and on into `folder` (made if absent) and returns their paths. Throws Error
// if one cannot be written.
std::vector<std::filesystem::path> WriteDrawnImages(const std::filesystem::path& folder,
                                                    int64_t count, uint64_t seed);

}  // namespace w8a8
