// An image into the encoder's input: resize, crop, normalize.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "datasets/preprocess_config.h"
#include "datasets/rgb_image.h"

namespace w8a8 {

// Thread-safe: every method is const and keeps nothing.
class Preprocessor {
 public:
  explicit Preprocessor(PreprocessConfig config);

  const PreprocessConfig& config() const { return config_; }

  // Everything that the encoder will look at, 8-bit images of config().OutputSize(): the whole
  // image; with config().tiling its tiles, row by row from the left, and then the thumbnail. Throws
  // UnreadableImage for an aspect ratio whose resized image has a side above 2^30.
  std::vector<RgbImage> Views(const RgbImage& image) const;
  // The whole image alone.
  RgbImage ResizeAndCrop(const RgbImage& image) const;
  // F32 [3, height, width].
  std::vector<float> Normalize(const RgbImage& resized) const;

 private:
  PreprocessConfig config_;
  // A pixel value depends on its level and channel only, so all 768 of them are made once, in the
  // Python processors' own order of operations.
  std::array<std::array<float, 256>, 3> value_of_level_;
};

}  // namespace w8a8
