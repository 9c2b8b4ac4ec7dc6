#include "datasets/draw.h"

#include <algorithm>
#include <array>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "runtime/base/atomic_file.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"

namespace w8a8 {
namespace {

// Numbers in order from one seed.
class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(seed) {}
  int Below(int limit) {
    return static_cast<int>(CounterHash(seed_, counter_++) % static_cast<uint64_t>(limit));
  }
  int Between(int low, int high) { return low + Below(high - low + 1); }

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
};

struct Shape {
  bool disc;
  int x, y, half_width, half_height;
  std::array<int, 3> colour;

  bool Covers(int px, int py) const {
    const int64_t dx = px - x, dy = py - y;
    if (!disc) return std::abs(dx) <= half_width && std::abs(dy) <= half_height;
    return dx * dx + dy * dy <= int64_t{half_width} * half_width;
  }
};

std::array<int, 3> Colour(Dice& dice) {
  return {dice.Below(256), dice.Below(256), dice.Below(256)};
}

Shape MakeShape(Dice& dice, int width, int height) {
  const int reach = std::min(width, height) / 3;
  return {.disc = dice.Below(2) == 0,
          .x = dice.Below(width),
          .y = dice.Below(height),
          .half_width = dice.Between(8, reach),
          .half_height = dice.Between(8, reach),
          .colour = Colour(dice)};
}

}  // namespace

RgbImage DrawImage(uint64_t seed, int64_t index) {
  Dice dice(CounterHash(seed, static_cast<uint64_t>(index)));
  RgbImage image(dice.Between(160, 480), dice.Between(160, 480));
  const auto from = Colour(dice), to = Colour(dice);
  std::vector<Shape> shapes;
  const int count = dice.Between(3, 8);
  for (int i = 0; i < count; ++i) shapes.push_back(MakeShape(dice, image.width, image.height));

  constexpr int kNoise = 8;  // levels to either side
  const int steps = image.width + image.height - 2;
  uint8_t* pixel = image.pixels.data();
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x, pixel += 3) {
      const Shape* top = nullptr;
      for (const Shape& shape : shapes) {
        if (shape.Covers(x, y)) top = &shape;
      }
      for (size_t c = 0; c < 3; ++c) {
        const int gradient = from[c] + (to[c] - from[c]) * (x + y) / steps;
        const int level = top != nullptr ? top->colour[c] : gradient;
        pixel[c] = static_cast<uint8_t>(std::clamp(level + dice.Between(-kNoise, kNoise), 0, 255));
      }
    }
  }
  return image;
}

std::vector<std::filesystem::path> WriteDrawnImages(const std::filesystem::path& folder,
                                                    int64_t count, uint64_t seed) {
  MakeGroupFolders(folder);
  std::vector<std::filesystem::path> paths;
  for (int64_t i = 0; i < count; ++i) {
    RgbImage image = DrawImage(seed, i);
    cv::Mat rgb(image.height, image.width, CV_8UC3, image.pixels.data());
    cv::cvtColor(rgb, rgb, cv::COLOR_RGB2BGR);
    std::vector<uint8_t> png;
    if (!cv::imencode(".png", rgb, png)) Fail("{}: OpenCV cannot write PNG", folder.string());
    paths.push_back(folder / fmt::format("drawn_{:04}.png", i));
    WriteFileAtomically(paths.back(), {reinterpret_cast<const char*>(png.data()), png.size()});
  }
  return paths;
}

}  // namespace w8a8
