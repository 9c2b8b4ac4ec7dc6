#include "eval/job/recording_source.h"

#include <array>

#include "datasets/naflex.h"

namespace w8a8 {

std::optional<InputImage> RecordingSource::Next() {
  std::optional<InputImage> image = source_.Next();
  if (!image) {
    const bool tiled = image_of_sample_.size() > names_.size();
    if (tiled) PutImageIndex();
    image_of_sample_.clear();
    return std::nullopt;
  }
  store_->AddSample(image->key);
  image_of_sample_.emplace_back(image->key, static_cast<int64_t>(names_.size()));
  if (image->whole) names_.push_back(image->key.image.name);
  if (!keep_pixels_) return image;
  if (image->grid.given()) {
    PutPatches(*image);
  } else {
    PutPixels(*image);
  }
  return image;
}

void RecordingSource::PutImageIndex() const {
  for (const auto& [sample, index] : image_of_sample_) {
    store_->Put("image_index", Dtype::kI64, {}, sample, std::span<const int64_t>(&index, 1));
  }
}

void RecordingSource::PutPixels(const InputImage& image) const {
  store_->Put("pixel_values", Dtype::kF32,
              {config_.channels, config_.image_height, config_.image_width}, image.key,
              std::span<const float>(image.pixels));
}

void RecordingSource::PutPatches(const InputImage& image) const {
  const int64_t rows = config_.patches();
  const std::vector<float> patches = ToPatches(image.pixels, static_cast<int>(config_.channels),
                                               {static_cast<int>(image.grid.cols * config_.patch),
                                                static_cast<int>(image.grid.rows * config_.patch)},
                                               static_cast<int>(config_.patch));
  const std::vector<int32_t> mask(static_cast<size_t>(image.grid.patches()), 1);
  const std::array<int64_t, 2> grid = {image.grid.rows, image.grid.cols};
  store_->Put("pixel_values", Dtype::kF32, {rows, config_.channels * config_.patch * config_.patch},
              image.key, std::span<const float>(patches));
  store_->Put("pixel_attention_mask", Dtype::kI32, {rows}, image.key,
              std::span<const int32_t>(mask));
  store_->Put("spatial_shapes", Dtype::kI64, {2}, image.key, std::span<const int64_t>(grid));
}

}  // namespace w8a8
