// oneDNN's products on the same shapes: what a kernel set is compared with, in the same turns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "quant/quantized_linear.h"

namespace w8a8 {

std::string OneDnnVersion();

// INT8 rows times INT8 weights on the calling thread, the weights in the layout that oneDNN asks
// for.
class OneDnnInt8 {
 public:
  // Of `rows` rows of made codes.
  OneDnnInt8(const QuantizedLinear& layer, int64_t rows);
  ~OneDnnInt8();

  // y = float(acc) * scale of the column + bias, FP32: no scales of rows.
  void RunPartial();
  // The practical way to the whole function: float(acc) * scale of the column in FP32, then rows in
  // cache: times the row's scale, plus bias, to FP16. A row's scale as a post-op, or FP16 output,
  // makes oneDNN take its reference code. Where WholeIsUsable().
  void RunWhole();
  static bool WholeIsUsable();  // its pass over the rows is compiled for AVX2

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Binary32 rows times binary32 weights [n, k], strict.
class OneDnnFloat {
 public:
  OneDnnFloat(int64_t rows, int64_t n, int64_t k);
  ~OneDnnFloat();
  void Run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace w8a8
