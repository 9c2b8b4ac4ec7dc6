// One linear layer in W8A8 as a value: what is stored, exported and proven, before any packing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/weight_codes.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// y[m, n] = fma(float(sum_k code_x[m, k] * code_w[n, k]) * scale_w[n], scale_x[m], bias[n]) where
// there are neither groups nor zero points; numerics.md section 6 has the others.
// Every constructor checks its input as quant/weight_codes.h does, and that a bias is finite and
// has a value for each output; Error names `name` and the tensor.
struct QuantizedLinear {
  std::string name;  // for messages: the site, or the tensor's name
  WeightCodes weight;
  std::vector<float> bias;  // [n] or empty

  // Quantizes binary32 weights by numerics.md section 2 (amax / 127 per output row).
  static QuantizedLinear FromLinear(std::string name, MatView<const float> weight,
                                    std::span<const float> bias);
  // The same with given weight scales, used as they are (llm-awq's s1_scale).
  static QuantizedLinear FromLinearWithScales(std::string name, MatView<const float> weight,
                                              std::span<const float> weight_scale,
                                              std::span<const float> bias);
  // Rows of q, k, v in that order; any bias may be empty (zeros where another part has one).
  static QuantizedLinear FromQkv(std::string name, MatView<const float> q, MatView<const float> k,
                                 MatView<const float> v, std::span<const float> q_bias,
                                 std::span<const float> k_bias, std::span<const float> v_bias);
  // 8-bit codes and scales [n] read from a file; -128 is legal.
  static QuantizedLinear FromCodes(std::string name, int64_t n, int64_t k,
                                   std::vector<int8_t> codes, std::vector<float> scale,
                                   std::vector<float> bias);
  // Zero codes and bias, scale 1, to be loaded into (init_only).
  static QuantizedLinear Empty(std::string name, int64_t n, int64_t k);
  // Recomputes the code sums and checks everything again, after codes were loaded in place.
  void Finish();
};

// Throws Error naming `name` unless the bias is empty or holds `n` finite values.
void CheckBias(const std::string& name, std::span<const float> bias, int64_t n);

}  // namespace w8a8
