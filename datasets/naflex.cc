#include "datasets/naflex.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

double PatchesAlong(double scale, int side, int patch) {
  return std::max(1.0, std::ceil(side * scale / patch));
}

// Calls body(index into the planes, index into the patches) for every value.
template <class Body>
void ForEachValue(int channels, ImageSize size, int patch, const Body& body) {
  W8A8_CHECK(size.width % patch == 0 && size.height % patch == 0);
  const size_t width = static_cast<size_t>(size.width);
  const size_t plane = width * static_cast<size_t>(size.height);
  size_t at = 0;
  for (int top = 0; top < size.height; top += patch) {
    for (int left = 0; left < size.width; left += patch) {
      for (int y = top; y < top + patch; ++y) {
        for (int x = left; x < left + patch; ++x) {
          const size_t pixel = static_cast<size_t>(y) * width + static_cast<size_t>(x);
          for (int c = 0; c < channels; ++c) body(static_cast<size_t>(c) * plane + pixel, at++);
        }
      }
    }
  }
}

}  // namespace

ImageSize SizeWithinBudget(ImageSize image, const PatchBudget& budget) {
  constexpr double kWidth = 1e-5;
  W8A8_CHECK(image.width > 0 && image.height > 0);
  double low = kWidth / 10, high = 100.0;
  while (high - low >= kWidth) {
    const double scale = (low + high) / 2;
    const double patches = PatchesAlong(scale, image.height, budget.patch) *
                           PatchesAlong(scale, image.width, budget.patch);
    (patches <= budget.max_patches ? low : high) = scale;
  }
  const auto side = [&](int extent) {
    return static_cast<int>(PatchesAlong(low, extent, budget.patch)) * budget.patch;
  };
  return {side(image.width), side(image.height)};
}

std::vector<float> ToPatches(std::span<const float> planes, int channels, ImageSize size,
                             int patch) {
  std::vector<float> patches(planes.size());
  ForEachValue(channels, size, patch,
               [&](size_t plane, size_t value) { patches[value] = planes[plane]; });
  return patches;
}

std::vector<float> FromPatches(std::span<const float> patches, int channels, ImageSize size,
                               int patch) {
  std::vector<float> planes(patches.size());
  ForEachValue(channels, size, patch,
               [&](size_t plane, size_t value) { planes[plane] = patches[value]; });
  return planes;
}

PatchBatch MakePatchBatch(std::span<const float> planes, std::span<const ImageSize> sizes,
                          const PatchBudget& budget) {
  constexpr int kChannels = 3;
  const auto rows = static_cast<size_t>(budget.max_patches);
  const auto row_size =
      static_cast<size_t>(budget.patch) * static_cast<size_t>(budget.patch) * kChannels;
  PatchBatch batch;
  batch.values.resize(sizes.size() * rows * row_size);
  batch.mask.resize(sizes.size() * rows);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const ImageSize size = sizes[i];
    const auto patches = static_cast<size_t>(size.width / budget.patch) *
                         static_cast<size_t>(size.height / budget.patch);
    W8A8_CHECK(patches <= rows && patches * row_size <= planes.size());
    const std::vector<float> values =
        ToPatches(planes.first(patches * row_size), kChannels, size, budget.patch);
    planes = planes.subspan(values.size());
    std::copy(values.begin(), values.end(), batch.values.data() + i * rows * row_size);
    std::fill_n(batch.mask.data() + i * rows, patches, 1);
    batch.grids.push_back(size.height / budget.patch);
    batch.grids.push_back(size.width / budget.patch);
  }
  return batch;
}

}  // namespace w8a8
