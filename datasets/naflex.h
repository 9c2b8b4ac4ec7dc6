// SigLIP 2 NaFlex: images keep their aspect, on a grid of at most so many patches. As transformers'
// Siglip2ImageProcessor does it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/resample.h"

namespace w8a8 {

struct PatchBudget {
  int patch = 16;  // pixels, of either side
  int max_patches = 256;
};

// Both sides are multiples of the patch, at least one: the size of the largest scale, found by
// bisection of [1e-6, 100] down to a width of 1e-5 in binary64, whose patches are within the
// budget.
ImageSize SizeWithinBudget(ImageSize image, const PatchBudget& budget);

// [channels, height, width] to [patches, patch * patch * channels]: patches row by row, each in the
// order (y, x, channel). Sides are multiples of the patch.
std::vector<float> ToPatches(std::span<const float> planes, int channels, ImageSize size,
                             int patch);
// And back.
std::vector<float> FromPatches(std::span<const float> patches, int channels, ImageSize size,
                               int patch);

// Images of different grids as transformers' processor hands them out, in rows of max_patches,
// zeros after the last patch.
struct PatchBatch {
  std::vector<float> values;   // [images, max_patches, patch * patch * 3]
  std::vector<int32_t> mask;   // [images, max_patches], 1 for a patch
  std::vector<int64_t> grids;  // [images, 2]: rows, columns
};

// `planes`: [3, height, width] of each image, one after the other.
PatchBatch MakePatchBatch(std::span<const float> planes, std::span<const ImageSize> sizes,
                          const PatchBudget& budget);

}  // namespace w8a8
