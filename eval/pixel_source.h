// Encoder input from a file: what `preprocess` wrote, or pixel_values of somebody else's making.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "eval/image_source.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

// Reads `pixel_values` [images, channels, height, width], F32, F16 or BF16, image by image. Images
// are named as the file's metadata `images` (a JSON list) says, else "pixel_values[i]"; they have
// no sha256.
class PixelSource final : public ImageSource {
 public:
  // Throws Error if the shape is not one that the encoder takes.
  PixelSource(const std::filesystem::path& path, const EncoderConfig& config);
  std::optional<InputImage> Next() override;

  // The file's own metadata, handed on: "" where it has none.
  std::string Metadata(const std::string& key) const;

 private:
  const SafetensorsFile file_;
  std::vector<std::string> names_;
  int64_t next_ = 0;
};

}  // namespace w8a8
