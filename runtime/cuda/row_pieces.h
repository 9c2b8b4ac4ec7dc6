// How kernels go over rows: eight values at a time, by a warp or a block, with reductions over it;
// and the plain quantizer on a row that its threads hold. Compiled with the kernels only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/numerics.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/cuda/block.h"
#include "runtime/cuda/e4m3.h"
#include "runtime/cuda/plain_codes.h"

namespace w8a8 {

// ---- one value, as it is stored ----

W8A8_DEVICE float Wide(Half value) { return Widen(value); }
W8A8_DEVICE float Wide(float value) { return value; }

template <class T>
W8A8_DEVICE T Rounded(float value);
template <>
W8A8_DEVICE Half Rounded<Half>(float value) {
  return Narrow(value);
}
template <>
W8A8_DEVICE float Rounded<float>(float value) {
  return value;
}

// ---- eight values ----

// Sixteen bytes of FP16; thirty-two pieces are the 256 columns after which the row sums of
// numerics.md begin again.
constexpr int kPiece = 8;

template <class T>
struct Piece {
  T values[kPiece];
};

template <class T>
struct PieceParts {
  Vec16 parts[sizeof(Piece<T>) / sizeof(Vec16)];
};

// Of the columns from `col` on, those that a piece holds of a row of `cols`.
W8A8_DEVICE int CountAt(int64_t col, int64_t cols) {
  const int64_t left = cols - col;
  return left >= kPiece ? kPiece : left > 0 ? static_cast<int>(left) : 0;
}

// The first `count` values, zeros behind them. `aligned`: `from` lies on 16 bytes.
template <class T>
W8A8_DEVICE Piece<T> LoadPiece(const T* from, int count, bool aligned) {
  if (aligned && count == kPiece) {
    PieceParts<T> all;
    const auto* parts = reinterpret_cast<const Vec16*>(from);
#pragma unroll
    for (size_t i = 0; i < sizeof(all) / sizeof(Vec16); ++i) all.parts[i] = Load(parts + i);
    return std::bit_cast<Piece<T>>(all);
  }
  Piece<T> piece{};
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    if (i < count) piece.values[i] = Load(from + i);
  }
  return piece;
}

template <class T>
W8A8_DEVICE void StorePiece(T* to, const Piece<T>& piece, int count, bool aligned) {
  if (aligned && count == kPiece) {
    const auto all = std::bit_cast<PieceParts<T>>(piece);
    auto* parts = reinterpret_cast<Vec16*>(to);
#pragma unroll
    for (size_t i = 0; i < sizeof(all) / sizeof(Vec16); ++i) Store(parts + i, all.parts[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    if (i < count) Store(to + i, piece.values[i]);
  }
}

// Of a vector over columns, or `otherwise` where the model has none.
W8A8_DEVICE Piece<float> LoadPieceOr(const float* values, int64_t col, int count, bool aligned,
                                     float otherwise) {
  if (values != nullptr) return LoadPiece(values + col, count, aligned);
  Piece<float> piece;
#pragma unroll
  for (float& value : piece.values) value = otherwise;
  return piece;
}

// The largest finite magnitude; absent values are zeros.
template <class T>
W8A8_DEVICE float FiniteAmax(const Piece<T>& piece) {
  float amax = 0.0f;
#pragma unroll
  for (const T value : piece.values) {
    const float magnitude = Abs(Wide(value));
    if (IsFiniteBits(magnitude) && magnitude > amax) amax = magnitude;
  }
  return amax;
}

// What a residual makes of eight values of its stream.
template <class T>
W8A8_DEVICE Piece<T> PlusResidual(const Piece<T>& x, const Piece<Half>& y,
                                  const Piece<float>& layer_scale) {
  Piece<T> sum;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    sum.values[i] =
        Rounded<T>(Residual(layer_scale.values[i], Widen(y.values[i]), Wide(x.values[i])));
  }
  return sum;
}

// ---- who goes over a row ----

W8A8_DEVICE float WarpMax(float value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = ShuffleXor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

W8A8_DEVICE int32_t WarpSum(int32_t value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}

// The lanes of one warp.
struct WarpTeam {
  W8A8_DEVICE static int first() { return Lane(); }
  W8A8_DEVICE static int step() { return kWarpLanes; }
  W8A8_DEVICE static float Max(float value) { return WarpMax(value); }
  W8A8_DEVICE static int32_t Sum(int32_t value) { return WarpSum(value); }
};

// Where the warps of a block leave what they found; SharedAs() offsets. Each reduction has a place
// of its own: another one's barrier lies between two uses of it.
constexpr size_t kTeamPlaceBytes = 32 * sizeof(float);
constexpr size_t kMaxPlace = 0;
constexpr size_t kSumPlace = kTeamPlaceBytes;
constexpr size_t kTeamBytes = 2 * kTeamPlaceBytes;

// `value` of the warps in the block, each past its own reduction, once every warp has left its own.
template <class T, class Combine>
W8A8_DEVICE T OverWarps(T value, size_t place, Combine combine) {
  T* const left = SharedAs<T>(place);
  if (Lane() == 0) Store(left + Warp(), value);
  SyncThreads();
  T all = Load(left);
  for (int w = 1; w < BlockThreads() / kWarpLanes; ++w) all = combine(all, Load(left + w));
  return all;
}

// All threads of a block.
struct BlockTeam {
  W8A8_DEVICE static int first() { return ThreadIndex(); }
  W8A8_DEVICE static int step() { return BlockThreads(); }
  W8A8_DEVICE static float Max(float value) {
    return OverWarps(WarpMax(value), kMaxPlace, [](float a, float b) { return a > b ? a : b; });
  }
  W8A8_DEVICE static int32_t Sum(int32_t value) {
    return OverWarps(WarpSum(value), kSumPlace, [](int32_t a, int32_t b) { return a + b; });
  }
};

// ---- codes ----

// Eight codes, of which the first `count` are wanted and the others 0.
template <class T>
W8A8_DEVICE uint64_t CodesOf(const Piece<T>& piece, int count, float inv_scale, int32_t* sum) {
  uint64_t codes = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    const int32_t code = i < count ? ActivationCode(Wide(piece.values[i]), inv_scale) : 0;
    codes |= uint64_t{static_cast<uint8_t>(code)} << (8 * i);
    *sum += code;
  }
  return codes;
}

template <class T>
W8A8_DEVICE uint64_t E4m3Of(const Piece<T>& piece, int count, float inv_scale) {
  uint64_t codes = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    const uint8_t code = i < count ? ToE4m3(Wide(piece.values[i]) * inv_scale) : uint8_t{0};
    codes |= uint64_t{code} << (8 * i);
  }
  return codes;
}

template <class Team, class PieceOf>
W8A8_DEVICE void E4m3Row(Team team, int64_t row, int64_t cols, const PlainCodes& to,
                         PieceOf piece_of) {
  const float inv_scale = 1.0f / to.static_scale;
  int8_t* const codes = to.codes + row * to.stride;
  for (int64_t p = team.first(); p * kPiece < to.stride; p += team.step()) {
    const int count = CountAt(p * kPiece, cols);
    Store(reinterpret_cast<uint64_t*>(codes + p * kPiece),
          count > 0 ? E4m3Of(piece_of(p), count, inv_scale) : uint64_t{0});
  }
}

// The codes of row `row`, whose largest finite magnitude is that of the team's `amax`. piece_of(p)
// gives piece p as this thread knows it: those of first(), first() + step(), ...
template <class Team, class PieceOf>
W8A8_DEVICE ActivationScale CodeRow(Team team, int64_t row, int64_t cols, const PlainCodes& to,
                                    float amax, PieceOf piece_of) {
  if (to.e4m3) {
    E4m3Row(team, row, cols, to, piece_of);
    return TensorScale(to.static_scale);
  }
  const ActivationScale scale = to.static_scale > 0.0f ? TensorScale(to.static_scale)
                                                       : TokenScale(team.Max(amax), to.clip_range);
  int8_t* const codes = to.codes + row * to.stride;
  int32_t sum = 0;
  for (int64_t p = team.first(); p * kPiece < to.stride; p += team.step()) {
    const int count = CountAt(p * kPiece, cols);
    const uint64_t eight = count > 0 ? CodesOf(piece_of(p), count, scale.inv_scale, &sum) : 0;
    Store(reinterpret_cast<uint64_t*>(codes + p * kPiece), eight);
  }
  if (to.code_sum != nullptr) sum = team.Sum(sum);
  if (team.first() == 0) {
    Store(to.scale + row, scale.scale);
    if (to.code_sum != nullptr) Store(to.code_sum + row, sum);
  }
  return scale;
}

// ---- launching ----

inline bool LiesOn16Bytes(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % sizeof(Vec16) == 0;
}

// Whether every row begins on 16 bytes.
template <class T>
bool RowsLieOn16Bytes(const T* data, int64_t stride) {
  return LiesOn16Bytes(data) && stride * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

inline int64_t PiecesOf(int64_t cols) { return (cols + kPiece - 1) / kPiece; }

// Of a block that goes over one row: about four pieces a thread, so that wide rows have enough
// loads in flight and narrow ones enough blocks on a processor (two warps for 1,152 columns).
inline int ThreadsOfRow(int64_t cols) {
  const int64_t warps = (PiecesOf(cols) + 4 * kWarpLanes - 1) / (4 * kWarpLanes);
  return static_cast<int>(warps < 1 ? 1 : warps > 8 ? 8 : warps) * kWarpLanes;
}

}  // namespace w8a8
