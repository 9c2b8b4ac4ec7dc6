// Whole forwards on a device whose time is its own: batches, by the arena's clock.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eval/bench/bench_report.h"
#include "eval/bench/forward_bench.h"
#include "runtime/backend.h"
#include "runtime/speed_baseline.h"

namespace w8a8 {

struct DeviceBench {
  std::string kernels;  // the device's kernel set
  std::function<std::unique_ptr<Backend>()> make_backend;
  std::vector<int64_t> batches = {1, 8, 32};
  std::vector<SpeedBaseline> baselines = {};
};

// FP16, INT8 by per-token and by static scales, and the baselines, of every batch in turns, with
// the output's SQNR against the FP16 of the same batch. What fails, even at one batch alone, has
// its problem in the place of figures, and the others theirs. The clock sees the device's steps and
// no copies between stages.
std::vector<ForwardResult> MeasureDeviceForward(const ForwardModel& model,
                                                const DeviceBench& device, int runs,
                                                const std::function<void(const std::string&)>& say);

// Of `actual` against `reference`, in dB.
double SqnrDb(MatView<const Half> reference, MatView<const Half> actual);

}  // namespace w8a8
