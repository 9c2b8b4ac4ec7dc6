// The weights of one linear layer as integer codes and scales: made here from real values, read
// from files, or given by a search; what is exported, packed and proven.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/quantizer.h"
#include "runtime/base/enum_names.h"
#include "runtime/base/mat_view.h"
#include "runtime/base/safetensors.h"

namespace w8a8 {

// In which arithmetic scale and codes are made: numerics.md section 2, or vLLM's online int8, which
// rounds scale and quotient to the dtype that the weights are stored in.
enum class WeightConvention : uint8_t { kNative, kVllm };

template <>
inline constexpr auto kNamesOf<WeightConvention> = std::to_array<std::string_view>({"native",
                                                                                    "vllm"});

// How weights become codes: one scale for all (kTensor), per output row (kChannel), or per output
// row and `group_size` inputs (kGroup; the last group may be short).
struct WeightSpec {
  Granularity granularity = Granularity::kChannel;
  int num_bits = 8;        // 2 to 8
  int64_t group_size = 0;  // inputs that share a scale; kGroup only
  bool symmetric = true;   // false: with zero points, which are read or given, never made here
  WeightConvention convention = WeightConvention::kNative;
  friend bool operator==(const WeightSpec&, const WeightSpec&) = default;
};

struct Scales {
  Granularity granularity = Granularity::kChannel;
  int64_t group_size = 0;          // kGroup only
  std::vector<float> values = {};  // kTensor: [1]; kChannel: [n]; kGroup: [n, groups]; > 0

  // Inputs of `k` that share a scale within a row, and how many such groups a row has.
  int64_t GroupOf(int64_t k) const {
    return granularity == Granularity::kGroup && group_size < k ? group_size : k;
  }
  int64_t GroupsOf(int64_t k) const { return (k + GroupOf(k) - 1) / GroupOf(k); }
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
  int64_t groups() const { return scale.GroupsOf(k); }  // of a row; 1 where not grouped
  int64_t group() const { return scale.GroupOf(k); }    // inputs of a group, the last one aside
  // Where group g of row r has its scale and zero point.
  size_t ScaleAt(int64_t r, int64_t g) const {
    if (scale.granularity == Granularity::kTensor) return 0;
    return static_cast<size_t>(r * groups() + g);
  }
  float ScaleOf(int64_t r, int64_t g) const { return scale.values[ScaleAt(r, g)]; }
  int32_t ZeroPointOf(int64_t r, int64_t g) const {
    return zero_points.empty() ? 0 : zero_points[ScaleAt(r, g)];
  }
  WeightSpec Spec() const {
    return {scale.granularity, bits, scale.group_size, zero_points.empty()};
  }
  // The codes' real values: (code - zero point) * scale in binary32, [n, k].
  std::vector<float> RealValues() const;
  friend bool operator==(const WeightCodes&, const WeightCodes&) = default;
};

// The functions below check what they get and throw Error naming `name` and the tensor: NaN or Inf
// in a weight or scale, a scale <= 0, K > 131,071 (33,025 with zero points), shapes that do not
// agree, per-token scales, a group size below 1, bits outside 2 to 8, zero points beside per-tensor
// scales or beyond the bits. What has one group a row comes back as kChannel.

// By numerics.md section 6: scale = amax / (2^(bits - 1) - 1) of each row, group or all. The spec
// is symmetric. `stored` is what the weights were read as, for the convention kVllm (8 bits,
// kChannel: scale and quotient are rounded to it).
WeightCodes QuantizeWeights(const std::string& name, MatView<const float> weight,
                            const WeightSpec& spec = {}, Dtype stored = Dtype::kF32);
// Codes against given scales of the spec's shape, used as they are.
WeightCodes QuantizeWeightsBy(const std::string& name, MatView<const float> weight,
                              std::vector<float> scale, const WeightSpec& spec = {});
// Checks everything and computes the sums anew, after codes were read or loaded in place.
void FinishCodes(const std::string& name, WeightCodes& weight);

// The checks of a spec alone, and those of real weights.
void CheckWeightSpec(const std::string& name, const WeightSpec& spec);
void CheckWeights(const std::string& name, MatView<const float> weight, const WeightSpec& spec);

constexpr int kMinWeightBits = 2;
constexpr int kMaxWeightBits = 8;

// 2^(bits - 1) - 1: the largest code that a symmetric quantizer of `bits` bits makes.
constexpr int32_t MaxCode(int bits) { return (1 << (bits - 1)) - 1; }

}  // namespace w8a8
