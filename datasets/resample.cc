#include "datasets/resample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "runtime/base/keys_cubic.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

double BilinearWeight(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double BicubicWeight(double x) { return KeysCubic(x, -0.5); }

double Sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double BoxWeight(double x) { return -0.5 < x && x <= 0.5 ? 1.0 : 0.0; }

// Pillow's factors are binary32.
double HammingWeight(double x) {
  x = std::fabs(x);
  return x < 1.0 ? Sinc(x) * (0.54f + 0.46f * std::cos(x * std::numbers::pi)) : 0.0;
}

double LanczosWeight(double x) { return -3.0 <= x && x < 3.0 ? Sinc(x) * Sinc(x / 3) : 0.0; }

struct FilterShape {
  double (*weight)(double);
  double support;
};

FilterShape ShapeOf(Filter filter) {
  switch (filter) {
    case Filter::kBilinear:
      return {BilinearWeight, 1.0};
    case Filter::kBicubic:
      return {BicubicWeight, 2.0};
    case Filter::kLanczos:
      return {LanczosWeight, 3.0};
    case Filter::kBox:
      return {BoxWeight, 0.5};
    case Filter::kHamming:
      return {HammingWeight, 1.0};
    case Filter::kNearest:
      break;
  }
  CheckFailed("a filter with weights", __FILE__, __LINE__);
}

// The taps of the output positions [first, first + count) along one axis.
struct AxisTaps {
  struct Span {
    int begin;      // first input position
    int count;      // number of taps
    size_t offset;  // into weights
  };
  std::vector<Span> spans;
  std::vector<int32_t> weights;  // fixed point with `fraction_bits`
  int fraction_bits = 0;
  int input_begin = 0, input_end = 0;  // what the spans cover
};

// PyTorch keeps the weights in 16 bits: as many fraction bits as the largest weight allows.
int TorchFractionBits(double largest_weight) {
  int bits = 0;
  while (bits < 22 && static_cast<int>(0.5 + largest_weight * (1 << (bits + 1))) < (1 << 15)) {
    ++bits;
  }
  return bits;
}

// One axis of a resize from `input` to `output` pixels.
struct Axis {
  Axis(int input_size, int output_size, Filter filter)
      : input(input_size),
        output(output_size),
        shape(ShapeOf(filter)),
        scale(static_cast<double>(input_size) / output_size),
        filter_scale(std::max(scale, 1.0)) {}

  // The input positions that an output position looks at; appends their weights, of sum 1.
  AxisTaps::Span Append(int position, std::vector<double>& weights) const {
    const double support = shape.support * filter_scale;
    const double inv_filter_scale = 1.0 / filter_scale;
    const double center = (position + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), input);
    const size_t offset = weights.size();
    double sum = 0.0;
    for (int i = begin; i < end; ++i) {
      weights.push_back(shape.weight((i - center + 0.5) * inv_filter_scale));
      sum += weights.back();
    }
    if (sum != 0.0) {
      for (size_t i = offset; i < weights.size(); ++i) weights[i] /= sum;
    }
    return {begin, end - begin, offset};
  }

  // Over the whole axis, whatever window of it is wanted.
  double LargestWeight() const {
    double largest = 0.0;
    std::vector<double> weights;
    for (int i = 0; i < output; ++i) {
      weights.clear();
      Append(i, weights);
      for (const double w : weights) largest = std::max(largest, w);
    }
    return largest;
  }

  int input, output;
  FilterShape shape;
  double scale;         // input pixels per output pixel
  double filter_scale;  // the filter is widened when the image shrinks, never narrowed
};

AxisTaps MakeTaps(int input, int output, int first, int count, Filter filter, Resampler resampler) {
  const Axis axis(input, output, filter);
  AxisTaps taps;
  taps.input_begin = input;
  std::vector<double> weights;
  for (int i = first; i < first + count; ++i) {
    const AxisTaps::Span span = axis.Append(i, weights);
    taps.spans.push_back(span);
    taps.input_begin = std::min(taps.input_begin, span.begin);
    taps.input_end = std::max(taps.input_end, span.begin + span.count);
  }
  taps.fraction_bits = resampler == Resampler::kTorchvision
                           ? TorchFractionBits(axis.LargestWeight())
                           : 22;  // 32 - 8 bits of a pixel - 2 for sums beyond 255
  taps.weights.reserve(weights.size());
  for (const double weight : weights) {
    const double fixed = weight * (1 << taps.fraction_bits);
    taps.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
  }
  return taps;
}

uint8_t Clip8(int32_t value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// Rows [row_begin, row_begin + rows) of `image`, each resized to the positions of `taps`.
RgbImage HorizontalPass(const RgbImage& image, const AxisTaps& taps, int row_begin, int rows) {
  RgbImage out(static_cast<int>(taps.spans.size()), rows);
  const int32_t half = 1 << (taps.fraction_bits - 1);
  for (int y = 0; y < rows; ++y) {
    const uint8_t* in_row = image.row(row_begin + y);
    uint8_t* to = out.row(y);
    for (const AxisTaps::Span& span : taps.spans) {
      const uint8_t* from = in_row + static_cast<size_t>(span.begin) * 3;
      const int32_t* weight = taps.weights.data() + span.offset;
      int32_t r = half, g = half, b = half;
      for (int i = 0; i < span.count; ++i, from += 3) {
        r += from[0] * weight[i];
        g += from[1] * weight[i];
        b += from[2] * weight[i];
      }
      *to++ = Clip8(r >> taps.fraction_bits);
      *to++ = Clip8(g >> taps.fraction_bits);
      *to++ = Clip8(b >> taps.fraction_bits);
    }
  }
  return out;
}

// Columns [column_begin, column_begin + columns) of `image`; taps.spans count rows of an image
// whose row 0 is the caller's row `row_origin`.
RgbImage VerticalPass(const RgbImage& image, const AxisTaps& taps, int column_begin, int columns,
                      int row_origin) {
  RgbImage out(columns, static_cast<int>(taps.spans.size()));
  const size_t elements = static_cast<size_t>(columns) * 3;
  std::vector<int32_t> sums(elements);
  for (int y = 0; y < out.height; ++y) {
    const AxisTaps::Span& span = taps.spans[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), 1 << (taps.fraction_bits - 1));
    for (int i = 0; i < span.count; ++i) {
      const uint8_t* from =
          image.row(span.begin - row_origin + i) + static_cast<size_t>(column_begin) * 3;
      const int32_t weight = taps.weights[span.offset + static_cast<size_t>(i)];
      for (size_t x = 0; x < elements; ++x) sums[x] += from[x] * weight;
    }
    uint8_t* to = out.row(y);
    for (size_t x = 0; x < elements; ++x) to[x] = Clip8(sums[x] >> taps.fraction_bits);
  }
  return out;
}

// The rule of Pillow 13.0, fitted and verified against it: 5,531 of 5,531 random sizes.
bool VerticalFirst(const RgbImage& image, ImageSize size, Resampler resampler) {
  return resampler == Resampler::kPillow13 && size.height < image.height &&
         image.height - size.height > 2 * (image.width - size.width);
}

// Pillow steps along the axis by adding the scale, so its rounding errors add up: so do ours.
std::vector<int> NearestPositions(int input, int output, int first, int count) {
  const double scale = static_cast<double>(input) / output;
  std::vector<int> positions;
  double position = scale * 0.5;
  for (int i = 0; i < first + count; ++i, position += scale) {
    if (i >= first) positions.push_back(std::min(static_cast<int>(position), input - 1));
  }
  return positions;
}

RgbImage NearestWindow(const RgbImage& image, ImageSize size, const Window& window) {
  const auto columns = NearestPositions(image.width, size.width, window.x, window.width);
  const auto rows = NearestPositions(image.height, size.height, window.y, window.height);
  RgbImage out(window.width, window.height);
  uint8_t* to = out.pixels.data();
  for (const int y : rows) {
    for (const int x : columns) {
      std::memcpy(to, image.row(y) + static_cast<size_t>(x) * 3, 3);
      to += 3;
    }
  }
  return out;
}

}  // namespace

std::string_view FilterName(Filter filter) {
  constexpr std::array<std::string_view, 6> names = {"nearest", "bilinear", "bicubic",
                                                     "lanczos", "box",      "hamming"};
  return names[static_cast<size_t>(filter)];
}

bool IsInTorchvision(Filter filter) {
  return filter == Filter::kBilinear || filter == Filter::kBicubic || filter == Filter::kLanczos;
}

std::string_view ResamplerName(Resampler resampler) {
  constexpr std::array<std::string_view, 3> names = {"pillow13", "pillow12", "torchvision"};
  return names[static_cast<size_t>(resampler)];
}

Resampler ResamplerFromName(std::string_view name) {
  for (const Resampler r : {Resampler::kPillow13, Resampler::kPillow12, Resampler::kTorchvision}) {
    if (name == ResamplerName(r)) return r;
  }
  throw BadSetting(fmt::format("'{}': takes pillow13|pillow12|torchvision.", name));
}

RgbImage Crop(const RgbImage& image, const Window& window) {
  RgbImage out(window.width, window.height);
  for (int y = 0; y < window.height; ++y) {
    std::memcpy(out.row(y), image.row(window.y + y) + static_cast<size_t>(window.x) * 3,
                static_cast<size_t>(window.width) * 3);
  }
  return out;
}

RgbImage ResizeWindow(const RgbImage& image, ImageSize size, const Window& window, Filter filter,
                      Resampler resampler) {
  W8A8_CHECK(image.width > 0 && image.height > 0 && window.x >= 0 && window.y >= 0);
  W8A8_CHECK(window.x + window.width <= size.width && window.y + window.height <= size.height);
  if (size == ImageSize{image.width, image.height}) return Crop(image, window);
  if (resampler == Resampler::kTorchvision && !IsInTorchvision(filter)) {
    throw BadSetting(
        fmt::format("the preprocessing config asks for {}, which the resampler torchvision does "
                    "not do; pillow13 does.",
                    FilterName(filter)));
  }
  if (filter == Filter::kNearest) return NearestWindow(image, size, window);
  // A pass over an axis that keeps its length is left out, as there: it would copy.
  if (size.width == image.width) {
    const AxisTaps rows =
        MakeTaps(image.height, size.height, window.y, window.height, filter, resampler);
    return VerticalPass(image, rows, window.x, window.width, 0);
  }
  const AxisTaps columns =
      MakeTaps(image.width, size.width, window.x, window.width, filter, resampler);
  if (size.height == image.height) return HorizontalPass(image, columns, window.y, window.height);

  const AxisTaps rows =
      MakeTaps(image.height, size.height, window.y, window.height, filter, resampler);
  if (VerticalFirst(image, size, resampler)) {
    const int begin = columns.input_begin;
    RgbImage tall = VerticalPass(image, rows, begin, columns.input_end - begin, 0);
    AxisTaps shifted = columns;
    for (AxisTaps::Span& span : shifted.spans) span.begin -= begin;
    return HorizontalPass(tall, shifted, 0, window.height);
  }
  const RgbImage wide =
      HorizontalPass(image, columns, rows.input_begin, rows.input_end - rows.input_begin);
  return VerticalPass(wide, rows, 0, window.width, rows.input_begin);
}

RgbImage Resize(const RgbImage& image, ImageSize size, Filter filter, Resampler resampler) {
  return ResizeWindow(image, size, {0, 0, size.width, size.height}, filter, resampler);
}

}  // namespace w8a8
