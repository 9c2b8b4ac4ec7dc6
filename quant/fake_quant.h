// Quantize-dequantize in floating point: what a PyTorch user simulates, in the three flavours of
// numerics.md section 4. The values returned are operands of a float linear layer.
//
// ideal        codes * scale in binary32, never stored as FP16.
// llm-awq      FP16 arithmetic: scale = max(amax, 1e-5) / max_code, x / scale, its nearest integer
//              and the product each rounded to FP16; nothing is clamped but by R.
// vllm-static  FP16 arithmetic: clamp(rne(x / scale), -128, 127) * scale with the static scale cast
//              to FP16; exactly 0 means uncalibrated, and the input is left alone. Weights: codes
//              against the scale rounded to FP16, their product with it stored as FP16.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/quantize_counts.h"
#include "quant/spec.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

struct FakeWeights {
  WeightCodes weight;         // codes beyond int8 (llm-awq, rows of tiny scale) saturated
  std::vector<float> values;  // [n, k]: what the float layer multiplies by
};

// Of the flavours that compute in FP16; `ideal` has the codes of QuantizeWeights() and their real
// values. Checks as QuantizeWeights() does and that FP16 can hold each weight: Error naming `name`.
FakeWeights FakeQuantizeWeights(const std::string& name, MatView<const float> weight,
                                const WeightSpec& spec, FakeFlavour flavour);
// The same of checked codes that are there already (of a file): used as they are, except that
// llm-awq quantizes their real values anew.
FakeWeights FakeWeightsFromCodes(const std::string& name, WeightCodes weight, FakeFlavour flavour);

// Optional outputs of QuantizeDequantizeRows; nullptr: not wanted.
struct FakeRowsDetail {
  int8_t* codes = nullptr;           // [rows, cols] without gaps; beyond int8 (llm-awq) saturated
  float* scale = nullptr;            // [rows], a static scale repeated
  QuantizeCounts* counts = nullptr;  // added to; saturated: x finite and its quotient >= 127.5
};

// Throws Error naming `site` where the flavour cannot run the quantizer: vllm-static per-token, a
// static scale that FP16 cannot hold.
void CheckFakeQuantizer(const Quantizer& input, FakeFlavour flavour, const std::string& site);
// CheckSitePlan() for a fake arm, by what the flavour can run.
void CheckFakePlan(const std::string& site, const SitePlan& plan, int64_t k, FakeFlavour flavour);

// x [rows, cols] to values [rows, cols]. The quantizer was checked. A finite R clamps first.
void QuantizeDequantizeRows(MatView<const Half> x, const Quantizer& input, FakeFlavour flavour,
                            MatView<float> values, const FakeRowsDetail& detail = {});

}  // namespace w8a8
