// Encoder input from a file: what `preprocess` wrote, or pixel_values of somebody else's making.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eval/run/image_source.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Reads `pixel_values` [samples, channels, height, width], F32, F16 or BF16, one by one. With
// `image_index` I64 [samples], ascending from 0, samples are views of images, the last one of each
// the whole image; without, each is an image. Images are named as the file's metadata `images` (a
// JSON list) says, else "pixel_values[i]"; they have no sha256. For a variable grid `pixel_values`
// is [images, rows, patch * patch * channels], what Siglip2ImageProcessor makes, with
// `spatial_shapes` I64 [images, 2] and, if there is one, a `pixel_attention_mask` [images, rows]
// I32 or I64 that says the same.
class PixelSource final : public ImageSource {
 public:
  // Throws Error if the shape is not one that the encoder takes.
  PixelSource(const std::filesystem::path& path, const EncoderConfig& config);
  std::optional<InputImage> Next() override;

  // The file's own metadata, handed on: "" where it has none.
  std::string Metadata(const std::string& key) const;

 private:
  InputImage ReadSample(size_t index) const;

  const SafetensorsFile file_;
  const EncoderConfig config_;
  std::vector<PatchGrid> grids_;      // of each sample of a variable grid
  std::vector<int64_t> image_index_;  // of each sample
  std::vector<ImageKey> images_;
  size_t next_ = 0;
  int64_t view_ = 0;
};

}  // namespace w8a8
