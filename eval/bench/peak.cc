#include "eval/bench/peak.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "runtime/base/counter_hash.h"
#include "runtime/base/half.h"

namespace w8a8 {
namespace {

bool SetIsUsable(std::string_view name) {
  return std::ranges::any_of(
      All(), [name](const Kernels& set) { return set.name == name && set.supported(); });
}

#if defined(__x86_64__)

bool HasAmx() { return SetIsUsable("amx"); }
// The set's float products say which tile instructions this CPU has for them: one that has the FP16
// one has the BF16 one too.
bool AmxFloatsAre(std::string_view name) {
  return std::ranges::any_of(All(), [name](const Kernels& set) {
    return set.name == "amx" && set.supported() &&
           std::string_view(set.floats->half.name).find(name) != std::string_view::npos;
  });
}
bool HasAmxBf16() { return AmxFloatsAre("AMX-"); }
bool HasAmxFp16() { return AmxFloatsAre("AMX-FP16"); }
bool HasAvx512() { return SetIsUsable("avx512vnni"); }
bool HasAvxVnni() { return SetIsUsable("avxvnni"); }
bool HasAvx2() { return SetIsUsable("avx2"); }

// Independent chains hide the latency of four to five cycles at two instructions a cycle: twenty of
// zmm registers, twelve of ymm, whose encoding has sixteen in all. Four pairs of operands (two)
// keep the multipliers' inputs changing.
#define W8A8_PEAK_LOOP_BEGIN ".p2align 6\n1:\n"
#define W8A8_PEAK_LOOP_END "dec %0\njnz 1b\nvzeroupper\n"
#define W8A8_PEAK_CLOBBERS                                                                 \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory"
#define W8A8_PEAK_RUN(name, loop)                                               \
  void name(int64_t iterations, const void* operands) {                         \
    asm volatile(loop : "+r"(iterations) : "r"(operands) : W8A8_PEAK_CLOBBERS); \
  }
#define W8A8_PEAK_ZMM(instruction)                                                \
  ".irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19\n"                   \
  "vpxord %%zmm\\r, %%zmm\\r, %%zmm\\r\n"                                         \
  ".endr\n"                                                                       \
  "vmovdqu64 (%1), %%zmm20\nvmovdqu64 64(%1), %%zmm21\n"                          \
  "vmovdqu64 128(%1), %%zmm22\nvmovdqu64 192(%1), %%zmm23\n"                      \
  "vmovdqu64 256(%1), %%zmm26\nvmovdqu64 320(%1), %%zmm27\n"                      \
  "vmovdqu64 384(%1), %%zmm28\nvmovdqu64 448(%1), %%zmm29\n" W8A8_PEAK_LOOP_BEGIN \
  ".irp r, 0,1,2,3,4\n" instruction                                               \
  " %%zmm26, %%zmm20, %%zmm\\r\n.endr\n"                                          \
  ".irp r, 5,6,7,8,9\n" instruction                                               \
  " %%zmm27, %%zmm21, %%zmm\\r\n.endr\n"                                          \
  ".irp r, 10,11,12,13,14\n" instruction                                          \
  " %%zmm28, %%zmm22, %%zmm\\r\n.endr\n"                                          \
  ".irp r, 15,16,17,18,19\n" instruction " %%zmm29, %%zmm23, %%zmm\\r\n.endr\n" W8A8_PEAK_LOOP_END
constexpr int64_t kZmmChains = 20;

W8A8_PEAK_RUN(RunVpdpbusd, W8A8_PEAK_ZMM("vpdpbusd"))
W8A8_PEAK_RUN(RunFmaZmm, W8A8_PEAK_ZMM("vfmadd231ps"))
W8A8_PEAK_RUN(RunVdpbf16ps, W8A8_PEAK_ZMM("vdpbf16ps"))

#define W8A8_PEAK_YMM(instruction)                                            \
  ".irp r, 0,1,2,3,4,5,6,7,8,9,10,11\n"                                       \
  "vxorps %%ymm\\r, %%ymm\\r, %%ymm\\r\n"                                     \
  ".endr\n"                                                                   \
  "vmovups (%1), %%ymm12\nvmovups 64(%1), %%ymm13\n"                          \
  "vmovups 128(%1), %%ymm14\nvmovups 192(%1), %%ymm15\n" W8A8_PEAK_LOOP_BEGIN \
  ".irp r, 0,1,2,3,4,5\n" instruction                                         \
  " %%ymm14, %%ymm12, %%ymm\\r\n.endr\n"                                      \
  ".irp r, 6,7,8,9,10,11\n" instruction " %%ymm15, %%ymm13, %%ymm\\r\n.endr\n" W8A8_PEAK_LOOP_END
constexpr int64_t kYmmChains = 12;

W8A8_PEAK_RUN(RunFmaYmm, W8A8_PEAK_YMM("vfmadd231ps"))
W8A8_PEAK_RUN(RunVpdpbusdYmm, W8A8_PEAK_YMM("%{vex%} vpdpbusd"))  // in AVX-VNNI's encoding

// With the addition that a product of widened codes needs: it takes another port.
constexpr int64_t kMaddChains = 8;
W8A8_PEAK_RUN(RunVpmaddwd,
              ".irp r, 0,1,2,3,4,5,6,7\n"
              "vpxor %%ymm\\r, %%ymm\\r, %%ymm\\r\n"
              ".endr\n"
              "vmovdqu (%1), %%ymm12\nvmovdqu 64(%1), %%ymm13\n"
              "vmovdqu 128(%1), %%ymm14\nvmovdqu 192(%1), %%ymm15\n" W8A8_PEAK_LOOP_BEGIN
              ".irp r, 0,1,2,3\n"
              "vpmaddwd %%ymm14, %%ymm12, %%ymm8\nvpaddd %%ymm8, %%ymm\\r, %%ymm\\r\n"
              ".endr\n"
              ".irp r, 4,5,6,7\n"
              "vpmaddwd %%ymm15, %%ymm13, %%ymm9\nvpaddd %%ymm9, %%ymm\\r, %%ymm\\r\n"
              ".endr\n" W8A8_PEAK_LOOP_END)

// Four sums of 16 x 16 by 64 bytes of a row, sixteen products an iteration. The set's reason has
// asked for the permission.
#define W8A8_PEAK_TILES(instructions)               \
  "ldtilecfg %[config]\n"                           \
  "tileloadd (%[from], %[stride], 1), %%tmm4\n"     \
  "tileloadd 1024(%[from], %[stride], 1), %%tmm5\n" \
  "tileloadd 2048(%[from], %[stride], 1), %%tmm6\n" \
  "tileloadd 3072(%[from], %[stride], 1), %%tmm7\n" \
  ".p2align 6\n1:\n.rept 4\n" instructions ".endr\ndec %[left]\njnz 1b\ntilerelease\n"
constexpr int64_t kTileProducts = 16 * 16 * 16;  // an iteration's, of 64 bytes each

struct alignas(64) TileConfig {
  uint8_t palette[16] = {1};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

#define W8A8_PEAK_RUN_TILES(name, instructions)                                          \
  void name(int64_t iterations, const void* operands) {                                  \
    const TileConfig config;                                                             \
    asm volatile(W8A8_PEAK_TILES(instructions)                                           \
                 : [left] "+r"(iterations)                                               \
                 : [config] "m"(config), [from] "r"(operands), [stride] "r"(int64_t{64}) \
                 : "memory", "cc");                                                      \
  }
#define W8A8_PEAK_TDP(instruction)                                                            \
  instruction " %%tmm6, %%tmm4, %%tmm0\n" instruction " %%tmm7, %%tmm4, %%tmm1\n" instruction \
              " %%tmm6, %%tmm5, %%tmm2\n" instruction " %%tmm7, %%tmm5, %%tmm3\n"

W8A8_PEAK_RUN_TILES(RunTdpbssd, W8A8_PEAK_TDP("tdpbssd"))
W8A8_PEAK_RUN_TILES(RunTdpbf16ps, W8A8_PEAK_TDP("tdpbf16ps"))
// In bytes, which clang 14 has no name for: C4 E2 (~vvvv, F2) 5C, of the same registers.
W8A8_PEAK_RUN_TILES(RunTdpfp16ps,
                    ".byte 0xc4, 0xe2, 0x4b, 0x5c, 0xc4\n"
                    ".byte 0xc4, 0xe2, 0x43, 0x5c, 0xcc\n"
                    ".byte 0xc4, 0xe2, 0x4b, 0x5c, 0xd5\n"
                    ".byte 0xc4, 0xe2, 0x43, 0x5c, 0xdd\n")
#undef W8A8_PEAK_TDP
#undef W8A8_PEAK_RUN_TILES
#undef W8A8_PEAK_TILES
#undef W8A8_PEAK_YMM
#undef W8A8_PEAK_ZMM
#undef W8A8_PEAK_RUN
#undef W8A8_PEAK_CLOBBERS
#undef W8A8_PEAK_LOOP_END
#undef W8A8_PEAK_LOOP_BEGIN

constexpr std::array kPeaks = {
    Peak{"tdpbssd", kTileProducts * 64, HasAmx, RunTdpbssd, Peak::Operands::kInt8},
    Peak{"tdpfp16ps", kTileProducts * 32, HasAmxFp16, RunTdpfp16ps, Peak::Operands::kHalf},
    Peak{"tdpbf16ps", kTileProducts * 32, HasAmxBf16, RunTdpbf16ps, Peak::Operands::kBFloat16},
    Peak{"vpdpbusd", kZmmChains * 64, HasAvx512, RunVpdpbusd, Peak::Operands::kInt8},
    Peak{"vpdpbusd_ymm", kYmmChains * 32, HasAvxVnni, RunVpdpbusdYmm, Peak::Operands::kInt8},
    Peak{"vpmaddwd", kMaddChains * 16, HasAvx2, RunVpmaddwd, Peak::Operands::kInt8},
    Peak{"fp32_fma", kZmmChains * 16, HasAvx512, RunFmaZmm, Peak::Operands::kFloat},
    Peak{"fp32_fma", kYmmChains * 8, HasAvx2, RunFmaYmm, Peak::Operands::kFloat},
    Peak{"fp32_fma_ymm", kYmmChains * 8, HasAvx2, RunFmaYmm, Peak::Operands::kFloat},
    Peak{"vdpbf16ps", kZmmChains * 32, HasAvx512Bf16, RunVdpbf16ps, Peak::Operands::kBFloat16},
};
#else
constexpr std::array<Peak, 0> kPeaks = {};
#endif

struct PeaksOfSet {
  std::string_view set, int8, floats;
};
constexpr std::array kOfSets = {
    PeaksOfSet{"amx", "tdpbssd", "fp32_fma"},
    PeaksOfSet{"avx512vnni", "vpdpbusd", "fp32_fma"},
    PeaksOfSet{"avxvnni", "vpdpbusd_ymm", "fp32_fma_ymm"},
    PeaksOfSet{"avx2", "vpmaddwd", "fp32_fma_ymm"},
};

PeaksOfSet RowOf(const Kernels& set) {
  const auto found = std::ranges::find(kOfSets, set.name, &PeaksOfSet::set);
  return found == kOfSets.end() ? PeaksOfSet() : *found;
}

// What float kernels call themselves, and the instruction that it means.
constexpr std::array kOfFloatKernels = {
    std::pair<std::string_view, std::string_view>{"AMX-FP16", "tdpfp16ps"},
    std::pair<std::string_view, std::string_view>{"AMX-BF16", "tdpbf16ps"},
    std::pair<std::string_view, std::string_view>{"FP16 tiles", "tdpfp16ps"},
    std::pair<std::string_view, std::string_view>{"BF16 tiles", "tdpbf16ps"},
    std::pair<std::string_view, std::string_view>{"vdpbf16ps", "vdpbf16ps"},
};

std::string_view PeakOfKernel(const Kernels& set, std::string_view kernel) {
  for (const auto& [name, peak] : kOfFloatKernels) {
    if (kernel.find(name) != std::string_view::npos) return peak;
  }
  return RowOf(set).floats;
}

// Floats in [-1, 1), so that no sum of a measurement leaves the finite range.
AlignedBuffer<std::byte> RandomOperands(Peak::Operands type) {
  AlignedBuffer<std::byte> bytes;
  std::byte* to = bytes.Reserve(kPeakOperandBytes);
  for (int64_t i = 0; i < kPeakOperandBytes / 4; ++i) {
    const auto at = static_cast<uint64_t>(i);
    uint32_t word = static_cast<uint32_t>(CounterHash(1, at));
    if (type == Peak::Operands::kFloat) {
      const float value = HashUniform(2, at);
      std::memcpy(&word, &value, sizeof(word));
    } else if (type == Peak::Operands::kBFloat16) {
      word = ToBFloat16(HashUniform(3, at)).bits;
      word = word << 16 | ToBFloat16(HashUniform(4, at)).bits;
    } else if (type == Peak::Operands::kHalf) {
      word = ToHalf(HashUniform(3, at)).bits;
      word = word << 16 | ToHalf(HashUniform(4, at)).bits;
    }
    std::memcpy(to + i * 4, &word, sizeof(word));
  }
  return bytes;
}

}  // namespace

std::span<const Peak> Peaks() { return kPeaks; }

PeakProbe::PeakProbe(std::string_view name) {
  const auto row = std::ranges::find_if(
      kPeaks, [name](const Peak& peak) { return peak.name == name && peak.usable(); });
  peak_ = row == kPeaks.end() ? nullptr : &*row;
  if (usable()) operands_ = RandomOperands(peak_->type);
}

void PeakProbe::Run() const { peak_->run(iterations(), operands_.data()); }

FollowedBody PeakProbe::After(Body body) const {
  FollowedBody followed{std::move(body)};
  if (usable()) followed.then = [this] { Run(); };
  return followed;
}

double PeakMacsPerSecond(std::string_view name) {
  constexpr int kRuns = 10;
  const PeakProbe probe(name);
  if (!probe.usable()) return 0.0;
  double best = 0.0;
  for (int i = 0; i < kRuns; ++i) {
    const double start = ThreadCpuSeconds();
    probe.Run();
    best = std::max(best, probe.macs() / (ThreadCpuSeconds() - start));
  }
  return best;
}

std::string_view PeakOfInt8(const Kernels& set) { return RowOf(set).int8; }

std::string_view PeakOfHalf(const Kernels& set) { return PeakOfKernel(set, set.floats->half.name); }

std::string_view PeakOfAttention(const Kernels& set, AttentionPrecision precision) {
  if (precision == AttentionPrecision::kInt8) return PeakOfInt8(set);
  return PeakOfKernel(set, set.floats->attention[static_cast<size_t>(precision)]->name);
}

}  // namespace w8a8
