// What an image file's header claims, read by our own bounds-checked parsers before any decoder
// sees the file: format, size, orientation, and whether the file is whole.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "datasets/byte_reader.h"

namespace w8a8 {

enum class ImageFormat {
  kUnknown,
  kJpeg,
  kPng,
  kWebp,
  kBmp,
  kTiff,
  kGif,       // recognised, not decoded
  kHeif,      // HEIC and AVIF: recognised, not decoded
  kJpeg2000,  // recognised, not decoded
  kOther,     // an image extension only; never from bytes
};

struct ImageHeader {
  ImageFormat format = ImageFormat::kUnknown;
  int64_t width = 0;  // before orientation
  int64_t height = 0;
  int components = 3;            // of a JPEG
  int bytes_per_pixel = 3;       // as the decoder will hold it
  int orientation = 1;           // EXIF, 1 to 8
  bool decoder_orients = false;  // OpenCV applies a TIFF's orientation whatever it is told
  // PNG tRNS of images without a palette: the one transparent colour. As Pillow takes it: the low
  // bytes of what is stored, whatever the depth, are compared with 8-bit levels.
  std::optional<std::array<uint8_t, 3>> transparent;
};

// By the first bytes alone (32 are enough).
ImageFormat FormatBySignature(FileBytes bytes);
// kUnknown if the name has no image extension.
ImageFormat FormatByExtension(std::string_view file_name);

// Largest image that is decoded: what Pillow allows before it calls a file a decompression bomb.
constexpr int64_t kMaxImagePixels = 178'956'970;
constexpr int64_t kMaxImageSide = int64_t{1} << 20;  // OpenCV's own limit

// Parses and checks the header. Throws UnreadableImage with the reason: not an image, a format that
// is not decoded, truncated, or larger than the limits above.
ImageHeader ReadImageHeader(FileBytes bytes);

// The parts of ReadImageHeader that have a file of their own.
ImageHeader ReadJpegHeader(FileBytes bytes);
ImageHeader ReadTiffHeader(FileBytes bytes);
// The orientation tag of a TIFF structure (an EXIF block); 1 where there is none or it is broken.
int ExifOrientation(FileBytes tiff);

}  // namespace w8a8
