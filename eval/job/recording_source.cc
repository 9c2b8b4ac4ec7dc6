#include "eval/job/recording_source.h"

#include <array>

#include "datasets/naflex.h"

namespace w8a8 {

std::optional<InputImage> RecordingSource::Next() {
  std::optional<InputImage> image = source_.Next();
  if (!image) {
    const bool tiled = image_of_sample_.size() > names_.size();
    for (size_t i = 0; tiled && i < image_of_sample_.size(); ++i) {
      store_->Put("image_index", Dtype::kI64, {}, static_cast<int64_t>(i),
                  std::span<const int64_t>(&image_of_sample_[i], 1));
    }
    image_of_sample_.clear();
    return std::nullopt;
  }
  image_of_sample_.push_back(image->id.image);
  if (image->id.whole) names_.push_back(image->id.name);
  if (!keep_pixels_) return image;
  if (image->grid.given()) {
    PutPatches(*image);
  } else {
    PutPixels(*image);
  }
  return image;
}

void RecordingSource::PutPixels(const InputImage& image) const {
  store_->Put("pixel_values", Dtype::kF32,
              {config_.channels, config_.image_height, config_.image_width}, image.id.index,
              std::span<const float>(image.pixels));
}

void RecordingSource::PutPatches(const InputImage& image) const {
  const int64_t rows = config_.patches();
  const int64_t index = image.id.index;
  const std::vector<float> patches = ToPatches(image.pixels, static_cast<int>(config_.channels),
                                               {static_cast<int>(image.grid.cols * config_.patch),
                                                static_cast<int>(image.grid.rows * config_.patch)},
                                               static_cast<int>(config_.patch));
  const std::vector<int32_t> mask(static_cast<size_t>(image.grid.patches()), 1);
  const std::array<int64_t, 2> grid = {image.grid.rows, image.grid.cols};
  store_->Put("pixel_values", Dtype::kF32, {rows, config_.channels * config_.patch * config_.patch},
              index, std::span<const float>(patches));
  store_->Put("pixel_attention_mask", Dtype::kI32, {rows}, index, std::span<const int32_t>(mask));
  store_->Put("spatial_shapes", Dtype::kI64, {2}, index, std::span<const int64_t>(grid));
}

}  // namespace w8a8
