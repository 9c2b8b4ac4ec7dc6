// Attention on AMX tiles: 32 queries at a time against all keys of a head. Queries, keys and values
// are pairs of FP16 values as they are, or of BF16 values; the exponentials, which binary32 made,
// are rounded to them, and divided by the sum of what they were before. Where tiles do not multiply
// FP16, an FP16 value is two BF16 values, and so is an exponential.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/products_amx.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vector_attention.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

constexpr int64_t kTilePairs = kTileBytes / 4;  // of a row in a tile
constexpr int64_t kTileCols = 16;

// Sums of 16 or 32 rows times 16 or 32 columns of a panel, whole tiles of steps. Rows that the
// caller does not have are multiplied, too: they are of the scratch, and nobody reads their sums.
template <class Panel, int kRowTiles, int kColTiles>
void MultiplyPanel(const uint32_t* x, int64_t x_stride, const uint32_t* panel, int64_t steps,
                   float* sums, int64_t sums_stride) {
  using Op = typename Panel::Product;
  constexpr int64_t kPairStride = kColTiles * kTileCols;
  const int64_t x_bytes = x_stride * 4, sums_bytes = sums_stride * 4;
  asm volatile("" ::: "memory");  // g++ 12 does not know that tile loads read memory
  _tile_zero(0);
  if constexpr (kColTiles == 2) _tile_zero(1);
  if constexpr (kRowTiles == 2) _tile_zero(2);
  if constexpr (kRowTiles == 2 && kColTiles == 2) _tile_zero(3);
  for (int64_t step = 0; step < steps; step += kTilePairs) {
    _tile_loadd(4, x + step, x_bytes);
    if constexpr (kRowTiles == 2) _tile_loadd(5, x + kTileRows * x_stride + step, x_bytes);
    for (int64_t part = 0; part < Panel::kParts; ++part) {
      const uint32_t* columns = panel + (part * steps + step) * kPairStride;
      _tile_loadd(6, columns, kPairStride * 4);
      Op::UpperLeft();
      if constexpr (kColTiles == 2) {
        _tile_loadd(7, columns + kTileCols, kPairStride * 4);
        Op::UpperRight();
      }
      if constexpr (kRowTiles == 2) {
        Op::LowerLeft();
        if constexpr (kColTiles == 2) Op::LowerRight();
      }
    }
  }
  _tile_stored(0, sums, sums_bytes);
  if constexpr (kColTiles == 2) _tile_stored(1, sums + kTileCols, sums_bytes);
  if constexpr (kRowTiles == 2) {
    float* lower = sums + kTileRows * sums_stride;
    _tile_stored(2, lower, sums_bytes);
    if constexpr (kColTiles == 2) _tile_stored(3, lower + kTileCols, sums_bytes);
  }
}

template <class Op, int64_t kPartsOfAColumn>
struct TilePanel {
  using Element = uint32_t;
  using Product = Op;
  static constexpr int64_t kParts = kPartsOfAColumn;
};

// The V of vector_attention.h.
struct TileSet : Avx512 {
  static constexpr int64_t kTileRows = kBlockRows;
  static constexpr int64_t kPanel = w8a8::kPanel;

  template <class Panel, int kColTiles>
  struct Tiles {
    using Function = void (*)(const uint32_t*, int64_t, const uint32_t*, int64_t, float*, int64_t);
    struct ByRows {
      constexpr Function operator[](int64_t rows_less_one) const {
        return rows_less_one < w8a8::kTileRows ? MultiplyPanel<Panel, 1, kColTiles>
                                               : MultiplyPanel<Panel, 2, kColTiles>;
      }
    };
    static constexpr ByRows kByRows = {};
  };
};

struct Fp16 {
  using Op = MultiplyHalves;
  static __m256i Round(__m512 values) { return _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT); }
};

struct Bf16 {
  using Op = MultiplyBf16;
  static __m256i Round(__m512 values) {
    const auto bits = (__m512i)RoundedToBFloat16<Avx512>(values);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
  }
};

// The A of vector_attention.h: two values an operand, the first one low; operands for whole tiles.
template <class Format>
struct TilePairs {
  using Panel = TilePanel<typename Format::Op, 1>;
  using Unit = uint32_t;
  using Row = uint32_t;
  static constexpr int64_t kInputs = 2, kParts = 1;
  static constexpr int64_t kStepsMultiple = kTilePairs;

  static void StorePairs(uint32_t* to, __m512 first, __m512 second) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), Format::Round(first));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), Format::Round(second));
  }
  static void LoadQuery(const Half* q, int64_t count, uint32_t* to) {
    for (int64_t i = 0; i < count; i += 32) {
      StorePairs(to + i / 2, Avx512::Load(q + i, Avx512::FirstLanes(count - i)),
                 Avx512::Load(q + i + 16, Avx512::FirstLanes(count - i - 16)));
    }
  }
  static void LoadKey(const Half* k, int64_t count, uint32_t* to, int64_t /*part_stride*/) {
    LoadQuery(k, count, to);
  }
  static void LoadValues(const Half* const* rows, Avx512::Lanes lanes, int64_t /*part*/,
                         uint32_t* to) {
    const __m512i first = _mm512_cvtepu16_epi32(Format::Round(Avx512::Load(rows[0], lanes)));
    const __m512i second = _mm512_cvtepu16_epi32(Format::Round(Avx512::Load(rows[1], lanes)));
    _mm512_storeu_si512(to, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
  }
  static void ToWeights(float* scores, int64_t count) {
    auto* to = reinterpret_cast<uint32_t*>(scores);
    for (int64_t i = 0; i < count; i += 32) {
      StorePairs(to + i / 2, Avx512::Load(scores + i, Avx512::FirstLanes(count - i)),
                 Avx512::Load(scores + i + 16, Avx512::FirstLanes(count - i - 16)));
    }
  }
};

// The A of vector_attention.h: the two parts of a row's value in an operand, the rest low; those of
// a column twice each, first the rests.
struct TileParts {
  using Panel = TilePanel<MultiplyBf16, 2>;
  using Unit = uint32_t;
  using Row = uint32_t;
  static constexpr int64_t kInputs = 1, kParts = 2;
  static constexpr int64_t kStepsMultiple = kTilePairs;

  static __m512i Pair(__m512i low, __m512i high) {
    return _mm512_or_si512(_mm512_srli_epi32(low, 16), high);
  }
  static void LoadQuery(const Half* q, int64_t count, uint32_t* to) {
    for (int64_t i = 0; i < count; i += kTilePairs) {
      const Bf16Parts parts(Avx512::Load(q + i, Avx512::FirstLanes(count - i)));
      _mm512_storeu_si512(to + i, Pair(parts.rest, parts.first));
    }
  }
  static void LoadKey(const Half* k, int64_t count, uint32_t* to, int64_t part_stride) {
    for (int64_t i = 0; i < count; i += kTilePairs) {
      const Bf16Parts parts(Avx512::Load(k + i, Avx512::FirstLanes(count - i)));
      _mm512_storeu_si512(to + i, Pair(parts.rest, parts.rest));
      _mm512_storeu_si512(to + part_stride + i, Pair(parts.first, parts.first));
    }
  }
  static void LoadValues(const Half* const* rows, Avx512::Lanes lanes, int64_t part, uint32_t* to) {
    const Bf16Parts parts(Avx512::Load(rows[0], lanes));
    const __m512i bits = part == 0 ? parts.rest : parts.first;
    _mm512_storeu_si512(to, Pair(bits, bits));
  }
  // 8 bits and 8 more, the last one rounded: of the 24 that the exponentials have, 5 more than FP16
  // keeps. A rest of 0 would make NaN of an infinity among the values.
  static void ToWeights(float* scores, int64_t count) {
    const __m512 least = _mm512_set1_ps(0x1p-126f);
    for (int64_t i = 0; i < count; i += kTilePairs) {
      const __m512 weight = Avx512::Load(scores + i, Avx512::FirstLanes(count - i));
      const __m512i first = _mm512_and_si512(_mm512_castps_si512(weight),
                                             _mm512_set1_epi32(static_cast<int>(0xffff0000)));
      const __m512 rest = _mm512_max_ps(_mm512_sub_ps(weight, _mm512_castsi512_ps(first)), least);
      const __m512i rounded =
          _mm512_add_epi32(_mm512_castps_si512(rest), _mm512_set1_epi32(0x8000));
      _mm512_storeu_si512(reinterpret_cast<uint32_t*>(scores) + i, Pair(rounded, first));
    }
  }
};

template <class Operands>
struct TileAttention {
  using Attention = VectorAttention<TileSet, Operands>;

  static void RunHead(const AttentionHeadArgs& args) {
    ConfigureTiles(kTileRows);
    Attention::RunHead(args);
    _tile_release();
  }
  static constexpr AttentionKernel Kernel(const char* name) {
    return {.name = name, .scratch_bytes = Attention::ScratchBytes, .run_head = RunHead};
  }
};

}  // namespace

const AttentionKernel kAmxFp16Attention = TileAttention<TilePairs<Fp16>>::Kernel("FP16 tiles, AMX");
const AttentionKernel kAmxBf16Attention = TileAttention<TilePairs<Bf16>>::Kernel("BF16 tiles, AMX");
const AttentionKernel kAmxSplitAttention =
    TileAttention<TileParts>::Kernel("FP16 in two parts on BF16 tiles, AMX");

}  // namespace w8a8
