// The list of the sets; a file of its own, so that a test can link another list in its place.
#include <array>

#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports() asks the operating system, too, whether it keeps the registers.
const char* Avx512VnniReason() {
  if (!__builtin_cpu_supports("avx512f")) return "the CPU or the kernel lacks AVX-512F";
  if (!__builtin_cpu_supports("avx512bw")) return "the CPU lacks AVX-512BW";
  if (!__builtin_cpu_supports("avx512dq")) return "the CPU lacks AVX-512DQ";
  if (!__builtin_cpu_supports("avx512vl")) return "the CPU lacks AVX-512VL";
  if (!__builtin_cpu_supports("avx512vnni")) return "the CPU lacks AVX-512-VNNI";
  return nullptr;
}

const char* Avx2Reason() {
  if (!__builtin_cpu_supports("avx2")) return "the CPU or the kernel lacks AVX2";
  if (!__builtin_cpu_supports("fma")) return "the CPU lacks FMA";
  if (!__builtin_cpu_supports("f16c")) return "the CPU lacks F16C";
  return nullptr;
}
#endif

const char* UsableAnywhere() { return nullptr; }

#if defined(__x86_64__)
// vdpbf16ps runs at twice the rate of FP32 FMAs on AMD's Zen 4 and 5, at half of it on Intel's CPUs
// (measured: Zen 5 238 against 119 GMAC/s, Granite Rapids 60 against 120).
const FloatKernels* Avx512Floats() {
  const bool fast = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
  return fast ? &kAvx512Bf16FloatKernels : &kAvx512FloatKernels;
}
#endif

const std::array kAll = {
#if defined(__x86_64__)
    Kernels{"avx512vnni", Avx512VnniReason, &kAvx512VnniInt8Kernels, &kAvx512RowKernels,
            Avx512Floats()},
    Kernels{"avx2", Avx2Reason, &kAvx2Int8Kernels, &kAvx2RowKernels, &kAvx2FloatKernels},
#endif
    Kernels{"scalar", UsableAnywhere, &kScalarInt8Kernels, &kScalarRowKernels,
            &kScalarFloatKernels},
};

}  // namespace

std::span<const Kernels> All() { return kAll; }

}  // namespace w8a8
