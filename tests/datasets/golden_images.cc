#include "tests/datasets/golden_images.h"

#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/sha256.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

std::vector<std::string> Cells(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t begin = 0;;) {
    const size_t end = line.find('\t', begin);
    cells.push_back(line.substr(begin, end - begin));
    if (end == std::string::npos) return cells;
    begin = end + 1;
  }
}

}  // namespace

std::vector<GoldenRow> ReadGoldenTable(const std::string& name) {
  std::ifstream in(GoldenFolder() / "datasets" / name);
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> header = Cells(line);
  std::vector<GoldenRow> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> cells = Cells(line);
    W8A8_CHECK(cells.size() == header.size());
    GoldenRow& row = rows.emplace_back();
    for (size_t i = 0; i < cells.size(); ++i) row[header[i]] = cells[i];
  }
  W8A8_CHECK(!rows.empty());
  return rows;
}

RgbImage HashImage(int width, int height, uint64_t seed) {
  RgbImage image(width, height);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>(CounterHash(seed, i) >> 56);
  }
  return image;
}

template <class T>
std::string Digest(const std::vector<T>& values) {
  return Sha256Hex(std::as_bytes(std::span(values)));
}
template std::string Digest(const std::vector<uint8_t>&);
template std::string Digest(const std::vector<float>&);

std::string SizeText(const RgbImage& image) {
  return fmt::format("{}x{}", image.width, image.height);
}

void WriteText(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void WriteBytes(const std::filesystem::path& path, std::span<const uint8_t> bytes) {
  WriteText(path, std::string(bytes.begin(), bytes.end()));
}

void WriteImage(const std::filesystem::path& path, const RgbImage& image) {
  std::filesystem::create_directories(path.parent_path());
  const cv::Mat rgb(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  W8A8_CHECK(cv::imwrite(path.string(), bgr));
}

}  // namespace w8a8::test
