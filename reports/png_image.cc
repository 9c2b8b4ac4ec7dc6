#include "reports/png_image.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::string Base64(std::span<const uint8_t> bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (i + j < bytes.size() ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) {
      text +=
          j <= std::min<size_t>(3, bytes.size() - i) ? kDigits[group >> (18 - 6 * j) & 63u] : '=';
    }
  }
  return text;
}

std::string DataUri(std::span<const uint8_t> png) { return "data:image/png;base64," + Base64(png); }

void AddNumber(uint32_t value, std::vector<uint8_t>& to) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<uint8_t>(value >> shift));
}

void AddChunk(std::string_view type, std::span<const uint8_t> data, std::vector<uint8_t>& png) {
  AddNumber(static_cast<uint32_t>(data.size()), png);
  const size_t start = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), data.begin(), data.end());
  const auto bytes = static_cast<uInt>(png.size() - start);
  AddNumber(static_cast<uint32_t>(::crc32(0, png.data() + start, bytes)), png);
}

// A PNG with a palette, which OpenCV cannot write (ISO/IEC 15948, colour type 3): a third of the
// bytes of the same map as RGB. `palette` is RGB triples.
std::vector<uint8_t> PalettePng(std::span<const uint8_t> pixels, uint32_t height, uint32_t width,
                                std::span<const uint8_t> palette) {
  std::vector<uint8_t> rows;
  for (size_t y = 0; y < height; ++y) {
    rows.push_back(0);  // no filter
    rows.insert(rows.end(), pixels.begin() + static_cast<std::ptrdiff_t>(y * width),
                pixels.begin() + static_cast<std::ptrdiff_t>((y + 1) * width));
  }
  uLongf bytes = ::compressBound(rows.size());
  std::vector<uint8_t> packed(bytes);
  W8A8_CHECK(::compress2(packed.data(), &bytes, rows.data(), rows.size(), 9) == Z_OK);
  packed.resize(bytes);

  std::vector<uint8_t> png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  std::vector<uint8_t> header;
  AddNumber(width, header);
  AddNumber(height, header);
  header.insert(header.end(), {8, 3, 0, 0, 0});  // 8 bits, palette, no interlace
  AddChunk("IHDR", header, png);
  AddChunk("PLTE", palette, png);
  AddChunk("IDAT", packed, png);
  AddChunk("IEND", {}, png);
  return png;
}

// kMapSteps + 1 colours as RGB triples, dark first.
std::vector<uint8_t> MapPalette() {
  cv::Mat grey(1, kMapSteps + 1, CV_8UC1), coloured;
  for (int i = 0; i <= kMapSteps; ++i) {
    grey.data[i] = static_cast<uint8_t>(255 * i / kMapSteps);
  }
  cv::applyColorMap(grey, coloured, cv::COLORMAP_INFERNO);
  cv::cvtColor(coloured, coloured, cv::COLOR_BGR2RGB);
  return {coloured.data, coloured.data + coloured.total() * 3};
}

}  // namespace

std::string PngDataUri(std::span<const uint8_t> rgb, int64_t height, int64_t width) {
  W8A8_CHECK(height > 0 && width > 0 && static_cast<int64_t>(rgb.size()) == height * width * 3);
  cv::Mat bgr(static_cast<int>(height), static_cast<int>(width), CV_8UC3);
  for (size_t i = 0; i < rgb.size(); i += 3) {
    for (size_t c = 0; c < 3; ++c) bgr.data[i + c] = rgb[i + 2 - c];
  }
  std::vector<uint8_t> png;
  W8A8_CHECK(cv::imencode(".png", bgr, png, {cv::IMWRITE_PNG_COMPRESSION, 9}));
  return DataUri(png);
}

std::string OutlierMapPng(const OutlierMap& map) {
  float largest = 0;
  for (const Half value : map.absmax) {
    if (IsFinite(value)) largest = std::max(largest, ToFloat(value));
  }
  W8A8_CHECK(map.rows > 0 && static_cast<size_t>(map.rows * map.columns) == map.absmax.size());
  std::vector<uint8_t> steps;
  for (const Half half : map.absmax) {
    const float value = IsFinite(half) ? ToFloat(half) : largest;
    const float below = value > 0 ? std::floor(2 * std::log2(largest / value)) : kMapSteps;
    steps.push_back(static_cast<uint8_t>(std::max(0.0f, kMapSteps - below)));
  }
  return DataUri(PalettePng(steps, static_cast<uint32_t>(map.rows),
                            static_cast<uint32_t>(map.columns), MapPalette()));
}

}  // namespace w8a8
