// The whole run of the benchmarks: what the machine can do, its kernels, whole forwards, the stages
// of the job.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "eval/bench/bench_report.h"
#include "eval/bench/device_forward.h"

namespace w8a8 {

enum class BenchExtent : uint8_t {
  kUsual,  // two minutes on one core
  kFull,   // all blocks of every made encoder
  kSmall,  // one shape and one encoder that take milliseconds
};

struct BenchSettings {
  bool kernels = true, forward = true, stages = true;  // which parts
  BenchExtent extent = BenchExtent::kUsual;
  std::filesystem::path model = {};  // empty: made encoders
  std::string model_prefix = {};
  std::string kernel_set = {};  // forced: the only one measured; empty: all usable but the readable
  // The only one run, of kMadeEncoders or kWideEncoders; empty: all of the first.
  std::string encoder = {};
  int threads = 1;
  std::optional<DeviceBench> device = {};  // of forwards, in place of the CPU
  std::function<void(const std::string&)> say = [](const std::string&) {};  // what comes next
};

// Throws Error for a model that cannot be read.
BenchReport RunBench(const BenchSettings& settings);

}  // namespace w8a8
