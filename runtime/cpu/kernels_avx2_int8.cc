// The INT8 steps for AVX2. Activation codes are stored as int16, row-major; weights as int8 in
// panels of 16 columns, two inputs of a column side by side, widened when loaded. vpmaddwd then
// adds two products of a column in int32: exact, where vpmaddubsw would saturate at 16 bits.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/tiles_avx2.h"
#include "runtime/cpu/vector_codes.h"
#include "runtime/cpu/vector_products.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

constexpr float kMaxFloat = 0x1.fffffep+127f;

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- quantize ----

// The first `count` of 16 elements, zeros behind them.
inline __m256i LoadHalves(const Half* from, int64_t count) {
  if (count >= 16) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  Half some[16] = {};
  for (int64_t i = 0; i < count; ++i) some[i] = from[i];
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(some));
}

inline __m256 LowFloats(__m256i halves) { return _mm256_cvtph_ps(_mm256_castsi256_si128(halves)); }
inline __m256 HighFloats(__m256i halves) {
  return _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
}

// The pattern without its sign orders finite FP16 values by magnitude.
float FiniteAmax(const Half* x, int64_t cols) {
  const __m256i infinity = _mm256_set1_epi16(0x7c00);
  __m256i amax = _mm256_setzero_si256();
  for (int64_t c = 0; c < cols; c += 16) {
    const __m256i magnitude =
        _mm256_and_si256(LoadHalves(x + c, cols - c), _mm256_set1_epi16(0x7fff));
    const __m256i finite = _mm256_cmpgt_epi16(infinity, magnitude);
    amax = _mm256_max_epi16(amax, _mm256_and_si256(finite, magnitude));
  }
  alignas(32) float values[8];
  _mm256_store_ps(values, _mm256_max_ps(LowFloats(amax), HighFloats(amax)));
  float largest = values[0];
  for (const float value : values) largest = value > largest ? value : largest;
  return largest;
}

struct RowScale {
  float scale, inv_scale;
};

RowScale ScaleOfRow(const QuantizeRowsArgs& args, const Half* x) {
  if (args.static_scale != nullptr) return {*args.static_scale, 1.0f / *args.static_scale};
  const float amax = FiniteAmax(x, args.cols);
  const float a = amax < args.clip_range ? amax : args.clip_range;
  const float inv_scale = 127.0f / a;  // infinite where a is 0 or a tiny R
  if (inv_scale > kMaxFloat) return {0.0f, 0.0f};
  return {a / 127.0f, inv_scale};
}

inline __m256i CodesOf(__m256 p) {
  const __m256 ordered = _mm256_cmp_ps(p, p, _CMP_ORD_Q);
  const __m256 clamped =
      _mm256_min_ps(_mm256_max_ps(p, _mm256_set1_ps(-127.0f)), _mm256_set1_ps(127.0f));
  return _mm256_cvtps_epi32(_mm256_and_ps(ordered, clamped));
}

inline int32_t SumOfLanes(__m256i v) {
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), v);
  int32_t sum = 0;
  for (const int32_t lane : lanes) sum += lane;
  return sum;
}

int32_t QuantizeRow(const Half* x, int64_t cols, float inv_scale, int16_t* codes, int64_t stride) {
  const __m256 inverse = _mm256_set1_ps(inv_scale);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t c = 0; c < stride; c += 16) {  // past the row p is 0 (or NaN): code 0
    const __m256i halves = LoadHalves(x + c, cols - c);
    const __m256i low = CodesOf(_mm256_mul_ps(LowFloats(halves), inverse));
    const __m256i high = CodesOf(_mm256_mul_ps(HighFloats(halves), inverse));
    sum = _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + c), packed);
  }
  return SumOfLanes(sum);
}

inline uint64_t CountSet(__m256 mask) {
  return static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(mask))));
}

// Eight elements; zeros count for nothing.
inline void CountEight(__m256 value, __m256 inverse, QuantizeCounts* counts) {
  const __m256 magnitude_bits = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256 infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000));
  const __m256 magnitude = _mm256_and_ps(value, magnitude_bits);
  const __m256 product = _mm256_and_ps(_mm256_mul_ps(value, inverse), magnitude_bits);
  const __m256 finite = _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ);
  const __m256 outside = _mm256_cmp_ps(product, _mm256_set1_ps(127.5f), _CMP_GE_OQ);
  counts->nan += CountSet(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  counts->inf += CountSet(_mm256_cmp_ps(magnitude, infinity, _CMP_EQ_OQ));
  counts->saturated += CountSet(_mm256_and_ps(outside, finite));
}

void CountRow(const Half* x, int64_t cols, float inv_scale, QuantizeCounts* counts) {
  const __m256 inverse = _mm256_set1_ps(inv_scale);
  for (int64_t c = 0; c < cols; c += 16) {
    const __m256i halves = LoadHalves(x + c, cols - c);
    CountEight(LowFloats(halves), inverse, counts);
    CountEight(HighFloats(halves), inverse, counts);
  }
}

void QuantizeRows(const QuantizeRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    const RowScale scale = ScaleOfRow(args, x);
    args.scale[r] = scale.scale;
    const int32_t sum =
        QuantizeRow(x, args.cols, scale.inv_scale,
                    static_cast<int16_t*>(args.codes) + r * args.codes_stride, args.codes_stride);
    if (args.code_sum != nullptr) args.code_sum[r] = sum;
    if (args.counts != nullptr) CountRow(x, args.cols, scale.inv_scale, args.counts);
  }
}

void UnpackCodes(const UnpackCodesArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const int16_t* codes = static_cast<const int16_t*>(args.codes) + r * args.codes_stride;
    int8_t* unpacked = args.unpacked + r * args.unpacked_stride;
    for (int64_t c = 0; c < args.cols; ++c) unpacked[c] = static_cast<int8_t>(codes[c]);
  }
}

// ---- pack and multiply ----

int64_t PackedBytes(int64_t n, int64_t k) {
  return DivideUp(n, kPanel) * kPanel * 2 * DivideUp(k, 2);
}

// [panel][k / 2][16 columns][2 inputs]; columns past n and inputs past k stay zero.
void PackWeights(const PackWeightsArgs& args) {
  const int64_t k2 = DivideUp(args.k, 2);
  for (int64_t n = 0; n < args.n; ++n) {
    int8_t* column =
        static_cast<int8_t*>(args.packed) + n / kPanel * kPanel * 2 * k2 + n % kPanel * 2;
    for (int64_t k = 0; k < args.k; ++k) {
      column[k / 2 * 2 * kPanel + k % 2] = args.codes[n * args.k + k];
    }
  }
}

// ---- epilogue ----

// The first `count` of eight 16-bit elements.
inline void StoreWords(void* to, int64_t count, __m128i words) {
  if (count >= 8) return _mm_storeu_si128(static_cast<__m128i*>(to), words);
  if (count > 0) __builtin_memcpy(to, &words, static_cast<size_t>(2 * count));
}

// Nearest, ties to even; NaN keeps its upper bits and is quieted.
inline __m128i BFloat16Of(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quieted = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
  const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quieted, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}

// The tiles and vectors of the set, for what is written once for every width of vector.
struct Set : Avx2 {
  using Code = int16_t;
  static constexpr int32_t kCodeShift = 0;
  static constexpr GemmTuning kTuning = w8a8::kTuning;
  static constexpr int64_t kStep = w8a8::kStep;
  static constexpr int64_t kPanelInputs = kStep;

  static void StoreCodes(Code* to, Ints codes) {
    const __m128i low = _mm256_castsi256_si128((__m256i)codes);
    const __m128i high = _mm256_extracti128_si256((__m256i)codes, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(low, high));
  }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* /*start*/, int32_t* sums) {
    kTiles[rows - 1](x, x_stride, panel, steps, sums);
  }
  static void MultiplyFloats(int64_t rows, const float* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* zero_point, float* sums) {
    kFloatTiles[rows - 1](x, x_stride, panel, steps, zero_point, sums);
  }
  static void StoreRow(const StoreArgs& to, int64_t at, int64_t count, __m256 y) {
    switch (to.type) {
      case OutputType::kHalf:
        return StoreWords(static_cast<Half*>(to.y) + at, count,
                          _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
      case OutputType::kBFloat16:
        return StoreWords(static_cast<BFloat16*>(to.y) + at, count, BFloat16Of(y));
      case OutputType::kFloat:
        return Store(static_cast<float*>(to.y) + at, count, y);
    }
  }
};
using SetProducts = VectorProducts<Set>;

// The 8 columns from `col` of row `row`, whose sums stand at `sums`.
inline void StoreColumns(const GemmS8Args& args, const int32_t* sums, int64_t row, int64_t col) {
  const int64_t count = args.n - col;
  if (count <= 0) return;
  const __m256i acc = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums));
  if (args.to.acc != nullptr) {
    Set::Store(args.to.acc + row * args.to.acc_stride + col, count, (Set::Ints)acc);
  }
  const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(args.scale_w + col));
  const __m256 y =
      _mm256_fmadd_ps(scaled, _mm256_set1_ps(args.scale_x[row]), _mm256_loadu_ps(args.bias + col));
  Set::StoreRow(args.to, row * args.to.y_stride + col, count, y);
}

// Rows [row, row + count) of one panel; count <= tile_rows.
void RunTile(const GemmS8Args& args, int64_t row, int64_t count, int64_t panel) {
  const int64_t k2 = DivideUp(args.k, 2);
  const auto* x = static_cast<const int16_t*>(args.x_codes) + row * args.x_stride;
  const auto* w = static_cast<const int8_t*>(args.packed_weight) + panel * kPanel * 2 * k2;
  alignas(64) int32_t sums[kTuning.tile_rows * kPanel];
  kTiles[count - 1](x, args.x_stride, w, k2, sums);
  for (int64_t r = 0; r < count; ++r) {
    StoreColumns(args, sums + r * kPanel, row + r, panel * kPanel);
    StoreColumns(args, sums + r * kPanel + 8, row + r, panel * kPanel + 8);
  }
  SetProducts::ThroughCodes(args.to, {row, count, panel * kPanel}, args.n);
}

void GemmS8(const GemmS8Args& args) {
  ForEachTile(
      args.m, DivideUp(args.n, kPanel), args.x_stride * 2, kTuning,
      [&args](int64_t row, int64_t rows, int64_t panel) { RunTile(args, row, rows, panel); });
}

}  // namespace

const Int8Kernels kAvx2Int8Kernels = {
    .code_bytes = 2,
    .k_step = kStep,
    .k_multiple = kTuning.k_multiple,
    .n_multiple = kPanel,
    .uses_column_sums = false,
    .begin_worker = nullptr,
    .end_worker = nullptr,
    .quantize_rows = QuantizeRows,
    .transform_row = VectorCodes<Set>::TransformRow,
    .finite_range = VectorCodes<Set>::FiniteRange,
    .encode = VectorCodes<Set>::Encode,
    .unpack_codes = UnpackCodes,
    .packed_bytes = PackedBytes,
    .pack_weights = PackWeights,
    .gemm_s8 = GemmS8,
    .gemm_groups = SetProducts::GemmGroups,
    .gemm_w8 = SetProducts::GemmW8,
    .quantize_outputs = VectorCodes<Set>::QuantizeOutputs,
};

}  // namespace w8a8
