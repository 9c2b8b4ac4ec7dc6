// The kernel sets a test runs over, and made-up layers for them.
#pragma once

#include <string>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/spec.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cpu/kernels.h"

namespace w8a8::test {

// The sets that this machine can run: those of All() that are usable, or the one that W8A8_CPU_ISA
// forces. Prints the list, and loudly what is missing from it. Throws if W8A8_REQUIRE names a set
// that is built but cannot run here.
const std::vector<Kernels>& SetsOfThisMachine();
// Those and, where none is forced, the sources of the vector sets on portable intrinsics.
const std::vector<Kernels>& SetsUnderTest();
const Kernels& ScalarSet();

struct LayerShape {
  int64_t m, n, k;
};
// K tails (588, 4304, 1, 63, 65), N tails around panels of 16 and 32, M tails around tiles of 12.
const std::vector<LayerShape>& LayerShapes();
std::string Text(const LayerShape& shape);

// Weight codes over the whole of [-128, 127], scales 2^-10 .. 2^-3, biases about 1.
QuantizedLinear RandomLinear(const LayerShape& shape, uint64_t seed);
// FP16 values about 2, some rows zero, subnormal or huge; with_nonfinite: NaN and infinities too.
enum class Values { kFinite, kAny };
std::vector<Half> RandomHalves(int64_t count, uint64_t seed, Values values);

inline MatView<const Half> View(const std::vector<Half>& values, int64_t rows) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  return {values.data(), rows, cols, cols};
}

}  // namespace w8a8::test
