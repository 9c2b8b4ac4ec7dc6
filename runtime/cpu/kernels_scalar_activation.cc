// Activation functions as tables: an FP16 input has 65,536 patterns, and numerics.h gives the
// output of each. Built on first use (a few milliseconds), 128 KiB per function.
#include <cstdint>
#include <vector>

#include "quant/numerics.h"
#include "runtime/cpu/kernels_scalar.h"

namespace w8a8::scalar {
namespace {

template <float (*Function)(float)>
const Half* Table() {
  static const std::vector<Half> table = [] {
    std::vector<Half> outputs(65536);
    for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
      outputs[pattern] = ToHalf(Function(ToFloat(Half{static_cast<uint16_t>(pattern)})));
    }
    return outputs;
  }();
  return table.data();
}

void LookUpRows(const ActivationRowsArgs& args, const Half* table) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    Half* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; ++c) y[c] = table[x[c].bits];
  }
}

}  // namespace

void GeluErfRows(const ActivationRowsArgs& args) { LookUpRows(args, Table<GeluErf>()); }
void GeluTanhRows(const ActivationRowsArgs& args) { LookUpRows(args, Table<GeluTanh>()); }
void QuickGeluRows(const ActivationRowsArgs& args) { LookUpRows(args, Table<QuickGelu>()); }
void SiluRows(const ActivationRowsArgs& args) { LookUpRows(args, Table<Silu>()); }

}  // namespace w8a8::scalar
