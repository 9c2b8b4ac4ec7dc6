#include "datasets/image_header.h"

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "tests/datasets/golden_images.h"

namespace w8a8::test {
namespace {

std::vector<uint8_t> Encoded(const std::string& extension, int width = 40, int height = 24) {
  const RgbImage image = HashImage(width, height, 1);
  const cv::Mat mat(height, width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
  std::vector<uint8_t> bytes;
  cv::imencode(extension, mat, bytes);
  return bytes;
}

std::string Reason(const std::vector<uint8_t>& bytes) {
  try {
    ReadImageHeader(bytes);
  } catch (const UnreadableImage& e) {
    return e.what();
  }
  return "";
}

void SetBigEndian32(std::vector<uint8_t>& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

TEST(ImageHeader, ReadsTheSizeOfEveryFormat) {
  for (const char* extension : {".png", ".jpg", ".bmp", ".webp", ".tif"}) {
    const ImageHeader header = ReadImageHeader(Encoded(extension));
    EXPECT_EQ(header.width, 40) << extension;
    EXPECT_EQ(header.height, 24) << extension;
    EXPECT_EQ(header.orientation, 1) << extension;
  }
}

TEST(ImageHeader, RefusesBombsBeforeDecoding) {
  std::vector<uint8_t> png = Encoded(".png");
  SetBigEndian32(png, 16, 60000);
  SetBigEndian32(png, 20, 60000);
  EXPECT_NE(Reason(png).find("too large: 60000x60000 pixels"), std::string::npos) << Reason(png);
  SetBigEndian32(png, 20, 1);
  SetBigEndian32(png, 16, 0x7fffffff);
  EXPECT_NE(Reason(png).find("too large"), std::string::npos) << Reason(png);
  SetBigEndian32(png, 16, 0);
  EXPECT_NE(Reason(png).find("corrupt: the header claims 0x1"), std::string::npos) << Reason(png);
}

TEST(ImageHeader, EveryCutOffJpegAndPngIsRefused) {
  for (const char* extension : {".png", ".jpg"}) {
    const std::vector<uint8_t> whole = Encoded(extension);
    EXPECT_EQ(Reason(whole), "");
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<long>(size));
      EXPECT_NE(Reason(part), "") << extension << " cut to " << size;
    }
  }
}

TEST(ImageHeader, AJpegOfEndlessScansIsRefused) {
  std::vector<uint8_t> jpeg = Encoded(".jpg");
  jpeg.resize(jpeg.size() - 2);  // before the end marker
  for (int i = 0; i < 600; ++i) jpeg.insert(jpeg.end(), {0xff, 0xda, 0x00, 0x02});
  jpeg.insert(jpeg.end(), {0xff, 0xd9});
  EXPECT_EQ(Reason(jpeg), "more than 500 JPEG scans");
}

TEST(ImageHeader, RandomDamageGivesASizeOrAReason) {
  for (const char* extension : {".png", ".jpg", ".bmp", ".webp", ".tif"}) {
    const std::vector<uint8_t> whole = Encoded(extension);
    const size_t head = std::min<size_t>(whole.size(), 200);
    for (uint64_t seed = 0; seed < 2000; ++seed) {
      std::vector<uint8_t> bytes = whole;
      const RgbImage dice = HashImage(4, 1, seed);
      for (size_t i = 0; i < 12; i += 3) {
        bytes[(dice.pixels[i] * 256u + dice.pixels[i + 1]) % head] = dice.pixels[i + 2];
      }
      try {
        const ImageHeader header = ReadImageHeader(bytes);
        EXPECT_LE(header.width * header.height, kMaxImagePixels);
        EXPECT_GT(header.width * header.height, 0);
        EXPECT_TRUE(header.orientation >= 1 && header.orientation <= 8);
      } catch (const UnreadableImage&) {
      }
    }
  }
}

TEST(ImageHeader, KnowsImagesByTheirBytesAndNames) {
  EXPECT_EQ(FormatBySignature(Encoded(".png")), ImageFormat::kPng);
  EXPECT_EQ(FormatBySignature(std::vector<uint8_t>{'B', 'M'}), ImageFormat::kUnknown);
  EXPECT_EQ(FormatByExtension("a/b.JPeG"), ImageFormat::kJpeg);
  EXPECT_EQ(FormatByExtension("labels.tsv"), ImageFormat::kUnknown);
  EXPECT_EQ(FormatByExtension(".png"), ImageFormat::kUnknown);  // a hidden file without extension
}

}  // namespace
}  // namespace w8a8::test
