#include "datasets/decode.h"

#include <algorithm>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <openssl/evp.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

std::vector<uint8_t> Encode(const std::string& extension, const cv::Mat& image) {
  std::vector<uint8_t> bytes;
  cv::imencode(extension, image, bytes);
  return bytes;
}

std::vector<uint8_t> FromBase64(const std::string& text) {
  std::vector<uint8_t> bytes(text.size() / 4 * 3);
  const int length = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const uint8_t*>(text.data()),
                                     static_cast<int>(text.size()));
  W8A8_CHECK(length == static_cast<int>(bytes.size()));
  bytes.resize(bytes.size() - static_cast<size_t>(std::ranges::count(text, '=')));
  return bytes;
}

std::string ReasonOf(const std::filesystem::path& path) {
  try {
    DecodeFile(path, AlphaRule::kOnWhite);
  } catch (const UnreadableImage& e) {
    return e.what();
  }
  return "";
}

// Files that Pillow 13 reads and we skip, or the other way round, and why.
const std::map<std::string, std::string> kOtherVerdict = {
    {"imagers_gif_anim_issue_1455_undersized.gif", "Debian's OpenCV has no GIF decoder"},
    {"pillow_background_outside_palette.gif", "Debian's OpenCV has no GIF decoder"},
    {"pillow_chi.gif", "Debian's OpenCV has no GIF decoder"},
    {"pillow_decompression_bomb_extents.gif", "Debian's OpenCV has no GIF decoder"},
    {"imagers_webp_extended_images_anim.webp", "OpenCV decodes still WebP only"},
    {"pillow_iss634.webp", "OpenCV decodes still WebP only"},
    {"pillow_avif_rot1mir0.avif", "OpenCV has no AVIF decoder; Pillow 9.4 refused it too"},
    {"pillow_unknown_compression_method.png",
     "only its colour profile is compressed in an unknown way; profiles are not used"},
};

TEST(Decode, AwkwardFilesHavePillowsBytesOrAReason) {
  const auto folder = DataFolder() / "images/nasty";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
  int decoded = 0;
  for (const GoldenRow& row : ReadGoldenTable("preprocess_awkward.tsv")) {
    const std::string& file = row.at("file");
    const bool pillow_reads_it = !row.at("white_sha256").empty();
    const std::string reason = ReasonOf(folder / file);
    EXPECT_EQ(pillow_reads_it == reason.empty(), !kOtherVerdict.contains(file))
        << file << ": Pillow " << row.at("size") << ", ours " << reason;
    if (!pillow_reads_it || !reason.empty()) continue;
    ++decoded;
    const RgbImage white = DecodeFile(folder / file, AlphaRule::kOnWhite);
    EXPECT_EQ(SizeText(white), row.at("size")) << file;
    EXPECT_EQ(Digest(white.pixels), row.at("white_sha256")) << file;
    EXPECT_EQ(Digest(DecodeFile(folder / file, AlphaRule::kDrop).pixels), row.at("drop_sha256"))
        << file;
  }
  EXPECT_EQ(decoded, 39);
}

TEST(Decode, AwkwardFilesHaveTheSizesOfPillow94) {
  const auto folder = DataFolder() / "images/nasty";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
  std::ifstream table(folder / "PILLOW94.tsv");
  std::string line;
  int files = 0;
  for (std::getline(table, line); std::getline(table, line); ++files) {
    std::vector<std::string> cells(1);
    for (const char c : line) {
      if (c == '\t') {
        cells.emplace_back();
      } else {
        cells.back() += c;
      }
    }
    const std::string reason = ReasonOf(folder / cells[0]);
    const bool pillow_reads_it = cells[6] == "ok";
    // Pillow 9.4 had no AVIF, as we have none.
    const bool other = kOtherVerdict.contains(cells[0]) && !cells[0].ends_with(".avif");
    EXPECT_EQ(pillow_reads_it == reason.empty(), !other) << cells[0] << ": " << reason;
    if (!pillow_reads_it || !reason.empty()) continue;
    const RgbImage image = DecodeFile(folder / cells[0], AlphaRule::kOnWhite);
    const bool transposed = !cells[5].empty() && std::stoi(cells[5]) >= 5;
    const std::string size = SizeText(image);
    const size_t x = size.find('x');
    EXPECT_EQ(transposed ? size.substr(x + 1) + "x" + size.substr(0, x) : size, cells[3])
        << cells[0];
  }
  EXPECT_EQ(files, 61);
}

// In a process of its own, whose address space cannot grow by more than 256 MiB: the largest of the
// awkward files needs 14 MiB, the bombs claim gigabytes.
TEST(DecodeDeathTest, AwkwardFilesStayBelowAMemoryBound) {
  const auto folder = DataFolder() / "images/nasty";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "*** SKIPPED: the address sanitizer reserves terabytes of address space ***";
#endif
  const auto decode_all = [&] {
    ReasonOf(folder / "gen_1x1.jpg");  // libraries loaded, before the limit
    long pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto limit = static_cast<rlim_t>(pages) * 4096 + (rlim_t{256} << 20);
    const rlimit bound{limit, limit};
    setrlimit(RLIMIT_AS, &bound);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) ReasonOf(entry.path());
    std::exit(0);
  };
  EXPECT_EXIT(decode_all(), testing::ExitedWithCode(0), "");
}

TEST(Decode, TransparencyIsComposedOnWhiteOrDropped) {
  const cv::Mat level50_alpha128(2, 3, CV_8UC4, cv::Scalar(50, 50, 50, 128));
  const auto png = Encode(".png", level50_alpha128);
  EXPECT_EQ(DecodeRgb(png, AlphaRule::kOnWhite).pixels, std::vector<uint8_t>(18, 152));
  EXPECT_EQ(DecodeRgb(png, AlphaRule::kDrop).pixels, std::vector<uint8_t>(18, 50));
}

// Every mode, format and orientation that Pillow writes; what it reads otherwise than we could is
// refused by name.
TEST(Decode, EveryModeAndFormatHasPillowsLevels) {
  int decoded = 0;
  for (const GoldenRow& row : ReadGoldenTable("image_modes.tsv")) {
    const std::string& file = row.at("file");
    const std::vector<uint8_t> bytes = FromBase64(row.at("base64"));
    const std::string& refused = row.at("refused");
    try {
      EXPECT_EQ(Digest(DecodeRgb(bytes, AlphaRule::kOnWhite).pixels), row.at("white_sha256"))
          << file;
      EXPECT_EQ(Digest(DecodeRgb(bytes, AlphaRule::kDrop).pixels), row.at("drop_sha256")) << file;
      EXPECT_EQ(refused, "") << file;
      ++decoded;
    } catch (const UnreadableImage& reason) {
      EXPECT_TRUE(!refused.empty() && Contains(reason.what(), refused)) << file << reason.what();
    }
  }
  EXPECT_GT(decoded, 100);
}

TEST(Decode, ACmykJpegThatIsCutShortOrDamagedGivesPixelsOrAReason) {
  for (const GoldenRow& row : ReadGoldenTable("image_modes.tsv")) {
    if (row.at("file") != "CMYK-0.jpg") continue;
    const std::vector<uint8_t> whole = FromBase64(row.at("base64"));
    for (size_t i = 0; i < whole.size(); ++i) {
      std::vector<uint8_t> bytes = whole;
      bytes[i] ^= 0xff;
      try {
        EXPECT_FALSE(DecodeRgb(bytes, AlphaRule::kDrop).pixels.empty());
        EXPECT_THROW(DecodeRgb(FileBytes(whole).first(i), AlphaRule::kDrop), UnreadableImage);
      } catch (const UnreadableImage& reason) {
        EXPECT_NE(std::string(reason.what()), "");
      }
    }
  }
}

TEST(Decode, TiffWithTransparencyIsRefused) {
  const cv::Mat image(4, 4, CV_8UC4, cv::Scalar(1, 2, 3, 4));
  EXPECT_THROW(DecodeRgb(Encode(".tif", image), AlphaRule::kOnWhite), UnreadableImage);
}

// Little-endian, with the directory first: 8 x 8 RGB of one strip, of which no byte is there.
std::vector<uint8_t> TiffWithoutPixels() {
  struct Entry {
    uint8_t tag;  // of 0x0100 and up
    uint8_t value;
  };
  const std::vector<Entry> entries = {{0x00, 8},   {0x01, 8}, {0x02, 8}, {0x03, 1},  {0x06, 2},
                                      {0x11, 122}, {0x15, 3}, {0x16, 8}, {0x17, 192}};
  std::vector<uint8_t> bytes = {'I', 'I', 42, 0, 8, 0, 0, 0, static_cast<uint8_t>(entries.size()),
                                0};
  for (const Entry& entry : entries) {
    constexpr uint8_t kShort = 3;
    for (const uint8_t byte :
         {entry.tag, uint8_t{1}, kShort, uint8_t{0}, uint8_t{1}, uint8_t{0}, uint8_t{0}, uint8_t{0},
          entry.value, uint8_t{0}, uint8_t{0}, uint8_t{0}}) {
      bytes.push_back(byte);
    }
  }
  bytes.resize(bytes.size() + 4);  // no other directory
  return bytes;
}

TEST(Decode, OpenCvTellsNobodyOfADamagedFileWithoutItsName) {
  testing::internal::CaptureStderr();
  std::string reason;
  try {
    DecodeRgb(TiffWithoutPixels(), AlphaRule::kOnWhite);
  } catch (const UnreadableImage& e) {
    reason = e.what();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(reason, "corrupt: the decoder gives no image");
}

// libpng, libjpeg and OpenCV themselves, with damage behind the headers.
TEST(Decode, RandomDamageGivesPixelsOrAReason) {
  const RgbImage image = HashImage(64, 48, 5);
  const cv::Mat mat(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
  for (const char* extension : {".png", ".jpg", ".bmp", ".webp", ".tif"}) {
    const std::vector<uint8_t> whole = Encode(extension, mat);
    int decoded = 0;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      std::vector<uint8_t> bytes = whole;
      const RgbImage dice = HashImage(4, 1, seed);
      for (size_t i = 0; i < 12; i += 3) {
        bytes[(dice.pixels[i] * 256u + dice.pixels[i + 1]) % bytes.size()] = dice.pixels[i + 2];
      }
      try {
        const RgbImage out = DecodeRgb(bytes, AlphaRule::kOnWhite);
        EXPECT_EQ(out.pixels.size(),
                  static_cast<size_t>(out.width) * 3 * static_cast<size_t>(out.height));
        ++decoded;
      } catch (const UnreadableImage&) {
      }
    }
    RecordProperty(std::string("decoded") + extension, decoded);
  }
}

TEST(Decode, WhatIsNotARegularFileIsNotOpened) {
  const auto folder = ScratchFolder("decode_pipe");
  ASSERT_EQ(mkfifo((folder / "pipe.png").c_str(), 0600), 0);
  EXPECT_EQ(ReasonOf(folder / "pipe.png"), "not a regular file");
  EXPECT_EQ(ReasonOf(folder), "not a regular file");
  EXPECT_EQ(ReasonOf(folder / "absent.png"), "no such file");
}

}  // namespace
}  // namespace w8a8::test
