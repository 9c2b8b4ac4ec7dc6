// Float products and attention with AVX2: FP32 FMA.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/scalar_attention.h"
#include "runtime/cpu/tiles_avx2_floats.h"
#include "runtime/cpu/vector_attention.h"
#include "runtime/cpu/vector_floats.h"
#include "runtime/cpu/vectors_avx2.h"

namespace w8a8 {
namespace {

template <class Element>
struct PanelOf;
template <>
struct PanelOf<Half> : HalfPanel {};
template <>
struct PanelOf<float> : FloatPanel {};

struct Set : Avx2 {
  static constexpr int64_t kTileRows = w8a8::kTileRows;
  static constexpr int64_t kPanel = w8a8::kPanel;
  // Of 512 KiB on Zen 3; a panel of FP16 values of K = 4,304 takes 138 KB of it.
  static constexpr int64_t kLevelTwoBytes = 256 * 1024;
  template <class Element>
  using Panel = PanelOf<Element>;
  template <class P, int kRegisters>
  using Tiles = TileTable<P, kRegisters>;
};

constexpr AttentionKernel kFp32 = VectorAttention<Set, HalfOperands<Set>>::Kernel("FP32 FMA, AVX2");
constexpr AttentionKernel kBf16 =
    VectorAttention<Set, Bf16InFloats<Set>>::Kernel("BF16 operands, FP32 FMA, AVX2");

}  // namespace

const FloatKernels kAvx2FloatKernels = {
    .half = VectorFloats<Set, Half>::Product("FP32 FMA, AVX2"),
    .wide = VectorFloats<Set, float>::Product("FP32 FMA, AVX2"),
    .attention = {&kFp32, &kBf16, &kScalarInt8Attention},
};

}  // namespace w8a8
