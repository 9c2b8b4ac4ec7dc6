// The list of the sets; a file of its own, so that a test can link another list in its place.
#include <array>
#include <cerrno>

#if defined(__x86_64__)
#include <cpuid.h>
#include <unistd.h>

#include <sys/syscall.h>
#endif

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

// Linux gives a process the tile registers on demand only, because they enlarge what it saves of a
// thread for a signal; for all its threads and for good.
const char* AskForTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE
  if (::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) return nullptr;
  if (errno == ENOSPC) return "a thread's alternate signal stack is too small for AMX";
  return "the kernel refuses AMX (arch_prctl; Linux 5.16 and later knows it)";
}

const char* AmxReason() {
  if (const char* reason = Avx512VnniReason()) return reason;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;  // of leaf 7
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kTile) == 0) {
    return "the CPU lacks AMX-TILE";
  }
  if ((edx & kInt8) == 0) return "the CPU lacks AMX-INT8";
  unsigned kept = 0, kept_high = 0;  // AVX-512 is usable, so there is an XCR0
  asm("xgetbv" : "=a"(kept), "=d"(kept_high) : "c"(0));
  constexpr unsigned kTileStates = 3u << 17;  // configuration and data
  if ((kept & kTileStates) != kTileStates) return "the kernel does not keep AMX's registers";
  static const char* const refused = AskForTiles();  // once per process
  return refused;
}

const char* Avx2Reason() {
  if (!__builtin_cpu_supports("avx2")) return "the CPU or the kernel lacks AVX2";
  if (!__builtin_cpu_supports("fma")) return "the CPU lacks FMA";
  if (!__builtin_cpu_supports("f16c")) return "the CPU lacks F16C";
  return nullptr;
}

// g++ 12 has no name for it that __builtin_cpu_supports() knows. The registers are AVX2's.
const char* AvxVnniReason() {
  if (const char* reason = Avx2Reason()) return reason;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAvxVnni = 1u << 4;  // of leaf 7, 1
  const bool has = __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
  return has ? nullptr : "the CPU lacks AVX-VNNI";
}
#endif

const char* UsableAnywhere() { return nullptr; }

#if defined(__x86_64__)
// vdpbf16ps runs at twice the rate of FP32 FMAs on AMD's Zen 4 and 5, at half of it on Intel's CPUs
// (measured: Zen 5 238 against 119 GMAC/s, Granite Rapids 60 against 120).
const FloatKernels* Avx512Floats() {
  static FloatKernels floats = kAvx512FloatKernels;
  const bool fast = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
  if (fast) floats.attention[1] = &kAvx512Bf16Attention;
  return &floats;
}

const FloatKernels* AvxVnniFloats() {
  static FloatKernels floats = kAvx2FloatKernels;
  floats.attention[2] = &kAvxVnniInt8Attention;
  return &floats;
}

// FP16 operands as they are at half the INT8 rate, else in two BF16 parts at an eighth of it, which
// is still 3 times that of FP32 FMAs. INT8 attention is AVX-512-VNNI's.
const FloatKernels* AmxFloats() {
  static FloatKernels floats = kAvx512FloatKernels;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kFp16 = 1u << 21, kBf16 = 1u << 22;
  const bool has_fp16 = __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kFp16) != 0;
  const bool has_bf16 = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kBf16) != 0;
  if (has_fp16 || has_bf16) floats.half = has_fp16 ? kAmxFp16Product : kAmxBf16Product;
  if (has_fp16 || has_bf16) {
    floats.attention[0] = has_fp16 ? &kAmxFp16Attention : &kAmxSplitAttention;
  }
  if (has_bf16) floats.attention[1] = &kAmxBf16Attention;
  return &floats;
}
#endif

const std::array kAll = {
#if defined(__x86_64__)
    Kernels{"amx", AmxReason, &kAmxInt8Kernels, &kAvx512RowKernels, AmxFloats()},
    Kernels{"avx512vnni", Avx512VnniReason, &kAvx512VnniInt8Kernels, &kAvx512RowKernels,
            Avx512Floats()},
    Kernels{"avxvnni", AvxVnniReason, &kAvxVnniInt8Kernels, &kAvx2RowKernels, AvxVnniFloats()},
    Kernels{"avx2", Avx2Reason, &kAvx2Int8Kernels, &kAvx2RowKernels, &kAvx2FloatKernels},
#endif
    Kernels{"scalar", UsableAnywhere, &kScalarInt8Kernels, &kScalarRowKernels,
            &kScalarFloatKernels},
};

}  // namespace

std::span<const Kernels> All() { return kAll; }

bool HasAvx512Bf16() {
#if defined(__x86_64__)
  return Avx512VnniReason() == nullptr && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace w8a8
