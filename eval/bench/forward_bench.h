// Whole forwards: FP16 and INT8 in turns, each steady, with what its steps and its sites take.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/bench/bench_report.h"
#include "eval/bench/sampling.h"
#include "runtime/cpu/kernels.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// An encoder to be measured. Graph and weights outlive the measurement.
struct ForwardModel {
  std::string name;
  const Graph& graph;
  const Weights& weights;
  int64_t all_blocks = 0;  // of the model; the graph may have fewer
  bool made = false;       // of made weights
};

struct ForwardSettings {
  const Kernels& set;
  int threads = 1;  // > 1: once on one thread and once on so many, each with an image of its own
  SampleBudget budget;
  std::function<void(const std::string&)> say;
};

// After CheckForward(); of the model itself only that its outputs are finite.
std::vector<ForwardResult> MeasureForward(const ForwardModel& model,
                                          const ForwardSettings& settings);

// How much more all threads do than one of them alone, by the peak of the set's INT8
// products, in wall time; 0 where there is no peak.
double PeakScaling(const Kernels& set, int threads);

}  // namespace w8a8
