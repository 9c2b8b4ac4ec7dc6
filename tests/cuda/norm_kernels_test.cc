// Norms on the device against the CPU's scalar kernels, in every bit.
#include "runtime/cuda/norm_kernels.h"

#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/row_kernels.h"
#include "tests/cuda/device_rows.h"
#include "tests/cuda/device_test.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using NormKernels = DeviceTest;

// Rows, what a norm does with them, and what the CPU makes of them.
struct Wanted {
  NormKind kind = NormKind::kLayerNorm;
  bool residual = false;
  bool layer_scale = false;
  bool weight = true;
  bool bias = true;
  bool codes = false;
  bool stored = true;  // y, not its codes only
  float static_scale = 0.0f;
  float clip_range = std::numeric_limits<float>::infinity();
  Placing placing = {};
};

template <class T>
struct NormCase {
  std::vector<T> x;  // with the residual, once expected
  std::vector<Half> y, expected;
  std::vector<float> layer_scale, weight, bias, ones, zeros;
  std::vector<int8_t> codes;
  std::vector<float> scale;
  std::vector<int32_t> code_sum;
};

std::vector<Half> RowsOf(Half, int64_t rows, int64_t cols) { return RandomRows(rows, cols, 5); }
// Beyond FP16 in range and in precision.
std::vector<float> RowsOf(float, int64_t rows, int64_t cols) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  const std::vector<Half> halves = RandomRows(rows, cols, 6);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = ToFloat(halves[i]) * (1.0f + 0.1f * HashUniform(7, i)) * (i % 7 == 0 ? 3e3f : 1.0f);
  }
  return values;
}

template <class T>
NormCase<T> RandomCase(int64_t rows, int64_t cols) {
  const auto count = static_cast<size_t>(cols);
  return {.x = RowsOf(T(), rows, cols),
          .y = RandomRows(rows, cols, 9),
          .expected = std::vector<Half>(static_cast<size_t>(rows * cols)),
          .layer_scale = RandomFloats(cols, 10, 0.0f),
          .weight = RandomFloats(cols, 11),
          .bias = RandomFloats(cols, 12, 0.0f),
          .ones = std::vector<float>(count, 1.0f),
          .zeros = std::vector<float>(count, 0.0f),
          .codes = {},
          .scale = std::vector<float>(static_cast<size_t>(rows)),
          .code_sum = std::vector<int32_t>(static_cast<size_t>(rows))};
}

constexpr float kEps = 1e-6f;

// By the CPU's steps, one after the other: CpuArena::Do(const NormStep&).
template <class T>
void Expect(const Wanted& wanted, int64_t rows, int64_t cols, NormCase<T>* c) {
  const RowKernels& kernels = kScalarRowKernels;
  constexpr bool kFloat = std::is_same_v<T, float>;
  if (wanted.residual) {
    const AddResidualArgsOf<T> add{
        .stream = c->x.data(),
        .stream_stride = cols,
        .y = c->y.data(),
        .y_stride = cols,
        .rows = rows,
        .cols = cols,
        .layer_scale = wanted.layer_scale ? c->layer_scale.data() : nullptr};
    if constexpr (kFloat) kernels.add_float_residual(add);
    if constexpr (!kFloat) kernels.add_residual(add);
  }
  const NormRowsArgsOf<T> args{.x = c->x.data(),
                               .x_stride = cols,
                               .rows = rows,
                               .cols = cols,
                               .eps = kEps,
                               .weight = wanted.weight ? c->weight.data() : c->ones.data(),
                               .bias = wanted.bias ? c->bias.data() : c->zeros.data(),
                               .y = c->expected.data(),
                               .y_stride = cols};
  const bool layer_norm = wanted.kind == NormKind::kLayerNorm;
  if constexpr (kFloat) (layer_norm ? kernels.layer_norm_float : kernels.rms_norm_float)(args);
  if constexpr (!kFloat) (layer_norm ? kernels.layer_norm : kernels.rms_norm)(args);
  const int64_t stride = (cols + 15) / 16 * 16;
  c->codes.resize(static_cast<size_t>(rows * stride));
  kScalarInt8Kernels.quantize_rows(
      {.x = c->expected.data(),
       .x_stride = cols,
       .rows = rows,
       .cols = cols,
       .clip_range = wanted.clip_range,
       .static_scale = wanted.static_scale > 0.0f ? &wanted.static_scale : nullptr,
       .codes = c->codes.data(),
       .codes_stride = stride,
       .scale = c->scale.data(),
       .code_sum = c->code_sum.data(),
       .counts = nullptr});
}

template <class T>
void ExpectEqualsTheCpu(const Wanted& wanted, int64_t rows, int64_t cols) {
  NormCase<T> c = RandomCase<T>(rows, cols);
  const DeviceRows<T> x(c.x, cols, wanted.placing);
  const DeviceRows<Half> add(c.y, cols, wanted.placing), y(rows, cols, wanted.placing);
  const DeviceArray<float> layer_scale(c.layer_scale), weight(c.weight), bias(c.bias);
  const DevicePlainCodes codes(rows, cols, wanted.static_scale, wanted.clip_range);
  Expect(wanted, rows, cols, &c);
  NormArgsOf<T> args{.kind = wanted.kind,
                     .eps = kEps,
                     .x = x.view(),
                     .add = {},
                     .weight = wanted.weight ? weight.data() : nullptr,
                     .bias = wanted.bias ? bias.data() : nullptr,
                     .y = wanted.stored ? y.view() : MatView<Half>(),
                     .codes = wanted.codes ? codes.plain : PlainCodes()};
  if (wanted.residual) {
    args.add = {add.view(), wanted.layer_scale ? layer_scale.data() : nullptr};
  }
  LaunchNorm(nullptr, args);
  const std::string what = std::to_string(rows) + " x " + std::to_string(cols);
  EXPECT_EQ(Equal(c.x, x.Download()), "") << what;
  if (wanted.stored) {
    EXPECT_EQ(Equal(c.expected, y.Download()), "") << what;
  }
  if (!wanted.codes) return;
  EXPECT_EQ(Equal(c.codes, codes.codes.Download()), "") << what;
  EXPECT_EQ(Equal(c.scale, codes.scale.Download()), "") << what;
  EXPECT_EQ(Equal(c.code_sum, codes.code_sum.Download()), "") << what;
}

constexpr int64_t kColumnCounts[] = {1, 7, 72, 192, 255, 257, 588, 1152};
constexpr NormKind kKinds[] = {NormKind::kLayerNorm, NormKind::kRmsNorm};

TEST_F(NormKernels, EqualTheCpu) {
  for (const int64_t cols : kColumnCounts) {
    for (const NormKind kind : kKinds) {
      ExpectEqualsTheCpu<Half>({.kind = kind}, 5, cols);
      ExpectEqualsTheCpu<float>({.kind = kind}, 5, cols);
    }
  }
}

TEST_F(NormKernels, EqualTheCpuBehindAResidual) {
  for (const int64_t cols : kColumnCounts) {
    for (const NormKind kind : kKinds) {
      for (const bool layer_scale : {false, true}) {
        const Wanted wanted{.kind = kind, .residual = true, .layer_scale = layer_scale};
        ExpectEqualsTheCpu<Half>(wanted, 5, cols);
        ExpectEqualsTheCpu<float>(wanted, 5, cols);
      }
    }
  }
}

TEST_F(NormKernels, EqualTheCpuBeforeTheQuantizer) {
  const Wanted all[] = {
      {.codes = true},
      {.kind = NormKind::kRmsNorm, .residual = true, .codes = true, .stored = false},
      {.codes = true, .clip_range = 1.5f},
      {.codes = true, .clip_range = 1e-40f},  // 127 / R is infinite
      {.codes = true, .stored = false, .static_scale = 0.0078125f},
      {.kind = NormKind::kRmsNorm, .codes = true, .static_scale = 1e-6f}};
  for (const Wanted& wanted : all) {
    for (const int64_t cols : kColumnCounts) {
      ExpectEqualsTheCpu<Half>(wanted, 5, cols);
      ExpectEqualsTheCpu<float>(wanted, 5, cols);
    }
  }
}

TEST_F(NormKernels, TakeAbsentWeightsAsOneAndZero) {
  for (const NormKind kind : kKinds) {
    ExpectEqualsTheCpu<Half>({.kind = kind, .weight = false, .bias = false}, 5, 257);
    ExpectEqualsTheCpu<float>({.kind = kind, .bias = false}, 5, 72);
    ExpectEqualsTheCpu<Half>({.kind = kind, .weight = false}, 5, 72);
  }
}

TEST_F(NormKernels, EqualTheCpuAtEveryNumberOfRows) {
  for (const int64_t rows : {1, 2, 33, 729, 1025}) {
    ExpectEqualsTheCpu<Half>({.residual = true, .codes = true}, rows, 72);
  }
  ExpectEqualsTheCpu<float>({.codes = true}, 3, 4304);  // two rows fit into a block
  ExpectEqualsTheCpu<float>({.codes = true}, 2, 12800);
}

// Strides that keep 16 bytes and ones that do not.
TEST_F(NormKernels, EqualTheCpuWhereverRowsLie) {
  for (const Placing placing : {Placing{0, 8}, Placing{8, 16}, Placing{0, 3}, Placing{1, 7}}) {
    for (const int64_t cols : {7, 192, 257}) {
      ExpectEqualsTheCpu<Half>({.residual = true, .codes = true, .placing = placing}, 5, cols);
      ExpectEqualsTheCpu<float>({.residual = true, .codes = true, .placing = placing}, 5, cols);
    }
  }
}

// CpuArena::Do(const QkNormStep&): Q and K between other columns of one matrix.
TEST_F(NormKernels, EqualTheCpuInPlaceOnRangesOfColumns) {
  constexpr int64_t kRows = 5, kCols = 3 * 72 + 5;
  for (const int64_t first : {0, 72, 77}) {
    std::vector<Half> expected = RandomRows(kRows, kCols, 3);
    const std::vector<float> weight = RandomFloats(72, 4), zeros(72, 0.0f);
    const DeviceRows<Half> x(expected, kCols);
    const DeviceArray<float> weight_there(weight);
    const MatView<Half> range = x.view().ColRange(first, 72);
    LaunchNorm(nullptr, NormArgs{.kind = NormKind::kRmsNorm,
                                 .eps = kEps,
                                 .x = range,
                                 .add = {},
                                 .weight = weight_there.data(),
                                 .bias = nullptr,
                                 .y = range,
                                 .codes = {}});
    kScalarRowKernels.rms_norm({.x = expected.data() + first,
                                .x_stride = kCols,
                                .rows = kRows,
                                .cols = 72,
                                .eps = kEps,
                                .weight = weight.data(),
                                .bias = zeros.data(),
                                .y = expected.data() + first,
                                .y_stride = kCols});
    EXPECT_EQ(Equal(expected, x.Download()), "") << first;
  }
}

}  // namespace
}  // namespace w8a8::test
