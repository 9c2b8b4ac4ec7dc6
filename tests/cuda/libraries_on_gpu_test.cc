// NVIDIA's libraries themselves, as the speed baselines call them: each epilogue of cuBLASLt and
// cuDNN's attention against the textbook; skipped where there is no GPU or no library.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cudnn_attention.h"
#include "runtime/cuda/e4m3.h"
#include "tests/cpu/plain_attention.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/stand_in_library.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

using Kind = LibraryProduct::Kind;

class CublasLtOnGpu : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string missing = CublasLt::UnavailableReason();
    if (!missing.empty()) GTEST_SKIP() << "*** SKIPPED: cuBLASLt: " << missing << " ***";
  }
  static void RequireFp8() {
    const std::string too_old = TooOldFor(0, 8, 9);
    if (!too_old.empty()) GTEST_SKIP() << "*** SKIPPED: FP8: " << too_old << " ***";
  }
};

// Whole sixteens of everything, which FP8 wants.
constexpr int64_t kRows = 48, kOutputs = 80;

struct Product {
  Kind kind = Kind::kHalfToHalf;
  bool bias = false, gelu = false, add = false;
  // FP8 sums keep 14 bits or so between instructions of 32 inputs (FAST_ACCUM): one instruction
  // shows the epilogue, several would show that.
  int64_t k() const { return IsFp8() ? 32 : 160; }
  bool IsFp8() const { return kind == Kind::kFp8ToHalf || kind == Kind::kFp8ToFp8; }
};

constexpr float kScaleX = 0.0078125f, kScaleW = 0.001953125f, kScaleY = 0.015625f;

// Operands as they are stored, and what they stand for.
struct Operand {
  std::vector<Half> halves;
  std::vector<uint8_t> codes;
  std::vector<float> values;
};

Operand MakeOperand(const Product& product, int64_t count, uint64_t seed, float scale) {
  Operand operand;
  for (const float value : RandomFloats(count, seed, 1.0f)) {
    if (product.IsFp8()) {
      operand.codes.push_back(ToE4m3(value / scale));
      operand.values.push_back(FromE4m3(operand.codes.back()) * scale);
    } else {
      operand.halves.push_back(ToHalf(value));
      operand.values.push_back(ToFloat(operand.halves.back()));
    }
  }
  return operand;
}

struct ProductCase {
  Product product;
  Operand x, weight;
  std::vector<Half> bias, before;
};

ProductCase MakeCase(const Product& product) {
  return {.product = product,
          .x = MakeOperand(product, kRows * product.k(), 1, kScaleX),
          .weight = MakeOperand(product, kOutputs * product.k(), 2, kScaleW),
          .bias = RandomHalves(kOutputs, 3, 1.0f),
          .before = RandomHalves(kRows * kOutputs, 4, 2.0f)};
}

// The textbook, in `Real`, not yet rounded to what is stored.
template <class Real>
std::vector<Real> Plain(const ProductCase& c) {
  const auto k = static_cast<size_t>(c.product.k());
  std::vector<Real> y;
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t j = 0; j < kOutputs; ++j) {
      Real sum = 0;
      for (size_t l = 0; l < k; ++l) {
        sum += Real{c.x.values[i * k + l]} * Real{c.weight.values[j * k + l]};
      }
      if (c.product.bias) sum += Real{ToFloat(c.bias[j])};
      if (c.product.gelu) {
        const Real inner = std::sqrt(Real{2} / std::acos(Real{-1})) *
                           (sum + static_cast<Real>(0.044715) * sum * sum * sum);
        sum = sum / 2 * (1 + std::tanh(inner));
      }
      if (c.product.add) sum += Real{ToFloat(c.before[i * kOutputs + j])};
      y.push_back(sum);
    }
  }
  return y;
}

// What is stored of a value, as the value that it stands for.
float Stored(Kind kind, float value) {
  if (kind == Kind::kHalfToFloat) return value;
  if (kind == Kind::kFp8ToFp8) return FromE4m3(ToE4m3(value / kScaleY)) * kScaleY;
  return ToFloat(ToHalf(value));
}

// Empty where the library has no kernel for it.
std::vector<float> OnLibrary(const ProductCase& c) {
  static CublasLt library;
  const bool fp8 = c.product.IsFp8(), codes = c.product.kind == Kind::kFp8ToFp8;
  const bool floats = c.product.kind == Kind::kHalfToFloat;
  const DeviceArray<Half> x(c.x.halves), weight(c.weight.halves), bias(c.bias), y(c.before);
  const DeviceArray<uint8_t> x8(c.x.codes), weight8(c.weight.codes), y8(c.before.size());
  const DeviceArray<float> scales(std::vector<float>{kScaleX, kScaleW, 1 / kScaleY});
  const DeviceArray<float> sums(c.before.size());
  const auto either = [](bool first, void* one, void* other) { return first ? one : other; };
  const LibraryProduct product{.kind = c.product.kind,
                               .m = kRows,
                               .n = kOutputs,
                               .k = c.product.k(),
                               .x = either(fp8, x8.data(), x.data()),
                               .x_stride = c.product.k(),
                               .weight = either(fp8, weight8.data(), weight.data()),
                               .weight_stride = c.product.k(),
                               .y = either(codes, y8.data(), either(floats, sums.data(), y.data())),
                               .bias = c.product.bias ? bias.data() : nullptr,
                               .gelu = c.product.gelu,
                               .add = c.product.add,
                               .x_scale = fp8 ? scales.data() : nullptr,
                               .weight_scale = fp8 ? scales.data() + 1 : nullptr,
                               .y_inv_scale = codes ? scales.data() + 2 : nullptr};
  if (!library.Multiply(nullptr, product)) return {};
  if (floats) return sums.Download();
  if (!codes) return Floats(y.Download());
  std::vector<float> values;
  for (const uint8_t code : y8.Download()) values.push_back(FromE4m3(code) * kScaleY);
  return values;
}

void ExpectTheTextbook(const Product& product) {
  const ProductCase c = MakeCase(product);
  const std::vector<float> actual = OnLibrary(c);
  if (actual.empty()) GTEST_SKIP() << "*** SKIPPED: cuBLASLt has no kernel for it here ***";
  std::vector<float> naive = Plain<float>(c);
  for (float& value : naive) value = Stored(product.kind, value);
  EXPECT_EQ(TwiceNaive(Plain<double>(c), naive, actual), "");
  // An epilogue that was left out is no rounding error.
  for (const auto part : {&Product::bias, &Product::gelu, &Product::add}) {
    if (!(product.*part)) continue;
    ProductCase without = c;
    without.product.*part = false;
    EXPECT_NE(TwiceNaive(Plain<double>(without), naive, actual), "");
  }
}

TEST_F(CublasLtOnGpu, SumsOfFp16InBinary32) { ExpectTheTextbook({.kind = Kind::kHalfToFloat}); }

TEST_F(CublasLtOnGpu, RoundsToFp16Itself) { ExpectTheTextbook({}); }

TEST_F(CublasLtOnGpu, AddsABias) { ExpectTheTextbook({.bias = true}); }

TEST_F(CublasLtOnGpu, AppliesGeluBehindABias) { ExpectTheTextbook({.bias = true, .gelu = true}); }

TEST_F(CublasLtOnGpu, AddsToWhatIsThere) { ExpectTheTextbook({.bias = true, .add = true}); }

TEST_F(CublasLtOnGpu, MultipliesE4m3IntoFp16) {
  RequireFp8();
  if (IsSkipped()) return;
  ExpectTheTextbook({.kind = Kind::kFp8ToHalf, .bias = true});
}

TEST_F(CublasLtOnGpu, AddsE4m3ProductsToWhatIsThere) {
  RequireFp8();
  if (IsSkipped()) return;
  ExpectTheTextbook({.kind = Kind::kFp8ToHalf, .bias = true, .add = true});
}

TEST_F(CublasLtOnGpu, WritesE4m3OfGelu) {
  RequireFp8();
  if (IsSkipped()) return;
  ExpectTheTextbook({.kind = Kind::kFp8ToFp8, .bias = true, .gelu = true});
}

class CudnnOnGpu : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string missing = CudnnAttention::UnavailableReason();
    if (!missing.empty()) GTEST_SKIP() << "*** SKIPPED: cuDNN: " << missing << " ***";
  }
};

// Packed as products leave them: queries, keys and values of a token side by side.
std::vector<Half> Packed(const AttentionOperands& operands, int64_t tokens, int64_t width) {
  std::vector<Half> packed;
  for (int64_t token = 0; token < tokens; ++token) {
    for (const std::vector<Half>* part : {&operands.q, &operands.k, &operands.v}) {
      const auto begin = part->begin() + token * width;
      packed.insert(packed.end(), begin, begin + width);
    }
  }
  return packed;
}

TEST_F(CudnnOnGpu, AttendsAtMostTwiceAsWrongAsThePlainLoop) {
  CudnnAttention library;
  for (const AttentionCase& c :
       {AttentionCase{33, 33, 2, 64, 2.0f}, {100, 100, 2, 72, 1.0f}, {257, 257, 1, 128, 1.0f}}) {
    const int64_t width = c.heads * c.head_dim, rows = 2 * c.queries;
    const AttentionOperands images[] = {RandomOperands(c, 1), RandomOperands(c, 5)};
    std::vector<Half> both;
    for (const AttentionOperands& image : images) {
      const std::vector<Half> packed = Packed(image, c.queries, width);
      both.insert(both.end(), packed.begin(), packed.end());
    }
    const DeviceArray<Half> qkv(both), out(static_cast<size_t>(rows * width));
    const BatchAttentionArgs args{.precision = AttentionPrecision::kFp32,
                                  .q = {qkv.data(), rows, width, 3 * width},
                                  .k = {qkv.data() + width, rows, width, 3 * width},
                                  .v = {qkv.data() + 2 * width, rows, width, 3 * width},
                                  .out = {out.data(), rows, width, width},
                                  .images = 2,
                                  .heads = c.heads,
                                  .head_dim = c.head_dim};
    if (!library.Attend(nullptr, args)) {
      GTEST_SKIP() << "*** SKIPPED: " << library.name() << " has no kernel for " << Text(c)
                   << " ***";
    }
    const std::vector<float> actual = Floats(out.Download());
    for (size_t image = 0; image < 2; ++image) {
      const auto size = static_cast<size_t>(c.queries * width);
      EXPECT_EQ(
          TwiceNaive(PlainAttention<double>(c, images[image]), NaiveAttention(c, images[image]),
                     std::span(actual).subspan(image * size, size)),
          "")
          << Text(c);
    }
  }
}

}  // namespace
}  // namespace w8a8::test
