#include "datasets/image_header.h"

#include <algorithm>
#include <cctype>
#include <string>

#include <fmt/format.h>

namespace w8a8 {
namespace {

using Order = ByteReader::Order;

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

// The chunks of a PNG: the size, the transparent colour, the orientation, and that IEND is there.
ImageHeader ReadPngHeader(FileBytes bytes) {
  const ByteReader in(bytes, Order::kBig);
  if (!in.Matches(12, "IHDR")) throw UnreadableImage("corrupt PNG: IHDR is not the first chunk");
  ImageHeader header;
  header.format = ImageFormat::kPng;
  header.width = in.U32(16);
  header.height = in.U32(20);
  const int depth = in.U8(24);
  const int colour = in.U8(25);
  constexpr int kGray = 0, kRgb = 2;
  header.bytes_per_pixel = 4 * (depth == 16 ? 2 : 1);

  for (size_t at = 8;;) {
    const size_t length = in.U32(at);
    if (in.size() < 12 || length > in.size() - 12 || at > in.size() - 12 - length) {
      throw UnreadableImage("truncated PNG: a chunk runs past the end of the file");
    }
    const size_t data = at + 8;
    if (in.Matches(at + 4, "IEND")) return header;
    if (in.Matches(at + 4, "eXIf")) header.orientation = ExifOrientation(in.Slice(data, length));
    if (in.Matches(at + 4, "tRNS")) {
      const auto level = [&](size_t i) { return static_cast<uint8_t>(in.U16(data + 2 * i)); };
      if (colour == kGray && length >= 2) header.transparent = {level(0), level(0), level(0)};
      if (colour == kRgb && length >= 6) header.transparent = {level(0), level(1), level(2)};
    }
    at = data + length + 4;
  }
}

ImageHeader ReadWebpHeader(FileBytes bytes) {
  const ByteReader in(bytes, Order::kLittle);
  if (in.U32(4) > in.size() - 8) throw UnreadableImage("truncated WebP: the RIFF chunk is cut off");
  const auto u24 = [&](size_t at) { return in.U16(at) | in.U8(at + 2) << 16; };
  ImageHeader header;
  header.format = ImageFormat::kWebp;
  header.bytes_per_pixel = 4;
  if (in.Matches(12, "VP8 ")) {
    header.width = in.U16(26) & 0x3fff;
    header.height = in.U16(28) & 0x3fff;
    return header;
  }
  if (in.Matches(12, "VP8L")) {
    const uint32_t sizes = in.U32(21);
    header.width = (sizes & 0x3fff) + 1;
    header.height = ((sizes >> 14) & 0x3fff) + 1;
    return header;
  }
  if (!in.Matches(12, "VP8X")) throw UnreadableImage("corrupt WebP: no image chunk");
  constexpr int kAnimation = 0x02;
  if (in.U8(20) & kAnimation) {
    throw UnreadableImage("animated WebP is not supported; save one frame as PNG or JPEG");
  }
  header.width = u24(24) + 1;
  header.height = u24(27) + 1;
  for (size_t at = 30; at + 8 <= in.size();) {
    const size_t length = in.U32(at + 4);
    if (length > in.size() - at - 8) break;
    if (in.Matches(at, "EXIF")) {
      const size_t prefix = in.Matches(at + 8, std::string_view("Exif\0\0", 6)) ? 6 : 0;
      header.orientation = ExifOrientation(in.Slice(at + 8 + prefix, length - prefix));
    }
    at += 8 + length + (length & 1);
  }
  return header;
}

ImageHeader ReadBmpHeader(FileBytes bytes) {
  const ByteReader in(bytes, Order::kLittle);
  ImageHeader header;
  header.format = ImageFormat::kBmp;
  header.bytes_per_pixel = 4;
  int bits = 0;
  if (in.U32(14) == 12) {
    header.width = in.U16(18);
    header.height = in.U16(20);
    bits = in.U16(24);
  } else {
    header.width = static_cast<int32_t>(in.U32(18));
    header.height = std::abs(int64_t{static_cast<int32_t>(in.U32(22))});  // negative: top-down
    bits = in.U16(28);
  }
  constexpr std::array kBitCounts = {1, 4, 8, 16, 24, 32};
  if (std::find(kBitCounts.begin(), kBitCounts.end(), bits) == kBitCounts.end()) {
    throw UnreadableImage(fmt::format("corrupt BMP: {} bits per pixel", bits));
  }
  return header;
}

void CheckSize(const ImageHeader& header) {
  if (header.width <= 0 || header.height <= 0) {
    throw UnreadableImage(
        fmt::format("corrupt: the header claims {}x{} pixels", header.width, header.height));
  }
  if (std::max(header.width, header.height) > kMaxImageSide ||
      header.width > kMaxImagePixels / header.height) {
    throw UnreadableImage(fmt::format("too large: {}x{} pixels; the limit is {} pixels, {} a side",
                                      header.width, header.height, kMaxImagePixels, kMaxImageSide));
  }
}

}  // namespace

ImageFormat FormatBySignature(FileBytes bytes) {
  const ByteReader in(bytes, Order::kBig);
  if (in.Matches(0, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (in.Matches(0, kPngSignature)) return ImageFormat::kPng;
  if (in.Matches(0, "RIFF") && in.Matches(8, "WEBP")) return ImageFormat::kWebp;
  if (in.Matches(0, "GIF87a") || in.Matches(0, "GIF89a")) return ImageFormat::kGif;
  if (in.Matches(0, std::string_view("II*\0", 4)) || in.Matches(0, std::string_view("MM\0*", 4)) ||
      in.Matches(0, std::string_view("II+\0", 4)) || in.Matches(0, std::string_view("MM\0+", 4))) {
    return ImageFormat::kTiff;
  }
  if (in.Matches(4, "ftyp")) {
    for (const std::string_view brand :
         {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "avif", "avis"}) {
      if (in.Matches(8, brand)) return ImageFormat::kHeif;
    }
  }
  if (in.Matches(4, "jP  ") || in.Matches(0, "\xff\x4f\xff\x51")) return ImageFormat::kJpeg2000;
  // Two letters are little evidence; a BMP's reserved words are zero as well.
  if (in.Matches(0, "BM") && in.Matches(6, std::string_view("\0\0\0\0", 4)) && in.size() >= 26) {
    return ImageFormat::kBmp;
  }
  return ImageFormat::kUnknown;
}

ImageFormat FormatByExtension(std::string_view file_name) {
  const size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return ImageFormat::kUnknown;
  std::string extension(file_name.substr(dot + 1));
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  struct Known {
    std::string_view extension;
    ImageFormat format;
  };
  static constexpr Known kKnown[] = {
      {"jpg", ImageFormat::kJpeg},     {"jpeg", ImageFormat::kJpeg},
      {"jpe", ImageFormat::kJpeg},     {"jfif", ImageFormat::kJpeg},
      {"mpo", ImageFormat::kJpeg},     {"png", ImageFormat::kPng},
      {"apng", ImageFormat::kPng},     {"webp", ImageFormat::kWebp},
      {"bmp", ImageFormat::kBmp},      {"dib", ImageFormat::kBmp},
      {"tif", ImageFormat::kTiff},     {"tiff", ImageFormat::kTiff},
      {"gif", ImageFormat::kGif},      {"heic", ImageFormat::kHeif},
      {"heif", ImageFormat::kHeif},    {"avif", ImageFormat::kHeif},
      {"jp2", ImageFormat::kJpeg2000}, {"j2k", ImageFormat::kJpeg2000},
      {"ppm", ImageFormat::kOther},    {"pgm", ImageFormat::kOther},
      {"pbm", ImageFormat::kOther},    {"tga", ImageFormat::kOther},
      {"ico", ImageFormat::kOther},    {"psd", ImageFormat::kOther},
      {"jxl", ImageFormat::kOther},    {"exr", ImageFormat::kOther},
  };
  for (const Known& known : kKnown) {
    if (extension == known.extension) return known.format;
  }
  return ImageFormat::kUnknown;
}

ImageHeader ReadImageHeader(FileBytes bytes) {
  if (bytes.empty()) throw UnreadableImage("the file is empty");
  constexpr std::string_view kConvert = "; convert it to PNG or JPEG";
  ImageHeader header;
  switch (FormatBySignature(bytes)) {
    case ImageFormat::kJpeg:
      header = ReadJpegHeader(bytes);
      break;
    case ImageFormat::kPng:
      header = ReadPngHeader(bytes);
      break;
    case ImageFormat::kWebp:
      header = ReadWebpHeader(bytes);
      break;
    case ImageFormat::kBmp:
      header = ReadBmpHeader(bytes);
      break;
    case ImageFormat::kTiff:
      header = ReadTiffHeader(bytes);
      break;
    case ImageFormat::kGif:
      throw UnreadableImage(fmt::format("GIF is not supported{}", kConvert));
    case ImageFormat::kHeif:
      throw UnreadableImage(fmt::format("HEIC and AVIF are not supported{}", kConvert));
    case ImageFormat::kJpeg2000:
      throw UnreadableImage(fmt::format("JPEG 2000 is not supported{}", kConvert));
    case ImageFormat::kUnknown:
    case ImageFormat::kOther:
      throw UnreadableImage("not a JPEG, PNG, WebP, BMP or TIFF file");
  }
  CheckSize(header);
  return header;
}

}  // namespace w8a8
