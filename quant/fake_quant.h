// Quantize-dequantize in floating point: what a PyTorch user simulates, in the flavours of
// numerics.md sections 4 and 6. The values are operands of a float linear layer, or what follows
// its product.
//
// ideal        codes * scale in binary32, never stored as FP16: every scheme of section 6.
// llm-awq      FP16 arithmetic: scale = max(amax, 1e-5) / max_code, x / scale, its nearest integer
//              and the product each rounded to FP16; nothing is clamped but by R. It knows weights
//              of 2 to 8 bits with one scale per row and per-token or per-tensor inputs.
// vllm-static  vLLM's CompressedTensorsWNA8O8Int in FP16, vllm-static-bf16 the same in BF16, here
//              "the dtype": x, bias and scales are rounded to it; clamp(rne(x / scale), -128, 127)
//              * scale with a static scale of input and output, the output's after the bias.
//              Exactly 0 means uncalibrated, and that side is left alone; so is one that the plan
//              does not quantize: input only, output only and neither are what vLLM's forward
//              computes for a layer that lacks the scale, and are named as ours where vLLM's own
//              loader would not choose the scheme. Weights: codes against the scale rounded to the
//              dtype (symmetric; channel, group or tensor), their product stored in it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/reference_quantizer.h"
#include "quant/spec.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// ---- weights and bias ----

struct FakeWeights {
  WeightCodes weight;         // codes beyond int8 (llm-awq, rows of tiny scale) saturated
  std::vector<float> values;  // [n, k]: what the float layer multiplies by
};

// Of the peers' flavours; `ideal` has the codes of QuantizeWeights() and their real values. The
// spec's convention is native. Checks as QuantizeWeights() does, and that the flavour's dtype can
// hold scales and values: Error naming `name`.
FakeWeights FakeQuantizeWeights(const std::string& name, MatView<const float> weight,
                                const WeightSpec& spec, FakeFlavour flavour);
// The same of checked codes that are there already (of a file): used as they are, except that
// llm-awq quantizes their real values anew.
FakeWeights FakeWeightsFromCodes(const std::string& name, WeightCodes weight, FakeFlavour flavour);
// Scales that were read, as the flavour computes with them: rounded to vLLM's dtype. Error naming
// `name` where one becomes 0 or infinite.
std::vector<float> FakeScales(const std::string& name, std::vector<float> scale,
                              FakeFlavour flavour);
// A checked bias likewise.
std::vector<float> FakeBias(const std::string& name, std::vector<float> bias, FakeFlavour flavour);

// ---- what a flavour can run ----

// What of a normalized plan the flavour does not know, whatever its scales: "zero points of
// inputs"; "" where it can run it.
std::string_view UnknownTo(FakeFlavour flavour, const SitePlan& plan);
// CheckSitePlan() for a fake arm, by what the flavour can run, static scales in its dtype included.
// vllm-static's input and output scales may be 0, and its output's codes may pass FP16's range (y
// becomes infinite, as any FP16 output does).
void CheckFakePlan(const std::string& site, const SitePlan& plan, int64_t k, FakeFlavour flavour);

// ---- rows ----

// x [rows, cols] to the operand `values` [rows, cols]. The scheme was checked. A finite R clamps
// first. Of an uncalibrated input (vllm-static, scale 0) codes and scales are empty, the counts
// are not. ReferenceRows::values is filled by `ideal` only; codes beyond int8 (llm-awq) are
// saturated, a NaN's is 0; saturated in llm-awq: the quotient >= 127.5.
ReferenceRows QuantizeDequantizeRows(MatView<const Half> x, const InputScheme& scheme,
                                     FakeFlavour flavour, MatView<float> values);
// The same into `rows`, whose memory is used again.
void QuantizeDequantizeRows(MatView<const Half> x, const InputScheme& scheme, FakeFlavour flavour,
                            MatView<float> values, ReferenceRows* rows);
// An input that stays as it is, in the dtype that the flavour computes in; in place.
void RoundInput(FakeFlavour flavour, MatView<float> values);

// What follows the float product.
struct FakeOutput {
  FakeFlavour flavour = FakeFlavour::kIdeal;
  std::span<const float> bias = {};      // FakeBias(): [n] or empty
  std::optional<Quantizer> output = {};  // checked
};
// In place, [rows, n]: products become y, which the flavour's 16-bit dtype holds exactly: bias
// added, one rounding, then the output's quantization with `codes` [rows, n] (empty: unwanted).
// Returns how many outputs were saturated.
uint64_t FinishFakeRows(const FakeOutput& output, MatView<float> y, MatView<int8_t> codes = {});
// True where the output has codes: it is quantized, and calibrated.
bool HasOutputCodes(const FakeOutput& output);

}  // namespace w8a8
