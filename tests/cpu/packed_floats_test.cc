// Float products of every kernel set.
#include "runtime/cpu/packed_floats.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cpu/kernel_sets.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

struct Operands {
  std::vector<float> x, weight, bias;  // [m, k], [n, k], [n]
};

Operands RandomOperands(const LayerShape& shape, bool half) {
  const auto values = [half](int64_t count, uint64_t seed) {
    return half ? RandomHalfFloats(count, seed, 1.0f) : RandomFloats(count, seed);
  };
  return {values(shape.m * shape.k, 1), values(shape.n * shape.k, 2), RandomFloats(shape.n, 3)};
}

std::vector<float> Product(const FloatProduct& product, const LayerShape& shape,
                           const Operands& operands, const float* bias) {
  const PackedFloats linear({operands.weight.data(), shape.n, shape.k, shape.k}, product);
  std::vector<float> y(static_cast<size_t>(shape.m * shape.n), -7.0f);
  OperandScratch scratch;
  linear.Multiply(MatView<const float>{operands.x.data(), shape.m, shape.k, shape.k}, bias,
                  MatView<float>{y.data(), shape.m, shape.n, shape.n}, &scratch);
  return y;
}

// In `Real`, one term after the other.
template <class Real>
std::vector<Real> PlainProduct(const LayerShape& shape, const Operands& operands) {
  std::vector<Real> y;
  for (int64_t m = 0; m < shape.m; ++m) {
    for (int64_t n = 0; n < shape.n; ++n) {
      Real sum = 0;
      for (int64_t k = 0; k < shape.k; ++k) {
        sum += Real{operands.x[static_cast<size_t>(m * shape.k + k)]} *
               Real{operands.weight[static_cast<size_t>(n * shape.k + k)]};
      }
      y.push_back(sum + Real{operands.bias[static_cast<size_t>(n)]});
    }
  }
  return y;
}

TEST(PackedFloats, IsAtMostTwiceAsWrongAsThePlainLoop) {
  std::vector<LayerShape> shapes = LayerShapes();
  shapes.push_back({197, 67, 192});
  for (const Kernels& kernels : SetsUnderTest()) {
    for (const bool half : {true, false}) {
      const FloatProduct& product = half ? kernels.floats->half : kernels.floats->wide;
      for (const LayerShape& shape : shapes) {
        const Operands operands = RandomOperands(shape, half);
        const std::vector<float> y = Product(product, shape, operands, operands.bias.data());
        EXPECT_EQ(TwiceNaive(PlainProduct<double>(shape, operands),
                             PlainProduct<float>(shape, operands), y),
                  "")
            << kernels.name << ", " << product.name << ", " << Text(shape);
      }
    }
  }
}

TEST(PackedFloats, IsFarFromAProductWithOneWeightLeftOut) {
  const LayerShape shape{13, 33, 64};
  Operands operands = RandomOperands(shape, true);
  const std::vector<double> exact = PlainProduct<double>(shape, operands);
  const std::vector<float> naive = PlainProduct<float>(shape, operands);
  operands.weight.back() = 0.0f;
  for (const Kernels& kernels : SetsUnderTest()) {
    const std::vector<float> y =
        Product(kernels.floats->half, shape, operands, operands.bias.data());
    EXPECT_NE(TwiceNaive(exact, naive, y), "") << kernels.name;
  }
}

// Long rows, more of them than any second-level cache holds with the weights: AMX's come in passes.
constexpr LayerShape kLongRows{180, 40, 3072};

TEST(PackedFloats, OfLongRowsIsAtMostTwiceAsWrongAsThePlainLoop) {
  const Operands operands = RandomOperands(kLongRows, true);
  const std::vector<double> exact = PlainProduct<double>(kLongRows, operands);
  const std::vector<float> naive = PlainProduct<float>(kLongRows, operands);
  for (const Kernels& kernels : SetsUnderTest()) {
    const FloatProduct& product = kernels.floats->half;
    const std::vector<float> y = Product(product, kLongRows, operands, operands.bias.data());
    EXPECT_EQ(TwiceNaive(exact, naive, y), "") << kernels.name << ", " << product.name;
    for (const int64_t row : {0, 100, 179}) {
      Operands alone = operands;
      alone.x.assign(operands.x.begin() + row * kLongRows.k,
                     operands.x.begin() + (row + 1) * kLongRows.k);
      const std::vector<float> one =
          Product(product, {1, kLongRows.n, kLongRows.k}, alone, operands.bias.data());
      EXPECT_EQ(Equal(one, std::span(y).subspan(static_cast<size_t>(row * kLongRows.n),
                                                static_cast<size_t>(kLongRows.n))),
                "")
          << kernels.name << ", " << product.name << ", row " << row;
    }
  }
}

// What lets a batch be one product: no row's bits depend on the rows beside it.
TEST(PackedFloats, GivesARowTheSameBitsInAnyCompany) {
  const LayerShape shape{61, 70, 300};
  const Operands operands = RandomOperands(shape, true);
  for (const Kernels& kernels : SetsUnderTest()) {
    for (const FloatProduct* product : {&kernels.floats->half, &kernels.floats->wide}) {
      const std::vector<float> all = Product(*product, shape, operands, nullptr);
      for (const int64_t row : {0, 1, 11, 12, 29, 60}) {
        Operands alone = operands;
        alone.x.assign(operands.x.begin() + row * shape.k,
                       operands.x.begin() + (row + 1) * shape.k);
        const std::vector<float> one = Product(*product, {1, shape.n, shape.k}, alone, nullptr);
        EXPECT_EQ(Equal(one, std::span(all).subspan(static_cast<size_t>(row * shape.n),
                                                    static_cast<size_t>(shape.n))),
                  "")
            << kernels.name << ", " << product->name << ", row " << row;
      }
    }
  }
}

// Weights and inputs with bits for one BF16 value and for two, positive, negative and 0.
TEST(PackedFloats, KeepsInfinitiesAndNansOfARowAsFp32Does) {
  const LayerShape shape{9, 40, 70};
  Operands operands = RandomOperands(shape, true);
  for (size_t i = 0; i < operands.weight.size(); ++i) {
    const float few_bits[] = {1.0f, -2.0f, 0.0f};
    if (i % 4 != 3) operands.weight[i] = few_bits[i % 4];
  }
  const auto set = [&](int64_t row, int64_t k, float value) {
    operands.x[static_cast<size_t>(row * shape.k + k)] = value;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  set(1, 3, kInfinity);
  set(2, 69, -kInfinity);
  set(4, 0, kInfinity);
  set(4, 1, kInfinity);
  set(5, 7, kInfinity);
  set(5, 40, -kInfinity);
  set(7, 2, std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> naive = PlainProduct<float>(shape, operands);
  const auto class_of = [](float value) {
    return std::isnan(value) ? 'n' : std::isfinite(value) ? 'f' : value > 0 ? '+' : '-';
  };
  for (const Kernels& kernels : SetsUnderTest()) {
    for (const FloatProduct* product : {&kernels.floats->half, &kernels.floats->wide}) {
      const std::vector<float> y = Product(*product, shape, operands, operands.bias.data());
      for (size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(class_of(y[i]), class_of(naive[i]))
            << kernels.name << ", " << product->name << ", " << i;
      }
    }
  }
}

TEST(PackedFloats, RoundsOnceToFp16AndTakesFp16RowsAsTheyAre) {
  const LayerShape shape{25, 65, 192};
  const Operands operands = RandomOperands(shape, true);
  std::vector<Half> x;
  for (const float value : operands.x) x.push_back(ToHalf(value));
  for (const Kernels& kernels : SetsUnderTest()) {
    const PackedFloats linear({operands.weight.data(), shape.n, shape.k, shape.k},
                              kernels.floats->half);
    std::vector<Half> y(static_cast<size_t>(shape.m * shape.n)), expected;
    OperandScratch scratch;
    linear.Multiply(MatView<const Half>{x.data(), shape.m, shape.k, shape.k}, operands.bias.data(),
                    MatView<Half>{y.data(), shape.m, shape.n, shape.n}, &scratch);
    for (const float value : Product(kernels.floats->half, shape, operands, operands.bias.data())) {
      expected.push_back(ToHalf(value));
    }
    EXPECT_EQ(Equal(expected, y), "") << kernels.name;
  }
}

}  // namespace
}  // namespace w8a8::test
