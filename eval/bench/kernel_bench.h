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

// Each product is compared with the scalar set's, or with binary64, on a few rows before it is
// timed; a wrong one ends the run (W8A8_CHECK).
std::vector<KernelResult> MeasureKernels(const KernelSettings& settings);

// Such comparisons by themselves.
void CheckGemmS8(const Kernels& set, const QuantizedLinear& layer);
void CheckGemmF16(const Kernels& set, const QuantizedLinear& layer);
void CheckAttention(const Kernels& set, const AttentionShape& shape, AttentionPrecision precision);

}  // namespace w8a8
