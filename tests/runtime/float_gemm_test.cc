#include "runtime/cpu/float_gemm.h"

#include <algorithm>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

struct Shape {
  int64_t m, n, k;
};
// ViT-Ti's four layers and its head, a SigLIP tail shape, and odd ones.
const std::vector<Shape> kShapes = {{197, 576, 192}, {197, 192, 768}, {1, 1000, 192},
                                    {49, 67, 588},   {3, 5, 7},       {1, 1, 1}};

struct Product {
  std::vector<float> a, b;  // [m, k], [n, k]
  std::vector<double> exact;
  std::vector<float> naive;
};

Product RandomProduct(const Shape& shape) {
  Product p{.a = RandomFloats(shape.m * shape.k, 1),
            .b = RandomFloats(shape.n * shape.k, 2),
            .exact = {},
            .naive = {}};
  for (int64_t m = 0; m < shape.m; ++m) {
    for (int64_t n = 0; n < shape.n; ++n) {
      double exact = 0;
      float naive = 0;
      for (int64_t k = 0; k < shape.k; ++k) {
        const float a = p.a[static_cast<size_t>(m * shape.k + k)];
        const float b = p.b[static_cast<size_t>(n * shape.k + k)];
        exact += double{a} * double{b};
        naive += a * b;
      }
      p.exact.push_back(exact);
      p.naive.push_back(naive);
    }
  }
  return p;
}

std::vector<float> RunTransposed(FloatGemm& gemm, const Shape& shape, const Product& p) {
  std::vector<float> out(static_cast<size_t>(shape.m * shape.n));
  gemm.MultiplyTransposed({p.a.data(), shape.m, shape.k, shape.k},
                          FloatWeights({p.b.data(), shape.n, shape.k, shape.k}).view(),
                          {out.data(), shape.m, shape.n, shape.n});
  return out;
}

TEST(FloatGemm, IsAtMostTwiceAsWrongAsThePlainLoop) {
  FloatGemm gemm;
  for (const Shape& shape : kShapes) {
    const Product p = RandomProduct(shape);
    EXPECT_EQ(TwiceNaive(p.exact, p.naive, RunTransposed(gemm, shape, p)), "")
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
}

TEST(FloatGemm, ReadsAndWritesStridedViews) {
  FloatGemm gemm;
  const Shape shape{5, 6, 9};
  const Product p = RandomProduct(shape);
  // b inside rows of 11, the result inside rows of 13 whose rest must stay untouched.
  std::vector<float> b(static_cast<size_t>(shape.n * 11), 100.0f);
  for (int64_t n = 0; n < shape.n; ++n) {
    std::copy_n(p.b.begin() + n * shape.k, shape.k, b.begin() + n * 11);
  }
  std::vector<float> out(static_cast<size_t>(shape.m * 13), -7.0f);
  gemm.MultiplyTransposed({p.a.data(), shape.m, shape.k, shape.k}, {b.data(), shape.n, shape.k, 11},
                          {out.data(), shape.m, shape.n, 13});
  std::vector<float> inside;
  for (int64_t m = 0; m < shape.m; ++m) {
    const float* row = out.data() + m * 13;
    inside.insert(inside.end(), row, row + shape.n);
    EXPECT_EQ(row[shape.n], -7.0f) << "row " << m;
  }
  EXPECT_EQ(TwiceNaive(p.exact, p.naive, inside), "");
}

TEST(FloatGemm, GivesTheSameBitsOnEveryThreadAndInConcurrentWorkers) {
  const Shape shape{197, 576, 192};
  const Product p = RandomProduct(shape);
  FloatGemm first;
  const std::vector<float> expected = RunTransposed(first, shape, p);
  std::vector<std::vector<float>> actual(4);
  {
    std::vector<std::jthread> threads;
    for (std::vector<float>& out : actual) {
      threads.emplace_back([&] {
        FloatGemm own;
        for (int i = 0; i < 20; ++i) out = RunTransposed(own, shape, p);
      });
    }
  }
  for (const std::vector<float>& out : actual) EXPECT_EQ(Equal(expected, out), "");
  // A worker's object may be handed to another thread.
  std::jthread([&] { EXPECT_EQ(Equal(expected, RunTransposed(first, shape, p)), ""); }).join();
}

TEST(FloatGemm, MakesOnePrimitivePerShape) {
  FloatGemm gemm;
  const Shape shape{3, 5, 7};
  const Product p = RandomProduct(shape);
  RunTransposed(gemm, shape, p);
  RunTransposed(gemm, shape, p);
  EXPECT_EQ(gemm.primitives(), 1);
}

// Experts and images of many sizes have products of any number of rows.
TEST(FloatGemm, KeepsABoundedNumberOfShapes) {
  FloatGemm gemm;
  const std::vector<float> a(400, 1.0f), b = {1, 2};
  std::vector<float> out(400);
  for (int64_t rows = 0; rows <= 200; ++rows) {
    gemm.MultiplyTransposed({a.data(), rows, 2, 2}, {b.data(), 1, 2, 2}, {out.data(), rows, 1, 1});
    if (rows > 0) {
      EXPECT_EQ(out[static_cast<size_t>(rows - 1)], 3.0f);
    }
  }
  EXPECT_LE(gemm.primitives(), 128);
}

}  // namespace
}  // namespace w8a8::test
