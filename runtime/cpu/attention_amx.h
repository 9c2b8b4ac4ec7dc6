// One head of attention as operands of AMX tiles, and its exponentials. Included by files that are
// compiled for AMX. A Format is that of formats_amx.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/fetch_rows.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/formats_amx.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

constexpr int64_t kWholeTileBytes = kTileRows * kTileBytes;  // bytes

// Rows of 16 units to columns: each pass puts a row's units between those of the row eight further
// on.
inline void Transpose(const uint8_t* from, int64_t stride, uint8_t* to) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_or_si512(low, _mm512_set1_epi32(8));
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + i * stride);
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = _mm512_permutex2var_epi32(a[i], low, a[i + 8]);
      b[2 * i + 1] = _mm512_permutex2var_epi32(a[i], high, a[i + 8]);
    }
    for (int i = 0; i < 8; ++i) {
      a[2 * i] = _mm512_permutex2var_epi32(b[i], low, b[i + 8]);
      a[2 * i + 1] = _mm512_permutex2var_epi32(b[i], high, b[i + 8]);
    }
  }
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * kTileBytes, a[i]);
}

// Up to 32 queries.
struct QueryTile {
  int64_t query, rows;
  float* scores;     // [32, scores_stride]
  uint8_t* weights;  // [kWeightParts][32, weights_stride bytes]
  float inv_sums[kBlockRows];
};

template <class Format>
struct AttentionHead {
  int64_t panels;     // of 32 keys
  int64_t key_tiles;  // of a key
  // Odd numbers of cache lines: even ones send the rows of a column to few cache sets.
  int64_t query_stride, weights_stride;  // bytes
  int64_t weights_part;                  // bytes of a part of the weights
  int64_t scores_stride;                 // floats
  uint8_t* keys;                         // [panels][key_tiles][2 tiles]: units of 16 keys
  uint8_t* values;   // by two tiles of channels, or one at last: [panels][kWeightParts][tiles]
  uint8_t* queries;  // [32, query_stride]
  uint8_t* staged;   // as queries: keys on their way to a panel
  float* scores[2];  // of two tiles of queries
  uint8_t* weights[2];
  uint16_t* masks;  // [2 panels]: of sixteen keys each that somebody attends to
  int64_t scratch_bytes;

  AttentionHead(int64_t key_count, int64_t head_dim, uint8_t* scratch)
      : panels(DivideUp(key_count, kPanel)),
        key_tiles(DivideUp(Format::kRowParts * head_dim, kTileValues)),
        query_stride((key_tiles | 1) * kTileBytes),
        weights_stride((panels | 1) * kTileBytes),
        weights_part(kBlockRows * weights_stride),
        scores_stride((2 * panels | 1) * kTileUnits) {
    const uint8_t* begin = scratch;
    const auto take = [&scratch](int64_t bytes) {
      uint8_t* part = scratch;
      scratch += DivideUp(bytes, kTileBytes) * kTileBytes;
      return part;
    };
    keys = take(panels * key_tiles * 2 * kWholeTileBytes);
    values = take(DivideUp(head_dim, kPanel) * panels * Format::kWeightParts * 2 * kWholeTileBytes);
    queries = take(kBlockRows * query_stride);
    staged = take(kBlockRows * query_stride);
    for (float*& part : scores) {
      part = reinterpret_cast<float*>(take(kBlockRows * scores_stride * 4));
    }
    for (uint8_t*& part : weights) part = take(Format::kWeightParts * weights_part);
    masks = reinterpret_cast<uint16_t*>(take(2 * panels * 2));
    scratch_bytes = scratch - begin;
  }

  static bool Attended(const AttentionHeadArgs& args, int64_t key) {
    return key < args.keys && (args.key_mask == nullptr || args.key_mask[key] != 0);
  }

  void Pack(const AttentionHeadArgs& args) const {
    for (int64_t at = 0; at < 2 * panels; ++at) {
      uint32_t mask = 0;
      for (int64_t i = 0; i < 16; ++i) mask |= (Attended(args, at * 16 + i) ? 1u : 0u) << i;
      masks[at] = static_cast<uint16_t>(mask);
    }
    PackKeys(args);
    PackValues(args);
  }

  // Keys past the last one are whatever was staged before.
  void PackKeys(const AttentionHeadArgs& args) const {
    uint8_t* to = keys;
    for (int64_t first = 0; first < args.keys; first += kPanel) {
      for (int64_t key = first; key < args.keys && key < first + kPanel; ++key) {
        const int64_t ahead = key + kRowsAhead;
        if (ahead < args.keys) FetchRow(args.k + ahead * args.kv_stride, args.head_dim);
        Format::StoreKey(args.k + key * args.kv_stride, args.head_dim,
                         reinterpret_cast<uint16_t*>(staged + (key - first) * query_stride));
      }
      for (int64_t step = 0; step < key_tiles; ++step, to += 2 * kWholeTileBytes) {
        const uint8_t* from = staged + step * kTileBytes;
        Transpose(from, query_stride, to);
        Transpose(from + kTileRows * query_stride, query_stride, to + kWholeTileBytes);
      }
    }
  }

  // Rows that nobody attends to become zeros: their weight is 0, and 0 * NaN is not.
  void PackValues(const AttentionHeadArgs& args) const {
    for (int64_t at = 0; at < 16 * panels; ++at) {
      const int64_t key = at / 16 * kPanel + at % 16;
      for (const int64_t ahead : {key + kRowsAhead, key + 16 + kRowsAhead}) {
        if (ahead < args.keys) FetchRow(args.v + ahead * args.kv_stride, args.head_dim);
      }
      PackTwoValues(args, key, values + at % 16 * kTileBytes);
    }
  }

  // Of `key` and the one sixteen further on: a row of every tile of their panel.
  void PackTwoValues(const AttentionHeadArgs& args, int64_t key, uint8_t* group) const {
    static constexpr Half kZeros[16] = {};
    const Half* first = Attended(args, key) ? args.v + key * args.kv_stride : nullptr;
    const Half* second = Attended(args, key + 16) ? args.v + (key + 16) * args.kv_stride : nullptr;
    for (int64_t channel = 0; channel < args.head_dim; channel += kTileUnits) {
      const int64_t in_group = channel % kPanel;
      const int64_t tiles = args.head_dim - channel + in_group > kTileUnits ? 2 : 1;
      uint8_t* to = group + (key / kPanel * Format::kWeightParts * tiles + in_group / kTileUnits) *
                                kWholeTileBytes;
      const __mmask16 lanes = Avx512::FirstLanes(args.head_dim - channel);
      Format::StoreValues(Avx512::Load(first != nullptr ? first + channel : kZeros, lanes),
                          Avx512::Load(second != nullptr ? second + channel : kZeros, lanes), to,
                          tiles * kWholeTileBytes);
      if (in_group > 0) group += 2 * Format::kWeightParts * panels * kWholeTileBytes;
    }
  }

  // ---- a tile of queries ----

  // No rows past the last query.
  QueryTile TileAt(int64_t query, int64_t count) const {
    const int64_t left = count - query, turn = query / kBlockRows % 2;
    const int64_t rows = left < 0 ? 0 : left < kBlockRows ? left : kBlockRows;
    return {query, rows, scores[turn], weights[turn], {}};
  }

  void LoadQueries(const AttentionHeadArgs& args, const QueryTile& tile) const {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t ahead = tile.query + r + kBlockRows;
      if (ahead < args.queries) FetchRow(args.q + ahead * args.q_stride, args.head_dim);
      Format::StoreQuery(args.q + (tile.query + r) * args.q_stride, args.head_dim,
                         reinterpret_cast<uint16_t*>(queries + r * query_stride));
    }
  }

  // Scores of keys that nobody attends to, or that there are not, become -infinity.
  void HideKeys(const QueryTile& tile) const {
    const __m512 least = _mm512_set1_ps(-__builtin_inff());
    for (int64_t at = 0; at < 2 * panels; ++at) {
      const auto hidden = static_cast<__mmask16>(~masks[at]);
      for (int64_t r = 0; hidden != 0 && r < tile.rows; ++r) {
        Avx512::Store(tile.scores + r * scores_stride + at * kTileUnits, hidden, least);
      }
    }
  }
};

// ---- exponentials ----

// 2^x for x <= 0, 0 below -126: relative error 1.4e-7. Results that are not normal numbers
// would cost 80 ns a vector.
[[gnu::always_inline]] inline __m512 ExpOfTwo(__m512 x) {
  constexpr float kFit[] = {0x1.62e4bap-1f, 0x1.ebdb56p-3f, 0x1.c91ce6p-5f, 0x1.277856p-7f,
                            0x1.e974fap-10f};
  const __m512 fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 sum = _mm512_set1_ps(kFit[4]);
  for (int i = 3; i >= 0; --i) sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(kFit[i]));
  sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(1.0f));
  const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  return _mm512_maskz_scalef_ps(normal, sum, x);
}

// The exponentials of a tile's scores, 32 keys of a row at a time; beside them goes the maximum of
// the row after the next, which so comes into the first-level cache.
template <class Format>
struct KeyWeigher {
  const AttentionHeadArgs* args;
  QueryTile* tile;
  int64_t panels, scores_stride, weights_stride, weights_part;
  int64_t share = 0, due = 0;  // of a product: 64 for each 32 keys
  int64_t row = 0, panel = 0;
  const float* scores;
  const float* ahead;
  uint8_t* weights;
  __m512 factor;   // log2(e) / sqrt(head_dim)
  __m512 maximum;  // times it, of this row
  __m512 next;     // of the next one
  __m512 largest_left, largest_right, sum_left, sum_right;

  // `products`: during which the exponentials are to be made.
  KeyWeigher(const AttentionHeadArgs& head_args, const AttentionHead<Format>& head, QueryTile* to,
             int64_t products)
      : args(&head_args),
        tile(to),
        panels(head.panels),
        scores_stride(head.scores_stride),
        weights_stride(head.weights_stride),
        weights_part(head.weights_part) {
    if (tile->rows == 0) return;
    if (products > 0) share = DivideUp(64 * tile->rows * panels, products);
    factor = _mm512_set1_ps(
        0x1.715476p0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(static_cast<float>(args->head_dim)))));
    maximum = MaximumOf(0);
    next = MaximumOf(1);
    BeginRow();
  }

  // Past the last row: the last.
  const float* Row(int64_t r) const {
    return tile->scores + (r < tile->rows ? r : tile->rows - 1) * scores_stride;
  }
  [[gnu::always_inline]] void BeginRow() {
    panel = 0;
    scores = Row(row);
    ahead = Row(row + 2);
    weights = tile->weights + row * weights_stride;
    largest_left = largest_right = _mm512_set1_ps(-__builtin_inff());
    sum_left = sum_right = _mm512_setzero_ps();
  }
  // A NaN is left to the exponentials.
  [[gnu::always_inline]] void LookAt(const float* at) {
    largest_left = _mm512_max_ps(_mm512_load_ps(at), largest_left);
    largest_right = _mm512_max_ps(_mm512_load_ps(at + 16), largest_right);
  }
  [[gnu::always_inline]] __m512 Largest() const {
    const __m512 largest = _mm512_max_ps(largest_left, largest_right);
    return _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(largest)), factor);
  }
  __m512 MaximumOf(int64_t r) {
    largest_left = largest_right = _mm512_set1_ps(-__builtin_inff());
    for (int64_t p = 0; p < panels; ++p) LookAt(Row(r) + p * kPanel);
    return Largest();
  }

  [[gnu::always_inline]] __m512 ExponentialAt(const float* at) const {
    return ExpOfTwo(_mm512_fmsub_ps(_mm512_load_ps(at), factor, maximum));
  }

  [[gnu::always_inline]] void WeighKeys() {
    LookAt(ahead + panel * kPanel);
    const __m512 left = ExponentialAt(scores + panel * kPanel);
    const __m512 right = ExponentialAt(scores + panel * kPanel + 16);
    sum_left = _mm512_add_ps(sum_left, left);
    sum_right = _mm512_add_ps(sum_right, right);
    Format::StoreWeights(left, right, weights + panel * kTileBytes, weights_part);
    if (++panel == panels) EndRow();
  }

  [[gnu::always_inline]] void EndRow() {
    tile->inv_sums[row] = 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(sum_left, sum_right));
    if (args->probabilities != nullptr) KeepProbabilities(tile->inv_sums[row], maximum);
    maximum = next;
    next = Largest();
    ++row;
    BeginRow();
  }

  void KeepProbabilities(float inv_sum, __m512 largest) const {
    float* to = args->probabilities + (tile->query + row) * args->probabilities_stride;
    for (int64_t key = 0; key < args->keys; key += 16) {
      const __m512 x = _mm512_fmsub_ps(_mm512_load_ps(scores + key), factor, largest);
      Avx512::Store(to + key, Avx512::FirstLanes(args->keys - key),
                    _mm512_mul_ps(ExpOfTwo(x), _mm512_set1_ps(inv_sum)));
    }
  }

  // After each of the products: their share of the keys that are left.
  [[gnu::always_inline]] void Weigh() {
    for (due += share; due >= 64 && row < tile->rows; due -= 64) WeighKeys();
  }
  void Finish() {
    while (row < tile->rows) WeighKeys();
  }
};

}  // namespace
}  // namespace w8a8
