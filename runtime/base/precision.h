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

}  // namespace w8a8
