// Random layers of every scheme of numerics.md section 6, with tails in M, N, K and G.
#pragma once

#include <string>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/reference_quantizer.h"
#include "quant/spec.h"
#include "runtime/base/half.h"

namespace w8a8::test {

// A layer, its plan and rows.
struct Scheme {
  int64_t images = 1, tokens = 1;
  SitePlan plan;  // normalized
  QuantizedLinear linear;
  InputTransform transform;
  std::vector<Half> x;
  int64_t rows() const { return images * tokens; }
  int64_t k() const { return linear.weight.k; }
  int64_t n() const { return linear.weight.n; }
  int64_t group() const { return ProductGroup(plan, k()); }
  InputScheme input() const {
    return {.quantizer = *plan.input,
            .transform = transform,
            .rows_per_image = plan.first_row_twice ? tokens : 0};
  }
  std::string Text() const;
};

// Sixty of them, the same on every machine: inputs and weights of every granularity, or weight-only
// layers; zero points, transforms, quantized outputs and first rows coded twice where they may be;
// rows of zeros, NaN and infinities; the lowest codes.
std::vector<Scheme> RandomSchemes(bool weight_only);

}  // namespace w8a8::test
