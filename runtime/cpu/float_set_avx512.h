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

template <class Element>
struct PanelOf;
template <>
struct PanelOf<Half> : HalfPanel {};
template <>
struct PanelOf<float> : FloatPanel {};

struct Set : Avx512 {
  static constexpr int64_t kTileRows = w8a8::kTileRows;
  static constexpr int64_t kPanel = w8a8::kPanel;
  // CPUs with AVX-512 have 1 MiB and more; a panel of FP16 values of K = 4,304 takes 275 KB of it.
  static constexpr int64_t kLevelTwoBytes = 512 * 1024;
  template <class Element>
  using Panel = PanelOf<Element>;
  template <class P, int kRegisters>
  using Tiles = TileTable<P, kRegisters>;
};

}  // namespace
}  // namespace w8a8
