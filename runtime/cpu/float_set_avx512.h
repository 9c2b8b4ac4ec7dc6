// The tiles and vectors of float products with AVX-512. Included by the files that make the tables.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/scalar_attention.h"
#include "runtime/cpu/tiles_avx512_floats.h"
#include "runtime/cpu/vector_attention.h"
#include "runtime/cpu/vector_floats.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

struct Set : Avx512 {
  static constexpr int64_t kTileRows = w8a8::kTileRows;
  static constexpr int64_t kPanel = w8a8::kPanel;
  static constexpr int64_t kRowsAtOnce = 96;
  static constexpr auto kFromZero = StartAt::kZero, kFromSums = StartAt::kSums;
  using Panel = FloatPanel;
  template <class P, int kRegisters, StartAt kStart = StartAt::kZero>
  using Tiles = TileTable<P, kRegisters, kStart>;
};

}  // namespace
}  // namespace w8a8
