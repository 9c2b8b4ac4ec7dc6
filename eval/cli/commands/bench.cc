#include "eval/cli/commands/bench.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "eval/bench/bench.h"
#include "eval/cli/error_text.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/standard_streams.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

bool HoldsBenchmarks(const fs::path& file) {
  try {
    const nlohmann::json object = ReadJsonObject(file);
    return object.contains("machine") && object.contains("peaks") && object.contains("kernels");
  } catch (const Error&) {
    return false;
  }
}

// Before the minutes of work: the file can be written, and nothing else than an earlier one is
// lost.
void CheckFile(const std::string& file) {
  if (file.empty()) return;
  From("--json ", [&file] { CheckOutputFile(file); });
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored) || fs::is_empty(file, ignored)) return;
  if (HoldsBenchmarks(file)) return;
  FailUsage(
      "--json {}: is a file that does not hold benchmarks, which bench writes; it would be lost. "
      "Choose another name, or remove it first.",
      file);
}

BenchSettings SettingsOf(const Options& options) {
  const BenchFlags& flags = options.bench;
  const bool all = !flags.kernels_only && !flags.forward;
  BenchSettings settings{.kernels = all || flags.kernels_only,
                         .forward = all || flags.forward,
                         .stages = all,
                         .model = options.model,
                         .model_prefix = options.model_prefix,
                         .kernel_set = CpuKernelsOf(options),
                         .encoder = flags.encoder,
                         .threads = options.threads.value_or(1)};
  const DeviceSettings device = DeviceOf(options);
  if (device.cuda_device) {
    const CudaDevice cuda = OpenCudaDevice(*device.cuda_device, options.kernels);
    settings.device = DeviceBench{
        .kernels = cuda.kernels, .make_backend = cuda.make_backend, .baselines = cuda.baselines};
  }
  if (flags.full) settings.extent = BenchExtent::kFull;
  if (flags.small) settings.extent = BenchExtent::kSmall;
  if (!options.quiet) {
    settings.say = [](const std::string& what) { Tell("bench      {}\n", what); };
  }
  return settings;
}

}  // namespace

int RunBenchmarks(const Options& options) {
  if (DeviceOf(options).cuda_device && !options.bench.forward) {
    FailUsage("bench --device {}: measures whole forwards there. Add --forward.", options.device);
  }
  if (options.bench.full && options.bench.kernels_only) {
    FailUsage("bench: --full is about forwards, and --kernels-only leaves them out.");
  }
  if (!options.bench.encoder.empty() && !options.model.empty()) {
    FailUsage("bench --encoder {}: --model {} takes the place of made encoders.",
              options.bench.encoder, options.model);
  }
  CheckFile(options.bench.json_file);
  const BenchReport report = RunBench(SettingsOf(options));
  if (!options.bench.json_file.empty()) {
    WriteFileAtomically(options.bench.json_file, BenchJson(report));
  }
  PrintText(BenchText(report));
  const auto failed = [](const ForwardResult& forward) { return !forward.problem.empty(); };
  return std::ranges::any_of(report.forward, failed) ? 1 : 0;
}

}  // namespace w8a8
