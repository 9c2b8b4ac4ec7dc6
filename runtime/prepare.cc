#include "runtime/prepare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "quant/fake_quant.h"
#include "runtime/base/error.h"
#include "runtime/base/half.h"

namespace w8a8 {
namespace {

WeightCodes StoredCodes(const LinearParameters& parameters) {
  return {.n = parameters.n,
          .k = parameters.k,
          .codes = parameters.codes,
          .scale = {.values = parameters.weight_scale}};
}

// Codes that need not be made, checked.
std::optional<WeightCodes> ReadyCodes(const std::string& name, const LinearParameters& parameters,
                                      const SitePlan& plan) {
  const GivenWeights* given = plan.given.value.get();
  if (given == nullptr && parameters.codes.empty()) return std::nullopt;
  WeightCodes weight = given != nullptr ? given->weight : StoredCodes(parameters);
  FinishCodes(name, weight);
  if (weight.n != parameters.n || weight.k != parameters.k) {
    Fail("{}: the given codes are [{}, {}], but the layer is [{}, {}].", name, weight.n, weight.k,
         parameters.n, parameters.k);
  }
  const WeightSpec stored{weight.scale.granularity, weight.bits, weight.scale.group_size};
  if (plan.weight != stored) {
    Fail(
        "{}: the plan asks for weights of {} bits ({}), but they are codes of {} bits ({}) "
        "already. Take the original model, or plan what they are.",
        name, plan.weight.num_bits, NameOf(plan.weight.granularity), stored.num_bits,
        NameOf(stored.granularity));
  }
  return weight;
}

// w[k] * s[k] in binary64, rounded once.
std::vector<float> Smoothed(const std::string& name, MatView<const float> weight,
                            std::span<const float> smoothing) {
  W8A8_CHECK(static_cast<int64_t>(smoothing.size()) == weight.cols);
  std::vector<float> smoothed;
  smoothed.reserve(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (size_t c = 0; c < smoothing.size(); ++c) {
      const double product = static_cast<double>(weight.row(r)[c]) * smoothing[c];
      smoothed.push_back(static_cast<float>(product));
      if (std::isfinite(smoothed.back())) continue;
      Fail("{}: weight[{}, {}] is {} after smoothing by {}; it must be finite.", name, r, c,
           product, smoothing[c]);
    }
  }
  return smoothed;
}

FakeWeights MakeWeights(const std::string& name, const LinearParameters& parameters,
                        const SitePlan& plan, FakeFlavour convention) {
  const bool ours = convention == FakeFlavour::kIdeal;
  if (std::optional<WeightCodes> ready = ReadyCodes(name, parameters, plan)) {
    if (ours) return {*std::move(ready), {}};
    return FakeWeightsFromCodes(name, *std::move(ready), convention);
  }
  std::vector<float> smoothed;
  MatView<const float> real = parameters.view();
  if (!plan.smoothing.empty()) {
    smoothed = Smoothed(name, real, plan.smoothing);
    real.data = smoothed.data();
  }
  if (ours) return {QuantizeWeights(name, real, plan.weight), {}};
  return FakeQuantizeWeights(name, real, plan.weight, convention);
}

InputTransform TransformOf(const SitePlan& plan) {
  InputTransform transform;
  for (const float s : plan.smoothing) transform.inv_smoothing.push_back(1.0f / s);
  return transform;
}

}  // namespace

bool SameWeights(const SitePlan& first, const SitePlan& second) {
  SitePlan other = second;
  other.input = first.input;
  other.output = first.output;
  return first == other;
}

PreparedLinear Prepare(const std::string& name, const LinearParameters& parameters,
                       const SitePlan& plan, FakeFlavour convention) {
  FakeWeights made = MakeWeights(name, parameters, plan, convention);
  const GivenWeights* given = plan.given.value.get();
  PreparedLinear prepared{
      .transform = TransformOf(plan),
      .layer = {.name = name,
                .weight = std::move(made.weight),
                .bias = given != nullptr && given->bias ? *given->bias : parameters.bias},
      .values = std::move(made.values)};
  CheckBias(name, prepared.layer.bias, prepared.layer.weight.n);
  return prepared;
}

std::vector<float> Fp16Weights(const std::string& name, const LinearParameters& parameters) {
  std::vector<float> values =
      parameters.codes.empty() ? parameters.values : StoredCodes(parameters).RealValues();
  std::array<Half, 4096> piece;
  for (size_t i = 0; i < values.size(); i += piece.size()) {
    const size_t count = std::min(piece.size(), values.size() - i);
    const std::span<float> some = std::span(values).subspan(i, count);
    for (const float value : some) {
      if (std::abs(value) < kRoundsToHalfInfinity) continue;
      Fail(
          "{}: a weight of {} does not fit FP16 (largest {}); the FP16 reference cannot run this "
          "checkpoint.",
          name, value, kMaxHalf);
    }
    ToHalf(some, std::span(piece).first(count));
    ToFloat(std::span(piece).first(count), some);
  }
  return values;
}

}  // namespace w8a8
