// JPEG files of four components.
#pragma once

#include "datasets/byte_reader.h"
#include "datasets/rgb_image.h"

namespace w8a8 {

// CMYK or YCCK to RGB as Pillow's convert("RGB") gives it, level by level: the stored inks are
// taken for inverted, as Adobe writes them, whether the file says so or not. Throws UnreadableImage
// with libjpeg's reason. `bytes` have a header of width x height pixels.
RgbImage DecodeCmykJpeg(FileBytes bytes, int width, int height);

}  // namespace w8a8
