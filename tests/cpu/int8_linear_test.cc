// Int8Linear and EmulatedLinear: equal bits, nothing allocated in a call, every flipped bit found.
#include "runtime/cpu/int8_linear.h"

#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "runtime/cpu/emulated_linear.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/tolerance.h"

namespace {
int64_t g_allocations = 0;
}  // namespace

// Counts what the program allocates on the heap; AlignedBuffer::Reserve is counted by capacity.
void* operator new(size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

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

std::vector<Half> RunEmulated(const QuantizedLinear& linear, const std::vector<Half>& x, int64_t m,
                              const Quantizer& spec) {
  std::vector<Half> y(static_cast<size_t>(m * linear.weight.n));
  EmulatedScratch scratch;
  EmulatedLinear(linear, PackFloatPlain)
      .Run(test::View(x, m), spec, MultiplyFloatPlain,
           MatView<Half>{y.data(), m, linear.weight.n, linear.weight.n}, &scratch);
  return y;
}

std::vector<Half> RunInt8(const Int8Linear& linear, const std::vector<Half>& x, int64_t m,
                          const Quantizer& spec) {
  std::vector<Half> y(static_cast<size_t>(m * linear.n()));
  CodeRows scratch;
  linear.Run(test::View(x, m), spec, MatView<Half>{y.data(), m, linear.n(), linear.n()}, &scratch);
  return y;
}

TEST(Int8Linear, EqualsEmulatedBitForBit) {
  for (const Kernels& set : SetsUnderTest()) {
    for (const LayerShape& shape : LayerShapes()) {
      for (const Quantizer& spec : kSpecs) {
        const QuantizedLinear linear = RandomLinear(shape, /*seed=*/41);
        const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/42, Values::kAny);
        EXPECT_EQ(Equal(RunEmulated(linear, x, shape.m, spec),
                        RunInt8(Int8Linear(linear, *set.int8), x, shape.m, spec)),
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
    packed.Run(test::View(x, 12), {}, MatView<Half>{y.data(), 12, 40, 40}, &scratch);
    const int64_t before = g_allocations;
    const int64_t capacity = scratch.codes.capacity();
    for (int64_t rows = 12; rows >= 1; --rows) {
      packed.Run({x.data(), rows, 200, 200}, {}, MatView<Half>{y.data(), rows, 40, 40}, &scratch);
    }
    EXPECT_EQ(g_allocations, before) << set.name;
    EXPECT_EQ(scratch.codes.capacity(), capacity) << set.name;
  }
}

// The proof must be able to fail: each flipped bit changes some output.
TEST(Int8Linear, AFlippedBitIsFound) {
  const QuantizedLinear linear = RandomLinear({3, 33, 64}, /*seed=*/47);
  const std::vector<Half> x = RandomHalves(3 * 64, /*seed=*/48, Values::kFinite);
  const std::vector<Half> expected = RunEmulated(linear, x, 3, {});
  for (const Kernels& set : SetsUnderTest()) {
    Int8Linear packed(linear, *set.int8);
    ASSERT_EQ(Equal(expected, RunInt8(packed, x, 3, {})), "") << set.name;
    packed.packed().weight[0] ^= std::byte{64};
    EXPECT_NE(Equal(expected, RunInt8(packed, x, 3, {})), "") << set.name << ": weight";
    packed.packed().weight[0] ^= std::byte{64};
    packed.packed().scale[32] *= 1.5f;
    EXPECT_NE(Equal(expected, RunInt8(packed, x, 3, {})), "") << set.name << ": scale";
    packed.packed().scale[32] /= 1.5f;
    if (!set.int8->uses_column_sums) continue;
    packed.packed().code_sum[5] ^= 1;
    EXPECT_NE(Equal(expected, RunInt8(packed, x, 3, {})), "") << set.name << ": column sum";
  }
}

TEST(EmulatedLinear, LeavesTheExactAccumulators) {
  const LayerShape shape{2, 3, 2500};  // three chunks
  const QuantizedLinear linear = RandomLinear(shape, /*seed=*/49);
  const std::vector<Half> x = RandomHalves(shape.m * shape.k, /*seed=*/50, Values::kFinite);
  std::vector<Half> y(6);
  EmulatedScratch scratch;
  EmulatedLinear(linear, PackFloatPlain)
      .Run(test::View(x, 2), {}, MultiplyFloatPlain, MatView<Half>{y.data(), 2, 3, 3}, &scratch);
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t c = 0; c < 3; ++c) {
      int64_t sum = 0;
      for (int64_t i = 0; i < 2500; ++i) {
        sum += int64_t{scratch.codes[r * 2500 + i]} *
               linear.weight.codes[static_cast<size_t>(c * 2500 + i)];
      }
      EXPECT_EQ(scratch.acc[r * 3 + c], sum);
    }
  }
}

}  // namespace
}  // namespace w8a8
