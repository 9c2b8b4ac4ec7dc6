#include "eval/export/unstacked_experts.h"

#include <cstddef>
#include <cstring>
#include <span>

#include "runtime/encoder/layout.h"

namespace w8a8 {
namespace {

using Bytes = std::span<const std::byte>;

// One expert's part of a tensor of all: a matrix of so many rows, or a bias, in whole elements.
struct ExpertRows {
  Bytes bytes;
  size_t rows = 0;
  size_t columns = 0;
  size_t element_bytes = 0;
};

ExpertRows RowsOf(const TensorView& stack, const StoredTensor& part) {
  const auto size = static_cast<size_t>(DtypeBits(stack.dtype) / 8);
  const auto rows = static_cast<size_t>(part.rows);
  const auto experts = static_cast<size_t>(stack.shape.front());
  const size_t columns = stack.bytes.size() / size / experts / rows;
  const size_t row_bytes = columns * size;
  return {stack.bytes.subspan(static_cast<size_t>(part.first_row) * row_bytes, rows * row_bytes),
          rows, columns, size};
}

ExpertRows SomeRows(ExpertRows all, size_t first, size_t count) {
  const size_t row_bytes = all.columns * all.element_bytes;
  all.bytes = all.bytes.subspan(first * row_bytes, count * row_bytes);
  all.rows = count;
  return all;
}

// Columns [first, first + count), each as a row.
std::vector<std::byte> ColumnsAsRows(const ExpertRows& matrix, size_t first, size_t count) {
  const size_t size = matrix.element_bytes;
  std::vector<std::byte> turned(count * matrix.rows * size);
  for (size_t c = 0; c < count; ++c) {
    for (size_t r = 0; r < matrix.rows; ++r) {
      std::memcpy(turned.data() + (c * matrix.rows + r) * size,
                  matrix.bytes.data() + (r * matrix.columns + first + c) * size, size);
    }
  }
  return turned;
}

// Rows [first, first + count) of the layer.
SafetensorsWriter::Source SourceOf(const ExpertRows& stored, bool transposed, size_t first,
                                   size_t count) {
  if (!transposed) {
    return [rows = SomeRows(stored, first, count)](const SafetensorsWriter::Append& append) {
      append(rows.bytes);
      ReleasePages(rows.bytes);
    };
  }
  return [stored, first, count](const SafetensorsWriter::Append& append) {
    append(ColumnsAsRows(stored, first, count));
    ReleasePages(stored.bytes);
  };
}

}  // namespace

std::vector<UnstackedTensor> UnstackExperts(
    const EncoderConfig& config, const std::string& prefix,
    const std::function<const TensorView&(const std::string&)>& find) {
  std::vector<UnstackedTensor> tensors;
  const auto add = [&](const LinearLayout& linear, const StoredTensor& stored, const char* part) {
    const TensorView& stack = find(FullKey(prefix, stored.key));
    const int64_t rows = linear.n / std::ssize(linear.alone);
    int64_t first = 0;
    for (const std::string& module : linear.alone) {
      tensors.push_back(
          {.site = linear.stem,
           .stack = stack.name,
           .module = FullKey(prefix, module),
           .part = part,
           .dtype = stack.dtype,
           .shape = stack.shape.size() == 3 ? std::vector{rows, linear.k} : std::vector{rows},
           .source = SourceOf(RowsOf(stack, stored), stored.transposed, static_cast<size_t>(first),
                              static_cast<size_t>(rows))});
      first += rows;
    }
  };
  for (const LinearLayout& linear : LayoutOf(config).linears) {
    if (linear.alone.empty()) continue;
    for (const StoredTensor& weight : linear.weights) add(linear, weight, ".weight");
    for (const StoredTensor& bias : linear.biases) add(linear, bias, ".bias");
  }
  return tensors;
}

}  // namespace w8a8
