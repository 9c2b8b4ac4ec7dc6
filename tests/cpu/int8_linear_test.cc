// Int8Linear and EmulatedLinear: equal bits, nothing allocated in a call, every flipped bit found.
#include "runtime/cpu/int8_linear.h"

#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "runtime/emulated_linear.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace {
int64_t g_allocations = 0;
}  // namespace

// Counts what the program allocates on the heap; AlignedBuffer::Reserve is counted by capacity.
// Not inlined: the compiler would see free() meet operator new().
[[gnu::noinline]] void* operator new(size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

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

const Quantizer kSpecs[] = {
    {}, {.clip_range = 1.5f}, {.granularity = Granularity::kTensor, .scale = 0.0625f}};

// The float products of EmulatedLinear as plain loops.
struct PlainWeights final : PackedWeights {
  std::vector<float> values;
  int64_t n = 0;
  int64_t k = 0;
};

PackedPtr PackPlain(MatView<const float> weight) {
  auto packed = std::make_shared<PlainWeights>();
  packed->n = weight.rows;
  packed->k = weight.cols;
  for (int64_t r = 0; r < weight.rows; ++r) {
    const std::span<const float> row = weight.row_span(r);
    packed->values.insert(packed->values.end(), row.begin(), row.end());
  }
  return packed;
}

void MultiplyPlain(MatView<const float> a, const PackedWeights& weight, MatView<float> c) {
  const auto& w = dynamic_cast<const PlainWeights&>(weight);
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t n = 0; n < w.n; ++n) {
      float sum = 0.0f;
      for (int64_t k = 0; k < w.k; ++k) {
        sum += a.row(r)[k] * w.values[static_cast<size_t>(n * w.k + k)];
      }
      c.row(r)[n] = sum;
    }
  }
}

std::vector<Half> RunEmulated(const QuantizedLinear& linear, const std::vector<Half>& x, int64_t m,
                              const Quantizer& spec) {
  std::vector<Half> y(static_cast<size_t>(m * linear.weight.n));
  EmulatedScratch scratch;
  EmulatedLinear(linear, PackPlain)
      .Run(test::View(x, m), {.quantizer = spec}, MultiplyPlain,
           MatView<Half>{y.data(), m, linear.weight.n, linear.weight.n}, &scratch);
  return y;
}

// Quantizes `x` into `rows` and multiplies.
void RunInt8(const Int8Kernels& kernels, const Int8Linear& linear, MatView<const Half> x,
             const Quantizer& spec, CodeRows* rows, std::vector<Half>* y) {
  QuantizeRows(kernels, x, {.quantizer = spec}, rows);
  linear.Multiply(*rows, MatView<Half>{y->data(), x.rows, linear.n(), linear.n()});
}

std::vector<Half> RunInt8(const Int8Kernels& kernels, const QuantizedLinear& linear,
                          const std::vector<Half>& x, int64_t m, const Quantizer& spec) {
  std::vector<Half> y(static_cast<size_t>(m * linear.weight.n));
  CodeRows rows;
  RunInt8(kernels, Int8Linear(linear, kernels), test::View(x, m), spec, &rows, &y);
  return y;
}

TEST(Int8Linear, EqualsEmulatedBitForBit) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const LayerShape& shape : LayerShapes()) {
      for (const Quantizer& spec : kSpecs) {
        const QuantizedLinear linear = RandomLinear(shape, /*seed=*/41);
        const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/42, Values::kAny);
        EXPECT_EQ(Equal(RunEmulated(linear, x, shape.m, spec),
                        RunInt8(*set.int8, linear, x, shape.m, spec)),
                  "")
            << set.name << " " << Text(shape);
      }
    }
  }
}

TEST(Int8Linear, AllocatesNothingAfterTheFirstCall) {
  const QuantizedLinear linear = RandomLinear({12, 40, 200}, /*seed=*/45);
  const std::vector<Half> x = RandomHalves(12 * 200, /*seed=*/46, Values::kFinite);
  std::vector<Half> y(12 * 40);
  for (const Kernels& set : SetsUnderTest()) {
    const Int8Linear packed(linear, *set.int8);
    CodeRows scratch;
    RunInt8(*set.int8, packed, test::View(x, 12), {}, &scratch, &y);
    const int64_t before = g_allocations;
    const int64_t capacity = scratch.codes.capacity();
    for (int64_t rows = 12; rows >= 1; --rows) {
      RunInt8(*set.int8, packed, {x.data(), rows, 200, 200}, {}, &scratch, &y);
    }
    EXPECT_EQ(g_allocations, before) << set.name;
    EXPECT_EQ(scratch.codes.capacity(), capacity) << set.name;
  }
}

// The proof must be able to fail: each changed number that is packed changes some output.
TEST(Int8Linear, AChangedNumberIsFound) {
  const QuantizedLinear linear = RandomLinear({3, 33, 64}, /*seed=*/47);
  QuantizedLinear other_code = linear, other_scale = linear, other_sum = linear;
  other_code.weight.codes[0] ^= 64;
  other_scale.weight.scale.values[32] *= 1.5f;
  other_sum.weight.code_sum[5] ^= 1;
  const std::vector<Half> x = RandomHalves(3 * 64, /*seed=*/48, Values::kFinite);
  const std::vector<Half> expected = RunEmulated(linear, x, 3, {});
  for (const Kernels& set : SetsUnderTest()) {
    const auto run = [&](const QuantizedLinear& layer) {
      return RunInt8(*set.int8, layer, x, 3, {});
    };
    ASSERT_EQ(Equal(expected, run(linear)), "") << set.name;
    EXPECT_NE(Equal(expected, run(other_code)), "") << set.name << ": weight";
    EXPECT_NE(Equal(expected, run(other_scale)), "") << set.name << ": scale";
    EXPECT_EQ(Equal(expected, run(other_sum)) != "", set.int8->uses_column_sums)
        << set.name << ": column sum";
  }
}

// A set that configures its thread, as one with tile registers does.
std::string g_calls;

TEST(Int8Linear, SetsItsThreadUpAroundEachProduct) {
  Int8Kernels kernels = *test::ScalarSet().int8;
  kernels.begin_worker = [] { g_calls += "begin "; };
  kernels.end_worker = [] { g_calls += "end "; };
  kernels.gemm_s8 = [](const GemmS8Args&) { g_calls += "multiply "; };
  RunInt8(kernels, RandomLinear({3, 33, 64}, /*seed=*/51),
          RandomHalves(3 * 64, /*seed=*/52, Values::kFinite), 3, {});
  EXPECT_EQ(g_calls, "begin multiply end ");
}

TEST(EmulatedLinear, LeavesTheExactAccumulators) {
  const LayerShape shape{2, 3, 2500};  // three chunks
  const QuantizedLinear linear = RandomLinear(shape, /*seed=*/49);
  const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/50, Values::kFinite);
  std::vector<Half> y(6);
  EmulatedScratch scratch;
  EmulatedLinear(linear, PackPlain)
      .Run(test::View(x, 2), {}, MultiplyPlain, MatView<Half>{y.data(), 2, 3, 3}, &scratch);
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t c = 0; c < 3; ++c) {
      int64_t sum = 0;
      for (int64_t i = 0; i < 2500; ++i) {
        sum += int64_t{scratch.rows.codes[static_cast<size_t>(r * 2500 + i)]} *
               linear.weight.codes[static_cast<size_t>(c * 2500 + i)];
      }
      EXPECT_EQ(scratch.acc[r * 3 + c], sum);
    }
  }
}

}  // namespace
}  // namespace w8a8
