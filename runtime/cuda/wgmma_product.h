// The INT8 product of sm_90a (Hopper: wgmma, TMA) with its epilogues, for callers in plain C++.
//
// y[m, n] = fma(float(sum_k x[m, k] * w[n, k]) * scale_w[n], scale_x[m], bias[n]), then what the
// epilogue says: quant/numerics.h in every bit.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/cuda/queue.h"
#include "runtime/cuda/wgmma_epilogue.h"

namespace w8a8 {

// All memory is the device's. Rows of x and w begin at multiples of 16 bytes; what stands behind k
// codes of a row is never read. Rows of y begin at multiples of 16 bytes (codes: 8); what stands
// behind n values is never written.
struct WgmmaProduct {
  const int8_t* x = nullptr;  // codes [m, k]
  int64_t x_stride = 0;       // bytes
  const int8_t* w = nullptr;  // codes [n, k]
  int64_t w_stride = 0;       // bytes
  WgmmaEpilogue epilogue = WgmmaEpilogue::kHalf;
  WgmmaOutputs outputs;
};

// Why the kernel does not take this product (what, the value, the way out); empty if it does.
std::string WgmmaRefuses(const WgmmaProduct& product);

// Why no product can run on the CUDA device `device`; empty if they can. Throws Error if it cannot
// be asked.
std::string WgmmaUnavailable(int device);

// Launches on the current device, which has the queue and is available; `product` has not been
// refused, `tiles` are ChooseTiles' or a measurement's. May be captured into a graph. Throws Error
// with the device's words.
void LaunchWgmmaProduct(Queue queue, const WgmmaProduct& product, WgmmaTiles tiles);

}  // namespace w8a8
