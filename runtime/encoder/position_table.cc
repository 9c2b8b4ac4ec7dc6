#include "runtime/encoder/position_table.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/keys_cubic.h"

namespace w8a8 {
namespace {

// The inputs first, first + 1, ... that one output looks at.
struct Taps {
  int64_t first = 0;
  std::vector<double> weight;
};

// Four taps around the centre; those beyond the border fold onto it.
Taps PlainTaps(int64_t inputs, double center) {
  const auto below = static_cast<int64_t>(std::floor(center));
  const int64_t first = std::clamp<int64_t>(below - 1, 0, inputs - 1);
  const int64_t last = std::clamp<int64_t>(below + 2, 0, inputs - 1);
  std::vector<double> weight(static_cast<size_t>(last - first + 1), 0.0);
  for (int64_t tap = below - 1; tap <= below + 2; ++tap) {
    const int64_t input = std::clamp<int64_t>(tap, 0, inputs - 1);
    weight[static_cast<size_t>(input - first)] +=
        KeysCubic(center - static_cast<double>(tap), -0.75);
  }
  return {first, std::move(weight)};
}

struct Filter {
  double (*weight)(double distance);
  double support;  // inputs on either side
};
constexpr Filter kTriangle = {[](double x) { return std::max(0.0, 1.0 - std::abs(x)); }, 1.0};
constexpr Filter kCubic = {[](double x) { return KeysCubic(x, -0.5); }, 2.0};

// The filter is as wide as an output where that covers several inputs; its weights sum to 1.
Taps AntialiasTaps(int64_t inputs, double center, double scale, const Filter& filter) {
  const double stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch;
  const auto first = std::max<int64_t>(static_cast<int64_t>(center - support + 1.0), 0);
  const auto end = std::min<int64_t>(static_cast<int64_t>(center + support + 1.0), inputs);
  std::vector<double> weight;
  double sum = 0.0;
  for (int64_t tap = first; tap < end; ++tap) {
    weight.push_back(filter.weight((static_cast<double>(tap) - center) / stretch));
    sum += weight.back();
  }
  for (double& value : weight) value /= sum;
  return {first, std::move(weight)};
}

Taps TapsOf(int64_t inputs, double center, double scale, PositionResize kind) {
  if (kind == PositionResize::kBicubic) return PlainTaps(inputs, center);
  return AntialiasTaps(inputs, center, scale,
                       kind == PositionResize::kBilinearAntialias ? kTriangle : kCubic);
}

// `from` holds rows * cols cells of `width` values; `to` grid_rows * grid_cols.
void ResizeGrid(const EncoderConfig& config, std::span<const float> from, std::span<float> to) {
  const ResizeAxis down =
      MakeResizeAxis(config.table_rows(), config.grid_rows(), config.position_resize);
  const ResizeAxis across =
      MakeResizeAxis(config.table_cols(), config.grid_cols(), config.position_resize);
  const auto width = static_cast<size_t>(config.width);
  const auto cols = static_cast<size_t>(config.table_cols());
  std::vector<double> sum(width);
  float* out = to.data();
  for (size_t y = 0; y < down.first.size(); ++y) {
    for (size_t x = 0; x < across.first.size(); ++x, out += width) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t j = 0; j < down.weight[y].size(); ++j) {
        for (size_t i = 0; i < across.weight[x].size(); ++i) {
          const double weight = down.weight[y][j] * across.weight[x][i];
          const size_t cell = (static_cast<size_t>(down.first[y]) + j) * cols +
                              static_cast<size_t>(across.first[x]) + i;
          for (size_t d = 0; d < width; ++d) sum[d] += weight * from[cell * width + d];
        }
      }
      std::copy(sum.begin(), sum.end(), out);
    }
  }
}

}  // namespace

ResizeAxis MakeResizeAxis(int64_t inputs, int64_t outputs, PositionResize kind) {
  W8A8_CHECK(inputs > 0 && outputs > 0 && kind != PositionResize::kNone);
  const double scale = static_cast<double>(inputs) / static_cast<double>(outputs);
  ResizeAxis axis;
  for (int64_t i = 0; i < outputs; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale - 0.5;
    Taps taps = TapsOf(inputs, center, scale, kind);
    axis.first.push_back(taps.first);
    axis.weight.push_back(std::move(taps.weight));
  }
  return axis;
}

std::vector<float> PositionRows(const EncoderConfig& config, const std::vector<float>& stored) {
  const auto width = static_cast<size_t>(config.width);
  W8A8_CHECK(stored.size() == static_cast<size_t>(config.table_tokens()) * width);
  const auto registers = static_cast<size_t>(config.registers);
  const size_t stored_prefix = static_cast<size_t>(config.prefix_tokens) - registers;
  std::vector<float> rows(static_cast<size_t>(config.tokens()) * width);
  std::copy_n(stored.begin(), stored_prefix * width, rows.begin());
  const std::span<const float> from = std::span(stored).subspan(stored_prefix * width);
  const std::span<float> to = std::span(rows).subspan((stored_prefix + registers) * width);
  if (config.table_rows() == config.grid_rows() && config.table_cols() == config.grid_cols()) {
    std::copy(from.begin(), from.end(), to.begin());
  } else {
    ResizeGrid(config, from, to);
  }
  return rows;
}

}  // namespace w8a8
