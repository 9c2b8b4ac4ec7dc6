#include "tests/bench/peak.h"

#include <algorithm>
#include <chrono>

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

bool HasVnni() {
  return std::ranges::any_of(
      All(), [](const Kernels& set) { return set.name == "avx512vnni" && set.supported(); });
}

}  // namespace

double VnniPeakMacsPerSecond() {
  if (!HasVnni()) return 0.0;
  constexpr long kIterations = 750000;
  double best = 0.0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    RunChains(kIterations);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(kIterations) * 20 * 64 / seconds.count());
  }
  return best;
}

}  // namespace w8a8
