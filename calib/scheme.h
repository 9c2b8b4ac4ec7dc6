// A scheme: one way of quantizing every site of a model, by a short name that people know.
//
//   w{2..8}a{8|16}[o8][-g{G}][-token[-g{G}] | -token-asym | -tensor | -tensor-asym][-vllm]
//
// w4: weights of 4 bits, symmetric, one scale per output row; -g128 before the input's word: per
// output row and 128 inputs. a16: inputs stay FP16 (weight-only), so no word of an input may
// follow. a8: INT8 inputs: -token (dynamic, one scale per row), -token-g32 (dynamic, per row and 32
// inputs), -tensor (one static scale from calibration); -asym: with a zero point. o8: outputs too
// are INT8, by one static symmetric scale from calibration, after the bias and the rounding to
// FP16. -vllm, last: codes of weights as vLLM's online INT8 makes them, in the checkpoint's dtype
// (w8 without groups only). Where an a8 scheme names no input it is static (tensor) with o8 and
// dynamic (token) without. Numbers are decimal without leading zeros, group sizes from 1. "w8a8" is
// "w8a8-token", "w4a8-g128" is "w4a8-g128-token", "w8a8o8" is "w8a8o8-tensor".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "quant/spec.h"

namespace w8a8 {

struct Scheme {
  int weight_bits = 8;       // 2 to 8
  int64_t weight_group = 0;  // inputs that share a scale in a row of weights; 0: the whole row
  std::optional<Granularity> input = Granularity::kToken;  // kTensor or kGroup; none: FP16
  int64_t input_group = 0;                                 // kGroup only
  bool symmetric = true;                                   // of the input
  bool output = false;                                     // INT8 outputs
  WeightConvention convention = WeightConvention::kNative;

  // Which statistics its plans are made from: /sites and /outputs of stats.h5.
  bool NeedsInputStatistics() const { return input == Granularity::kTensor; }
  bool NeedsOutputStatistics() const { return output; }
  friend bool operator==(const Scheme&, const Scheme&) = default;
};

// Throws BadSetting naming the text and the part of it that is unknown or contradicts another.
Scheme ParseScheme(std::string_view text);

// The name that ParseScheme() reads back, without the words that it would add: "w4a8-g128", but
// "w8a8-token", which people would else take for any W8A8.
std::string SchemeName(const Scheme& scheme);

// How every site is quantized, static scales aside (they are 0), which calibration finds.
SitePlan SitePlanOf(const Scheme& scheme);

// In the words of compressed-tensors: "weights int4 group 128 symmetric; input_activations int8
// token dynamic symmetric".
std::string CompressedTensorsText(const Scheme& scheme);

}  // namespace w8a8
