#include "datasets/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr int64_t kMaxResizedSide = int64_t{1} << 30;

[[noreturn]] void RefuseTooLong(const RgbImage& image, int64_t edge) {
  throw UnreadableImage(fmt::format("too long: {}x{} pixels with the shorter side resized to {}",
                                    image.width, image.height, edge));
}

// The shorter side to `edge`, or to less where the longer one would pass `most`: transformers'
// get_size_with_aspect_ratio, in Python's binary64 and rounding.
ImageSize SizeWithinEdges(const RgbImage& image, int64_t edge, int64_t most) {
  const int64_t shorter = std::min(image.width, image.height);
  const int64_t longer = std::max(image.width, image.height);
  const double aspect = static_cast<double>(longer) / static_cast<double>(shorter);
  auto exact = static_cast<double>(edge);
  if (aspect * exact > static_cast<double>(most)) {
    exact = static_cast<double>(most * shorter) / static_cast<double>(longer);
    edge = static_cast<int64_t>(std::nearbyint(exact));
  }
  if (shorter == edge) return {image.width, image.height};
  if (edge < 1) RefuseTooLong(image, edge);
  const int other =
      static_cast<int>(exact * static_cast<double>(longer) / static_cast<double>(shorter));
  const int side = static_cast<int>(edge);
  return image.width < image.height ? ImageSize{side, other} : ImageSize{other, side};
}

ImageSize ResizedSize(const PreprocessConfig& config, const RgbImage& image) {
  if (config.resize_rule == ResizeRule::kNone) return {image.width, image.height};
  if (config.resize_rule == ResizeRule::kExact) return config.resize;
  if (config.variable_size()) return SizeWithinBudget({image.width, image.height}, config.budget);
  const int64_t edge = config.shortest_edge;
  if (config.longest_edge > 0) return SizeWithinEdges(image, edge, config.longest_edge);
  const int64_t shorter = std::min(image.width, image.height);
  const int64_t longer = std::max(image.width, image.height);
  const double exact = static_cast<double>(edge * longer) / static_cast<double>(shorter);
  if (exact > static_cast<double>(kMaxResizedSide)) RefuseTooLong(image, edge);
  const int other = static_cast<int>(exact);
  const int side = static_cast<int>(edge);
  return image.width <= image.height ? ImageSize{side, other} : ImageSize{other, side};
}

constexpr int kMaxIdeficsSide = 4096;

// The other side is Python's int() of a binary64 product, towards zero, then rounded up to a
// multiple.
ImageSize WithLongerSide(ImageSize image, int longer, int multiple) {
  const double aspect = static_cast<double>(image.width) / image.height;
  const bool wide = image.width >= image.height;
  int other = static_cast<int>(wide ? longer / aspect : longer * aspect);
  other = std::max((other + multiple - 1) / multiple * multiple, 1);
  return wide ? ImageSize{longer, other} : ImageSize{other, longer};
}

ImageSize LongestEdgeSize(ImageSize image, int longest_edge) {
  const ImageSize size = WithLongerSide(image, longest_edge, 2);
  if (longest_edge <= kMaxIdeficsSide) return size;
  return WithLongerSide(size, kMaxIdeficsSide, 1);
}

ImageSize MultiplesOf(ImageSize image, int multiple) {
  const auto up = [&](int side) { return (side + multiple - 1) / multiple * multiple; };
  const ImageSize size = WithLongerSide(image, up(std::max(image.width, image.height)), 1);
  return {up(size.width), up(size.height)};
}

RgbImage ResizedBefore(const RgbImage& image, const PreprocessConfig& config) {
  const ResizeBefore& before = *config.before;
  ImageSize size = LongestEdgeSize({image.width, image.height}, before.longest_edge);
  RgbImage resized = Resize(image, size, config.filter, config.resampler);
  if (before.multiple_of == 0) return resized;
  size = MultiplesOf(size, before.multiple_of);
  return Resize(resized, size, config.filter, config.resampler);
}

// One axis of a centre crop: the part of the image that is kept and where it lies in the crop.
struct AxisCrop {
  int source = 0;
  int target = 0;
  int count = 0;
};

AxisCrop CropAxis(int image, int crop, CropRule rule) {
  if (crop > image) {
    const int margin = crop - image;
    return {0, rule == CropRule::kNumpy ? (margin + 1) / 2 : margin / 2, image};
  }
  const int margin = image - crop;
  if (rule != CropRule::kTorchvision) return {margin / 2, 0, crop};
  return {static_cast<int>(std::nearbyint(margin / 2.0)), 0, crop};
}

RgbImage PasteOnBlack(const RgbImage& part, const AxisCrop& x, const AxisCrop& y, ImageSize size) {
  RgbImage out(size.width, size.height);
  for (int row = 0; row < part.height; ++row) {
    std::memcpy(out.row(y.target + row) + static_cast<size_t>(x.target) * 3, part.row(row),
                static_cast<size_t>(part.width) * 3);
  }
  return out;
}

// One expression per operation: each rounds to binary32 as the array operation it stands for.
float ValueOfLevel(const PreprocessConfig& config, int level, size_t channel) {
  const auto raw = static_cast<float>(level);
  const auto mean = static_cast<float>(config.mean[channel]);
  const auto std_dev = static_cast<float>(config.std_dev[channel]);
  if (config.arithmetic == Arithmetic::kFused) {
    if (config.rescale && config.normalize) {
      const auto inv_factor = static_cast<float>(1.0 / config.rescale_factor);
      const float wide_mean = mean * inv_factor;
      const float wide_std = std_dev * inv_factor;
      return (raw - wide_mean) / wide_std;
    }
    if (config.rescale) return raw * static_cast<float>(config.rescale_factor);
    return config.normalize ? (raw - mean) / std_dev : raw;
  }
  float value = raw;
  if (config.arithmetic == Arithmetic::kTorch) {
    value = raw / 255.0f;
  } else if (config.rescale) {
    value = static_cast<float>(level * config.rescale_factor);
  }
  return config.normalize ? (value - mean) / std_dev : value;
}

}  // namespace

Preprocessor::Preprocessor(PreprocessConfig config) : config_(std::move(config)) {
  for (size_t channel = 0; channel < 3; ++channel) {
    for (int level = 0; level < 256; ++level) {
      value_of_level_[channel][static_cast<size_t>(level)] = ValueOfLevel(config_, level, channel);
    }
  }
}

RgbImage Preprocessor::ResizeAndCrop(const RgbImage& given) const {
  const RgbImage first = config_.before ? ResizedBefore(given, config_) : RgbImage{};
  const RgbImage& image = config_.before ? first : given;
  const ImageSize resized = ResizedSize(config_, image);
  const ImageSize crop = config_.crop.value_or(resized);
  const AxisCrop x = CropAxis(resized.width, crop.width, config_.crop_rule);
  const AxisCrop y = CropAxis(resized.height, crop.height, config_.crop_rule);
  RgbImage part = ResizeWindow(image, resized, {x.source, y.source, x.count, y.count},
                               config_.filter, config_.resampler);
  if (ImageSize{part.width, part.height} == crop) return part;
  return PasteOnBlack(part, x, y, crop);
}

std::vector<RgbImage> Preprocessor::Views(const RgbImage& image) const {
  std::vector<RgbImage> views;
  const ImageSize tile = config_.resize;
  const TileGrid grid = config_.tiling
                            ? ChooseTileGrid({image.width, image.height}, tile, *config_.tiling)
                            : TileGrid{};
  const int tiles = grid.columns * grid.rows;
  if (tiles > 1) {
    const ImageSize canvas{tile.width * grid.columns, tile.height * grid.rows};
    const RgbImage resized = Resize(image, canvas, config_.filter, config_.resampler);
    for (int i = 0; i < tiles; ++i) {
      const int x = i % grid.columns * tile.width, y = i / grid.columns * tile.height;
      views.push_back(Crop(resized, {x, y, tile.width, tile.height}));
    }
    if (!config_.tiling->thumbnail) return views;
  }
  views.push_back(ResizeAndCrop(image));
  return views;
}

std::vector<float> Preprocessor::Normalize(const RgbImage& resized) const {
  W8A8_CHECK(config_.variable_size() ||
             (ImageSize{resized.width, resized.height}) == config_.OutputSize());
  const size_t plane = resized.pixels.size() / 3;
  std::vector<float> values(resized.pixels.size());
  for (size_t channel = 0; channel < 3; ++channel) {
    const auto& value_of_level = value_of_level_[channel];
    float* to = values.data() + channel * plane;
    const uint8_t* from = resized.pixels.data() + channel;
    for (size_t i = 0; i < plane; ++i) to[i] = value_of_level[from[3 * i]];
  }
  return values;
}

}  // namespace w8a8
