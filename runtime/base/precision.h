// How an arm computes: the word that arms, reports and the command line share.
#pragma once

#include <cstdint>

#include "runtime/base/enum_names.h"

namespace w8a8 {

// The floating-point reference, two simulations of INT8, and INT8.
enum class Precision : uint8_t { kFp16, kFake, kEmulated, kInt8 };

template <>
inline constexpr auto kNamesOf<Precision> = std::to_array<std::string_view>({"fp16", "fake",
                                                                             "emulated", "int8"});

// The arithmetic of attention in the quantized arms (numerics.md section 2); the reference's is
// FP32.
enum class AttentionPrecision : uint8_t { kFp32, kBf16, kInt8 };

template <>
inline constexpr auto kNamesOf<AttentionPrecision> =
    std::to_array<std::string_view>({"fp32", "bf16", "int8"});
inline constexpr int kAttentionPrecisions = kNamesOf<AttentionPrecision>.size();

}  // namespace w8a8
