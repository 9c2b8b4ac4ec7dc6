// FP16 products on AMX tiles: as they are where the CPU multiplies FP16, else as two BF16 values
// each. Operands are rows of 2-byte values, padded with zeros to 64 bytes; panels
// [k / 2][32 columns][2 inputs]. A call takes rows of any number: tiles are configured for them.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/blocks_amx.h"
#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/panels_avx512.h"
#include "runtime/cpu/products_amx.h"
#include "runtime/cpu/tiles_amx.h"
#include "runtime/cpu/vectors_avx512.h"

namespace w8a8 {
namespace {

// ---- epilogue ----

struct BiasColumns {
  __m512 bias;
  __mmask16 lanes;

  void Load(const MultiplyFloatsArgs& args, int64_t col) {
    lanes = Avx512::FirstLanes(args.n - col);
    bias = args.bias != nullptr ? Avx512::Load(args.bias + col, lanes) : _mm512_setzero_ps();
  }
};

// As PendingRows of the INT8 product.
template <class Element>
struct PendingFloats {
  BiasColumns left, right;
  const float* sums;
  Element* y;
  int64_t y_stride;
  int64_t rows = 0;  // that are left

  PendingFloats() = default;
  PendingFloats(const MultiplyFloatsArgs& args, const Block& block)
      : sums(static_cast<const float*>(block.sums) + block.first * kPanel),
        y(static_cast<Element*>(args.y) + block.row * args.y_stride + block.col),
        y_stride(args.y_stride),
        rows(block.rows) {
    left.Load(args, block.col);
    right.Load(args, block.col + 16);
  }

  [[gnu::always_inline]] void StoreRows(int64_t count) {
    for (; count > 0 && rows > 0; --count, --rows) {
      Avx512::Store(y, left.lanes, _mm512_add_ps(_mm512_load_ps(sums), left.bias));
      Avx512::Store(y + 16, right.lanes, _mm512_add_ps(_mm512_load_ps(sums + 16), right.bias));
      sums += kPanel;
      y += y_stride;
    }
  }
};

template <class Element>
struct FloatResults {
  using Pending = PendingFloats<Element>;
  const MultiplyFloatsArgs& args;

  Pending Begin(const Block& block) const { return Pending(args, block); }
  int64_t Bytes() const { return args.m * args.y_stride * static_cast<int64_t>(sizeof(Element)); }
  ResultRows Rows(const Block& block) const {
    return ResultRowsOf<Element>(block, args.y, args.y_stride);
  }
  void End(const Block& /*block*/) const {}
};

// ---- operands ----

// Values as they are.
struct Halves {
  using Op = MultiplyHalves;
  static void Store(uint16_t* to, int64_t /*next_part*/, __m512 values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }
};

// Two parts of a value, the rest first: small products come first.
struct SplitHalves {
  using Op = MultiplyBf16Parts;
  static void Store(uint16_t* to, int64_t next_part, __m512 values) {
    const Bf16Parts parts(values);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), UpperHalves(parts.rest));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + next_part), UpperHalves(parts.first));
  }
};

template <class Operand>
struct TileFloats {
  using Op = typename Operand::Op;
  static constexpr int64_t kRowsAtOnce = 736;
  static constexpr int64_t kStepColumns = kPanel * kTileValues;
  // Whether the sums of all panels may wait for the rest of K.
  static bool SumsWait(int64_t m, int64_t k) { return m > kBlockRows && k > 1536; }

  static int64_t Steps(int64_t k) { return DivideUp(k, kTileValues); }
  // An odd number of cache lines: rows a power of two apart would meet in the same cache sets.
  static int64_t OperandBytes(int64_t k) { return (Op::kParts * Steps(k) | 1) * kTileBytes; }
  static int64_t PackedBytes(int64_t n, int64_t k) {
    return DivideUp(n, kPanel) * Steps(k) * kPanelStep<Op>;
  }
  static int64_t ScratchBytes(int64_t m, int64_t n, int64_t k) {
    if (!SumsWait(m, k)) return 0;
    const int64_t rows = DivideUp(m, kBlockRows) * kBlockRows;
    return DivideUp(n, kPanel) * rows * kPanel * static_cast<int64_t>(sizeof(float));
  }

  template <class Element>
  static void LoadRow(const Element* x, int64_t k, void* operand) {
    auto* to = static_cast<uint16_t*>(operand);
    for (int64_t i = 0; i < k; i += kTileValues, to += Op::kParts * kTileValues) {
      for (int64_t half = 0; half < kTileValues; half += 16) {
        Operand::Store(to + half, kTileValues,
                       Avx512::Load(x + i + half, Avx512::FirstLanes(k - i - half)));
      }
    }
  }
  static void LoadHalves(const Half* x, int64_t k, void* operand) { LoadRow(x, k, operand); }
  static void LoadFloats(const float* x, int64_t k, void* operand) { LoadRow(x, k, operand); }

  // Eight pairs of inputs of a column to where a panel's step has them.
  static void StorePairs(__m512 values, uint16_t* to) {
    alignas(64) uint16_t inputs[Op::kParts * 16];
    Operand::Store(inputs, 16, values);
    for (int64_t part = 0; part < Op::kParts; ++part) {
      for (int64_t i = 0; i < 16; i += 2) {
        __builtin_memcpy(to + part * kStepColumns + i * kPanel, inputs + part * 16 + i, 4);
      }
    }
  }

  // Columns past n and inputs past k are zeros.
  static void Pack(const float* weight, int64_t n, int64_t k, void* packed) {
    auto* to = static_cast<uint16_t*>(packed);
    for (int64_t first = 0; first < n; first += kPanel) {
      for (int64_t step = 0; step < Steps(k); ++step, to += Op::kParts * kStepColumns) {
        for (int64_t at = 0; at < kTileValues; at += 16) {
          const int64_t input = step * kTileValues + at;
          for (int64_t col = 0; col < kPanel; ++col) {
            const auto lanes = Avx512::FirstLanes(first + col < n ? k - input : 0);
            StorePairs(Avx512::Load(weight + (first + col) * k + input, lanes),
                       to + at * kPanel + 2 * col);
          }
        }
      }
    }
  }

  static void Multiply(const MultiplyFloatsArgs& args) {
    const TileOperands operands = {.m = args.m,
                                   .panels = DivideUp(args.n, kPanel),
                                   .steps = Steps(args.k),
                                   .x = args.x,
                                   .x_stride = args.x_stride_bytes,
                                   .weights = args.packed_weight,
                                   .scratch = SumsWait(args.m, args.k) ? args.scratch : nullptr};
    ConfigureTiles(args.m);
    if (args.type == OutputType::kHalf) {
      MultiplyOnTiles<Op>(operands, FloatResults<Half>{args});
    } else {
      MultiplyOnTiles<Op>(operands, FloatResults<float>{args});
    }
    _tile_release();
  }

  // 23 blocks of 32: the 729 tokens of so400m pass at once. What stays in the second-level cache is
  // BlockingOf()'s to say.
  static constexpr FloatProduct Product(const char* name) {
    return {.name = name,
            .operand_bytes = OperandBytes,
            .packed_bytes = PackedBytes,
            .rows_at_once = kRowsAtOnce,
            .scratch_bytes = ScratchBytes,
            .load_halves = LoadHalves,
            .load_floats = LoadFloats,
            .pack = Pack,
            .multiply = Multiply};
  }
};

}  // namespace

const FloatProduct kAmxFp16Product = TileFloats<Halves>::Product("AMX-FP16");
const FloatProduct kAmxBf16Product =
    TileFloats<SplitHalves>::Product("AMX-BF16, FP16 in two parts");

}  // namespace w8a8
