// What one core could do at best: multiply-accumulates of one instruction on registers, measured in
// the same process as the work that is held against it, on random operands (zeros draw less power
// and clock higher) and in CPU time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "eval/bench/sampling.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/precision.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

struct Peak {
  std::string_view name;  // "vpdpbusd"; of two rows of one name the first usable one counts
  int64_t macs;           // multiply-accumulates of one iteration
  bool (*usable)();
  // `operands`: kPeakOperandBytes random bytes, 64-byte aligned, of the row's type.
  void (*run)(int64_t iterations, const void* operands);
  enum class Operands : uint8_t { kInt8, kFloat, kBFloat16, kHalf } type;
};
constexpr int64_t kPeakOperandBytes = 4 * 1024;

// The table of all.
std::span<const Peak> Peaks();

// A peak to be run in turns with what is held against it, so that both meet the same clock.
class PeakProbe {
 public:
  // Not usable where no row of that name is usable here, or there is none.
  explicit PeakProbe(std::string_view name);

  bool usable() const { return peak_ != nullptr; }
  void Run() const;  // a millisecond or two
  // `body` with this right after it, where it is usable. Outlives what it returns.
  FollowedBody After(Body body) const;
  double macs() const { return static_cast<double>(iterations() * peak_->macs); }  // of one Run()

 private:
  static constexpr int64_t kMacs = 200'000'000;  // at least, of one Run()

  int64_t iterations() const { return kMacs / peak_->macs; }

  const Peak* peak_;
  AlignedBuffer<std::byte> operands_;
};

// Multiply-accumulates per second, the best of ten runs; 0 where it is not usable.
double PeakMacsPerSecond(std::string_view name);

// The names of what a kernel set's work is held against. Empty: there is none.
std::string_view PeakOfInt8(const Kernels& set);
// The instruction that its product of FP16 rows takes: tiles, else binary32 FMAs.
std::string_view PeakOfHalf(const Kernels& set);
// INT8 attention against the set's INT8 products, the others against what their kernel names.
std::string_view PeakOfAttention(const Kernels& set, AttentionPrecision precision);

}  // namespace w8a8
