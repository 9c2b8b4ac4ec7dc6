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

// A scale for all rows is a scale for each: a plan of rows runs on codes that have one alone.
void GiveRowsTheLoneScale(const WeightSpec& planned, WeightCodes* weight) {
  Scales& scale = weight->scale;
  if (scale.granularity != Granularity::kTensor || planned.granularity != Granularity::kChannel) {
    return;
  }
  scale.granularity = Granularity::kChannel;
  scale.values.assign(static_cast<size_t>(weight->n), scale.values.front());
}

// Codes that need not be made, checked.
std::optional<WeightCodes> ReadyCodes(const std::string& name, const LinearParameters& parameters,
                                      const SitePlan& plan) {
  const GivenWeights* given = plan.given.value.get();
  if (given == nullptr && !parameters.codes) return std::nullopt;
  WeightCodes weight = given != nullptr ? given->weight : *parameters.codes;
  FinishCodes(name, weight);
  if (weight.n != parameters.n || weight.k != parameters.k) {
    Fail("{}: the given codes are [{}, {}], but the layer is [{}, {}].", name, weight.n, weight.k,
         parameters.n, parameters.k);
  }
  GiveRowsTheLoneScale(*plan.weight, &weight);
  if (*plan.weight != weight.Spec()) {
    Fail(
        "{}: the plan asks for weights of {}, but they are codes of {} already. Take the original "
        "model, or plan what they are.",
        name, SpecText(*plan.weight), SpecText(weight.Spec()));
  }
  return weight;
}

// The weights that the transformed rows multiply: each row in binary64, rounded once.
std::vector<float> Transformed(const std::string& name, MatView<const float> weight,
                               const SitePlan& plan) {
  std::vector<float> transformed;
  transformed.reserve(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t r = 0; r < weight.rows; ++r) {
    const std::span<const float> from = weight.row_span(r);
    std::vector<double> row(from.begin(), from.end());
    TransformWeightRow(plan.smoothing, plan.rotation, row);
    for (const double value : row) {
      transformed.push_back(static_cast<float>(value));
      if (std::isfinite(transformed.back())) continue;
      Fail(
          "{}: a weight in row {} is {} after smoothing and rotation; it must be finite in "
          "binary32.",
          name, r, value);
    }
  }
  return transformed;
}

FakeWeights MakeWeights(const std::string& name, const LinearParameters& parameters,
                        const SitePlan& plan, FakeFlavour convention) {
  const bool ours = convention == FakeFlavour::kIdeal;
  if (std::optional<WeightCodes> ready = ReadyCodes(name, parameters, plan)) {
    if (ours) return {*std::move(ready), {}};
    return FakeWeightsFromCodes(name, *std::move(ready), convention);
  }
  std::vector<float> transformed;
  MatView<const float> real = parameters.view();
  if (!plan.smoothing.empty() || plan.rotation) {
    transformed = Transformed(name, real, plan);
    real.data = transformed.data();
  }
  if (parameters.scale) {
    std::vector<float> scale = FakeScales(name, parameters.scale->values, convention);
    WeightCodes codes = QuantizeWeightsBy(name, real, std::move(scale), *plan.weight);
    if (ours) return {std::move(codes), {}};
    return FakeWeightsFromCodes(name, std::move(codes), convention);
  }
  if (ours) return {QuantizeWeights(name, real, *plan.weight, parameters.dtype), {}};
  if (plan.weight->convention != WeightConvention::kNative) {
    return FakeWeightsFromCodes(name, QuantizeWeights(name, real, *plan.weight, parameters.dtype),
                                convention);
  }
  return FakeQuantizeWeights(name, real, *plan.weight, convention);
}

// Without a way out of the loop, so that it is compiled for several values at once.
bool AllFitHalf(std::span<const float> values) {
  uint32_t others = 0;
  for (const float value : values) others |= std::abs(value) < kRoundsToHalfInfinity ? 0u : 1u;
  return others == 0;
}

// Of the first value that does not fit.
[[noreturn]] void FailNoHalf(const std::string& name, std::span<const float> values) {
  const auto value =
      std::ranges::find_if(values, [](float v) { return !(std::abs(v) < kRoundsToHalfInfinity); });
  Fail(
      "{}: a weight of {} does not fit FP16 (largest {}); the FP16 reference cannot run this "
      "checkpoint.",
      name, *value, kMaxHalf);
}

int64_t InputGroup(const SitePlan& plan) { return plan.input ? plan.input->group_size : 0; }

std::shared_ptr<const InputTransform> SharedTransform(const SitePlan& plan) {
  InputTransform transform = TransformOf(plan);
  return transform.empty() ? nullptr : std::make_shared<const InputTransform>(std::move(transform));
}

}  // namespace

InputTransform TransformOf(const SitePlan& plan) {
  InputTransform transform{.rotation = plan.rotation};
  for (const float s : plan.smoothing) transform.inv_smoothing.push_back(1.0f / s);
  return transform;
}

bool SameWeights(const SitePlan& first, const SitePlan& second) {
  SitePlan other = second;
  other.input = first.input;
  other.output = first.output;
  other.first_row_twice = first.first_row_twice;
  return first == other && InputGroup(first) == InputGroup(second);
}

PreparedLinear Prepare(const std::string& name, const LinearParameters& parameters,
                       const SitePlan& plan, FakeFlavour convention) {
  FakeWeights made = MakeWeights(name, parameters, plan, convention);
  const GivenWeights* given = plan.given.value.get();
  PreparedLinear prepared{
      .transform = SharedTransform(plan),
      .layer = {.name = name,
                .weight = std::move(made.weight),
                .bias = given != nullptr && given->bias ? *given->bias : parameters.bias},
      .values = std::move(made.values)};
  CheckBias(name, prepared.layer.bias, prepared.layer.weight.n);
  prepared.layer.bias = FakeBias(name, std::move(prepared.layer.bias), convention);
  return prepared;
}

std::vector<float> Fp16Weights(const std::string& name, const LinearParameters& parameters) {
  return Fp16Values(name, parameters.codes ? parameters.codes->RealValues() : parameters.values);
}

std::vector<float> Fp16Values(const std::string& name, std::vector<float> values) {
  std::array<Half, 4096> piece;
  for (size_t i = 0; i < values.size(); i += piece.size()) {
    const size_t count = std::min(piece.size(), values.size() - i);
    const std::span<float> some = std::span(values).subspan(i, count);
    if (!AllFitHalf(some)) FailNoHalf(name, some);
    ToHalf(some, std::span(piece).first(count));
    ToFloat(std::span(piece).first(count), some);
  }
  return values;
}

}  // namespace w8a8
