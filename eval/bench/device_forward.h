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

// The least that right kernels keep of an output. Of made encoders INT8 keeps 32 dB and more,
// behind 27 blocks too, and 54 where made layer scales leave blocks a thirtieth of their rows; FP8,
// whose codes have four significant bits, 25 and 51 behind one block; FP16 sums in another
// order 60. Layers of half their inputs leave 2, or 28 behind layer scales. Of other weights an
// output by static scales may keep 9, and no more is known than that a wrong one keeps nothing.
double LeastSqnrDb(const ForwardModel& model, const ForwardResult& forward);

// Of `actual` against `reference`, in dB.
double SqnrDb(MatView<const Half> reference, MatView<const Half> actual);

}  // namespace w8a8
