// Where the runner gets its images from.
#pragma once

#include <optional>
#include <vector>

#include "eval/tap.h"

namespace w8a8 {

struct InputImage {
  ImageId id;
  std::vector<float> pixels;  // [channels, height, width]
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual std::optional<InputImage> Next() = 0;  // in order; nullopt at the end
};

}  // namespace w8a8
