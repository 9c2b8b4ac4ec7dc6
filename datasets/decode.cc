#include "datasets/decode.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <mutex>

#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "datasets/cmyk_jpeg.h"

namespace w8a8 {
namespace {

// OpenCV logs, and tells of a decoder's exception on std::cerr, which nothing else writes to:
// without the image's name, beside the reason that UnreadableImage gives.
bool SilenceOpenCv() {
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  std::cerr.rdbuf(nullptr);
  return true;
}

// Decoded as stored: no orientation, no conversion to three channels, 16 bits kept.
cv::Mat DecodeAsStored(FileBytes bytes, const ImageHeader& header) {
  static const bool silent = SilenceOpenCv();
  static_cast<void>(silent);
  cv::Mat image;
  try {
    const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8UC1,
                       const_cast<uint8_t*>(bytes.data()));
    image = cv::imdecode(file, cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& e) {
    if (e.code == cv::Error::StsNoMem) throw std::bad_alloc();
    throw UnreadableImage(fmt::format("the decoder refuses it: {}", e.err));
  }
  if (image.empty()) throw UnreadableImage("corrupt: the decoder gives no image");
  const bool transposed = header.decoder_orients && header.orientation >= 5;
  const cv::Size expected =
      transposed ? cv::Size(static_cast<int>(header.height), static_cast<int>(header.width))
                 : cv::Size(static_cast<int>(header.width), static_cast<int>(header.height));
  if (image.size() != expected) {
    throw UnreadableImage(fmt::format("corrupt: the header says {}x{} pixels, the decoder {}x{}",
                                      expected.width, expected.height, image.cols, image.rows));
  }
  return image;
}

// 16-bit levels as Pillow's convert("RGB") takes them: the high bytes of colours, but grey levels
// as they are, up to 255, which leaves an image white that uses all 16 bits.
cv::Mat EightBits(const cv::Mat& image) {
  const bool grey = image.channels() == 1;
  cv::Mat out(image.rows, image.cols, CV_MAKETYPE(CV_8U, image.channels()));
  const int elements = image.cols * image.channels();
  for (int y = 0; y < image.rows; ++y) {
    const auto* from = image.ptr<uint16_t>(y);
    auto* to = out.ptr<uint8_t>(y);
    for (int x = 0; x < elements; ++x) {
      to[x] = static_cast<uint8_t>(grey ? std::min<int>(from[x], 255) : from[x] >> 8);
    }
  }
  return out;
}

// Pillow's alpha_composite over opaque white, in its integers: 7 extra bits, then a rounded
// division by 255.
uint8_t OnWhite(uint32_t level, uint32_t alpha) {
  if (alpha == 0) return 255;
  const uint32_t sum = 128 * (level * alpha + 255 * (255 - alpha)) + (128u << 7);
  return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> 7);
}

// Grey, BGR or BGRA (8 bits) to RGB.
RgbImage ToRgb(const cv::Mat& image, AlphaRule alpha) {
  RgbImage rgb(image.cols, image.rows);
  const int channels = image.channels();
  for (int y = 0; y < image.rows; ++y) {
    const auto* from = image.ptr<uint8_t>(y);
    uint8_t* to = rgb.row(y);
    for (int x = 0; x < image.cols; ++x, from += channels, to += 3) {
      for (int c = 0; c < 3; ++c) to[c] = channels == 1 ? from[0] : from[2 - c];
      if (channels == 4 && alpha == AlphaRule::kOnWhite) {
        for (int c = 0; c < 3; ++c) to[c] = OnWhite(to[c], from[3]);
      }
    }
  }
  return rgb;
}

void WhitenTransparent(RgbImage& image, const std::array<uint8_t, 3>& transparent) {
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* pixel = image.pixels.data() + i;
    if (std::equal(transparent.begin(), transparent.end(), pixel)) {
      std::fill_n(pixel, 3, uint8_t{255});
    }
  }
}

// EXIF orientations 2 to 8: transposed (5 to 8) first, then mirrored.
RgbImage Oriented(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  cv::Mat from(image.height, image.width, CV_8UC3, image.pixels.data());
  const bool transposed = orientation >= 5;
  RgbImage out(transposed ? image.height : image.width, transposed ? image.width : image.height);
  cv::Mat to(out.height, out.width, CV_8UC3, out.pixels.data());
  if (transposed) {
    cv::transpose(from, to);
  } else {
    from.copyTo(to);
  }
  constexpr int kBothAxes = -1, kRows = 0, kColumns = 1;  // cv::flip's codes
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(to, to, kColumns);
      break;
    case 3:
    case 7:
      cv::flip(to, to, kBothAxes);
      break;
    case 4:
    case 8:
      cv::flip(to, to, kRows);
      break;
    default:
      break;
  }
  return out;
}

RgbImage DecodeChecked(FileBytes bytes, const ImageHeader& header, AlphaRule alpha) {
  constexpr int kCmyk = 4;
  if (header.format == ImageFormat::kJpeg && header.components == kCmyk) {
    const auto width = static_cast<int>(header.width), height = static_cast<int>(header.height);
    return Oriented(DecodeCmykJpeg(bytes, width, height), header.orientation);
  }
  cv::Mat stored = DecodeAsStored(bytes, header);
  if (stored.depth() == CV_16U) stored = EightBits(stored);
  const int channels = stored.channels();
  if (stored.depth() != CV_8U || (channels != 1 && channels != 3 && channels != 4)) {
    throw UnreadableImage(
        fmt::format("{} channels of OpenCV depth {} are not supported", channels, stored.depth()));
  }
  // Where one colour is transparent, the decoder's alpha is that colour at full depth.
  RgbImage image = ToRgb(stored, header.transparent ? AlphaRule::kDrop : alpha);
  stored.release();
  if (header.transparent && alpha == AlphaRule::kOnWhite) {
    WhitenTransparent(image, *header.transparent);
  }
  return header.decoder_orients ? image : Oriented(std::move(image), header.orientation);
}

}  // namespace

RgbImage DecodeRgb(FileBytes bytes, AlphaRule alpha) {
  const ImageHeader header = ReadImageHeader(bytes);
  const int64_t pixels = header.width * header.height;
  if (pixels * header.bytes_per_pixel > kMaxDecodedBytes) {
    throw UnreadableImage(fmt::format("too large: {}x{} pixels of {} bytes; the limit is {} bytes",
                                      header.width, header.height, header.bytes_per_pixel,
                                      kMaxDecodedBytes));
  }
  static std::mutex one_large_image;
  std::unique_lock lock(one_large_image, std::defer_lock);
  if (pixels > kLargeImagePixels) lock.lock();
  return DecodeChecked(bytes, header, alpha);
}

std::vector<uint8_t> ReadImageFile(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw UnreadableImage("no such file");
  if (!std::filesystem::is_regular_file(status)) throw UnreadableImage("not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw UnreadableImage(fmt::format("cannot be read: {}", error.message()));
  if (size > static_cast<uint64_t>(kMaxImageFileBytes)) {
    throw UnreadableImage(
        fmt::format("too large: {} bytes; the limit is {}", size, kMaxImageFileBytes));
  }
  std::ifstream in(path, std::ios::binary);
  std::vector<uint8_t> bytes(size);
  if (!in || !in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size))) {
    throw UnreadableImage("cannot be read: permission denied or an I/O error");
  }
  return bytes;
}

RgbImage DecodeFile(const std::filesystem::path& path, AlphaRule alpha) {
  const std::vector<uint8_t> bytes = ReadImageFile(path);
  return DecodeRgb(bytes, alpha);
}

}  // namespace w8a8
