// Whole forwards on a device whose time is its own: batches, by the arena's clock.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eval/bench/bench_report.h"
#include "eval/bench/forward_bench.h"
#include "runtime/backend.h"

namespace w8a8 {

struct DeviceBench {
  std::string kernels;  // the device's kernel set
  std::function<std::unique_ptr<Backend>()> make_backend;
  std::vector<int64_t> batches = {1, 8, 32};
};

// FP16 and INT8 of every batch in turns, with the output's SQNR against the FP16 of the same batch.
// The clock sees the device's steps and no copies between stages.
std::vector<ForwardResult> MeasureDeviceForward(const ForwardModel& model,
                                                const DeviceBench& device, int runs,
                                                const std::function<void(const std::string&)>& say);

}  // namespace w8a8
