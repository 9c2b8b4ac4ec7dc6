#include "runtime/cuda/block.h"
#include "runtime/cuda/e4m3_kernels.h"
#include "runtime/cuda/row_pieces.h"

namespace w8a8 {
namespace {

W8A8_KERNEL void RowsToE4m3(MatView<const Half> x, PlainCodes to, bool aligned) {
  const int64_t row = BlockIndex();
  E4m3Row(BlockTeam(), row, x.cols, to, [&](int64_t p) {
    const int64_t col = p * kPiece;
    return LoadPiece(x.data + row * x.stride + col, CountAt(col, x.cols), aligned);
  });
}

}  // namespace

void LaunchToE4m3(Queue queue, MatView<const Half> x, const PlainCodes& to) {
  Launch(queue, {.blocks = x.rows, .threads = ThreadsOfRow(x.cols)}, RowsToE4m3, x, to,
         RowsLieOn16Bytes(x.data, x.stride));
}

}  // namespace w8a8
