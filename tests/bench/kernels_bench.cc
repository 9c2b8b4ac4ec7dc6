// The products, attention, the row steps and whole forwards of every usable kernel set, on one
// core. `MACs` counts multiply-accumulates per second, `of_peak` their share of the set's own peak
// measured right after; gemm_groups, gemm_experts and gemm_w8 give `of_dense`: their rate over that
// of gemm_s8 just before. Everything is compared with the scalar set, or with binary64, before it
// is timed: on a few rows of its shape, a forward step by step on a small encoder.
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "eval/bench/forward_check.h"
#include "eval/bench/kernel_bench.h"
#include "eval/bench/made_encoder.h"
#include "eval/bench/peak.h"
#include "eval/bench/steady_forward.h"
#include "eval/bench/step_case.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"
#include "runtime/encoder/graph_costs.h"

namespace w8a8 {
namespace {

struct Shape {
  const char* name;
  int64_t m, n, k;
};

// The linear layers of one block of ViT-Ti/16, base/16, so400m (729 tokens) and InternViT-300M.
constexpr Shape kShapes[] = {{"tiny/qkv", 197, 576, 192},      {"tiny/fc2", 197, 192, 768},
                             {"base/qkv", 196, 2304, 768},     {"base/out", 196, 768, 768},
                             {"base/fc1", 196, 3072, 768},     {"base/fc2", 196, 768, 3072},
                             {"so400m/qkv", 729, 3456, 1152},  {"so400m/out", 729, 1152, 1152},
                             {"so400m/fc1", 729, 4304, 1152},  {"so400m/fc2", 729, 1152, 4304},
                             {"intern/qkv", 1025, 3072, 1024}, {"intern/out", 1025, 1024, 1024},
                             {"intern/fc1", 1025, 4096, 1024}, {"intern/fc2", 1025, 1024, 4096}};

// Those that products by groups are measured on: eight images of base/16, and so400m.
constexpr Shape kGroupShapes[] = {{"base8/out", 1576, 768, 768},
                                  {"base8/qkv", 1576, 2304, 768},
                                  {"base8/fc1", 1576, 3072, 768},
                                  {"so400m/fc1", 729, 4304, 1152}};

// 256 rows for each of eight experts; plain fc1 and fc2.
constexpr Shape kExpertShapes[] = {{"moe/fc1", 2048, 4096, 1024}, {"moe/fc2", 2048, 1024, 4096}};

std::vector<Half> RandomRows(int64_t count) {
  std::vector<Half> rows(static_cast<size_t>(count));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = ToHalf(HashUniform(1, i));
  return rows;
}

QuantizedLinear RandomLayer(const Shape& shape) {
  std::vector<int8_t> codes(static_cast<size_t>(shape.n * shape.k));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(CounterHash(2, i));
  const auto n = static_cast<size_t>(shape.n);
  return QuantizedLinear::FromCodes(shape.name, shape.n, shape.k, std::move(codes),
                                    std::vector<float>(n, 1e-4f), std::vector<float>(n, 0.5f));
}

std::vector<Half> Product(const QuantizedLinear& layer, const Int8Kernels& kernels,
                          MatView<const Half> x) {
  std::vector<Half> y(static_cast<size_t>(x.rows * layer.weight.n));
  CodeRows rows;
  QuantizeRows(kernels, x, {}, &rows);
  Int8Linear(layer, kernels)
      .Multiply(rows, MatView<Half>{y.data(), x.rows, layer.weight.n, layer.weight.n});
  return y;
}

void CountMacs(benchmark::State& state, int64_t macs_of_one, std::string_view peak_name) {
  const double macs = static_cast<double>(macs_of_one * state.iterations());
  state.counters["MACs"] = benchmark::Counter(macs, benchmark::Counter::kIsRate);
  const double peak = PeakMacsPerSecond(peak_name);
  if (peak <= 0) return;
  state.counters["of_peak"] = benchmark::Counter(macs / peak, benchmark::Counter::kIsRate);
}

void GemmS8(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  const QuantizedLinear layer = RandomLayer(shape);
  const MatView<const Half> few = view.RowRange(0, 49);
  W8A8_CHECK(Product(layer, *kernels.int8, few) == Product(layer, *All().back().int8, few));
  const Int8Linear packed(layer, *kernels.int8);
  CodeRows rows;
  QuantizeRows(*kernels.int8, view, {}, &rows);
  std::vector<Half> y(static_cast<size_t>(shape.m * shape.n));
  for (auto _ : state) packed.Multiply(rows, MatView<Half>{y.data(), shape.m, shape.n, shape.n});
  CountMacs(state, shape.m * shape.n * shape.k, PeakOfInt8(kernels));
}

void GemmF16(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const QuantizedLinear layer = RandomLayer(shape);
  CheckGemmF16(kernels, layer);
  CpuBackend backend(kernels);
  StepCase gemm = GemmF16Case(backend, layer, shape.m);
  for (auto _ : state) gemm.Run();
  CountMacs(state, shape.m * shape.n * shape.k, PeakOfHalf(kernels));
}

void AttentionStepOf(benchmark::State& state, const Kernels& kernels, const AttentionShape& shape,
                     AttentionPrecision precision) {
  CheckAttention(kernels, shape, precision);
  CpuBackend backend(kernels);
  StepCase attention = AttentionCase(backend, shape, precision);
  for (auto _ : state) attention.Run();
  CountMacs(state, 2 * shape.tokens * shape.tokens * shape.heads * shape.head_dim,
            PeakOfAttention(kernels, precision));
}

// The steps as programs have them: with the residual before and the codes of what they make.
void RowsStepOf(benchmark::State& state, const Kernels& kernels, const RowOperation& operation,
                int64_t rows, int64_t cols) {
  CheckRows(kernels, operation, cols);
  CpuBackend backend(kernels);
  StepCase step = operation.make(backend, rows, cols);
  for (auto _ : state) step.Run();
  state.SetItemsProcessed(rows * cols * state.iterations());
}

void Forward(benchmark::State& state, const Kernels& kernels, const MadeEncoder& made,
             Precision precision) {
  const Graph graph = BuildGraph(made.config);
  const MadeWeights weights(made.config);
  CpuBackend backend(kernels);
  const ForwardVariant variant{.precision = precision};
  CheckForward(kernels, {&variant, 1});
  const std::vector<LoweredEncoder> lowered = LowerEncoder(graph, weights, backend, {&variant, 1});
  SteadyForward forward(lowered.front(), backend);
  for (auto _ : state) forward.Run();
  int64_t macs = 0;
  for (const Node& node : graph.nodes) macs += MultiplyAdds(graph, node);
  const bool int8 = precision == Precision::kInt8;
  CountMacs(state, macs, int8 ? PeakOfInt8(kernels) : PeakOfHalf(kernels));
}

enum class Grouped { kWeights, kInputs, kBoth, kZeroPoints };
constexpr int64_t kGroup = 128;

WeightCodes CodesByGroup(const QuantizedLinear& dense, Grouped grouped) {
  WeightCodes weight = dense.weight;
  if (grouped == Grouped::kInputs) return weight;
  weight.scale = {Granularity::kGroup, kGroup, {}};
  const auto scales = static_cast<size_t>(weight.n * weight.groups());
  weight.scale.values.assign(scales, 1e-4f);
  if (grouped == Grouped::kZeroPoints) weight.zero_points.assign(scales, 3);
  FinishCodes("weight", weight);
  return weight;
}

// Of the CPU, as the rates of benchmark's counters are.
double SecondsOf(const Int8Linear& linear, const CodeRows& rows, MatView<Half> y) {
  const std::clock_t start = std::clock();
  int64_t times = 0;
  double taken = 0;
  for (; times < 5 || taken < 0.2; ++times) {
    linear.Multiply(rows, y);
    taken = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  }
  return taken / static_cast<double>(times);
}

void OfDense(benchmark::State& state, double dense_seconds) {
  state.counters["of_dense"] = benchmark::Counter(
      dense_seconds * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Rows and layer of one way of grouping.
struct GroupedCase {
  Grouped grouped;
  const QuantizedLinear& dense;

  void Quantize(const Kernels& kernels, MatView<const Half> x, CodeRows* rows) const {
    const bool inputs = grouped == Grouped::kInputs || grouped == Grouped::kBoth;
    const Quantizer by_group{.granularity = Granularity::kGroup, .group_size = kGroup};
    const Quantizer by_row{.symmetric = grouped != Grouped::kZeroPoints};
    QuantizeRows(*kernels.int8, x, {.quantizer = inputs ? by_group : by_row, .group = kGroup},
                 rows);
  }
  Int8Linear Layer(const Kernels& kernels) const {
    return {{"layer", CodesByGroup(dense, grouped), dense.bias}, kGroup, *kernels.int8};
  }
  std::vector<Half> Product(const Kernels& kernels, MatView<const Half> x) const {
    CodeRows rows;
    Quantize(kernels, x, &rows);
    const int64_t n = dense.weight.n;
    std::vector<Half> y(static_cast<size_t>(x.rows * n));
    Layer(kernels).Multiply(rows, MatView<Half>{y.data(), x.rows, n, n});
    return y;
  }
};

template <Grouped kGrouped>
void GemmGroups(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  const QuantizedLinear dense = RandomLayer(shape);
  std::vector<Half> y(static_cast<size_t>(shape.m * shape.n));
  const MatView<Half> out{y.data(), shape.m, shape.n, shape.n};
  CodeRows dense_rows, rows;
  QuantizeRows(*kernels.int8, view, {}, &dense_rows);
  const double dense_seconds = SecondsOf(Int8Linear(dense, *kernels.int8), dense_rows, out);
  const GroupedCase by{kGrouped, dense};
  const MatView<const Half> few = view.RowRange(0, 49);
  W8A8_CHECK(by.Product(kernels, few) == by.Product(All().back(), few));
  by.Quantize(kernels, view, &rows);
  const Int8Linear grouped = by.Layer(kernels);
  for (auto _ : state) grouped.Multiply(rows, out);
  OfDense(state, dense_seconds);
}

// The rows of `kExperts` experts, each with weights of its own, against as many rows of one layer.
// The first of them is compared with the scalar set's before.
constexpr int64_t kExperts = 8;

void GemmExperts(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  std::vector<Half> y(static_cast<size_t>(shape.m * shape.n));
  const MatView<Half> out{y.data(), shape.m, shape.n, shape.n};
  const QuantizedLinear layer = RandomLayer(shape);
  const MatView<const Half> few = view.RowRange(0, 49);
  W8A8_CHECK(Product(layer, *kernels.int8, few) == Product(layer, *All().back().int8, few));
  CodeRows dense_rows;
  QuantizeRows(*kernels.int8, view, {}, &dense_rows);
  const double dense_seconds = SecondsOf(Int8Linear(layer, *kernels.int8), dense_rows, out);
  const int64_t own = shape.m / kExperts;
  std::vector<CodeRows> rows(kExperts);
  std::vector<Int8Linear> experts;
  for (int64_t e = 0; e < kExperts; ++e) {
    QuantizeRows(*kernels.int8, view.RowRange(e * own, own), {}, &rows[static_cast<size_t>(e)]);
    experts.emplace_back(layer, *kernels.int8);
  }
  for (auto _ : state) {
    for (int64_t e = 0; e < kExperts; ++e) {
      const auto i = static_cast<size_t>(e);
      experts[i].Multiply(rows[i], out.RowRange(e * own, own));
    }
  }
  OfDense(state, dense_seconds);
}

void GemmW8(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  std::vector<Half> y(static_cast<size_t>(shape.m * shape.n));
  const MatView<Half> out{y.data(), shape.m, shape.n, shape.n};
  const QuantizedLinear layer = RandomLayer(shape);
  CheckGemmW8(kernels, layer);
  const Int8Linear linear(layer, *kernels.int8);
  CodeRows rows;
  QuantizeRows(*kernels.int8, view, {}, &rows);
  const double dense_seconds = SecondsOf(linear, rows, out);
  ProductScratch scratch;
  for (auto _ : state) linear.MultiplyHalf(view, nullptr, {.y = out}, &scratch);
  OfDense(state, dense_seconds);
  const double macs = static_cast<double>(shape.m * shape.n * shape.k * state.iterations());
  state.counters["MACs"] = benchmark::Counter(macs, benchmark::Counter::kIsRate);
}

void Quantize(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  const auto codes = [&view](const Kernels& set, CodeRows* rows) {
    QuantizeRows(*set.int8, view, {}, rows);
    std::vector<int8_t> unpacked(static_cast<size_t>(view.rows * view.cols));
    UnpackCodes(*set.int8, *rows, {unpacked.data(), view.rows, view.cols, view.cols});
    return std::pair(unpacked, ScalesOf(*rows).values);
  };
  CodeRows rows, expected;
  W8A8_CHECK(codes(kernels, &rows) == codes(All().back(), &expected));
  for (auto _ : state) QuantizeRows(*kernels.int8, view, {}, &rows);
  state.SetItemsProcessed(shape.m * shape.k * state.iterations());
}

// `run` writes the rows of one set.
template <class Run>
void RowKernel(benchmark::State& state, const Kernels& kernels, Shape shape, const Run& run) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  std::vector<Half> y(x.size()), expected(x.size());
  run(kernels, x.data(), y.data());
  run(All().back(), x.data(), expected.data());
  W8A8_CHECK(y == expected);
  for (auto _ : state) run(kernels, x.data(), y.data());
  state.SetItemsProcessed(shape.m * shape.k * state.iterations());
}

void LayerNorm(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<float> ones(static_cast<size_t>(shape.k), 1.0f);
  RowKernel(state, kernels, shape, [&](const Kernels& set, const Half* x, Half* y) {
    set.rows->layer_norm(
        {x, shape.k, shape.m, shape.k, 1e-6f, ones.data(), ones.data(), y, shape.k});
  });
}

void GeluTanh(benchmark::State& state, const Kernels& kernels, Shape shape) {
  RowKernel(state, kernels, shape, [&](const Kernels& set, const Half* x, Half* y) {
    set.rows->gelu_tanh({x, shape.k, shape.m, shape.k, y, shape.k});
  });
}

using ShapeBody = void (*)(benchmark::State&, const Kernels&, Shape);

void Register(const char* step, ShapeBody body, const Kernels& kernels, const Shape& shape) {
  const std::string name = fmt::format("{}/{}/{}", step, kernels.name, shape.name);
  benchmark::RegisterBenchmark(name.c_str(), body, kernels, shape)->Unit(benchmark::kMillisecond);
}

void RegisterForwards(const Kernels& kernels) {
  constexpr int64_t kBlocks = 2;  // of so400m's 27
  for (const MadeEncoder& made : MadeEncoders(kBlocks)) {
    for (const Precision precision : {Precision::kFp16, Precision::kInt8}) {
      const std::string name =
          fmt::format("forward_{}/{}/{}", NameOf(precision), kernels.name, made.config.name);
      benchmark::RegisterBenchmark(name.c_str(), [&kernels, made, precision](auto& state) {
        Forward(state, kernels, made, precision);
      })->Unit(benchmark::kMillisecond);
    }
  }
}

void RegisterAttention(const Kernels& kernels) {
  for (const AttentionShape& shape : StandardAttention()) {
    for (const AttentionPrecision precision :
         {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
      const std::string name =
          fmt::format("attention_{}/{}/{}", NameOf(precision), kernels.name, shape.where);
      benchmark::RegisterBenchmark(name.c_str(), [&kernels, shape, precision](auto& state) {
        AttentionStepOf(state, kernels, shape, precision);
      })->Unit(benchmark::kMillisecond);
    }
  }
}

// On so400m's rows.
void RegisterRows(const Kernels& kernels) {
  for (const RowOperation& operation : RowOperations()) {
    const int64_t rows = 729, cols = operation.on_hidden_rows ? 4304 : 1152;
    const std::string name = fmt::format("{}/{}/{}x{}", operation.name, kernels.name, rows, cols);
    benchmark::RegisterBenchmark(name.c_str(), [&kernels, operation, rows, cols](auto& state) {
      RowsStepOf(state, kernels, operation, rows, cols);
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace w8a8

int main(int argc, char** argv) {
  using namespace w8a8;
  benchmark::Initialize(&argc, argv);
  for (const Kernels& kernels : All()) {
    if (!kernels.supported()) {
      fmt::print(stderr, "{} is not measured: {}\n", kernels.name, kernels.unusable_reason());
      continue;
    }
    for (const Shape& shape : kShapes) {
      Register("gemm_s8", GemmS8, kernels, shape);
      Register("gemm_f16", GemmF16, kernels, shape);
    }
    RegisterForwards(kernels);
    RegisterAttention(kernels);
    RegisterRows(kernels);
    for (const Shape& shape : kGroupShapes) {
      Register("gemm_groups_weights", GemmGroups<Grouped::kWeights>, kernels, shape);
      Register("gemm_groups_inputs", GemmGroups<Grouped::kInputs>, kernels, shape);
      Register("gemm_groups_both", GemmGroups<Grouped::kBoth>, kernels, shape);
      Register("gemm_groups_zero_points", GemmGroups<Grouped::kZeroPoints>, kernels, shape);
      Register("gemm_w8", GemmW8, kernels, shape);
    }
    for (const Shape& shape : kExpertShapes) {
      Register("gemm_experts", GemmExperts, kernels, shape);
    }
    const Shape rows = {"729x1152", 729, 0, 1152};
    Register("quantize_rows", Quantize, kernels, rows);
    Register("layer_norm", LayerNorm, kernels, rows);
    Register("gelu_tanh", GeluTanh, kernels, rows);
  }
  benchmark::RunSpecifiedBenchmarks();
}
