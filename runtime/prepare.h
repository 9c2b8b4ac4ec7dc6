// From a checkpoint's parameters and a site's plan to the weights that every arm, the exporter and
// the `linear` command use. Nobody else turns parameters into codes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/spec.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// The quantizers of input and output stay in the plan: plans that differ in nothing else share one
// prepared layer (a sweep of 20 clip ranges quantizes each layer once).
struct PreparedLinear {
  std::shared_ptr<const InputTransform> transform;  // of the rows; nullptr: v = x
  QuantizedLinear layer;  // codes of the transformed weights; the bias after every correction
  // [n, k]: the operand of a float product where it is not code * scale: conventions that compute
  // in FP16. Empty: it is.
  std::vector<float> values;

  std::vector<float> FloatOperand() const {
    return values.empty() ? layer.weight.RealValues() : values;
  }
};

// What the plan does to the rows before they are quantized.
InputTransform TransformOf(const SitePlan& plan);

// True if the two plans give the same prepared layer, packed in the same groups.
bool SameWeights(const SitePlan& first, const SitePlan& second);

// `convention`: whose arithmetic makes the weights, numerics.md's own (kIdeal) or a peer's. Codes
// that are given (plan.given) are used before codes that are stored, and those before real values,
// which are transformed in binary64, rounded once to binary32 and quantized, by their stored scales
// where there are any. The plan has weights, was checked (CheckSitePlan) and normalized. Throws
// Error naming `name` as QuantizeWeights() does, and where the plan asks for other bits than stored
// or given codes have.
PreparedLinear Prepare(const std::string& name, const LinearParameters& parameters,
                       const SitePlan& plan, FakeFlavour convention);

// The weights of a layer that stays FP16: [n, k], each rounded to FP16 (codes by their real
// values). Throws Error naming `name` for a weight that FP16 cannot hold.
std::vector<float> Fp16Weights(const std::string& name, const LinearParameters& parameters);
// The same of any weights of a float product.
std::vector<float> Fp16Values(const std::string& name, std::vector<float> values);

}  // namespace w8a8
