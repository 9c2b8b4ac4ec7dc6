#include "reports/png_image.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <openssl/evp.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

std::string Base64(std::span<const uint8_t> bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // EVP_EncodeBlock ends it with a zero
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                       static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

std::string DataUri(std::span<const uint8_t> png) { return "data:image/png;base64," + Base64(png); }

// Pixels of one byte with a palette of RGB triples, which OpenCV cannot write: a third of the bytes
// of the same map as RGB.
std::vector<uint8_t> PalettePng(std::span<const uint8_t> pixels, uint32_t height, uint32_t width,
                                std::span<const uint8_t> palette) {
  png_structp png = ::png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  W8A8_CHECK(png != nullptr);
  png_infop info = ::png_create_info_struct(png);
  W8A8_CHECK(info != nullptr);
  std::vector<uint8_t> file;
  const auto append = [](png_structp writer, png_bytep bytes, size_t count) {
    auto& to = *static_cast<std::vector<uint8_t>*>(::png_get_io_ptr(writer));
    to.insert(to.end(), bytes, bytes + count);
  };
  ::png_set_write_fn(png, &file, append, [](png_structp) {});
  ::png_set_compression_level(png, 9);
  ::png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
  ::png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> colours;
  for (size_t i = 0; i < palette.size(); i += 3) {
    colours.push_back({palette[i], palette[i + 1], palette[i + 2]});
  }
  ::png_set_PLTE(png, info, colours.data(), static_cast<int>(colours.size()));
  ::png_write_info(png, info);
  for (size_t y = 0; y < height; ++y) ::png_write_row(png, pixels.data() + y * width);
  ::png_write_end(png, info);
  ::png_destroy_write_struct(&png, &info);
  return file;
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
