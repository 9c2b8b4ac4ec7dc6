#include "runtime/base/count_rows.h"

#include <algorithm>
#include <atomic>

namespace w8a8 {
namespace {

std::atomic<CountRowsLoop*> g_loop = CountRowsPlainly;

}  // namespace

void CountRowsPlainly(const CountRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    uint16_t row_max = 0;
    for (int64_t c = 0; c < args.cols; ++c) {
      const Half value = args.x[r * args.x_stride + c];
      ++args.counts[value.bits];
      if (!IsFinite(value)) continue;
      const auto magnitude = static_cast<uint16_t>(value.bits & ~kHalfSignBit);
      const float x = ToFloat(value);
      args.sum[c] += static_cast<double>(x);
      args.sum_sq[c] += static_cast<double>(x * x);
      args.absmax[c].bits = std::max(args.absmax[c].bits, magnitude);
      row_max = std::max(row_max, magnitude);
    }
    args.row_absmax[r].bits = row_max;
  }
}

CountRowsLoop* UseCountRows(CountRowsLoop* loop) { return g_loop.exchange(loop); }

void CountRows(const CountRowsArgs& args) { g_loop.load()(args); }

}  // namespace w8a8
