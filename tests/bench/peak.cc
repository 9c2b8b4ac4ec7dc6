#include "tests/bench/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

// Twenty independent chains hide the latency of four to five cycles at two a cycle.
void RunChains([[maybe_unused]] long iterations) {
#if defined(__x86_64__)
  asm volatile(
      "vpxord %%zmm30, %%zmm30, %%zmm30\n"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n"
      ".p2align 6\n"
      "1:\n"
      ".irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19\n"
      "vpdpbusd %%zmm30, %%zmm31, %%zmm\\r\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(iterations)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc");
#endif
}

bool CanRun(std::string_view name) {
  return std::ranges::any_of(
      All(), [name](const Kernels& set) { return set.name == name && set.supported(); });
}

// Four sums of 16 x 16 by 64 inputs, sixteen products an iteration. The process has its permission.
void RunTileChains([[maybe_unused]] const uint8_t* operands, [[maybe_unused]] long iterations) {
#if defined(__x86_64__)
  struct alignas(64) {
    uint8_t palette[16] = {1};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } const config;
  asm volatile(
      "ldtilecfg %[config]\n"
      "tileloadd (%[from], %[stride], 1), %%tmm4\n"
      "tileloadd 1024(%[from], %[stride], 1), %%tmm5\n"
      "tileloadd 2048(%[from], %[stride], 1), %%tmm6\n"
      "tileloadd 3072(%[from], %[stride], 1), %%tmm7\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 4\n"
      "tdpbssd %%tmm6, %%tmm4, %%tmm0\n"
      "tdpbssd %%tmm7, %%tmm4, %%tmm1\n"
      "tdpbssd %%tmm6, %%tmm5, %%tmm2\n"
      "tdpbssd %%tmm7, %%tmm5, %%tmm3\n"
      ".endr\n"
      "dec %[left]\n"
      "jnz 1b\n"
      "tilerelease\n"
      : [left] "+r"(iterations)
      : [config] "m"(config), [from] "r"(operands), [stride] "r"(64L)
      : "memory", "cc");
#endif
}

// The best of five times `run`, which does `macs`.
template <class Run>
double BestRate(double macs, const Run& run) {
  double best = 0.0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, macs / seconds.count());
  }
  return best;
}

}  // namespace

double VnniPeakMacsPerSecond() {
  if (!CanRun("avx512vnni")) return 0.0;
  constexpr long kIterations = 750000;
  return BestRate(kIterations * 20.0 * 64.0, [] { RunChains(kIterations); });
}

double AmxPeakMacsPerSecond() {
  if (!CanRun("amx")) return 0.0;
  constexpr long kIterations = 25000;
  alignas(64) uint8_t operands[4096];
  for (size_t i = 0; i < sizeof operands; ++i) {
    operands[i] = static_cast<uint8_t>(CounterHash(1, i));
  }
  return BestRate(kIterations * 16.0 * 16.0 * 16.0 * 64.0,
                  [&operands] { RunTileChains(operands, kIterations); });
}

}  // namespace w8a8
