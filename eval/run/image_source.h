// Where the runner gets its images from.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/run/tap.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

struct InputImage {
  ImageId id;
  std::vector<float> pixels;  // [channels, height, width], or [tokens, width] behind the embedding
  PatchGrid grid = {};        // of a NaFlex image, whose size follows from it
  std::vector<uint8_t> key_mask = {};  // [tokens]: 0 for padding; empty: there is none
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual std::optional<InputImage> Next() = 0;  // in order; nullopt at the end
};

}  // namespace w8a8
