// The INT8 steps for AVX-512-VNNI. Activation codes are stored as u8 = code + 128, row-major;
// weights in panels of 32 columns, four inputs of a column side by side. vpdpbusd then sums
// (code + 128) * weight on accumulators that begin at -128 * (sum of the column's codes); both wrap
// modulo 2^32, which is harmless.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/gemm_tiles.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/tiles_avx512vnni.h"
#include "runtime/cpu/vector_codes.h"
#include "runtime/cpu/vector_products.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

constexpr float kMaxFloat = 0x1.fffffep+127f;

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- quantize ----

inline __m256i LoadHalves(const Half* from, __mmask16 lanes) {
  return _mm256_maskz_loadu_epi16(lanes, from);
}

// The pattern without its sign orders finite FP16 values by magnitude.
float FiniteAmax(const Half* x, int64_t cols) {
  const __m256i infinity = _mm256_set1_epi16(0x7c00);
  __m256i amax = _mm256_setzero_si256();
  for (int64_t c = 0; c < cols; c += 16) {
    const __m256i halves = LoadHalves(x + c, Avx512::FirstLanes(cols - c));
    const __m256i magnitude = _mm256_and_si256(halves, _mm256_set1_epi16(0x7fff));
    const __m256i finite = _mm256_cmpgt_epi16(infinity, magnitude);
    amax = _mm256_max_epi16(amax, _mm256_and_si256(finite, magnitude));
  }
  return _mm512_reduce_max_ps(_mm512_cvtph_ps(amax));
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

// p = x * inv_scale of 16 elements; lanes past the row hold 0.
inline __m512 Products(const Half* x, __mmask16 lanes, float inv_scale) {
  return _mm512_mul_ps(_mm512_cvtph_ps(LoadHalves(x, lanes)), _mm512_set1_ps(inv_scale));
}

inline __m512i CodesOf(__m512 p) {
  const __mmask16 ordered = _mm512_cmp_ps_mask(p, p, _CMP_ORD_Q);
  const __m512 clamped =
      _mm512_min_ps(_mm512_max_ps(p, _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f));
  return _mm512_maskz_cvtps_epi32(ordered, clamped);
}

int32_t QuantizeRow(const Half* x, int64_t cols, float inv_scale, uint8_t* codes, int64_t stride) {
  __m512i sum = _mm512_setzero_si512();
  for (int64_t c = 0; c < stride; c += 16) {  // past the row p is 0 (or NaN): code 0
    const __m512i code = CodesOf(Products(x + c, Avx512::FirstLanes(cols - c), inv_scale));
    sum = _mm512_add_epi32(sum, code);
    const __m128i shifted = _mm_xor_si128(_mm512_cvtepi32_epi8(code), _mm_set1_epi8(-128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + c), shifted);
  }
  return _mm512_reduce_add_epi32(sum);
}

void CountRow(const Half* x, int64_t cols, float inv_scale, QuantizeCounts* counts) {
  for (int64_t c = 0; c < cols; c += 16) {
    const __mmask16 lanes = Avx512::FirstLanes(cols - c);
    const __m512 value = _mm512_abs_ps(_mm512_cvtph_ps(LoadHalves(x + c, lanes)));
    const __m512 product = _mm512_abs_ps(Products(x + c, lanes, inv_scale));
    const __m512 infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
    const int nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const int inf = _mm512_cmp_ps_mask(value, infinity, _CMP_EQ_OQ);
    const int outside = _mm512_cmp_ps_mask(product, _mm512_set1_ps(127.5f), _CMP_GE_OQ);
    counts->nan += static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(nan)));
    counts->inf += static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(inf)));
    counts->saturated +=
        static_cast<uint64_t>(__builtin_popcount(static_cast<unsigned>(outside & ~inf & ~nan)));
  }
}

// ---- epilogue ----

// Nearest, ties to even; NaN keeps its upper bits and is quieted.
inline void StoreBFloat16(BFloat16* to, __mmask16 lanes, __m512 values) {
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quieted = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  const __m512i upper = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quieted), 16);
  _mm256_mask_storeu_epi16(to, lanes, _mm512_cvtepi32_epi16(upper));
}

// The tiles and vectors of the set, for what is written once for every width of vector.
struct Set : Avx512 {
  using Code = uint8_t;
  static constexpr int32_t kCodeShift = 128;
  static constexpr GemmTuning kTuning = w8a8::kTuning;
  static constexpr int64_t kStep = w8a8::kStep;

  static void StoreCodes(Code* to, Ints codes) {
    const __m128i shifted =
        _mm_xor_si128(_mm512_cvtepi32_epi8((__m512i)codes), _mm_set1_epi8(-128));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), shifted);
  }
  static void Multiply(int64_t rows, const Code* x, int64_t x_stride, const int8_t* panel,
                       int64_t steps, const int32_t* start, int32_t* sums) {
    kTiles[rows - 1](x, x_stride, panel, steps, start, sums);
  }
  static void MultiplyFloats(int64_t rows, const float* x, int64_t x_stride, const int8_t* panel,
                             int64_t steps, const int32_t* zero_point, float* sums) {
    kFloatTiles[rows - 1](x, x_stride, panel, steps, zero_point, sums);
  }
  static void StoreRow(const StoreArgs& to, int64_t at, int64_t count, __m512 y) {
    const __mmask16 lanes = Avx512::FirstLanes(count);
    switch (to.type) {
      case OutputType::kHalf:
        return Store(static_cast<Half*>(to.y) + at, lanes, y);
      case OutputType::kBFloat16:
        return StoreBFloat16(static_cast<BFloat16*>(to.y) + at, lanes, y);
      case OutputType::kFloat:
        return Store(static_cast<float*>(to.y) + at, lanes, y);
    }
  }
};
using SetProducts = VectorProducts<Set>;

// The 16 columns from `col` of row `row`, whose sums stand at `sums`.
inline void StoreColumns(const GemmS8Args& args, const int32_t* sums, int64_t row, int64_t col) {
  const __mmask16 lanes = Avx512::FirstLanes(args.n - col);
  const __m512i acc = _mm512_load_si512(sums);
  if (args.to.acc != nullptr) {
    _mm512_mask_storeu_epi32(args.to.acc + row * args.to.acc_stride + col, lanes, acc);
  }
  const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(args.scale_w + col));
  const __m512 y =
      _mm512_fmadd_ps(scaled, _mm512_set1_ps(args.scale_x[row]), _mm512_loadu_ps(args.bias + col));
  Set::StoreRow(args.to, row * args.to.y_stride + col, args.n - col, y);
}

// Rows [row, row + count) of one panel; count <= tile_rows.
void RunTile(const GemmS8Args& args, int64_t row, int64_t count, int64_t panel) {
  const int64_t k4 = DivideUp(args.k, 4);
  const auto* x = static_cast<const uint8_t*>(args.x_codes) + row * args.x_stride;
  const auto* w = static_cast<const int8_t*>(args.packed_weight) + panel * kPanel * 4 * k4;
  alignas(64) int32_t start[kPanel];
  SetProducts::Start(args.code_sum_w + panel * kPanel, start);
  alignas(64) int32_t sums[kTuning.tile_rows * kPanel];
  kTiles[count - 1](x, args.x_stride, w, k4, start, sums);
  for (int64_t r = 0; r < count; ++r) {
    StoreColumns(args, sums + r * kPanel, row + r, panel * kPanel);
    StoreColumns(args, sums + r * kPanel + 16, row + r, panel * kPanel + 16);
  }
  SetProducts::ThroughCodes(args.to, {row, count, panel * kPanel}, args.n);
}

void GemmS8(const GemmS8Args& args) {
  ForEachTile(
      args.m, DivideUp(args.n, kPanel), args.x_stride, kTuning,
      [&args](int64_t row, int64_t rows, int64_t panel) { RunTile(args, row, rows, panel); });
}

// ---- codes and weights ----

void QuantizeRows(const QuantizeRowsArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const Half* x = args.x + r * args.x_stride;
    const RowScale scale = ScaleOfRow(args, x);
    args.scale[r] = scale.scale;
    const int32_t sum =
        QuantizeRow(x, args.cols, scale.inv_scale,
                    static_cast<uint8_t*>(args.codes) + r * args.codes_stride, args.codes_stride);
    if (args.code_sum != nullptr) args.code_sum[r] = sum;
    if (args.counts != nullptr) CountRow(x, args.cols, scale.inv_scale, args.counts);
  }
}

void UnpackCodes(const UnpackCodesArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const uint8_t* codes = static_cast<const uint8_t*>(args.codes) + r * args.codes_stride;
    int8_t* unpacked = args.unpacked + r * args.unpacked_stride;
    for (int64_t c = 0; c < args.cols; ++c) unpacked[c] = static_cast<int8_t>(codes[c] ^ 0x80);
  }
}

int64_t PackedBytes(int64_t n, int64_t k) {
  return DivideUp(n, kPanel) * kPanel * 4 * DivideUp(k, 4);
}

// [panel][k / 4][32 columns][4 inputs]; columns past n and inputs past k stay zero.
void PackWeights(const PackWeightsArgs& args) {
  const int64_t k4 = DivideUp(args.k, 4);
  for (int64_t n = 0; n < args.n; ++n) {
    int8_t* column =
        static_cast<int8_t*>(args.packed) + n / kPanel * kPanel * 4 * k4 + n % kPanel * 4;
    for (int64_t k = 0; k < args.k; ++k) {
      column[k / 4 * 4 * kPanel + k % 4] = args.codes[n * args.k + k];
    }
  }
}

}  // namespace

const Int8Kernels kAvx512VnniInt8Kernels = {
    .code_bytes = 1,
    .k_step = kStep,
    .k_multiple = kTuning.k_multiple,
    .n_multiple = kPanel,
    .uses_column_sums = true,
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
