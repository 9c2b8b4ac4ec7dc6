#include "eval/bench/kernel_bench.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include <fmt/core.h>

#include "eval/bench/onednn_baseline.h"
#include "eval/bench/peak.h"

namespace w8a8 {
namespace {

// The readable set is two hundred times slower; its figures are of as many rows.
constexpr int64_t kScalarRows = 32;

// Float products have no tile that so many rows would change, and four times the time.
constexpr int64_t kMostFloatRows = 2048;

GemmShape FewRows(const Kernels& set, GemmShape shape) {
  if (&set == &All().back()) shape.m = std::min(shape.m, kScalarRows);
  return shape;
}

KernelResult ResultOf(const char* op, const Kernels& set, const GemmShape& shape) {
  return {.op = op,
          .isa = std::string(set.name),
          .where = shape.where,
          .m = shape.m,
          .n = shape.n,
          .k = shape.k,
          .peak = {}};
}

// Times the first body, which does `macs`, and the peak right after it, in turns with the others.
std::vector<FollowedSamples> Measure(std::vector<Body> bodies, double macs,
                                     std::string_view peak_name, const SampleBudget& budget,
                                     KernelResult& result) {
  const PeakProbe peak(peak_name);
  std::vector<FollowedBody> turn{peak.After(std::move(bodies.front()))};
  for (size_t i = 1; i < bodies.size(); ++i) turn.push_back({std::move(bodies[i])});
  std::vector<FollowedSamples> samples = SampleFollowed(turn, budget);
  const FollowedSamples& own = samples.front();
  const double seconds = Median(own.body);
  result.ms = 1e3 * seconds;
  result.macs_per_second = macs / seconds;
  if (!peak.usable()) return samples;
  result.peak = peak_name;
  result.share_of_peak = macs / peak.macs() * MedianRatio(own.then, own.body);
  return samples;
}

double MacsOf(const GemmShape& shape) { return static_cast<double>(shape.m * shape.n * shape.k); }

KernelResult MeasureGemmS8(const Kernels& set, const GemmShape& full, const QuantizedLinear& layer,
                           OneDnnInt8& onednn, const SampleBudget& budget) {
  const GemmShape shape = FewRows(set, full);
  CheckGemmS8(set, layer);
  CpuBackend backend(set);
  StepCase gemm = GemmS8Case(backend, layer, shape.m);
  std::vector<Body> bodies{[&] { gemm.Run(); }};
  const bool compared = shape.m == full.m;
  if (compared) bodies.emplace_back([&] { onednn.RunPartial(); });
  const bool whole = compared && OneDnnInt8::WholeIsUsable();
  if (whole) bodies.emplace_back([&] { onednn.RunWhole(); });
  KernelResult result = ResultOf("gemm_s8", set, shape);
  const auto samples = Measure(std::move(bodies), MacsOf(shape), PeakOfInt8(set), budget, result);
  if (compared) {
    result.times_faster_than_onednn_partial = MedianRatio(samples[1].body, samples[0].body);
  }
  if (whole) result.times_faster_than_onednn = MedianRatio(samples[2].body, samples[0].body);
  return result;
}

KernelResult MeasureGemmF16(const Kernels& set, const GemmShape& full, const QuantizedLinear& layer,
                            const SampleBudget& budget) {
  const GemmShape shape = FewRows(set, full);
  CheckGemmF16(set, layer);
  CpuBackend backend(set);
  StepCase gemm = GemmF16Case(backend, layer, shape.m);
  OneDnnFloat onednn(shape.m, shape.n, shape.k);
  KernelResult result = ResultOf("gemm_f16", set, shape);
  const auto samples = Measure({[&] { gemm.Run(); }, [&] { onednn.Run(); }}, MacsOf(shape),
                               PeakOfHalf(set), budget, result);
  result.times_faster_than_onednn = MedianRatio(samples[1].body, samples[0].body);
  return result;
}

KernelResult MeasureAttention(const Kernels& set, const AttentionShape& shape,
                              AttentionPrecision precision, const SampleBudget& budget) {
  CheckAttention(set, shape, precision);
  CpuBackend backend(set);
  StepCase attention = AttentionCase(backend, shape, precision);
  const std::string name = fmt::format("attention_{}", NameOf(precision));
  KernelResult result =
      ResultOf(name.c_str(), set, {shape.where, shape.tokens, shape.tokens, shape.head_dim});
  result.heads = shape.heads;
  const int64_t macs = 2 * shape.tokens * shape.tokens * shape.heads * shape.head_dim;
  Measure({[&] { attention.Run(); }}, static_cast<double>(macs), PeakOfAttention(set, precision),
          budget, result);
  return result;
}

KernelResult MeasureRows(const Kernels& set, const RowOperation& operation, const GemmShape& shape,
                         const SampleBudget& budget) {
  CheckRows(set, operation, shape.k);
  CpuBackend backend(set);
  StepCase rows = operation.make(backend, shape.m, shape.k);
  const std::array<Body, 1> bodies{[&] { rows.Run(); }};
  KernelResult result = ResultOf(operation.name.c_str(), set, {shape.where, shape.m, 0, shape.k});
  result.ms = 1e3 * Median(SampleInTurn(bodies, budget)[0]);
  return result;
}

void MeasureProducts(const KernelSettings& settings, std::vector<KernelResult>& results) {
  for (const GemmShape& shape : settings.shapes) {
    settings.say(fmt::format("{} ({} x {} x {})", shape.where, shape.m, shape.n, shape.k));
    const QuantizedLinear layer = MadeLayer(shape);
    OneDnnInt8 onednn(layer, shape.m);
    for (const Kernels* set : settings.sets) {
      results.push_back(MeasureGemmS8(*set, shape, layer, onednn, settings.budget));
      if (shape.m > kMostFloatRows) continue;
      results.push_back(MeasureGemmF16(*set, shape, layer, settings.budget));
    }
  }
}

// On the inputs of the products: qkv reads rows of the model's width, fc2 hidden ones.
void MeasureRowOperations(const KernelSettings& settings, std::vector<KernelResult>& results) {
  std::vector<std::pair<int64_t, int64_t>> seen;
  for (const GemmShape& shape : settings.shapes) {
    if (std::ranges::find(seen, std::pair(shape.m, shape.k)) != seen.end()) continue;
    seen.emplace_back(shape.m, shape.k);
    settings.say(fmt::format("steps on {} rows of {}", shape.m, shape.k));
    for (const Kernels* set : settings.sets) {
      for (const RowOperation& operation : RowOperations()) {
        if (operation.on_hidden_rows != (shape.n < shape.k)) continue;
        results.push_back(MeasureRows(*set, operation, FewRows(*set, shape), settings.budget));
      }
    }
  }
}

// Operation by operation, and in each set by set, as each first came.
std::vector<KernelResult> ByOperation(const std::vector<KernelResult>& results) {
  std::vector<std::string> operations, sets;
  for (const KernelResult& result : results) {
    if (std::ranges::find(operations, result.op) == operations.end()) {
      operations.push_back(result.op);
    }
    if (std::ranges::find(sets, result.isa) == sets.end()) sets.push_back(result.isa);
  }
  std::vector<KernelResult> sorted;
  for (const std::string& operation : operations) {
    for (const std::string& set : sets) {
      std::ranges::copy_if(results, std::back_inserter(sorted), [&](const KernelResult& result) {
        return result.op == operation && result.isa == set;
      });
    }
  }
  return sorted;
}

}  // namespace

std::vector<KernelResult> MeasureKernels(const KernelSettings& settings) {
  std::vector<KernelResult> results;
  MeasureProducts(settings, results);
  MeasureRowOperations(settings, results);
  for (const AttentionShape& shape : settings.attention) {
    settings.say(fmt::format("attention of {} ({} tokens, {} heads of {})", shape.where,
                             shape.tokens, shape.heads, shape.head_dim));
    for (const Kernels* set : settings.sets) {
      for (const AttentionPrecision precision :
           {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
        results.push_back(MeasureAttention(*set, shape, precision, settings.budget));
      }
    }
  }
  return ByOperation(results);
}

}  // namespace w8a8
