#include "eval/job/run_clock.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <utility>

#include <sys/resource.h>

#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

std::string NowIso8601() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S%z", &local);
  return text.data();
}

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

uint64_t PeakMemoryBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

}  // namespace

RunClock::RunClock(std::string command)
    : command_(std::move(command)), started_(NowIso8601()), stage_start_(Clock::now()) {}

void RunClock::EndStage() {
  if (current_.empty()) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - stage_start_).count();
  stages_.push_back({.name = std::exchange(current_, ""), .seconds = seconds});
}

void RunClock::Stage(const std::string& name) {
  EndStage();
  current_ = name;
  stage_start_ = Clock::now();
}

RunInfo RunClock::Info(const Session& session, AttentionPrecision attention, int threads,
                       double reference_seconds) {
  EndStage();
  RunInfo info;
  info.command = command_;
  info.host = HostName();
  info.device = session.device;
  info.kernels = session.kernels;
  info.float_products = session.float_products;
  const bool on_cuda = session.device.starts_with("cuda");
  const std::string left = on_cuda ? CountsOfCudaDevices().LeftText() : "";
  if (!left.empty()) info.float_products += "; " + left;
  info.reference_attention = session.attention.front();
  info.attention = session.attention[static_cast<size_t>(attention)];
  info.threads = threads;
  info.started = started_;
  info.stages = stages_;
  for (StageTime& stage : info.stages) {
    if (reference_seconds > 0) {
      stage.reference_forwards = stage.seconds * threads / reference_seconds;
    }
  }
  info.peak_memory_bytes = PeakMemoryBytes();
  return info;
}

}  // namespace w8a8
