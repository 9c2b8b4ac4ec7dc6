// Rows to codes and outputs through their codes, once for every width of vector: the operations of
// the scalar set in the same order, V::kLanes elements at a time. Included by the files of the
// vector sets under the rules of vector_rows.h. V is that header's, with `Ints` loaded, stored and
// converted, `Words` (the Magnitudes() of FP16 values and the Max() of two), FromHalf(pattern),
// LargestLane(), SumOfLanes(), and
//   Code, StoreCodes(Code*, Ints): a stored code, and kLanes of them.
//   kCodeShift: what a stored code is above its value.
#pragma once

#include <cstdint>

#include "runtime/cpu/int8_kernels.h"

namespace w8a8 {

template <class V>
struct VectorCodes {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  using Words = typename V::Words;
  using Code = typename V::Code;
  static constexpr int64_t kLanes = V::kLanes;

  template <class Combine>
  static void ForLanes(int64_t count, Combine combine) {
    for (int64_t i = 0; i < count; i += kLanes) combine(i, V::FirstLanes(count - i));
  }

  // ---- FP16 rows to codes ----

  // A NaN or an infinity where the row has one.
  static uint16_t LargestMagnitude(const Half* x, int64_t cols) {
    constexpr int64_t kWords = 2 * kLanes;
    Words largest = {};
    int64_t c = 0;
    for (; c + kWords <= cols; c += kWords) largest = V::Max(largest, V::Magnitudes(x + c));
    uint16_t words[kWords], all = 0;
    __builtin_memcpy(words, &largest, sizeof(words));
    for (const uint16_t word : words) all = word > all ? word : all;
    for (; c < cols; ++c) {
      const auto magnitude = static_cast<uint16_t>(x[c].bits & 0x7fff);
      all = magnitude > all ? magnitude : all;
    }
    return all;
  }

  static float FiniteAmax(const Half* x, int64_t cols) {
    Floats amax = V::Splat(0.0f);
    ForLanes(cols, [&](int64_t i, auto lanes) {
      const Floats value = V::Load(x + i, lanes);
      amax = V::Max(amax, (Floats)((Ints)value & IsFinite(value) & 0x7fffffff));
    });
    return V::LargestLane(amax);
  }

  struct RowScale {
    float scale, inv_scale;
    bool needs_clamp;  // false: no p is a NaN or beyond +-127.5
  };

  static RowScale ScaleOfRow(const QuantizeRowsArgs& args, const Half* x) {
    if (args.static_scale != nullptr) return {*args.static_scale, 1.0f / *args.static_scale, true};
    const uint16_t largest = LargestMagnitude(x, args.cols);
    const bool finite = largest < 0x7c00;
    const float amax = finite ? V::FromHalf(largest) : FiniteAmax(x, args.cols);
    const float a = amax < args.clip_range ? amax : args.clip_range;
    const float inv_scale = 127.0f / a;  // infinite where a is 0 or a tiny R
    if (inv_scale > 0x1.fffffep+127f) return {0.0f, 0.0f, true};
    return {a / 127.0f, inv_scale, !finite || a < amax};
  }

  // q = rne(clamp(p, -127, 127)), 0 for a NaN.
  static Ints ClampedCodes(Floats p) {
    const Ints ordered = p == p;
    const Floats near = V::Min(V::Max(p, V::Splat(-127.0f)), V::Splat(127.0f));
    return V::Nearest(near) & ordered;
  }

  template <bool kNeedsClamp>
  static int32_t QuantizeRow(const Half* x, int64_t cols, float inv_scale, Code* codes,
                             int64_t stride) {
    const Floats inverse = V::Splat(inv_scale);
    Ints sum = {};
    for (int64_t c = 0; c < stride; c += kLanes) {  // past the row p is 0 (or NaN): code 0
      const Floats p = V::Load(x + c, V::FirstLanes(cols - c)) * inverse;
      const Ints code = kNeedsClamp ? ClampedCodes(p) : V::Nearest(p);
      sum += code;
      V::StoreCodes(codes + c, code);
    }
    return V::SumOfLanes(sum);
  }

  static uint64_t CountSet(Ints mask) { return static_cast<uint64_t>(-V::SumOfLanes(mask)); }

  // Zeros past the row count for nothing.
  static void CountRow(const Half* x, int64_t cols, float inv_scale, QuantizeCounts* counts) {
    const Floats inverse = V::Splat(inv_scale);
    Ints nan = {}, inf = {}, saturated = {};
    ForLanes(cols, [&](int64_t i, auto lanes) {
      const Floats value = V::Load(x + i, lanes);
      const Floats product = (Floats)((Ints)(value * inverse) & 0x7fffffff);
      const Ints finite = IsFinite(value), is_nan = value != value;
      nan += is_nan;
      inf += ~finite & ~is_nan;
      saturated += (product >= V::Splat(127.5f)) & finite;
    });
    counts->nan += CountSet(nan);
    counts->inf += CountSet(inf);
    counts->saturated += CountSet(saturated);
  }

  static void QuantizeRows(const QuantizeRowsArgs& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      const Half* x = args.x + r * args.x_stride;
      const RowScale scale = ScaleOfRow(args, x);
      args.scale[r] = scale.scale;
      Code* codes = static_cast<Code*>(args.codes) + r * args.codes_stride;
      const int32_t sum =
          scale.needs_clamp
              ? QuantizeRow<true>(x, args.cols, scale.inv_scale, codes, args.codes_stride)
              : QuantizeRow<false>(x, args.cols, scale.inv_scale, codes, args.codes_stride);
      if (args.code_sum != nullptr) args.code_sum[r] = sum;
      if (args.counts != nullptr) CountRow(x, args.cols, scale.inv_scale, args.counts);
    }
  }

  static void UnpackCodes(const UnpackCodesArgs& args) {
    for (int64_t r = 0; r < args.rows; ++r) {
      const Code* codes = static_cast<const Code*>(args.codes) + r * args.codes_stride;
      int8_t* unpacked = args.unpacked + r * args.unpacked_stride;
      for (int64_t c = 0; c < args.cols; ++c) {
        unpacked[c] = static_cast<int8_t>(codes[c] - V::kCodeShift);
      }
    }
  }

  // ---- binary32 rows ----

  // Pairs kH apart, kH less than a vector: left to the compiler's vectorizer.
  template <int64_t kH>
  static void ShortButterflies(float* v, int64_t size) {
    for (int64_t first = 0; first < size; first += 2 * kH) {
      for (int64_t i = first; i < first + kH; ++i) {
        const float a = v[i], b = v[i + kH];
        v[i] = a + b;
        v[i + kH] = a - b;
      }
    }
  }

  static void Butterflies(float* v, int64_t size, int64_t h) {
    if (h == 1) return ShortButterflies<1>(v, size);
    if (h == 2) return ShortButterflies<2>(v, size);
    if (h == 4) return ShortButterflies<4>(v, size);
    if (h < kLanes) return ShortButterflies<8>(v, size);
    for (int64_t first = 0; first < size; first += 2 * h) {
      for (int64_t i = first; i < first + h; i += kLanes) {
        const Floats a = V::Load(v + i), b = V::Load(v + i + h);
        V::Store(v + i, a + b);
        V::Store(v + i + h, a - b);
      }
    }
  }

  static void MixBlocks(const TransformRowArgs& args) {
    const Floats mix = V::Splat(args.mix);
    ForLanes(args.block, [&](int64_t i, auto lanes) {
      Floats sum = V::Load(args.row + i, lanes);
      for (int64_t at = i + args.block; at < args.cols; at += args.block) {
        sum = sum + V::Load(args.row + at, lanes);
      }
      for (int64_t at = i; at < args.cols; at += args.block) {
        V::Store(args.row + at, lanes, V::Fma(mix, sum, V::Load(args.row + at, lanes)));
      }
    });
  }

  static void TransformRow(const TransformRowArgs& args) {
    ForLanes(args.cols, [&](int64_t i, auto lanes) {
      const Floats factors = V::Load(args.factors + i, lanes);
      V::Store(args.row + i, lanes, V::Load(args.row + i, lanes) * factors);
    });
    if (args.block == 0) return;
    for (int64_t h = 1; h < args.block; h *= 2) Butterflies(args.row, args.cols, h);
    if (args.mix != 0.0f) MixBlocks(args);
    const Floats norm = V::Splat(args.norm);
    ForLanes(args.cols, [&](int64_t i, auto lanes) {
      V::Store(args.row + i, lanes, V::Load(args.row + i, lanes) * norm);
    });
  }

  static Ints IsFinite(Floats values) { return ((Ints)values & 0x7fffffff) < 0x7f800000; }

  static void FiniteRange(const float* values, int64_t count, float* low, float* high) {
    Floats smallest = V::Splat(0.0f), largest = V::Splat(0.0f);
    for (int64_t i = 0; i < count; i += kLanes) {
      const Floats value = V::Load(values + i, V::FirstLanes(count - i));
      const Floats finite = (Floats)((Ints)value & IsFinite(value));
      smallest = V::Min(smallest, finite);
      largest = V::Max(largest, finite);
    }
    float lows[kLanes], highs[kLanes];
    V::Store(lows, smallest);
    V::Store(highs, largest);
    *low = *high = 0.0f;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      *low = lows[lane] < *low ? lows[lane] : *low;
      *high = highs[lane] > *high ? highs[lane] : *high;
    }
  }

  // Beyond +-1,024 every sum with a zero point of int8 is outside the codes.
  static Ints CodesOf(Floats p, const EncodeArgs& args) {
    const Ints ordered = p == p;
    const Floats near = V::Min(V::Max(p, V::Splat(-1024.0f)), V::Splat(1024.0f));
    const Ints code = (V::Nearest(near) & ordered) + args.zero_point;
    const Ints low = code - code + args.lowest, high = code - code + 127;
    const Ints above = code < low ? low : code;
    return above > high ? high : above;
  }

  static int32_t Encode(const EncodeArgs& args) {
    const Floats inv_scale = V::Splat(args.inv_scale);
    auto* codes = static_cast<Code*>(args.codes);
    Ints sum = {};
    int64_t i = 0;
    for (; i + kLanes <= args.count; i += kLanes) {
      const Ints code = CodesOf(V::Load(args.values + i) * inv_scale, args);
      sum += code;
      V::StoreCodes(codes + i, code);
    }
    int32_t lanes[kLanes], total = V::SumOfLanes(sum);
    const Floats rest = V::Load(args.values + i, V::FirstLanes(args.count - i));
    V::Store(lanes, CodesOf(rest * inv_scale, args));
    for (int64_t lane = 0; i < args.padded; ++lane, ++i) {
      const int32_t code = i < args.count ? lanes[lane] : 0;
      total += code;
      codes[i] = static_cast<Code>(code + V::kCodeShift);
    }
    return total;
  }

  // ---- outputs through their codes ----

  static void KeepCodes(const QuantizeOutputsArgs& args, Floats p, Ints code, int64_t row,
                        int64_t col) {
    float products[kLanes];
    int32_t codes[kLanes];
    V::Store(products, p);
    V::Store(codes, code);
    const int64_t count = args.cols - col < kLanes ? args.cols - col : kLanes;
    for (int64_t lane = 0; lane < count; ++lane) {
      if (args.codes != nullptr) {
        args.codes[row * args.codes_stride + col + lane] = static_cast<int8_t>(codes[lane]);
      }
      const float magnitude = __builtin_fabsf(products[lane]);
      const bool finite = magnitude < __builtin_inff();
      if (args.saturated != nullptr && finite && magnitude >= 127.5f) ++*args.saturated;
    }
  }

  static constexpr int32_t kRoundsToHalfZero = 0x33000000;  // the bits of 2^-25

  // A zero is stored as +0, also that of a negative code which FP16 rounds to zero. An FP16 value
  // times inv_scale is finite in binary32 unless the value is not.
  static void QuantizeOutputs(const QuantizeOutputsArgs& args) {
    const Floats scale = V::Splat(args.scale), inv_scale = V::Splat(args.inv_scale);
    const bool keep = args.codes != nullptr || args.saturated != nullptr;
    for (int64_t row = 0; row < args.rows; ++row) {
      Half* y = args.y + row * args.y_stride;
      for (int64_t col = 0; col < args.cols; col += kLanes) {
        const auto lanes = V::FirstLanes(args.cols - col);
        const Floats p = V::Load(y + col, lanes) * inv_scale;
        const Ints code = ClampedCodes(p);
        const Floats real = V::ToFloats(code) * scale;
        const Ints stays = ((Ints)real & 0x7fffffff) > kRoundsToHalfZero;
        V::Store(y + col, lanes, (Floats)((Ints)real & stays));
        if (keep) KeepCodes(args, p, code, row, col);
      }
    }
  }
};

}  // namespace w8a8
