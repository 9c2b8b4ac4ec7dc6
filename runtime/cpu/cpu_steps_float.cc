// The float steps of CpuArena: one image at a time, so that no result depends on the batch.
#include <algorithm>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/float_scratch.h"
#include "runtime/cpu/scalar_attention.h"

namespace w8a8 {
namespace {

void Store(const HalfConversions& half, std::span<const float> from, std::span<Half> to) {
  Narrow(half, from, to);
}
void Store(const HalfConversions&, std::span<const float> from, std::span<float> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

void AddTo(std::span<float> row, const float* addend) {
  for (size_t i = 0; i < row.size(); ++i) row[i] += addend[i];
}

// Of the emulated arm the kernel that defines the bits, so that equality with the set's proves
// something. Products of floats are bounded only: there every arm runs the set's.
const AttentionKernel& KernelOf(const AttentionStep& step, const FloatKernels& floats) {
  const bool defined = step.precision == AttentionPrecision::kInt8;
  if (defined && step.emulated) return kScalarInt8Attention;
  return *floats.attention[static_cast<size_t>(step.precision)];
}

// One patch of a [channels, height * width] image in the order (channel, y, x).
void GatherPatch(const EmbedStep& step, MatView<const float> image, int64_t patch_index,
                 float* values) {
  const int64_t grid_cols = step.image_width / step.patch;
  const int64_t first = patch_index / grid_cols * step.patch * step.image_width +
                        patch_index % grid_cols * step.patch;
  for (int64_t channel = 0; channel < step.channels; ++channel) {
    for (int64_t y = 0; y < step.patch; ++y) {
      values = std::copy_n(image.row(channel) + first + y * step.image_width, step.patch, values);
    }
  }
}

}  // namespace

void CpuArena::Do(const EmbedStep& any_step) {
  const EmbedStep step = AtGrid(any_step, inputs().grid);
  for (int64_t image = 0; image < inputs().images; ++image) {
    const MatView<const float> pixels = floats(step.pixels, image);
    if (slot(step.out).storage == SlotStorage::kFloat) {
      EmbedImage(step, pixels, floats(step.out, image));
    } else {
      EmbedImage(step, pixels, half(step.out, image));
    }
  }
}

// Pixels are operands of a float product and enter it as FP16 like every other; bias and position
// are added in binary32 before the one rounding, if any.
template <class T>
void CpuArena::EmbedImage(const EmbedStep& step, MatView<const float> pixels, MatView<T> out) {
  const int64_t patches = (step.image_height / step.patch) * (step.image_width / step.patch);
  const int64_t k = step.channels * step.patch * step.patch;
  const MatView<Half> x{patches_.Reserve(patches * k), patches, k, k};
  const MatView<float> values = Room(1, k, &x_);
  for (int64_t p = 0; p < patches; ++p) {
    GatherPatch(step, pixels, p, values.data);
    Narrow(kernels_.rows->half, values.row_span(0), x.row_span(p));
  }
  const float* position = step.position->data();
  const MatView<float> product = Room(patches, out.cols, &product_);
  MultiplyFloats<Half>(PackedAs<PackedFloats>(*step.patch_weight), x, DataOrNull(step.patch_bias),
                       product);
  if (DataOrNull(step.prefix) != nullptr) {
    const int64_t count = static_cast<int64_t>(step.prefix->size()) / out.cols;
    const MatView<float> tokens = Room(count, out.cols, &x_);
    std::copy(step.prefix->begin(), step.prefix->end(), tokens.data);
    for (int64_t row = 0; row < count; ++row, position += out.cols) {
      AddTo(tokens.row_span(row), position);
      Store(kernels_.rows->half, tokens.row_span(row), out.row_span(row));
    }
    out = out.RowRange(count, patches);
  }
  W8A8_CHECK(out.rows == patches);
  for (int64_t p = 0; p < patches; ++p) {
    AddTo(product.row_span(p), position + p * out.cols);
    Store(kernels_.rows->half, product.row_span(p), out.row_span(p));
  }
}

StepResult CpuArena::Do(const AttentionStep& step, const Wanted& wanted) {
  const int64_t scores = step.heads * slot(step.q).rows;
  StepResult result;
  if (wanted.attention) {
    result.attention = Matrix<float>(inputs().images * scores, slot(step.kv).rows);
  }
  MatView<float> probabilities = result.attention.view();
  for (int64_t image = 0; image < inputs().images; ++image) {
    if (wanted.attention) probabilities = result.attention.view().RowRange(image * scores, scores);
    InPieces(step.heads, 1, [&](int64_t first, int64_t count, Scratch& scratch) {
      AttendHeads(step, image, first, count, probabilities, &scratch.attention);
    });
  }
  return result;
}

// `probabilities` are those of all heads of the image, or none.
void CpuArena::AttendHeads(const AttentionStep& step, int64_t image, int64_t first, int64_t count,
                           MatView<float> probabilities, AttentionScratch* scratch) const {
  const MatView<Half> q = half(step.q, image), kv = half(step.kv, image);
  const int64_t width = count * step.head_dim, col = first * step.head_dim;
  std::span<const uint8_t> key_mask = inputs().key_mask;
  if (!key_mask.empty()) {
    key_mask = key_mask.subspan(static_cast<size_t>(image * kv.rows), static_cast<size_t>(kv.rows));
  }
  if (probabilities.rows > 0) {
    probabilities = probabilities.RowRange(first * q.rows, count * q.rows);
  }
  RunAttention(KernelOf(step, *kernels_.floats),
               {.q = q.ColRange(step.q_col + col, width),
                .k = kv.ColRange(step.k_col + col, width),
                .v = kv.ColRange(step.v_col + col, width),
                .out = half(step.out, image).ColRange(col, width),
                .heads = count,
                .head_dim = step.head_dim,
                .key_mask = key_mask,
                .probabilities = probabilities},
               scratch);
}

void CpuArena::Do(const BroadcastStep& step) {
  const MatView<Half> out = half(step.out);
  for (int64_t row = 0; row < out.rows; ++row) {
    Narrow(kernels_.rows->half, *step.row, out.row_span(row));
  }
}

void CpuArena::Do(const SelectRowStep& step) {
  for (int64_t image = 0; image < inputs().images; ++image) {
    const MatView<Half> in = half(step.in, image);
    std::copy_n(in.row(step.row), in.cols, half(step.out, image).data);
  }
}

void CpuArena::Do(const MeanRowsStep& step) {
  for (int64_t image = 0; image < inputs().images; ++image) {
    const MatView<Half> in = half(step.in, image);
    const MatView<float> sum = Room(1, in.cols, &product_);
    std::fill_n(sum.data, in.cols, 0.0f);
    for (int64_t row = step.first_row; row < in.rows; ++row) {
      const MatView<float> values = Widen(kernels_.rows->half, in.RowRange(row, 1), &x_);
      AddTo(sum.row_span(0), values.data);
    }
    const auto count = static_cast<float>(in.rows - step.first_row);
    for (float& value : sum.row_span(0)) value /= count;
    Narrow(kernels_.rows->half, sum.row_span(0), half(step.out, image).row_span(0));
  }
}

// The sum of two FP16 values needs one rounding in binary32 at most, halving it none.
void CpuArena::Do(const AverageStep& step) {
  const MatView<Half> a = half(step.a);
  const MatView<Half> b = half(step.b);
  const MatView<Half> out = half(step.out);
  for (int64_t row = 0; row < out.rows; ++row) {
    for (int64_t col = 0; col < out.cols; ++col) {
      const float sum = ToFloat(a.row(row)[col]) + ToFloat(b.row(row)[col]);
      out.row(row)[col] = ToHalf(sum * 0.5f);
    }
  }
}

void CpuArena::Do(const ConcatStep& step) {
  const MatView<Half> a = half(step.a);
  const MatView<Half> b = half(step.b);
  const MatView<Half> out = half(step.out);
  for (int64_t row = 0; row < out.rows; ++row) {
    std::copy_n(b.row(row), b.cols, std::copy_n(a.row(row), a.cols, out.row(row)));
  }
}

void CpuArena::Do(const TanhStep& step) {
  const MatView<Half> in = half(step.in);
  const MatView<Half> out = half(step.out);
  for (int64_t row = 0; row < out.rows; ++row) {
    for (int64_t col = 0; col < out.cols; ++col) {
      const double value = std::tanh(double{ToFloat(in.row(row)[col])});
      out.row(row)[col] = ToHalf(static_cast<float>(value));
    }
  }
}

}  // namespace w8a8
