#include "eval/measure/check_tap.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

namespace w8a8 {
namespace {

template <class T>
std::vector<T> Flat(MatView<const T> view) {
  std::vector<T> values;
  values.reserve(static_cast<size_t>(view.rows * view.cols));
  for (int64_t r = 0; r < view.rows; ++r) {
    values.insert(values.end(), view.row(r), view.row(r) + view.cols);
  }
  return values;
}

bool Same(Half a, Half b) { return a == b || (IsNan(a) && IsNan(b)); }
bool Same(int32_t a, int32_t b) { return a == b; }

template <class T>
uint64_t CountDifferent(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  uint64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += Same(a[i], b[i]) ? 0 : 1;
  return different;
}

}  // namespace

void SiteChecks::Add(const SiteChecks& other) {
  codes_compared += other.codes_compared;
  for (size_t i = 0; i < code_differences.size(); ++i) {
    code_differences[i] += other.code_differences[i];
  }
  code_sums_compared += other.code_sums_compared;
  code_sum_mismatches += other.code_sum_mismatches;
  scales_compared += other.scales_compared;
  scale_mismatches += other.scale_mismatches;
  int32_compared += other.int32_compared;
  int32_mismatches += other.int32_mismatches;
  outputs_compared += other.outputs_compared;
  output_mismatches += other.output_mismatches;
  nonfinite += other.nonfinite;
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

CheckTap::Seen CheckTap::Copy(MatView<const Half> input, MatView<const Half> output,
                              const LinearTrace& trace) {
  return {Flat(input),
          Flat(trace.codes),
          trace.input_scale,
          Flat(trace.acc),
          {trace.weight_code_sum.begin(), trace.weight_code_sum.end()},
          Flat(output)};
}

void CheckTap::OnLinear(LinearEvent& event) {
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  const int int8_arm = Int8TwinOf(event.arm);
  if (int8_arm < 0) {
    worker.seen[{event.arm, *event.site}] = Copy(event.input, event.output, *event.trace);
    return;
  }
  const Seen emulated = Copy(event.input, event.output, *event.trace);
  Seen int8 = std::move(worker.seen[{int8_arm, *event.site}]);
  if (int8.input != emulated.input) {
    const LinearResult again = event.RunAs(int8_arm);
    int8 = Copy(event.input, again.output, again.trace);
  }
  Compare(int8, emulated, worker.checks[{static_cast<size_t>(event.arm), *event.site}]);
}

void CheckTap::Compare(const Seen& int8, const Seen& emulated, SiteChecks& checks) {
  // Arms that disagree on shape have lost values: every one of them counts as two apart.
  if (int8.codes.size() != emulated.codes.size() || int8.acc.size() != emulated.acc.size()) {
    checks.code_differences[2] += std::max(int8.codes.size(), emulated.codes.size());
    return;
  }
  for (size_t i = 0; i < int8.codes.size(); ++i) {
    const int apart = std::abs(int{int8.codes[i]} - int{emulated.codes[i]});
    ++checks.code_differences[static_cast<size_t>(std::min(apart, 2))];
  }
  checks.codes_compared += int8.codes.size();
  const int64_t scales = std::max(int8.input_scale.count(), emulated.input_scale.count());
  for (int64_t row = 0; row < scales; ++row) {
    const auto a = std::bit_cast<uint32_t>(int8.input_scale[row]);
    const auto b = std::bit_cast<uint32_t>(emulated.input_scale[row]);
    checks.scale_mismatches += a == b ? 0 : 1;
  }
  checks.scales_compared += static_cast<uint64_t>(scales);
  checks.int32_mismatches += CountDifferent(int8.acc, emulated.acc);
  checks.int32_compared += int8.acc.size();
  checks.code_sum_mismatches += CountDifferent(int8.weight_code_sum, emulated.weight_code_sum);
  checks.code_sums_compared += int8.weight_code_sum.size();
  checks.output_mismatches += CountDifferent(int8.output, emulated.output);
  checks.outputs_compared += int8.output.size();
  for (const Half value : int8.output) checks.nonfinite += IsFinite(value) ? 0 : 1;
}

void CheckTap::OnOutputs(const OutputEvent& event) {
  if (!IsChecked(event.arm)) return;
  Worker& worker = workers_[static_cast<size_t>(event.worker)];
  std::array<std::vector<Half>, 3> outputs{Flat(event.tokens), Flat(event.pooled),
                                           Flat(event.logits)};
  const int int8_arm = Int8TwinOf(event.arm);
  if (int8_arm < 0) {
    worker.outputs[event.arm] = std::move(outputs);
    return;
  }
  SiteChecks& checks = worker.checks[{static_cast<size_t>(event.arm), "outputs"}];
  const auto& int8 = worker.outputs[int8_arm];
  for (size_t i = 0; i < outputs.size(); ++i) {
    checks.output_mismatches += CountDifferent(int8[i], outputs[i]);
    checks.outputs_compared += outputs[i].size();
  }
}

Checks CheckTap::Take() const {
  Checks checks;
  for (const Worker& worker : workers_) {
    for (const auto& [key, counts] : worker.checks) checks[key].Add(counts);
  }
  return checks;
}

}  // namespace w8a8
