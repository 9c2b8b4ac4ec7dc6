// One image file into 8-bit RGB, the way up that its EXIF data says.
#pragma once

#include <filesystem>

#include "datasets/image_header.h"
#include "datasets/rgb_image.h"

namespace w8a8 {

// What becomes of transparency (an alpha channel, a PNG's transparent colour).
enum class AlphaRule {
  kOnWhite,  // composed on white, as transformers does; Pillow's integer arithmetic
  kDrop,     // ignored, as PIL's convert("RGB") does
};

// Decodes JPEG, PNG, WebP, BMP and TIFF with OpenCV (CMYK with libjpeg); grey, palette, CMYK and
// 16-bit files become what Pillow's convert("RGB") makes of them, level by level. Colour profiles
// are ignored, as everywhere in this field.
//
// Throws UnreadableImage with the reason for everything that is not a whole image of a known
// format. The header is parsed and bounded first (kMaxImagePixels, kMaxDecodedBytes), so that no
// file makes the decoder allocate more. Files above kLargeImagePixels are decoded one at a time in
// the whole process; with every bound at its end that is about 2.2 GiB.
RgbImage DecodeRgb(FileBytes bytes, AlphaRule alpha);
RgbImage DecodeFile(const std::filesystem::path& path, AlphaRule alpha);

constexpr int64_t kMaxDecodedBytes = int64_t{1} << 30;
constexpr int64_t kLargeImagePixels = int64_t{1} << 25;
constexpr int64_t kMaxImageFileBytes = int64_t{1} << 29;

// The bytes of a regular file. Throws UnreadableImage if it is missing, not a regular file (a pipe
// would hang), not readable, or larger than kMaxImageFileBytes.
std::vector<uint8_t> ReadImageFile(const std::filesystem::path& path);

}  // namespace w8a8
