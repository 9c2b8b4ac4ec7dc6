// Compiled, never run: quant/numerics.h is host and device code.
#include "quant/numerics.h"

__global__ void UseEveryFunction(const float* x, float* y, signed char* codes) {
  using namespace w8a8;
  const unsigned i = threadIdx.x;
  const ActivationScale token = TokenScale(x[i], 5.0f);
  const ActivationScale tensor = TensorScale(x[i]);
  const float scale = WeightScale(x[i]);
  codes[i] = static_cast<signed char>(ActivationCode(x[i], token.inv_scale) +
                                      WeightCode(x[i], scale) + IsSaturated(x[i], scale));
  y[i] = GeluErf(x[i]) + GeluTanh(x[i]) + QuickGelu(x[i]) + Silu(x[i]) +
         Dequantize(codes[i], scale, tensor.scale, 1.0f) + Residual(1.0f, scale, x[i]);
}

int main() { return w8a8::WeightCode(w8a8::Silu(0.0f), 1.0f); }
