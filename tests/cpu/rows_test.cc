// Norms, activation functions, residual and conversions of every kernel set against the contract.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "quant/numerics.h"
#include "runtime/base/counter_hash.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cpu/row_sums.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::CombineRowSums;
using test::Equal;
using test::RandomHalves;
using test::SetsUnderTest;
using test::Values;

constexpr int64_t kColumnCounts[] = {1, 7, 8, 15, 16, 17, 192, 255, 256, 257, 768, 1152, 4304};

std::vector<float> Uniform(uint64_t seed, int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(1.0f + HashUniform(seed, static_cast<uint64_t>(i)));
  }
  return values;
}

// Of the terms, or of their squares.
float RowSum(const std::vector<float>& terms, bool squares) {
  float s[256] = {};
  for (size_t k = 0; k < terms.size(); ++k) {
    s[k % 256] = squares ? std::fma(terms[k], terms[k], s[k % 256]) : s[k % 256] + terms[k];
  }
  return CombineRowSums(s);
}

float Wide(Half value) { return ToFloat(value); }
float Wide(float value) { return value; }

// Beyond FP16 in range and in precision, with a NaN and an infinity where `values` is any.
std::vector<float> RandomFloats(int64_t count, uint64_t seed, Values values) {
  std::vector<float> floats;
  for (int64_t i = 0; i < count; ++i) {
    const float u = HashUniform(seed, static_cast<uint64_t>(i));
    floats.push_back(i % 5 == 0 ? 3e5f * u : u);
  }
  if (values == Values::kAny) {
    floats.front() = std::numeric_limits<float>::quiet_NaN();
    floats.back() = std::numeric_limits<float>::infinity();
  }
  return floats;
}

template <class T>
struct NormCase {
  std::vector<T> x;
  std::vector<float> weight, bias;
  int64_t cols() const { return static_cast<int64_t>(weight.size()); }
  int64_t rows() const { return static_cast<int64_t>(x.size()) / cols(); }
};

NormCase<Half> RandomNorm(int64_t cols, Values values) {
  return {RandomHalves(4 * cols, 21, values), Uniform(22, cols), Uniform(23, cols)};
}

NormCase<float> RandomFloatNorm(int64_t cols, Values values) {
  return {RandomFloats(4 * cols, 24, values), Uniform(22, cols), Uniform(23, cols)};
}

template <class T>
std::vector<Half> ExpectedNorm(const NormCase<T>& c, bool subtract_mean) {
  std::vector<Half> y;
  const auto count = static_cast<float>(c.cols());
  for (int64_t r = 0; r < c.rows(); ++r) {
    std::vector<float> x;
    for (int64_t k = 0; k < c.cols(); ++k) {
      x.push_back(Wide(c.x[static_cast<size_t>(r * c.cols() + k)]));
    }
    if (subtract_mean) {
      const float mean = RowSum(x, /*squares=*/false) / count;
      for (float& value : x) value -= mean;
    }
    const float inv_std = 1.0f / std::sqrt(RowSum(x, /*squares=*/true) / count + 1e-6f);
    for (size_t i = 0; i < x.size(); ++i) {
      const float normalized = x[i] * inv_std;
      y.push_back(ToHalf(subtract_mean ? std::fma(normalized, c.weight[i], c.bias[i])
                                       : normalized * c.weight[i]));
    }
  }
  return y;
}

template <class T>
std::vector<Half> RunNorm(void (*norm)(const NormRowsArgsOf<T>&), const NormCase<T>& c) {
  std::vector<Half> y(c.x.size());
  norm({.x = c.x.data(),
        .x_stride = c.cols(),
        .rows = c.rows(),
        .cols = c.cols(),
        .eps = 1e-6f,
        .weight = c.weight.data(),
        .bias = c.bias.data(),
        .y = y.data(),
        .y_stride = c.cols()});
  return y;
}

TEST(NormRows, EqualTheContractOnEverySetAndWidth) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const int64_t cols : kColumnCounts) {
      for (const Values values : {Values::kFinite, Values::kAny}) {
        const NormCase<Half> c = RandomNorm(cols, values);
        EXPECT_EQ(Equal(ExpectedNorm(c, true), RunNorm(set.rows->layer_norm, c)), "")
            << set.name << ", LayerNorm of " << cols;
        EXPECT_EQ(Equal(ExpectedNorm(c, false), RunNorm(set.rows->rms_norm, c)), "")
            << set.name << ", RMSNorm of " << cols;
        const NormCase<float> wide = RandomFloatNorm(cols, values);
        EXPECT_EQ(Equal(ExpectedNorm(wide, true), RunNorm(set.rows->layer_norm_float, wide)), "")
            << set.name << ", LayerNorm of " << cols << " binary32";
        EXPECT_EQ(Equal(ExpectedNorm(wide, false), RunNorm(set.rows->rms_norm_float, wide)), "")
            << set.name << ", RMSNorm of " << cols << " binary32";
      }
    }
  }
}

// E[x^2] - E[x]^2 would give 0 or garbage here.
TEST(NormRows, TakeTwoPasses) {
  for (const Kernels& set : SetsUnderTest()) {
    const NormCase<Half> c{{ToHalf(2048.0f), ToHalf(2050.0f)}, {1.0f, 1.0f}, {0.0f, 0.0f}};
    const std::vector<Half> y = RunNorm(set.rows->layer_norm, c);
    EXPECT_EQ(ToFloat(y[0]), -1.0f) << set.name;
    EXPECT_EQ(ToFloat(y[1]), 1.0f) << set.name;
  }
}

TEST(ActivationRows, EqualNumericsOnEveryPattern) {
  std::vector<Half> x(65536), expected(65536), actual(65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) x[bits] = Half{static_cast<uint16_t>(bits)};
  struct Row {
    const char* name;
    float (*function)(float);
    void (*RowKernels::*rows)(const ActivationRowsArgs&);
  };
  const Row functions[] = {{"gelu_erf", GeluErf, &RowKernels::gelu_erf},
                           {"gelu_tanh", GeluTanh, &RowKernels::gelu_tanh},
                           {"quick_gelu", QuickGelu, &RowKernels::quick_gelu},
                           {"silu", Silu, &RowKernels::silu}};
  for (const Kernels& set : SetsUnderTest()) {
    for (const Row& f : functions) {
      std::ranges::transform(x, expected.begin(),
                             [&f](Half h) { return ToHalf(f.function(ToFloat(h))); });
      // 255 columns: a tail in every row; 65,536 = 257 * 255 + 1.
      (set.rows->*f.rows)({x.data(), 255, 257, 255, actual.data(), 255});
      (set.rows->*f.rows)({x.data() + 65535, 1, 1, 1, actual.data() + 65535, 1});
      EXPECT_EQ(Equal(expected, actual), "") << set.name << " " << f.name;
    }
  }
}

TEST(MultiplyRows, EqualsTheContractOnEverySetAndWidth) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const int64_t cols : kColumnCounts) {
      const std::vector<Half> by = RandomHalves(2 * cols, 35, Values::kAny);
      const std::vector<Half> before = RandomHalves(2 * cols, 36, Values::kAny);
      std::vector<Half> expected, x = before;
      for (size_t i = 0; i < by.size(); ++i) {
        expected.push_back(ToHalf(ToFloat(before[i]) * ToFloat(by[i])));
      }
      set.rows->multiply({.x = x.data(),
                          .x_stride = cols,
                          .by = by.data(),
                          .by_stride = cols,
                          .rows = 2,
                          .cols = cols});
      EXPECT_EQ(Equal(expected, x), "") << set.name << " " << cols;
    }
  }
}

TEST(AddResidual, EqualsTheContractOnEverySetAndWidth) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const int64_t cols : kColumnCounts) {
      const std::vector<Half> y = RandomHalves(2 * cols, 31, Values::kAny);
      const std::vector<Half> before = RandomHalves(2 * cols, 32, Values::kAny);
      const std::vector<float> layer_scale = Uniform(33, cols);
      for (const float* scale : {static_cast<const float*>(nullptr), layer_scale.data()}) {
        std::vector<Half> expected, stream = before;
        for (size_t i = 0; i < y.size(); ++i) {
          const float s = scale == nullptr ? 1.0f : scale[i % static_cast<size_t>(cols)];
          expected.push_back(ToHalf(std::fma(s, ToFloat(y[i]), ToFloat(before[i]))));
        }
        set.rows->add_residual({.stream = stream.data(),
                                .stream_stride = cols,
                                .y = y.data(),
                                .y_stride = cols,
                                .rows = 2,
                                .cols = cols,
                                .layer_scale = scale});
        EXPECT_EQ(Equal(expected, stream), "") << set.name << " " << cols;
      }
    }
  }
}

TEST(AddFloatResidual, EqualsTheContractOnEverySetAndWidthAndNeverRoundsToHalf) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const int64_t cols : kColumnCounts) {
      const std::vector<Half> y = RandomHalves(2 * cols, 31, Values::kAny);
      const std::vector<float> before = RandomFloats(2 * cols, 34, Values::kAny);
      const std::vector<float> layer_scale = Uniform(33, cols);
      for (const float* scale : {static_cast<const float*>(nullptr), layer_scale.data()}) {
        std::vector<float> expected, stream = before;
        for (size_t i = 0; i < y.size(); ++i) {
          const float s = scale == nullptr ? 1.0f : scale[i % static_cast<size_t>(cols)];
          expected.push_back(std::fma(s, ToFloat(y[i]), before[i]));
        }
        set.rows->add_float_residual({.stream = stream.data(),
                                      .stream_stride = cols,
                                      .y = y.data(),
                                      .y_stride = cols,
                                      .rows = 2,
                                      .cols = cols,
                                      .layer_scale = scale});
        EXPECT_EQ(Equal(expected, stream), "") << set.name << " " << cols;
      }
    }
  }
}

// Sums of several rows, so that what was there before counts; the oracle adds in the same order.
TEST(ErrorSums, EqualTheContractOnEverySet) {
  constexpr int64_t kCount = 24;
  for (const Kernels& set : SetsUnderTest()) {
    ErrorSums expected = {}, actual = {};
    for (uint64_t row = 0; row < 5; ++row) {
      const std::vector<float> e = RandomFloats(kCount, 41 + row, Values::kFinite);
      const std::vector<float> a = RandomFloats(kCount, 51 + row, Values::kFinite);
      set.rows->add_error_sums(
          {.expected = e.data(), .actual = a.data(), .count = kCount, .sums = &actual});
      for (size_t k = 0; k < e.size(); ++k) {
        const size_t lane = k % 8;
        const double error = double{a[k]} - double{e[k]};
        expected.expected_sq[lane] += double{e[k]} * double{e[k]};
        expected.actual_sq[lane] += double{a[k]} * double{a[k]};
        expected.product[lane] += double{e[k]} * double{a[k]};
        expected.error_sq[lane] += error * error;
        expected.error[lane] += error;
        expected.max_abs[lane] = std::max(expected.max_abs[lane], std::fabs(error));
      }
    }
    EXPECT_EQ(std::memcmp(&expected, &actual, sizeof(ErrorSums)), 0) << set.name;
  }
}

TEST(Conversions, EqualHalfDotHOnEveryPatternAndBetween) {
  std::vector<Half> x(65536);
  std::vector<float> widened(65536), expected(65536);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    x[bits] = Half{static_cast<uint16_t>(bits)};
    expected[bits] = ToFloat(x[bits]);
  }
  for (const Kernels& set : SetsUnderTest()) {
    set.rows->half.to_float(x.data(), widened.data(), 65536);
    EXPECT_EQ(Equal(expected, widened), "") << set.name;
    for (const float nudge : {0.0f, 0x1p-12f, -0x1p-12f, 0x1p-11f, 0x1.8p-11f}) {
      std::vector<float> near(65535);  // an odd count, so that there is a tail
      std::vector<Half> rounded(65535), nearest;
      for (size_t i = 0; i < near.size(); ++i) near[i] = std::fma(expected[i], nudge, expected[i]);
      std::ranges::transform(near, std::back_inserter(nearest),
                             [](float value) { return ToHalf(value); });
      set.rows->half.to_half(near.data(), rounded.data(), 65535);
      EXPECT_EQ(Equal(nearest, rounded), "") << set.name;
    }
  }
}

}  // namespace
}  // namespace w8a8
