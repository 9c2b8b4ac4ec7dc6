#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "datasets/image_header.h"

namespace w8a8 {
namespace {

using Order = ByteReader::Order;

constexpr uint16_t kImageWidth = 256, kImageLength = 257, kBitsPerSample = 258, kCompression = 259,
                   kPhotometric = 262, kOrientation = 274, kSamplesPerPixel = 277, kTileWidth = 322,
                   kTileLength = 323, kSampleFormat = 339;

// The first value of each SHORT or LONG entry of the first directory; entries that point outside
// the file are left out.
std::map<uint16_t, uint32_t> FirstDirectory(FileBytes bytes) {
  const ByteReader probe(bytes, Order::kBig);
  const bool little = probe.Matches(0, "II");
  if (!little && !probe.Matches(0, "MM")) throw UnreadableImage("corrupt TIFF: no byte order");
  const ByteReader in(bytes, little ? Order::kLittle : Order::kBig);
  if (in.U16(2) != 42) throw UnreadableImage("BigTIFF is not supported; convert it to PNG or JPEG");

  constexpr uint16_t kShort = 3, kLong = 4;
  std::map<uint16_t, uint32_t> values;
  const size_t directory = in.U32(4);
  const int entries = in.U16(directory);
  for (int i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + static_cast<size_t>(i) * 12;
    if (entry + 12 > in.size()) break;
    const uint16_t type = in.U16(entry + 2);
    const uint64_t count = in.U32(entry + 4);
    if (count == 0 || (type != kShort && type != kLong)) continue;
    const uint64_t width = type == kShort ? 2 : 4;
    const size_t at = count * width <= 4 ? entry + 8 : in.U32(entry + 8);
    if (at + width > in.size()) continue;
    values[in.U16(entry)] = type == kShort ? in.U16(at) : in.U32(at);
  }
  return values;
}

uint32_t ValueOr(const std::map<uint16_t, uint32_t>& values, uint16_t tag, uint32_t otherwise) {
  const auto found = values.find(tag);
  return found == values.end() ? otherwise : found->second;
}

int ValidOrientation(uint32_t value) {
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

// OpenCV hands over colours multiplied by alpha, and colours of other spaces otherwise than Pillow.
void CheckColours(const std::map<uint16_t, uint32_t>& values, uint32_t samples) {
  constexpr uint32_t kPalette = 3, kCmyk = 5, kYCbCr = 6;
  constexpr uint32_t kUncompressed = 1;
  constexpr uint32_t kUnsigned = 1;
  const uint32_t space = ValueOr(values, kPhotometric, 0);
  // Compressed YCbCr is converted by libtiff for both.
  const bool by_libtiff = space == kYCbCr && ValueOr(values, kCompression, 1) != kUncompressed;
  if (space > kPalette && !by_libtiff) {
    throw UnreadableImage(
        fmt::format("TIFF in {} is not supported; convert it to RGB, as PNG or JPEG",
                    space == kCmyk    ? "CMYK"
                    : space == kYCbCr ? "YCbCr"
                                      : fmt::format("the colour space {}", space)));
  }
  if (samples == 2 || samples == 4) {
    throw UnreadableImage("TIFF with transparency is not supported; convert it to PNG or JPEG");
  }
  if (ValueOr(values, kSampleFormat, kUnsigned) != kUnsigned) {
    throw UnreadableImage(
        "TIFF with signed or floating-point samples is not supported; convert it to PNG or JPEG");
  }
}

}  // namespace

int ExifOrientation(FileBytes tiff) {
  try {
    return ValidOrientation(ValueOr(FirstDirectory(tiff), kOrientation, 1));
  } catch (const UnreadableImage&) {
    return 1;  // broken metadata does not make the picture unreadable
  }
}

ImageHeader ReadTiffHeader(FileBytes bytes) {
  const auto values = FirstDirectory(bytes);
  ImageHeader header;
  header.format = ImageFormat::kTiff;
  header.width = ValueOr(values, kImageWidth, 0);
  header.height = ValueOr(values, kImageLength, 0);
  header.decoder_orients = true;
  header.orientation = ValidOrientation(ValueOr(values, kOrientation, 1));
  const uint32_t bits = ValueOr(values, kBitsPerSample, 1);
  const uint32_t samples = ValueOr(values, kSamplesPerPixel, 1);
  if (bits > 16 || samples > 4) {
    throw UnreadableImage(
        fmt::format("TIFF with {} samples of {} bits is not supported; convert it to PNG or JPEG",
                    samples, bits));
  }
  CheckColours(values, samples);
  header.bytes_per_pixel = static_cast<int>(std::max(3u, samples)) * (bits > 8 ? 2 : 1);
  const int64_t tile = int64_t{ValueOr(values, kTileWidth, 0)} * ValueOr(values, kTileLength, 0);
  if (tile > kMaxImagePixels) {
    throw UnreadableImage(fmt::format("too large: TIFF tiles of {} pixels", tile));
  }
  return header;
}

}  // namespace w8a8
