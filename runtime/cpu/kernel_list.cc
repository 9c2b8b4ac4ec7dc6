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

constexpr std::array kAll = {
#if defined(__x86_64__)
    Kernels{"avx512vnni", Avx512VnniReason, &kAvx512VnniInt8Kernels, &kAvx512RowKernels,
            &kAvx512FloatKernels},
    Kernels{"avx2", Avx2Reason, &kAvx2Int8Kernels, &kAvx2RowKernels, &kAvx2FloatKernels},
#endif
    Kernels{"scalar", UsableAnywhere, &kScalarInt8Kernels, &kScalarRowKernels,
            &kScalarFloatKernels},
};

}  // namespace

std::span<const Kernels> All() { return kAll; }

}  // namespace w8a8
