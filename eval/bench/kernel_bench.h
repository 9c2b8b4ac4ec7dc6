// Every operation of a forward by itself, on every kernel set that is asked for: time, share of the
// peak measured right after it, and oneDNN in the same turns.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/bench/bench_report.h"
#include "eval/bench/sampling.h"
#include "eval/bench/step_case.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

struct KernelSettings {
  std::vector<const Kernels*> sets;
  std::vector<GemmShape> shapes;
  std::vector<AttentionShape> attention;
  SampleBudget budget;
  std::function<void(const std::string&)> say;  // what is measured next
};

// Each operation is compared with the scalar set's, or with binary64, on a few rows before it is
// timed; a wrong one ends the run (W8A8_CHECK).
std::vector<KernelResult> MeasureKernels(const KernelSettings& settings);

// Such comparisons by themselves. INT8 products and steps on rows, whose bits are defined, are
// equal to the scalar set's.
void CheckGemmS8(const Kernels& set, const QuantizedLinear& layer);
void CheckGemmF16(const Kernels& set, const QuantizedLinear& layer);
void CheckGemmW8(const Kernels& set, const QuantizedLinear& layer);
void CheckAttention(const Kernels& set, const AttentionShape& shape, AttentionPrecision precision);
void CheckRows(const Kernels& set, const RowOperation& operation, int64_t cols);

// What a float operation may be off by, beside half a unit of FP16, as a part of its terms'
// magnitudes. Of binary32 2^-12, which sums of any order of some thousand terms stay below (2^-24 *
// K is their worst case); else what operands of 8 bits of mantissa, or codes of 127 steps, may make
// of values in [-1, 1) under weights that sum to 1: far less than a wrong index does.
double ErrorPartOf(AttentionPrecision precision);

}  // namespace w8a8
