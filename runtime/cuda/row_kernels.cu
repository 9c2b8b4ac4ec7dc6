#include "runtime/cuda/block.h"
#include "runtime/cuda/row_kernels.h"
#include "runtime/cuda/row_pieces.h"

namespace w8a8 {
namespace {

// ---- residual ----

template <class T>
W8A8_KERNEL void AddRows(AddArgsOf<T> args, bool aligned) {
  const int64_t row = BlockIndex(), cols = args.stream.cols;
  T* const stream = args.stream.data + row * args.stream.stride;
  const Half* const y = args.y.data + row * args.y.stride;
  for (int64_t p = ThreadIndex(); p * kPiece < cols; p += BlockThreads()) {
    const int64_t col = p * kPiece;
    const int count = CountAt(col, cols);
    const Piece<T> sum =
        PlusResidual(LoadPiece(stream + col, count, aligned), LoadPiece(y + col, count, aligned),
                     LoadPieceOr(args.layer_scale, col, count, aligned, 1.0f));
    StorePiece(stream + col, sum, count, aligned);
  }
}

template <class T>
void LaunchAddOf(Queue queue, const AddArgsOf<T>& args) {
  const bool aligned = RowsLieOn16Bytes(args.stream.data, args.stream.stride) &&
                       RowsLieOn16Bytes(args.y.data, args.y.stride) &&
                       LiesOn16Bytes(args.layer_scale);
  Launch(queue, {.blocks = args.stream.rows, .threads = ThreadsOfRow(args.stream.cols)}, AddRows<T>,
         args, aligned);
}

// ---- activation functions and gates ----

template <float (*Function)(float)>
W8A8_DEVICE Piece<Half> Applied(const Piece<Half>& x) {
  Piece<Half> y;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) y.values[i] = Narrow(Function(Widen(x.values[i])));
  return y;
}

W8A8_DEVICE Piece<Half> Activated(ActivationKind kind, const Piece<Half>& x) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return Applied<GeluErf>(x);
    case ActivationKind::kGeluTanh:
      return Applied<GeluTanh>(x);
    case ActivationKind::kQuickGelu:
      return Applied<QuickGelu>(x);
    case ActivationKind::kSilu:
      break;
  }
  return Applied<Silu>(x);
}

W8A8_DEVICE Piece<Half> Product(const Piece<Half>& a, const Piece<Half>& b) {
  Piece<Half> product;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    product.values[i] = Narrow(Widen(a.values[i]) * Widen(b.values[i]));
  }
  return product;
}

W8A8_KERNEL void ActivateRows(ActivationArgs args, bool aligned) {
  const int64_t row = BlockIndex(), cols = args.x.cols;
  Half* const held = SharedAs<Half>(kTeamBytes);
  float amax = 0.0f;
  for (int64_t p = ThreadIndex(); p * kPiece < cols; p += BlockThreads()) {
    const int64_t col = p * kPiece;
    const int count = CountAt(col, cols);
    const Half* const x = args.x.data + row * args.x.stride + col;
    Piece<Half> y = Activated(args.kind, LoadPiece(x, count, aligned));
    if (args.gated.data != nullptr) {
      const Half* const gated = args.gated.data + row * args.gated.stride + col;
      y = Product(y, LoadPiece(gated, count, aligned));
    }
    if (args.y.data != nullptr) {
      StorePiece(args.y.data + row * args.y.stride + col, y, count, aligned);
    }
    if (args.codes.codes == nullptr) continue;
    StorePiece(held + col, y, kPiece, true);
    const float largest = FiniteAmax(y);
    amax = largest > amax ? largest : amax;
  }
  if (args.codes.codes == nullptr) return;
  CodeRow(BlockTeam(), row, cols, args.codes, amax,
          [held](int64_t p) { return LoadPiece(held + p * kPiece, kPiece, true); });
}

// ---- conversions ----

template <class From, class To>
W8A8_KERNEL void ConvertRows(MatView<const From> from, MatView<To> to, bool aligned) {
  const int64_t row = BlockIndex(), cols = from.cols;
  for (int64_t p = ThreadIndex(); p * kPiece < cols; p += BlockThreads()) {
    const int64_t col = p * kPiece;
    const int count = CountAt(col, cols);
    const Piece<From> piece = LoadPiece(from.data + row * from.stride + col, count, aligned);
    Piece<To> converted;
#pragma unroll
    for (int i = 0; i < kPiece; ++i) converted.values[i] = Rounded<To>(Wide(piece.values[i]));
    StorePiece(to.data + row * to.stride + col, converted, count, aligned);
  }
}

template <class From, class To>
void LaunchConvertOf(Queue queue, MatView<const From> from, MatView<To> to) {
  const bool aligned =
      RowsLieOn16Bytes(from.data, from.stride) && RowsLieOn16Bytes(to.data, to.stride);
  Launch(queue, {.blocks = from.rows, .threads = ThreadsOfRow(from.cols)}, ConvertRows<From, To>,
         from, to, aligned);
}

// ---- outputs through their codes ----

// Eight outputs become what their codes stand for; the codes, and how many of the first `count`
// were beyond them.
W8A8_DEVICE uint64_t ThroughCodes(float scale, int count, Piece<Half>* y, int32_t* saturated) {
  const float inv_scale = 1.0f / scale;
  uint64_t codes = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    const float value = Widen(y->values[i]);
    const int8_t code = i < count ? ActivationCode(value, inv_scale) : int8_t{0};
    codes |= uint64_t{static_cast<uint8_t>(code)} << (8 * i);
    *saturated += i < count && IsSaturated(value, inv_scale) ? 1 : 0;
    const Half stored = Narrow(OutputValue(code, scale));
    y->values[i] = stored.bits == kHalfSignBit ? Half{} : stored;
  }
  return codes;
}

W8A8_KERNEL void RowsThroughCodes(ThroughCodesArgs args, bool aligned) {
  const int64_t row = BlockIndex(), cols = args.y.cols;
  const int64_t width = args.codes == nullptr ? cols : args.codes_stride;
  int32_t saturated = 0;
  for (int64_t p = ThreadIndex(); p * kPiece < width; p += BlockThreads()) {
    const int64_t col = p * kPiece;
    const int count = CountAt(col, cols);
    Half* const y = args.y.data + row * args.y.stride + col;
    Piece<Half> piece = LoadPiece(y, count, aligned);
    const uint64_t codes = ThroughCodes(args.scale, count, &piece, &saturated);
    StorePiece(y, piece, count, aligned);
    if (args.codes == nullptr) continue;
    Store(reinterpret_cast<uint64_t*>(args.codes + row * args.codes_stride + col), codes);
  }
  if (args.saturated == nullptr) return;
  saturated = WarpSum(saturated);
  if (Lane() == 0 && saturated > 0) {
    AtomicAdd(args.saturated, static_cast<uint64_t>(saturated));
  }
}

}  // namespace

void LaunchActivation(Queue queue, const ActivationArgs& args) {
  const bool codes = args.codes.codes != nullptr;
  const bool aligned = RowsLieOn16Bytes(args.x.data, args.x.stride) &&
                       RowsLieOn16Bytes(args.gated.data, args.gated.stride) &&
                       RowsLieOn16Bytes(args.y.data, args.y.stride);
  const size_t held = static_cast<size_t>(PiecesOf(args.x.cols)) * sizeof(Piece<Half>);
  Launch(queue,
         {.blocks = args.x.rows,
          .threads = ThreadsOfRow(args.x.cols),
          .shared_bytes = codes ? kTeamBytes + held : 0},
         ActivateRows, args, aligned);
}

void LaunchAdd(Queue queue, const AddArgs& args) { LaunchAddOf(queue, args); }
void LaunchAdd(Queue queue, const AddFloatArgs& args) { LaunchAddOf(queue, args); }

void LaunchConvert(Queue queue, MatView<const Half> from, MatView<float> to) {
  LaunchConvertOf(queue, from, to);
}
void LaunchConvert(Queue queue, MatView<const float> from, MatView<Half> to) {
  LaunchConvertOf(queue, from, to);
}

void LaunchThroughCodes(Queue queue, const ThroughCodesArgs& args) {
  Launch(queue, {.blocks = args.y.rows, .threads = ThreadsOfRow(args.y.cols)}, RowsThroughCodes,
         args, RowsLieOn16Bytes(args.y.data, args.y.stride));
}

}  // namespace w8a8
