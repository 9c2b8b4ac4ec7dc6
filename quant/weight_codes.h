// The weights of one linear layer as integer codes and scales: made here from real values, read
// from files, or given by a search; what is exported, packed and proven.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/quantizer.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

// How weights become codes: symmetric, one scale per output row (kChannel).
struct WeightSpec {
  Granularity granularity = Granularity::kChannel;
  int num_bits = 8;        // 2 to 8; other than 8: the fake arm only
  int64_t group_size = 0;  // inputs that share a scale; kGroup only
  friend bool operator==(const WeightSpec&, const WeightSpec&) = default;
};

struct Scales {
  Granularity granularity = Granularity::kChannel;
  int64_t group_size = 0;          // kGroup only
  std::vector<float> values = {};  // kTensor: [1]; kChannel: [n]; kGroup: [n, groups]; > 0
  friend bool operator==(const Scales&, const Scales&) = default;
};

struct WeightCodes {
  int64_t n = 0;  // outputs
  int64_t k = 0;  // inputs
  int bits = 8;
  std::vector<int8_t> codes = {};  // [n, k] row-major; -2^(bits - 1) is legal when read
  Scales scale = {};
  std::vector<int8_t> zero_points = {};  // of the scales' shape; empty: all 0
  std::vector<int32_t> code_sum = {};    // [n]: sum over k of the codes

  std::span<const int8_t> row(int64_t r) const {
    return {codes.data() + r * k, static_cast<size_t>(k)};
  }
  // The codes' real values: code * scale in binary32, [n, k].
  std::vector<float> RealValues() const;
  friend bool operator==(const WeightCodes&, const WeightCodes&) = default;
};

// The functions below check what they get and throw Error naming `name` and the tensor: NaN or Inf
// in a weight or scale, a scale <= 0, K > 131,071, shapes that do not agree, a spec or scales of
// another granularity than kChannel, bits outside 2 to 8.

// By numerics.md section 2: scale = amax / (2^(bits - 1) - 1) of each output row.
WeightCodes QuantizeWeights(const std::string& name, MatView<const float> weight,
                            const WeightSpec& spec = {});
// Codes against given scales [n], used as they are.
WeightCodes QuantizeWeightsBy(const std::string& name, MatView<const float> weight,
                              std::vector<float> scale, const WeightSpec& spec = {});
// Checks everything and computes the sums anew, after codes were read or loaded in place.
void FinishCodes(const std::string& name, WeightCodes& weight);

// The same checks of real weights alone.
void CheckWeights(const std::string& name, MatView<const float> weight, const WeightSpec& spec);

constexpr int kMinWeightBits = 2;
constexpr int kMaxWeightBits = 8;

// 2^(bits - 1) - 1: the largest code that a symmetric quantizer of `bits` bits makes.
constexpr int32_t MaxCode(int bits) { return (1 << (bits - 1)) - 1; }

}  // namespace w8a8
