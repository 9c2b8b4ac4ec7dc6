// The one layout of codes and packed weights of the AVX-512 sets, so that one packing serves them
// all: panels of 32 columns [k / 4][32 columns][4 inputs]. Included by files that are compiled for
// AVX-512.
#pragma once

#include <cstdint>

namespace w8a8 {
namespace {

constexpr int64_t kPanel = 32;        // columns of a panel
constexpr int64_t kStep = 4;          // inputs of a column side by side
constexpr int64_t kPanelInputs = 64;  // a panel's inputs are padded with zeros to a multiple of it
constexpr int64_t kCodesMultiple = 64;  // codes in a cache line: rows of codes begin on one

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t PanelBytes(int64_t k) { return kPanel * kPanelInputs * DivideUp(k, kPanelInputs); }

}  // namespace
}  // namespace w8a8
