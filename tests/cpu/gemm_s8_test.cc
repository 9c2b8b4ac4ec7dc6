// The INT8 product of every kernel set: accumulators against int64, outputs against scalar.
#include <unistd.h>

#include <cstddef>
#include <limits>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "quant/numerics.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/error.h"
#include "runtime/cpu/int8_linear.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace w8a8 {
namespace {

using test::Equal;
using test::LayerShape;
using test::LayerShapes;
using test::RandomHalves;
using test::RandomLinear;
using test::SetsUnderTest;
using test::Text;
using test::Values;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Product {
  std::vector<int32_t> acc;
  std::vector<Half> half;
  std::vector<BFloat16> bfloat16;
  std::vector<float> binary32;
};

// Everything the set computes from x; guard columns right of the outputs must stay untouched.
Product Multiply(const Int8Kernels& kernels, const QuantizedLinear& linear,
                 const std::vector<Half>& x, int64_t m) {
  const int64_t n = linear.weight.n;
  const int64_t stride = n + 3;
  const auto count = static_cast<size_t>(m * stride);
  Product p{std::vector<int32_t>(count, 77), std::vector<Half>(count, Half{77}),
            std::vector<BFloat16>(count, BFloat16{77}), std::vector<float>(count, 77.0f)};
  CodeRows rows;
  QuantizeRows(kernels, test::View(x, m), {}, &rows);
  const Int8Linear packed(linear, kernels);
  packed.Multiply(rows, MatView<Half>{p.half.data(), m, n, stride}, {p.acc.data(), m, n, stride});
  packed.Multiply(rows, MatView<BFloat16>{p.bfloat16.data(), m, n, stride});
  packed.Multiply(rows, MatView<float>{p.binary32.data(), m, n, stride});
  return p;
}

// The contract, one element after the other.
Product Expected(const QuantizedLinear& linear, const std::vector<Half>& x, int64_t m) {
  const int64_t n = linear.weight.n, k = linear.weight.k, stride = n + 3;
  const auto count = static_cast<size_t>(m * stride);
  Product p{std::vector<int32_t>(count, 77), std::vector<Half>(count, Half{77}),
            std::vector<BFloat16>(count, BFloat16{77}), std::vector<float>(count, 77.0f)};
  const ReferenceRows rows = QuantizeRowsReference(test::View(x, m), {});
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      int64_t sum = 0;
      for (int64_t i = 0; i < k; ++i) {
        sum += int64_t{rows.codes[static_cast<size_t>(r * k + i)]} *
               linear.weight.codes[static_cast<size_t>(c * k + i)];
      }
      const auto at = static_cast<size_t>(r * stride + c);
      const auto column = static_cast<size_t>(c);
      p.acc[at] = static_cast<int32_t>(sum);
      p.binary32[at] =
          Dequantize(p.acc[at], linear.weight.scale.values[column], rows.scales.At(r, 0).scale,
                     linear.bias.empty() ? 0.0f : linear.bias[column]);
      p.half[at] = ToHalf(p.binary32[at]);
      p.bfloat16[at] = ToBFloat16(p.binary32[at]);
    }
  }
  return p;
}

void ExpectEqual(const Product& expected, const Product& actual, std::string_view what) {
  EXPECT_EQ(Equal(expected.acc, actual.acc), "") << what;
  EXPECT_EQ(Equal(expected.half, actual.half), "") << what;
  EXPECT_EQ(Equal(expected.binary32, actual.binary32), "") << what;
  EXPECT_TRUE(expected.bfloat16 == actual.bfloat16) << what << ": BF16";
}

TEST(GemmS8, EqualsTheContractOnEverySetAndShape) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const LayerShape& shape : LayerShapes()) {
      const QuantizedLinear linear = RandomLinear(shape, /*seed=*/7);
      const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/8, Values::kFinite);
      ExpectEqual(Expected(linear, x, shape.m), Multiply(*set.int8, linear, x, shape.m),
                  std::string(set.name) + " " + Text(shape));
    }
  }
}

TEST(GemmS8, TakesAMissingBiasAsZero) {
  for (const Kernels& set : SetsUnderTest()) {
    QuantizedLinear linear = RandomLinear({4, 20, 50}, /*seed=*/9);
    linear.bias.clear();
    const std::vector<Half> x = RandomHalves(4 * 50, /*seed=*/10, Values::kFinite);
    ExpectEqual(Expected(linear, x, 4), Multiply(*set.int8, linear, x, 4), set.name);
  }
}

// 127 * -128 at every input: a saturating instruction would stop long before the true sum.
TEST(GemmS8, DoesNotSaturateAtTheExtremes) {
  constexpr int64_t kK = 4304;
  for (const Kernels& set : SetsUnderTest()) {
    for (const int8_t code : {int8_t{-128}, int8_t{127}}) {
      const auto linear = QuantizedLinear::FromCodes(
          "test", 33, kK, std::vector<int8_t>(33 * kK, code), std::vector<float>(33, 1e-4f), {});
      const std::vector<Half> x(2 * kK, ToHalf(3.0f));
      const Product actual = Multiply(*set.int8, linear, x, 2);
      EXPECT_EQ(actual.acc[0], int32_t{127} * code * int32_t{kK}) << set.name;
      ExpectEqual(Expected(linear, x, 2), actual, set.name);
    }
  }
}

TEST(GemmS8, HoldsTheLargestK) {
  for (const Kernels& set : SetsUnderTest()) {
    const auto linear = QuantizedLinear::FromCodes(
        "test", 1, kMaxInputs, std::vector<int8_t>(kMaxInputs, -128), {1e-6f}, {});
    const std::vector<Half> x(static_cast<size_t>(kMaxInputs), ToHalf(-1.0f));
    const Product actual = Multiply(*set.int8, linear, x, 1);
    EXPECT_EQ(actual.acc[0], 127 * 128 * static_cast<int32_t>(kMaxInputs)) << set.name;
  }
}

// M = 300 passes, with K = 4304, the block of rows of every set on a second-level cache of up to
// 2 MiB (749 KiB of bytes, 889 KiB on AMX, which cuts K into four parts).
TEST(GemmS8, EqualsScalarOnManyRows) {
  for (const LayerShape shape : {LayerShape{300, 40, 1024}, {300, 33, 4304}}) {
    const QuantizedLinear linear = RandomLinear(shape, /*seed=*/11);
    const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/12, Values::kFinite);
    const Product expected = Multiply(*test::ScalarSet().int8, linear, x, shape.m);
    for (const Kernels& set : SetsUnderTest()) {
      ExpectEqual(expected, Multiply(*set.int8, linear, x, shape.m),
                  std::string(set.name) + " " + Text(shape));
    }
  }
}

// Around tiles of 16 and 32 rows, chunks of 1,152 inputs and panels of 32 columns.
TEST(GemmS8, EqualsScalarOnEveryTailOfTiles) {
  for (const int64_t m : {14, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80}) {
    for (const int64_t k : {1, 63, 64, 65, 129, 1152, 1153, 2305}) {
      const LayerShape shape{m, 1 + (m * 7 + k) % 66, k};
      const QuantizedLinear linear = RandomLinear(shape, /*seed=*/21);
      const std::vector<Half> x = RandomHalves(m * k, /*seed=*/22, Values::kFinite);
      const Product expected = Multiply(*test::ScalarSet().int8, linear, x, m);
      for (const Kernels& set : SetsUnderTest()) {
        ExpectEqual(expected, Multiply(*set.int8, linear, x, m),
                    std::string(set.name) + " " + Text(shape));
      }
    }
  }
}

// Codes whose last row ends where nothing can be read, but for the 64 bytes of AlignedBuffer.
class GuardedCodes {
 public:
  explicit GuardedCodes(int64_t bytes)
      : page_(sysconf(_SC_PAGESIZE)), size_((bytes + 64 + page_ - 1) / page_ * page_ + page_) {
    memory_ =
        static_cast<std::byte*>(mmap(nullptr, static_cast<size_t>(size_), PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    W8A8_CHECK(memory_ != MAP_FAILED);
    W8A8_CHECK(mprotect(memory_ + size_ - page_, static_cast<size_t>(page_), PROT_NONE) == 0);
    codes_ = memory_ + size_ - page_ - 64 - bytes;
  }
  ~GuardedCodes() { munmap(memory_, static_cast<size_t>(size_)); }
  GuardedCodes(const GuardedCodes&) = delete;
  GuardedCodes& operator=(const GuardedCodes&) = delete;

  std::byte* codes() const { return codes_; }

 private:
  int64_t page_, size_;
  std::byte* memory_;
  std::byte* codes_;
};

TEST(GemmS8, ReadsNoRowPastTheLast) {
  const int64_t n = 32, k = 100;
  for (const Kernels& set : SetsUnderTest()) {
    const Int8Kernels& kernels = *set.int8;
    AlignedBuffer<std::byte> packed(kernels.packed_bytes(n, k));
    const std::vector<int8_t> weights(static_cast<size_t>(n * k), 3);
    kernels.pack_weights({.codes = weights.data(), .n = n, .k = k, .packed = packed.data()});
    const std::vector<float> ones(256, 1.0f), zeros(256, 0.0f);
    const std::vector<int32_t> code_sum(256, 3 * static_cast<int32_t>(k));
    const int64_t stride = RoundUp(RoundUp(k, kernels.k_step), kernels.k_multiple);
    for (const int64_t m : {1, 12, 13, 16, 17, 25, 32, 33, 47, 48, 49, 64}) {
      const std::vector<Half> x(static_cast<size_t>(m * k), ToHalf(1.0f));
      const GuardedCodes guarded(m * stride * kernels.code_bytes);
      std::vector<float> scale(static_cast<size_t>(m)), y(static_cast<size_t>(m * n));
      kernels.quantize_rows({.x = x.data(),
                             .x_stride = k,
                             .rows = m,
                             .cols = k,
                             .clip_range = kInfinity,
                             .static_scale = ones.data(),
                             .codes = guarded.codes(),
                             .codes_stride = stride,
                             .scale = scale.data(),
                             .code_sum = nullptr,
                             .counts = nullptr});
      if (kernels.begin_worker != nullptr) kernels.begin_worker();
      kernels.gemm_s8({.m = m,
                       .n = n,
                       .k = k,
                       .x_codes = guarded.codes(),
                       .x_stride = stride,
                       .packed_weight = packed.data(),
                       .scale_x = scale.data(),
                       .scale_w = ones.data(),
                       .bias = zeros.data(),
                       .code_sum_w = code_sum.data(),
                       .to = {.type = OutputType::kFloat, .y = y.data(), .y_stride = n}});
      if (kernels.end_worker != nullptr) kernels.end_worker();
      EXPECT_EQ(Equal(std::vector<float>(y.size(), 300.0f), y), "") << set.name << " M " << m;
    }
  }
}

TEST(GemmS8, RoundsOverflowToInfinityAndKeepsNan) {
  for (const Kernels& set : SetsUnderTest()) {
    auto linear = QuantizedLinear::FromCodes("test", 2, 1, {127, 127}, {1e30f, 1e30f}, {});
    std::vector<Half> x = {ToHalf(60000.0f), ToHalf(kInfinity)};
    ExpectEqual(Expected(linear, x, 2), Multiply(*set.int8, linear, x, 2), set.name);
    EXPECT_EQ(Multiply(*set.int8, linear, x, 2).half[0].bits, 0x7c00) << set.name;
    linear.weight.scale.values = {3e38f, 3e38f};  // inf * 0 in the row whose scale is 0
    linear.Finish();
    ExpectEqual(Expected(linear, x, 2), Multiply(*set.int8, linear, x, 2), set.name);
  }
}

}  // namespace
}  // namespace w8a8
