// Attention on AMX tiles: 32 queries at a time against all keys of a head. Queries, keys and values
// are FP16 values as they are, or rounded to BF16; the exponentials, which binary32 made, are
// rounded to them, and divided by the sum of what they were before. Where tiles do not multiply
// FP16, an FP16 value is two BF16 values, and so is an exponential.
//
// Between the products of one tile of queries stand the exponentials of the tile before, a few
// after each product, and the products with the values are those of the tile before that: the core
// makes them side by side. A product takes 20 cycles, and while tiles are at work one port of two
// takes FMAs of 512 bits: 64 beside four products are free, 128 take the time of eight (Emerald
// Rapids). Exponentials in one piece behind each step's products took 7 % longer, and online maxima
// over 128 to 384 keys at a time, whose scores stay in the first-level cache, 14 to 28 %.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/attention_amx.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/formats_amx.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

template <int kRowTiles, int kColTiles>
[[gnu::always_inline]] inline void ZeroTiles() {
  _tile_zero(0);
  if constexpr (kColTiles == 2) _tile_zero(1);
  if constexpr (kRowTiles == 2) _tile_zero(2);
  if constexpr (kRowTiles == 2 && kColTiles == 2) _tile_zero(3);
}

template <int kRowTiles, int kColTiles>
[[gnu::always_inline]] inline void StoreTiles(float* sums, int64_t stride) {
  float* lower = sums + kTileRows * stride;
  _tile_stored(0, sums, 4 * stride);
  if constexpr (kColTiles == 2) _tile_stored(1, sums + kTileUnits, 4 * stride);
  if constexpr (kRowTiles == 2) _tile_stored(2, lower, 4 * stride);
  if constexpr (kRowTiles == 2 && kColTiles == 2) _tile_stored(3, lower + kTileUnits, 4 * stride);
}

// What a step does not find in its registers: a weight in two parts meets the same values twice.
enum class StepLoads { kBoth, kRows, kColumns };

// One step of rows, `stride` bytes apart, and of columns; some exponentials after each product.
template <class Op, int kRowTiles, int kColTiles, StepLoads kLoad, class Weigher>
[[gnu::always_inline]] inline void MultiplyStep(const uint8_t* rows, int64_t stride,
                                                const uint8_t* columns, Weigher* weigher) {
  if constexpr (kLoad != StepLoads::kColumns) _tile_loadd(4, rows, stride);
  if constexpr (kLoad != StepLoads::kRows) _tile_stream_loadd(6, columns, kTileBytes);
  Op::UpperLeft();
  weigher->Weigh();
  if constexpr (kColTiles == 2) {
    if constexpr (kLoad != StepLoads::kRows) {
      _tile_stream_loadd(7, columns + kWholeTileBytes, kTileBytes);
    }
    Op::UpperRight();
    weigher->Weigh();
  }
  if constexpr (kRowTiles == 2) {
    if constexpr (kLoad != StepLoads::kColumns) _tile_loadd(5, rows + kTileRows * stride, stride);
    Op::LowerLeft();
    weigher->Weigh();
    if constexpr (kColTiles == 2) {
      Op::LowerRight();
      weigher->Weigh();
    }
  }
}

template <class Format>
struct TileAttention {
  using Op = typename Format::Op;
  using Head = AttentionHead<Format>;
  using Weigher = KeyWeigher<Format>;

  template <int kRowTiles>
  static void ScoreKeys(const Head& head, float* scores, Weigher* weigher) {
    Weigher weighs = *weigher;
    const uint8_t* keys = head.keys;
    asm volatile("" ::: "memory");  // g++ 12 does not know that tile loads read memory
    for (int64_t panel = 0; panel < head.panels; ++panel) {
      ZeroTiles<kRowTiles, 2>();
      for (int64_t step = 0; step < head.key_tiles; ++step, keys += 2 * kWholeTileBytes) {
        MultiplyStep<Op, kRowTiles, 2, StepLoads::kBoth>(head.queries + step * kTileBytes,
                                                         head.query_stride, keys, &weighs);
      }
      StoreTiles<kRowTiles, 2>(scores + panel * kPanel, head.scores_stride);
    }
    *weigher = weighs;
  }

  template <int kRowTiles, int kColTiles>
  static void MixColumns(const Head& head, const uint8_t* weights, const uint8_t* values,
                         float* sums, Weigher* weigher) {
    Weigher weighs = *weigher;
    const int64_t stride = head.weights_stride;
    asm volatile("" ::: "memory");
    ZeroTiles<kRowTiles, kColTiles>();
    for (int64_t panel = 0; panel < head.panels; ++panel, weights += kTileBytes) {
      if constexpr (Format::kWeightParts == 2) {
        const uint8_t* rests = weights + head.weights_part;
        MultiplyStep<Op, kRowTiles, kColTiles, StepLoads::kBoth>(rests, stride, values, &weighs);
        MultiplyStep<Op, kRowTiles, kColTiles, StepLoads::kRows>(weights, stride, values, &weighs);
        values += kColTiles * kWholeTileBytes;
        MultiplyStep<Op, kRowTiles, kColTiles, StepLoads::kColumns>(weights, stride, values,
                                                                    &weighs);
      } else {
        MultiplyStep<Op, kRowTiles, kColTiles, StepLoads::kBoth>(weights, stride, values, &weighs);
      }
      values += kColTiles * kWholeTileBytes;
    }
    StoreTiles<kRowTiles, kColTiles>(sums, kPanel);
    *weigher = weighs;
  }

  static void StoreMixed(const AttentionHeadArgs& args, const QueryTile& tile, int64_t first,
                         const float* sums) {
    const __mmask16 left = Avx512::FirstLanes(args.head_dim - first);
    const __mmask16 right = Avx512::FirstLanes(args.head_dim - first - 16);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const __m512 inv_sum = _mm512_set1_ps(tile.inv_sums[r]);
      Half* out = args.out + (tile.query + r) * args.out_stride + first;
      Avx512::Store(out, left, _mm512_mul_ps(_mm512_load_ps(sums + r * kPanel), inv_sum));
      if (right == 0) continue;
      Avx512::Store(out + 16, right,
                    _mm512_mul_ps(_mm512_load_ps(sums + r * kPanel + 16), inv_sum));
    }
  }

  template <int kRowTiles>
  static void MixValues(const AttentionHeadArgs& args, const Head& head, const QueryTile& tile,
                        Weigher* weigher) {
    alignas(64) float sums[kBlockRows * kPanel];
    const uint8_t* values = head.values;
    for (int64_t first = 0; first < args.head_dim; first += kPanel) {
      if (args.head_dim - first > kTileUnits) {
        MixColumns<kRowTiles, 2>(head, tile.weights, values, sums, weigher);
      } else {
        MixColumns<kRowTiles, 1>(head, tile.weights, values, sums, weigher);
      }
      values += 2 * Format::kWeightParts * head.panels * kWholeTileBytes;
      StoreMixed(args, tile, first, sums);
    }
  }

  static int64_t Products(const AttentionHeadArgs& args, const Head& head, const QueryTile& scored,
                          const QueryTile& mixed) {
    const int64_t of_mixed = Format::kWeightParts == 2 ? 3 : 1;
    return head.panels * (DivideUp(scored.rows, kTileRows) * 2 * head.key_tiles +
                          DivideUp(mixed.rows, kTileRows) * DivideUp(args.head_dim, 16) * of_mixed);
  }

  static void RunHead(const AttentionHeadArgs& args) {
    Head head(args.keys, args.head_dim, static_cast<uint8_t*>(args.scratch));
    head.Pack(args);
    ConfigureTiles(kTileRows);
    QueryTile tiles[3] = {};  // being scored, weighed and mixed
    for (int64_t query = 0; query < args.queries + 2 * kBlockRows; query += kBlockRows) {
      const int64_t turn = query / kBlockRows;
      QueryTile& scored = tiles[turn % 3];
      QueryTile& weighed = tiles[(turn + 2) % 3];
      QueryTile& mixed = tiles[(turn + 1) % 3];
      scored = head.TileAt(query, args.queries);
      Weigher weigher(args, head, &weighed, Products(args, head, scored, mixed));
      if (scored.rows > 0) {
        head.LoadQueries(args, scored);
        if (scored.rows > kTileRows) {
          ScoreKeys<2>(head, scored.scores, &weigher);
        } else {
          ScoreKeys<1>(head, scored.scores, &weigher);
        }
        head.HideKeys(scored);
      }
      if (mixed.rows > kTileRows) {
        MixValues<2>(args, head, mixed, &weigher);
      } else if (mixed.rows > 0) {
        MixValues<1>(args, head, mixed, &weigher);
      }
      weigher.Finish();
    }
    _tile_release();
  }

  static int64_t ScratchBytes(int64_t keys, int64_t head_dim) {
    return Head(keys, head_dim, nullptr).scratch_bytes;
  }

  static constexpr AttentionKernel Kernel(const char* name) {
    return {.name = name, .scratch_bytes = ScratchBytes, .run_head = RunHead};
  }
};

}  // namespace

const AttentionKernel kAmxFp16Attention = TileAttention<Fp16>::Kernel("FP16 tiles, AMX");
const AttentionKernel kAmxBf16Attention = TileAttention<Bf16>::Kernel("BF16 tiles, AMX");
const AttentionKernel kAmxSplitAttention =
    TileAttention<SplitFp16>::Kernel("FP16 in two parts on BF16 tiles, AMX");

}  // namespace w8a8
