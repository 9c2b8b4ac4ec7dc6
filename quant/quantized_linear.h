// One linear layer in W8A8 as a value: what is stored, exported and proven, before any packing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// y[m, n] = fma(float(sum_k code_x[m, k] * code_w[n, k]) * scale_w[n], scale_x[m], bias[n]).
// Every constructor checks its input and throws Error naming `name` and the tensor: NaN or Inf in a
// weight, bias or scale, weight_scale <= 0, K > 131,071, shapes that do not agree.
struct QuantizedLinear {
  std::string name;                      // for messages: the site, or the tensor's name
  int64_t n = 0;                         // outputs
  int64_t k = 0;                         // inputs
  std::vector<int8_t> weight_codes;      // [n, k] row-major
  std::vector<float> weight_scale;       // [n], > 0
  std::vector<int32_t> weight_code_sum;  // [n]: sum over k of the codes
  std::vector<float> bias;               // [n] or empty
  std::optional<float> input_scale;      // static per-tensor input scale; none: dynamic

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
  // Codes and scales read from a file; -128 is legal.
  static QuantizedLinear FromCodes(std::string name, int64_t n, int64_t k,
                                   std::vector<int8_t> weight_codes,
                                   std::vector<float> weight_scale, std::vector<float> bias);
  // Zero codes, scale 1, to be loaded into (init_only).
  static QuantizedLinear Empty(std::string name, int64_t n, int64_t k, bool with_bias);
  // Recomputes weight_code_sum and checks everything again, after codes were loaded in place.
  void Finish();
};

// Throws Error naming `name` unless the shape is within bounds and every weight is finite.
void CheckWeights(const std::string& name, MatView<const float> weight);

}  // namespace w8a8
