// Where the runner gets its images from.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/run/sample.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

struct InputImage {
  SampleKey key;
  bool whole = true;          // as Sample has it
  std::vector<float> pixels;  // [channels, height, width], or [tokens, width] behind the embedding
  PatchGrid grid = {};        // of a NaFlex image, whose size follows from it
  std::vector<uint8_t> key_mask = {};  // [tokens]: 0 for padding; empty: there is none
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // In order, the views of an image behind each other, no key twice; nullopt at the end.
  virtual std::optional<InputImage> Next() = 0;
};

}  // namespace w8a8
