// The INT8 steps for AMX: the plain product on tiles, everything else as the AVX-512-VNNI set has
// it, with which it shares codes and packed weights. tdpbusd sums (code + 128) * weight, modulo
// 2^32; 128 * (sum of the column's codes) comes off when sums become results.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/blocks_amx.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/products_avx512vnni.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vector_codes.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

// Sixteen columns of the epilogue.
struct Columns {
  __m512i correction;
  __m512 scale, bias;
  __mmask16 lanes;

  void Load(const GemmS8Args& args, int64_t col) {
    correction = _mm512_slli_epi32(_mm512_loadu_si512(args.code_sum_w + col), 7);
    scale = _mm512_loadu_ps(args.scale_w + col);
    bias = _mm512_loadu_ps(args.bias + col);
    lanes = Avx512::FirstLanes(args.n - col);
  }
};

template <OutputType kType>
struct ElementOf {
  using Type = float;
};
template <>
struct ElementOf<OutputType::kHalf> {
  using Type = Half;
};
template <>
struct ElementOf<OutputType::kBFloat16> {
  using Type = BFloat16;
};

// Whole sums that wait to become results, row by row between the tiles of the next block. The loop
// works on a copy in registers: every tile instruction may have written to memory, for all that the
// compiler knows.
template <OutputType kType>
struct PendingRows {
  using Element = typename ElementOf<kType>::Type;

  Columns left, right;
  const int32_t* sums;
  const float* scale_x;
  Element* y;
  int64_t y_stride;
  int32_t* acc;  // nullptr: not wanted
  int64_t acc_stride;
  int64_t rows = 0;  // that are left

  PendingRows() = default;
  PendingRows(const GemmS8Args& args, const Block& block)
      : sums(static_cast<const int32_t*>(block.sums) + block.first * kPanel),
        scale_x(args.scale_x + block.row),
        y(static_cast<Element*>(args.to.y) + block.row * args.to.y_stride + block.col),
        y_stride(args.to.y_stride),
        acc(args.to.acc),
        acc_stride(args.to.acc_stride),
        rows(block.rows) {
    left.Load(args, block.col);
    right.Load(args, block.col + 16);
    if (acc != nullptr) acc += block.row * acc_stride + block.col;
  }

  [[gnu::always_inline]] void StoreColumns(const Columns& columns, int64_t at, __m512 row_scale) {
    const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(sums + at), columns.correction);
    if (acc != nullptr) _mm512_mask_storeu_epi32(acc + at, columns.lanes, sum);
    const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), columns.scale);
    const __m512 value = _mm512_fmadd_ps(scaled, row_scale, columns.bias);
    if constexpr (kType == OutputType::kBFloat16) {
      StoreBFloat16(y + at, columns.lanes, value);
    } else {
      Avx512::Store(y + at, columns.lanes, value);
    }
  }

  // The next `count` rows, or those that are left.
  [[gnu::always_inline]] void StoreRows(int64_t count) {
    for (; count > 0 && rows > 0; --count, --rows) {
      const __m512 row_scale = _mm512_set1_ps(*scale_x++);
      StoreColumns(left, 0, row_scale);
      StoreColumns(right, 16, row_scale);
      sums += kPanel;
      y += y_stride;
      if (acc != nullptr) acc += acc_stride;
    }
  }
};

struct MultiplyCodes {
  static constexpr int64_t kParts = 1;
  static void UpperLeft() { _tile_dpbusd(0, 4, 6); }
  static void UpperRight() { _tile_dpbusd(1, 4, 7); }
  static void LowerLeft() { _tile_dpbusd(2, 5, 6); }
  static void LowerRight() { _tile_dpbusd(3, 5, 7); }
};

// GELU stays a pass of its own: here it takes 0.85 ms of so400m's fc1 and 0.31 of base/16's, there
// about 1.1 and 0.22 (Emerald Rapids): beside tiles, 512-bit FMAs issue at half their rate.
template <OutputType kType>
struct CodeResults {
  using Pending = PendingRows<kType>;
  const GemmS8Args& args;

  Pending Begin(const Block& block) const { return Pending(args, block); }
  int64_t Bytes() const {
    return args.m * args.to.y_stride * static_cast<int64_t>(sizeof(typename Pending::Element));
  }
  ResultRows Rows(const Block& block) const {
    return ResultRowsOf<typename Pending::Element>(block, args.to.y, args.to.y_stride);
  }
  void End(const Block& block) const {
    SetProducts::ThroughCodes(args.to, {block.row, block.rows, block.col}, args.n);
  }
};

// Below 16 rows there is no full tile of rows to read.
void GemmS8(const GemmS8Args& args) {
  if (args.m < kTileRows) return SetProducts::GemmS8(args);
  const TileOperands operands = {.m = args.m,
                                 .panels = DivideUp(args.n, kPanel),
                                 .steps = DivideUp(args.k, kTileBytes),
                                 .x = args.x_codes,
                                 .x_stride = args.x_stride,
                                 .weights = args.packed_weight};
  switch (args.to.type) {
    case OutputType::kHalf:
      return MultiplyOnTiles<MultiplyCodes>(operands, CodeResults<OutputType::kHalf>{args});
    case OutputType::kBFloat16:
      return MultiplyOnTiles<MultiplyCodes>(operands, CodeResults<OutputType::kBFloat16>{args});
    case OutputType::kFloat:
      return MultiplyOnTiles<MultiplyCodes>(operands, CodeResults<OutputType::kFloat>{args});
  }
}

void ConfigureFullTiles() { ConfigureTiles(kTileRows); }
void ReleaseTiles() { _tile_release(); }

// All but the plain product are AVX-512-VNNI's.
constexpr Int8Kernels WithTiles(Int8Kernels kernels) {
  kernels.begin_worker = ConfigureFullTiles;
  kernels.end_worker = ReleaseTiles;
  kernels.gemm_s8 = GemmS8;
  return kernels;
}

}  // namespace

const Int8Kernels kAmxInt8Kernels = WithTiles(SetProducts::Table());

}  // namespace w8a8
