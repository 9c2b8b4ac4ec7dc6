// Siglip2VisionConfig of transformers (NaFlex): fields and class defaults.
#include <cmath>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {

EncoderConfig ReadSiglip2Config(const JsonFields& vision) {
  EncoderConfig config = ReadSiglipConfig(vision);
  config.family = "siglip2";
  config.variable_grid = true;
  config.position_resize = PositionResize::kBilinearAntialias;
  const int64_t stored = vision.Int("num_patches", 256, 4, 1'000'000);
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(stored))));
  if (side * side != stored) {
    Fail("{}: 'num_patches' is {}; the position table must be square.", vision.file(), stored);
  }
  config.position_rows = side;
  config.position_cols = side;
  config.image_height = config.patch;
  config.image_width = config.patch * stored;
  return config;
}

}  // namespace w8a8
