// Attention with BF16 operands by vdpbf16ps.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/float_set_avx512.h"

namespace w8a8 {
namespace {

using AliasedPair = uint32_t __attribute__((may_alias));

// Two inputs a step; a row is pairs of BF16.
struct Bf16Panel {
  using Row = uint32_t;
  using Element = BFloat16;
  static constexpr int64_t kElements = 32;
  static __m512bh Load(const BFloat16* from) { return (__m512bh)_mm512_load_si512(from); }
  static __m512bh Broadcast(const uint32_t* x) {
    return (__m512bh)_mm512_set1_epi32(static_cast<int>(*reinterpret_cast<const AliasedPair*>(x)));
  }
  static __m512 MultiplyAdd(__m512bh a, __m512bh b, __m512 sum) {
    return _mm512_dpbf16_ps(sum, a, b);
  }
};

// Two BF16 values an operand, the first one low.
struct Bf16Pairs {
  using Panel = Bf16Panel;
  using Unit = uint32_t;
  using Row = uint32_t;
  static constexpr int64_t kInputs = 2;

  static void StorePairs(uint32_t* to, __m512 first, __m512 second) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
  }
  static void LoadQuery(const Half* q, int64_t count, uint32_t* to) {
    for (int64_t i = 0; i < count; i += 32) {
      StorePairs(to + i / 2, Set::Load(q + i, Set::FirstLanes(count - i)),
                 Set::Load(q + i + 16, Set::FirstLanes(count - i - 16)));
    }
  }
  static void LoadKey(const Half* k, int64_t count, uint32_t* to) { LoadQuery(k, count, to); }
  static void LoadValues(const Half* const* rows, Set::Lanes lanes, uint32_t* to) {
    using Ints = Set::Ints;
    const Ints first = (Ints)RoundedToBFloat16<Set>(Set::Load(rows[0], lanes));
    const Ints second = (Ints)RoundedToBFloat16<Set>(Set::Load(rows[1], lanes));
    _mm512_storeu_si512(to, (__m512i)(((first >> 16) & 0xffff) | second));
  }
  static void ToWeights(float* scores, int64_t count) {
    auto* to = reinterpret_cast<uint32_t*>(scores);
    for (int64_t i = 0; i < count; i += 32) {
      StorePairs(to + i / 2, Set::Load(scores + i), Set::Load(scores + i + 16));
    }
  }
};

}  // namespace

const AttentionKernel kAvx512Bf16Attention =
    VectorAttention<Set, Bf16Pairs>::Kernel("BF16, vdpbf16ps");

}  // namespace w8a8
