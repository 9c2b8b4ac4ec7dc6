#include "eval/measure/check_tap.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <span>
#include <utility>

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

template <class T>
uint64_t CountDifferent(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  uint64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += Same(a[i], b[i]) ? 0 : 1;
  return different;
}

// Scales, second scales and zero points; one that a side lacks counts as different.
void CompareScales(const RowScales& int8, const RowScales& emulated, SiteChecks& checks) {
  const auto compare = [&checks](std::span<const int32_t> a, std::span<const int32_t> b) {
    checks.scale_mismatches += CountDifferent(a, b);
    checks.scales_compared += std::max(a.size(), b.size());
  };
  const auto bits = [](const std::vector<float>& values) {
    std::vector<int32_t> patterns(values.size());
    std::ranges::transform(values, patterns.begin(),
                           [](float value) { return std::bit_cast<int32_t>(value); });
    return patterns;
  };
  compare(bits(int8.values), bits(emulated.values));
  compare(bits(int8.second_values), bits(emulated.second_values));
  compare(int8.zero_points, emulated.zero_points);
}

void CompareCodes(const LinearTrace& int8, const LinearTrace& emulated, SiteChecks& checks) {
  const std::span<const int8_t> a = Flat(int8.codes.view());
  const std::span<const int8_t> b = Flat(emulated.codes.view());
  for (size_t i = 0; i < a.size(); ++i) {
    const int apart = std::abs(int{a[i]} - int{b[i]});
    ++checks.code_differences[static_cast<size_t>(std::min(apart, 2))];
  }
  checks.codes_compared += a.size();
  CompareScales(int8.input_scale, emulated.input_scale, checks);
}

void CompareTraces(const LinearTrace& int8, const LinearTrace& emulated, SiteChecks& checks) {
  const std::span<const int32_t> acc = Flat(int8.acc.view());
  const std::span<const int32_t> emulated_acc = Flat(emulated.acc.view());
  const size_t codes = Flat(int8.codes.view()).size();
  const size_t emulated_codes = Flat(emulated.codes.view()).size();
  // Arms that disagree on shape have lost values: every one of them counts as two apart.
  if (codes != emulated_codes || acc.size() != emulated_acc.size()) {
    checks.code_differences[2] += std::max(codes, emulated_codes);
    return;
  }
  CompareCodes(int8, emulated, checks);
  checks.int32_mismatches += CountDifferent(acc, emulated_acc);
  checks.int32_compared += acc.size();
  checks.code_sum_mismatches +=
      CountDifferent(std::span(int8.weight_code_sum), std::span(emulated.weight_code_sum));
  checks.code_sums_compared += int8.weight_code_sum.size();
}

void CompareOutputs(std::span<const Half> int8, std::span<const Half> emulated,
                    SiteChecks& checks) {
  checks.output_mismatches += CountDifferent(int8, emulated);
  checks.outputs_compared += int8.size();
  for (const Half value : int8) checks.nonfinite += IsFinite(value) ? 0 : 1;
}

}  // namespace

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

void CheckTap::OnLinear(LinearEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  const int int8_arm = Int8TwinOf(event.arm);
  if (int8_arm < 0) {
    worker.seen[{event.arm, *event.site}] = {Copy(event.input), Copy(event.output), event.trace};
    return;
  }
  Seen int8 = std::move(worker.seen[{int8_arm, *event.site}]);
  if (!std::ranges::equal(int8.input, Flat(event.input))) {
    const LinearResult again = event.RunAs(int8_arm, {.trace = true});
    int8 = {{}, Copy(again.output), again.trace};
  }
  SiteChecks& checks = worker.checks[{static_cast<size_t>(event.arm), *event.site}];
  CompareTraces(*int8.trace, *event.trace, checks);
  CompareOutputs(int8.output, Flat(event.output), checks);
}

void CheckTap::OnOutputs(const OutputEvent& event) {
  if (!IsChecked(event.arm)) return;
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
