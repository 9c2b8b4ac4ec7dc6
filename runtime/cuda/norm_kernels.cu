#include "runtime/cuda/block.h"
#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/row_pieces.h"
#include "runtime/cuda/row_sums.h"

namespace w8a8 {
namespace {

// A warp for each row, which it holds in shared memory.

// Of add(partial sum, x) over the row.
template <class T, class Add>
W8A8_DEVICE float RowSum(const T* held, int64_t cols, Add add) {
  float s[kPiece] = {};
  for (int64_t p = Lane(); p * kPiece < cols; p += kWarpLanes) {
    const Piece<T> x = LoadPiece(held + p * kPiece, kPiece, true);
    const int count = CountAt(p * kPiece, cols);
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {
      if (i < count) s[i] = add(s[i], Wide(x.values[i]));
    }
  }
  return CombineRowSums(s);
}

struct Moments {
  float mean;  // 0 for RMSNorm, which leaves x as it is
  float inv_std;
};

template <class T>
W8A8_DEVICE Moments MomentsOf(const NormArgsOf<T>& args, const T* held) {
  const int64_t cols = args.x.cols;
  const auto count = static_cast<float>(cols);
  float mean = 0.0f;
  if (args.kind == NormKind::kLayerNorm) {
    mean = RowSum(held, cols, [](float s, float x) { return s + x; }) / count;
  }
  const float var = RowSum(held, cols,
                           [mean](float s, float x) {
                             const float d = x - mean;
                             return Fma(d, d, s);
                           }) /
                    count;
  return {mean, 1.0f / SquareRoot(var + args.eps)};
}

// The row in shared memory, with the residual, which is stored too.
template <class T>
W8A8_DEVICE void HoldRow(const NormArgsOf<T>& args, int64_t row, bool aligned, T* held) {
  const int64_t cols = args.x.cols;
  T* const x = args.x.data + row * args.x.stride;
  for (int64_t p = Lane(); p * kPiece < cols; p += kWarpLanes) {
    const int64_t col = p * kPiece;
    const int count = CountAt(col, cols);
    Piece<T> piece = LoadPiece(x + col, count, aligned);
    if (args.add.y.data != nullptr) {
      const Half* const y = args.add.y.data + row * args.add.y.stride;
      piece = PlusResidual(piece, LoadPiece(y + col, count, aligned),
                           LoadPieceOr(args.add.layer_scale, col, count, aligned, 1.0f));
      StorePiece(x + col, piece, count, aligned);
    }
    StorePiece(held + col, piece, kPiece, true);
  }
}

template <class T>
W8A8_DEVICE Piece<Half> Normalized(const NormArgsOf<T>& args, const Moments& moments, bool aligned,
                                   int64_t col, const Piece<T>& x) {
  const int count = CountAt(col, args.x.cols);
  const Piece<float> weight = LoadPieceOr(args.weight, col, count, aligned, 1.0f);
  Piece<Half> y{};
  if (args.kind == NormKind::kRmsNorm) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {
      if (i < count) {
        y.values[i] = Narrow((Wide(x.values[i]) * moments.inv_std) * weight.values[i]);
      }
    }
    return y;
  }
  const Piece<float> bias = LoadPieceOr(args.bias, col, count, aligned, 0.0f);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    if (i < count) {
      const float unit = (Wide(x.values[i]) - moments.mean) * moments.inv_std;
      y.values[i] = Narrow(Fma(unit, weight.values[i], bias.values[i]));
    }
  }
  return y;
}

// The codes are made of FP16 values that stand where the row stood, each piece at its own place, so
// that no lane overwrites what another has yet to read.
template <class T>
W8A8_KERNEL void NormRows(NormArgsOf<T> args, bool aligned) {
  const int64_t cols = args.x.cols;
  const int64_t row = BlockIndex() * (BlockThreads() / kWarpLanes) + Warp();
  if (row >= args.x.rows) return;
  T* const held = SharedAs<T>(0) + Warp() * ((cols + kPiece - 1) / kPiece * kPiece);
  HoldRow(args, row, aligned, held);
  const Moments moments = MomentsOf(args, held);
  float amax = 0.0f;
  for (int64_t p = Lane(); p * kPiece < cols; p += kWarpLanes) {
    const int64_t col = p * kPiece;
    const Piece<T> x = LoadPiece(held + col, kPiece, true);
    const Piece<Half> y = Normalized(args, moments, aligned, col, x);
    if (args.y.data != nullptr) {
      StorePiece(args.y.data + row * args.y.stride + col, y, CountAt(col, cols), aligned);
    }
    if (args.codes.codes == nullptr) continue;
    StorePiece(reinterpret_cast<Half*>(held + col), y, kPiece, true);
    const float largest = FiniteAmax(y);
    amax = largest > amax ? largest : amax;
  }
  if (args.codes.codes == nullptr) return;
  CodeRow(WarpTeam(), row, cols, args.codes, amax, [held](int64_t p) {
    return LoadPiece(reinterpret_cast<const Half*>(held + p * kPiece), kPiece, true);
  });
}

template <class T>
bool IsAligned(const NormArgsOf<T>& args) {
  return RowsLieOn16Bytes(args.x.data, args.x.stride) &&
         RowsLieOn16Bytes(args.y.data, args.y.stride) &&
         RowsLieOn16Bytes(args.add.y.data, args.add.y.stride) &&
         LiesOn16Bytes(args.add.layer_scale) && LiesOn16Bytes(args.weight) &&
         LiesOn16Bytes(args.bias);
}

template <class T>
void LaunchNormOf(Queue queue, const NormArgsOf<T>& args) {
  constexpr int64_t kBlockBytes = 48 * 1024;  // more than this keeps other blocks away
  constexpr int64_t kMostWarps = 4;
  const int64_t row_bytes = PiecesOf(args.x.cols) * static_cast<int64_t>(sizeof(Piece<T>));
  const int64_t fitting = row_bytes == 0 ? kMostWarps : kBlockBytes / row_bytes;
  const int64_t warps = fitting < 1 ? 1 : fitting > kMostWarps ? kMostWarps : fitting;
  Launch(queue,
         {.blocks = (args.x.rows + warps - 1) / warps,
          .threads = static_cast<int>(warps) * kWarpLanes,
          .shared_bytes = static_cast<size_t>(warps * row_bytes)},
         NormRows<T>, args, IsAligned(args));
}

}  // namespace

void LaunchNorm(Queue queue, const NormArgs& args) { LaunchNormOf(queue, args); }
void LaunchNorm(Queue queue, const NormFloatArgs& args) { LaunchNormOf(queue, args); }

}  // namespace w8a8
