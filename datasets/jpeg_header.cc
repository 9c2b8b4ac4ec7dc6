#include <cstring>

#include <fmt/format.h>

#include "datasets/image_header.h"

namespace w8a8 {
namespace {

constexpr uint8_t kEoi = 0xd9, kSos = 0xda, kApp1 = 0xe1;
// A progressive file may ask for the whole image to be walked again and again; a real one has about
// ten scans.
constexpr int kMaxScans = 500;

bool IsFrameHeader(uint8_t marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

bool StandsAlone(uint8_t marker) {
  return marker == 0x00 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

// Decoders fill what is missing of a JPEG with grey and call it success; Pillow refuses. In
// entropy-coded data a 0xff byte is always followed by 0x00 or a restart marker, so the two bytes
// of the end marker are found where they really are.
void CheckScans(FileBytes bytes, size_t first_scan) {
  int scans = 1;
  for (size_t at = first_scan; at + 1 < bytes.size();) {
    const void* found = std::memchr(bytes.data() + at, 0xff, bytes.size() - 1 - at);
    if (found == nullptr) break;
    at = static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes.data());
    if (bytes[at + 1] == kEoi) return;
    if (bytes[at + 1] == kSos && ++scans > kMaxScans) {
      throw UnreadableImage(fmt::format("more than {} JPEG scans", kMaxScans));
    }
    ++at;
  }
  throw UnreadableImage("truncated JPEG: no end-of-image marker");
}

}  // namespace

ImageHeader ReadJpegHeader(FileBytes bytes) {
  const ByteReader in(bytes, ByteReader::Order::kBig);
  ImageHeader header;
  header.format = ImageFormat::kJpeg;
  bool oriented = false;
  for (size_t at = 2;;) {
    while (in.U8(at) != 0xff) ++at;  // junk between segments is skipped, as decoders do
    while (in.U8(at) == 0xff) ++at;
    const uint8_t marker = in.U8(at++);
    if (StandsAlone(marker)) continue;
    if (marker == kEoi) throw UnreadableImage("corrupt JPEG: it ends before any image data");
    const size_t length = in.U16(at);
    if (length < 2) throw UnreadableImage("corrupt JPEG: a segment of length below 2");
    if (IsFrameHeader(marker)) {
      header.height = in.U16(at + 3);
      header.width = in.U16(at + 5);
      header.components = in.U8(at + 7);
    }
    if (marker == kApp1 && !oriented && in.Matches(at + 2, std::string_view("Exif\0\0", 6)) &&
        length >= 8) {
      header.orientation = ExifOrientation(in.Slice(at + 8, length - 8));
      oriented = true;
    }
    if (marker == kSos) {
      if (header.width == 0) throw UnreadableImage("corrupt JPEG: image data before its header");
      CheckScans(bytes, at + length);
      return header;
    }
    at += length;
  }
}

}  // namespace w8a8
