#include "eval/measure/check_tap.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>

#include "quant/numerics.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Rows without gaps, one after the other.
template <class T>
std::span<const T> Flat(MatView<T> view) {
  W8A8_CHECK(view.rows <= 1 || view.stride == view.cols);
  return {view.data, static_cast<size_t>(view.rows * view.cols)};
}

template <class T>
std::vector<T> Copy(MatView<const T> view) {
  const std::span<const T> values = Flat(view);
  return {values.begin(), values.end()};
}

bool Same(Half a, Half b) { return a == b || (IsNan(a) && IsNan(b)); }
bool Same(int32_t a, int32_t b) { return a == b; }
bool Same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

template <class T>
uint64_t CountDifferent(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  uint64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += Same(a[i], b[i]) ? 0 : 1;
  return different;
}

// One that a side lacks counts as different. What all samples of a batch share counts `times`, once
// for each of them, so that no count depends on the batch.
template <class T>
void Compare(std::span<const T> a, std::span<const T> b, uint64_t& compared, uint64_t& different,
             uint64_t times = 1) {
  compared += times * std::max(a.size(), b.size());
  different += times * CountDifferent(a, b);
}

// Scales, second scales and zero points.
void CompareScales(const RowScales& int8, const RowScales& emulated, uint64_t samples,
                   SiteChecks& checks) {
  const uint64_t times = int8.shared ? samples : 1;
  const auto compare = [&]<class T>(const std::vector<T>& a, const std::vector<T>& b, uint64_t n) {
    Compare<T>(a, b, checks.scales_compared, checks.scale_mismatches, n);
  };
  compare(int8.values, emulated.values, times);
  compare(int8.second_values, emulated.second_values, 1);
  compare(int8.zero_points, emulated.zero_points, times);
}

// Codes of inputs, second ones too, or of outputs, which are a layer's codes as well. Arms that
// disagree on shape have lost values: every one of them counts as two apart.
void CompareCodeMatrices(MatView<const int8_t> int8, MatView<const int8_t> emulated,
                         SiteChecks& checks) {
  const std::span<const int8_t> a = Flat(int8);
  const std::span<const int8_t> b = Flat(emulated);
  if (a.size() != b.size()) {
    checks.code_differences[2] += std::max(a.size(), b.size());
    return;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    const int apart = std::abs(int{a[i]} - int{b[i]});
    ++checks.code_differences[static_cast<size_t>(std::min(apart, 2))];
  }
  checks.codes_compared += a.size();
}

// Of `samples` samples.
void CompareTraces(const LinearTrace& int8, const LinearTrace& emulated, uint64_t samples,
                   SiteChecks& checks) {
  CompareCodeMatrices(int8.codes.view(), emulated.codes.view(), checks);
  CompareCodeMatrices(int8.output_codes.view(), emulated.output_codes.view(), checks);
  CompareScales(int8.input_scale, emulated.input_scale, samples, checks);
  const MatView<const float> transformed = int8.transformed.view();
  Compare(Flat(transformed), Flat(MatView<const float>(emulated.transformed.view())),
          checks.transformed_compared, checks.transformed_mismatches);
  const MatView<const int32_t> acc = int8.acc.view();
  Compare(Flat(acc), Flat(MatView<const int32_t>(emulated.acc.view())), checks.int32_compared,
          checks.int32_mismatches);
  Compare<int32_t>(int8.weight_code_sum, emulated.weight_code_sum, checks.code_sums_compared,
                   checks.code_sum_mismatches, samples);
}

// Those that have rows at the layer.
uint64_t SamplesOf(const LinearEvent& event) {
  if (event.owners.empty()) return event.samples.size();
  uint64_t samples = 1;
  for (size_t r = 1; r < event.owners.size(); ++r) {
    samples += event.owners[r].sample != event.owners[r - 1].sample ? 1 : 0;
  }
  return samples;
}

void CompareOutputs(std::span<const Half> int8, std::span<const Half> emulated,
                    SiteChecks& checks) {
  checks.output_mismatches += CountDifferent(int8, emulated);
  checks.outputs_compared += int8.size();
  for (const Half value : int8) checks.nonfinite += IsFinite(value) ? 0 : 1;
}

// The spacing of FP16 values around `value`.
float HalfUnit(float value) {
  const int exponent = value == 0.0f ? -24 : std::ilogb(value);
  return std::ldexp(1.0f, std::max(exponent, -14) - 10);
}

float FiniteRowMean(std::span<const Half> row) {
  double sum = 0;
  for (const Half value : row) {
    const double y = ToFloat(value);
    if (IsFinite(value)) sum += y * y;
  }
  return static_cast<float>(std::sqrt(sum / static_cast<double>(row.size())));
}

// Of float products. Where they are quantized a small difference may move a code by one.
void CompareFloatOutputs(std::span<const Half> int8, std::span<const Half> emulated, int64_t cols,
                         const std::optional<Quantizer>& output, SiteChecks& checks) {
  W8A8_CHECK(int8.size() == emulated.size());
  const auto width = static_cast<size_t>(cols);
  float row_mean = 0.0f;
  for (size_t i = 0; i < int8.size(); ++i) {
    const float a = ToFloat(int8[i]), b = ToFloat(emulated[i]);
    if (i % width == 0) row_mean = FiniteRowMean(emulated.subspan(i, width));
    const bool agree = output ? Abs(a - b) < 1.5f * output->scale : FloatsAgree(a, b, row_mean);
    checks.float_output_mismatches += agree ? 0 : 1;
    checks.nonfinite += IsFinite(int8[i]) ? 0 : 1;
  }
  checks.float_outputs_compared += int8.size();
}

}  // namespace

bool FloatsAgree(float first, float second, float row_mean) {
  if (!std::isfinite(first) || !std::isfinite(second)) {
    return first == second || (std::isnan(first) && std::isnan(second));
  }
  const float unit = std::max({HalfUnit(first), HalfUnit(second), HalfUnit(row_mean)});
  return Abs(first - second) <= 2 * unit;
}

CheckTap::CheckTap(const Experiment& experiment, int workers)
    : experiment_(experiment), workers_(static_cast<size_t>(std::max(1, workers))) {}

int CheckTap::Int8TwinOf(int arm) const {
  for (const TwinRuns& twin : experiment_.twins) {
    if (static_cast<int>(twin.emulated) == arm) return static_cast<int>(twin.int8);
  }
  return -1;
}

bool CheckTap::IsChecked(int arm) const {
  return std::any_of(experiment_.twins.begin(), experiment_.twins.end(), [arm](const TwinRuns& t) {
    return static_cast<int>(t.int8) == arm || static_cast<int>(t.emulated) == arm;
  });
}

bool CheckTap::WantsTrace(int arm) const { return IsChecked(arm); }

bool CheckTap::WantsLinear(int arm, const std::string& site) const {
  return IsChecked(arm) && experiment_.runs[static_cast<size_t>(arm)].plan.sites.contains(site);
}

bool CheckTap::HasFloatProducts(int arm) const {
  const auto& sites = experiment_.runs[static_cast<size_t>(arm)].plan.sites;
  return std::ranges::any_of(sites, [](const auto& entry) { return !entry.second.input; });
}

void CheckTap::OnLinear(LinearEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  if (worker.batch != event.samples.front().key) worker.seen.clear();
  worker.batch = event.samples.front().key;
  const int int8_arm = Int8TwinOf(event.arm);
  if (int8_arm < 0) {
    worker.seen[{event.arm, *event.site}] = {Copy(event.input),
                                             Copy(event.output),
                                             {event.owners.begin(), event.owners.end()},
                                             event.trace};
    return;
  }
  Seen int8 = std::move(worker.seen[{int8_arm, *event.site}]);
  if (!std::ranges::equal(int8.owners, event.owners) ||
      !std::ranges::equal(int8.input, Flat(event.input))) {
    const LinearResult again = event.RunAs(int8_arm, {.trace = true});
    int8 = {{}, Copy(again.output), {}, again.trace};
  }
  SiteChecks& checks = worker.checks[{static_cast<size_t>(event.arm), *event.site}];
  const SitePlan& plan =
      experiment_.runs[static_cast<size_t>(event.arm)].plan.sites.at(*event.site);
  if (!plan.input) {
    return CompareFloatOutputs(int8.output, Flat(event.output), event.output.cols, plan.output,
                               checks);
  }
  CompareTraces(*int8.trace, *event.trace, SamplesOf(event), checks);
  CompareOutputs(int8.output, Flat(event.output), checks);
}

bool CheckTap::WantsAttention(int arm) const {
  const bool int8 =
      experiment_.runs[static_cast<size_t>(arm)].attention == AttentionPrecision::kInt8;
  return int8 && Int8TwinOf(arm) >= 0;
}

void CheckTap::OnAttention(AttentionEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  SiteChecks& checks = worker.checks[{static_cast<size_t>(event.arm), "attention"}];
  CompareOutputs(Flat(event.RunAs(Int8TwinOf(event.arm))), Flat(event.output), checks);
}

void CheckTap::OnOutputs(const OutputEvent& event) {
  if (!IsChecked(event.arm) || HasFloatProducts(event.arm)) return;
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  std::array<std::vector<Half>, 4> outputs{Copy(event.tokens), Copy(event.pooled),
                                           Copy(event.image_embeds), Copy(event.logits)};
  const int int8_arm = Int8TwinOf(event.arm);
  if (int8_arm < 0) {
    worker.outputs[event.arm] = std::move(outputs);
    return;
  }
  SiteChecks& checks = worker.checks[{static_cast<size_t>(event.arm), "outputs"}];
  const auto& int8 = worker.outputs[int8_arm];
  for (size_t i = 0; i < outputs.size(); ++i) {
    checks.output_mismatches += CountDifferent<Half>(int8[i], outputs[i]);
    checks.outputs_compared += outputs[i].size();
  }
}

Checks CheckTap::Take() const {
  Checks checks;
  for (const Worker& worker : workers_) MergeResult(checks, worker.checks);
  return checks;
}

}  // namespace w8a8
