// gemm_s8, quantize_rows and the row steps of every usable kernel set, on one core. `MACs` counts
// multiply-accumulates per second, `of_peak` their share of the vpdpbusd peak measured just before.
// Every product is compared with the scalar set's before it is timed.
#include <cmath>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"
#include "tests/bench/peak.h"

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

void GemmS8(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  const MatView<const Half> view{x.data(), shape.m, shape.k, shape.k};
  const QuantizedLinear layer = RandomLayer(shape);
  const MatView<const Half> few = view.RowRange(0, 13);
  W8A8_CHECK(Product(layer, *kernels.int8, few) == Product(layer, *All().back().int8, few));
  const Int8Linear packed(layer, *kernels.int8);
  CodeRows rows;
  QuantizeRows(*kernels.int8, view, {}, &rows);
  std::vector<Half> y(static_cast<size_t>(shape.m * shape.n));
  const double peak = VnniPeakMacsPerSecond();
  for (auto _ : state) packed.Multiply(rows, MatView<Half>{y.data(), shape.m, shape.n, shape.n});
  const double macs = static_cast<double>(shape.m * shape.n * shape.k * state.iterations());
  state.counters["MACs"] = benchmark::Counter(macs, benchmark::Counter::kIsRate);
  if (peak > 0) {
    state.counters["of_peak"] = benchmark::Counter(macs / peak, benchmark::Counter::kIsRate);
  }
}

void Quantize(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  CodeRows rows;
  for (auto _ : state) {
    QuantizeRows(*kernels.int8, {x.data(), shape.m, shape.k, shape.k}, {}, &rows);
  }
  state.SetItemsProcessed(shape.m * shape.k * state.iterations());
}

void LayerNorm(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  std::vector<Half> y(x.size());
  const std::vector<float> ones(static_cast<size_t>(shape.k), 1.0f);
  for (auto _ : state) {
    kernels.rows->layer_norm(
        {x.data(), shape.k, shape.m, shape.k, 1e-6f, ones.data(), ones.data(), y.data(), shape.k});
  }
  state.SetItemsProcessed(shape.m * shape.k * state.iterations());
}

void GeluTanh(benchmark::State& state, const Kernels& kernels, Shape shape) {
  const std::vector<Half> x = RandomRows(shape.m * shape.k);
  std::vector<Half> y(x.size());
  for (auto _ : state) {
    kernels.rows->gelu_tanh({x.data(), shape.k, shape.m, shape.k, y.data(), shape.k});
  }
  state.SetItemsProcessed(shape.m * shape.k * state.iterations());
}

using Body = void (*)(benchmark::State&, const Kernels&, Shape);

void Register(const char* step, Body body, const Kernels& kernels, const Shape& shape) {
  const std::string name = fmt::format("{}/{}/{}", step, kernels.name, shape.name);
  benchmark::RegisterBenchmark(name.c_str(), body, kernels, shape)->Unit(benchmark::kMillisecond);
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
    for (const Shape& shape : kShapes) Register("gemm_s8", GemmS8, kernels, shape);
    const Shape rows = {"729x1152", 729, 0, 1152};
    Register("quantize", Quantize, kernels, rows);
    Register("layer_norm", LayerNorm, kernels, rows);
    Register("gelu_tanh", GeluTanh, kernels, rows);
  }
  benchmark::RunSpecifiedBenchmarks();
}
