// Time of what runs on a GPU, by its own clock, and whether it is right.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cuda/cuda_error.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/device_memory.h"
#include "tests/cuda/bench_runs.h"

namespace w8a8::bench {

constexpr int kRuns = 21;
constexpr int64_t kCacheBytes = 256 * 1024 * 1024;  // several times the L2 of any GPU so far

template <class T>
DeviceMemory<T> OnDevice(const std::vector<T>& values) {
  return DeviceMemory<T>(nullptr, std::span<const T>(values));
}

template <class Run>
double MedianSeconds(Run run) {
  static DeviceMemory<std::byte> cache;
  cache.Reserve(kCacheBytes);
  std::vector<double> seconds;
  Stopwatch stopwatch;
  for (int i = 0; i < kRuns + 2; ++i) {
    ClearOnDevice(nullptr, cache.bytes(), static_cast<size_t>(kCacheBytes));
    stopwatch.Start(nullptr);
    run();
    stopwatch.Stop(nullptr);
    if (i >= 2) seconds.push_back(stopwatch.Seconds());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

inline void Set(Figure& figure, double seconds, double operations, const char* unit) {
  figure.microseconds = seconds * 1e6;
  figure.value = operations / seconds * (std::string_view(unit) == "GB/s" ? 1e-9 : 1e-12);
  figure.unit = unit;
}

// What `run` leaves in `count` values of y that were poison before.
template <class T, class Run>
std::vector<T> AfterPoison(const DeviceMemory<T>& y, int64_t count, Run run) {
  CheckCuda(cudaMemset(y.bytes(), 0xd5, static_cast<size_t>(count) * sizeof(T)), "poisoning");
  run();
  return y.ToHost(nullptr, count);
}

// Throws unless they are the same.
template <class T>
void CompareBits(const std::vector<T>& actual, const std::vector<T>& expected) {
  const auto* a = reinterpret_cast<const std::byte*>(actual.data());
  const auto* e = reinterpret_cast<const std::byte*>(expected.data());
  if (std::memcmp(a, e, expected.size() * sizeof(T)) == 0) return;
  size_t differ = 0, first = expected.size();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(a + i * sizeof(T), e + i * sizeof(T), sizeof(T)) == 0) continue;
    if (differ++ == 0) first = i;
  }
  Fail("WRONG: {} of {} values differ from those it is compared with, the first at {}", differ,
       expected.size(), first);
}

}  // namespace w8a8::bench
