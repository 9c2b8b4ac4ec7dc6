// What the stages of the job cost, in forwards of the bare reference: with the job's own runner and
// taps on a few made images.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/bench/bench_report.h"
#include "eval/bench/forward_bench.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

struct StageSettings {
  const Kernels& set;
  int64_t images = 6;
  int repeats = 3;  // rounds; medians count
  std::function<void(const std::string&)> say;
};

// In CPU seconds of one thread without the preparation of weights, which has a row of its own: it
// is paid once for all images, these figures for each.
std::vector<StageResult> MeasureStages(const ForwardModel& model, const StageSettings& settings);

}  // namespace w8a8
