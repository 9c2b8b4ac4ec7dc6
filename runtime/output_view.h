// Where a product writes its results: rows of FP16, BF16 or FP32 values.
#pragma once

#include <cstdint>

#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"

namespace w8a8 {

enum class OutputType : uint8_t { kHalf, kBFloat16, kFloat };

// A caller's FP16, BF16 or FP32 matrix to write to; implicit from the three views.
struct OutputView {
  OutputView(MatView<Half> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kHalf), rows(y.rows), cols(y.cols), stride(y.stride) {}
  OutputView(MatView<BFloat16> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kBFloat16), rows(y.rows), cols(y.cols), stride(y.stride) {}
  OutputView(MatView<float> y)  // NOLINT(google-explicit-constructor)
      : data(y.data), type(OutputType::kFloat), rows(y.rows), cols(y.cols), stride(y.stride) {}

  void* data;
  OutputType type;
  int64_t rows, cols, stride;
};

}  // namespace w8a8
