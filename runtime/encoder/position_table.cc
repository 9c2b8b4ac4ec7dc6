#include "runtime/encoder/position_table.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Keys' cubic convolution; torch takes a = -0.75 without antialias and -0.5 with it.
double Cubic(double x, double a) {
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// Four taps around the centre; those beyond the border fold onto it.
void AddPlainTaps(int64_t inputs, double center, ResizeAxis* axis) {
  const auto below = static_cast<int64_t>(std::floor(center));
  const int64_t first = std::clamp<int64_t>(below - 1, 0, inputs - 1);
  const int64_t last = std::clamp<int64_t>(below + 2, 0, inputs - 1);
  std::vector<double> weight(static_cast<size_t>(last - first + 1), 0.0);
  for (int64_t tap = below - 1; tap <= below + 2; ++tap) {
    const int64_t input = std::clamp<int64_t>(tap, 0, inputs - 1);
    weight[static_cast<size_t>(input - first)] += Cubic(center - static_cast<double>(tap), -0.75);
  }
  axis->first.push_back(first);
  axis->weight.push_back(std::move(weight));
}

double Triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

// The filter is as wide as an output where that covers several inputs; its weights sum to 1.
void AddAntialiasTaps(int64_t inputs, double center, double scale, bool bilinear,
                      ResizeAxis* axis) {
  const double stretch = std::max(scale, 1.0);
  const double support = (bilinear ? 1.0 : 2.0) * stretch;
  const auto first = std::max<int64_t>(static_cast<int64_t>(center - support + 1.0), 0);
  const auto end = std::min<int64_t>(static_cast<int64_t>(center + support + 1.0), inputs);
  std::vector<double> weight;
  double sum = 0.0;
  for (int64_t tap = first; tap < end; ++tap) {
    const double distance = (static_cast<double>(tap) - center) / stretch;
    weight.push_back(bilinear ? Triangle(distance) : Cubic(distance, -0.5));
    sum += weight.back();
  }
  for (double& value : weight) value /= sum;
  axis->first.push_back(first);
  axis->weight.push_back(std::move(weight));
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
    if (kind == PositionResize::kBicubic) {
      AddPlainTaps(inputs, center, &axis);
    } else {
      AddAntialiasTaps(inputs, center, scale, kind == PositionResize::kBilinearAntialias, &axis);
    }
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
