// cuda_bench FOLDER [SECONDS]: what the kernels take on the first GPU, by its own clock: the median
// of runs on bell-shaped random data behind a cleared cache. Products are first compared with the
// CPU's sums in some outputs and with the kernels for every GPU in all, norms with the CPU's bits;
// figures of what nobody compares say so. They go to FOLDER/cuda_bench.json and, last, to stdout as
// a table. Exit 0: each case has one; 3: only those have none that need what this machine lacks; 1:
// others, or there is no GPU.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/row_kernels.h"
#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cuda_error.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/cudnn_attention.h"
#include "runtime/cuda/norm_kernels.h"
#include "runtime/cuda/wgmma_product.h"
#include "tests/cuda/bench_data.h"
#include "tests/cuda/bench_measure.h"
#include "tests/cuda/bench_problem.h"
#include "tests/cuda/bench_runs.h"
#include "tests/cuda/bench_sample.h"

namespace w8a8::bench {
namespace {

constexpr int kCaseSeconds = 10;  // with what starts the device, in a fresh process
constexpr int kDeviceSeconds = 40;

void Need(const std::string& why_not) {
  if (!why_not.empty()) throw Missing(why_not);
}

// ---- products ----

void MeasureTiles(const Shape& shape, WgmmaTiles tiles, Figure& figure) {
  Need(WgmmaUnavailable(0));
  Int8Problem& problem = ProblemOf(shape);
  WgmmaProduct product{.x = problem.x.data(),
                       .x_stride = shape.k,
                       .w = problem.weight.data(),
                       .w_stride = shape.k,
                       .epilogue = WgmmaEpilogue::kHalf,
                       .outputs = {}};
  product.outputs.m = static_cast<int32_t>(shape.m);
  product.outputs.n = static_cast<int32_t>(shape.n);
  product.outputs.k = static_cast<int32_t>(shape.k);
  product.outputs.scale_x = problem.scale_x.data();
  product.outputs.scale_w = problem.scale_w.data();
  product.outputs.bias = problem.bias.data();
  product.outputs.out = problem.y.data();
  product.outputs.out_stride = shape.n * 2;
  if (const std::string refused = WgmmaRefuses(product); !refused.empty()) Fail("{}", refused);
  const auto run = [&] { LaunchWgmmaProduct(nullptr, product, tiles); };
  problem.Check(problem.ArgsOf(ProductOutput::kHalf), run, figure);
  Set(figure, MedianSeconds(run), shape.Operations(), "TOPS");
  const WgmmaTiles chosen = ChooseTiles(WgmmaEpilogue::kHalf, product.outputs.m, product.outputs.n,
                                        product.outputs.k, MultiprocessorsOf(0));
  if (chosen == tiles) figure.name += " (ChooseTiles)";
}

// With what stands behind the product in the same step: y is the stream, or codes of GELU.
void MeasureSet(const Shape& shape, const CudaKernels& kernels, ProductOutput output,
                Figure& figure) {
  Need(kernels.unusable_reason(0));
  Int8Problem& problem = ProblemOf(shape);
  const std::unique_ptr<CudaProducts> products = kernels.make(0);
  const ProductArgs args = problem.ArgsOf(output);
  const auto run = [&] {
    if (products == nullptr) return LaunchProduct(nullptr, args);
    if (!products->Product(nullptr, args)) Fail("the set does not take the product");
  };
  problem.Check(args, run, figure);
  Set(figure, MedianSeconds(run), shape.Operations(), "TOPS");
}

FloatProductArgs FloatArgs(const Shape& s, const DeviceMemory<Half>& x, const DeviceMemory<Half>& w,
                           const DeviceMemory<Half>& y) {
  return {.m = s.m,
          .n = s.n,
          .k = s.k,
          .x = x.data(),
          .x_stride = s.k,
          .weight = w.data(),
          .weight_stride = s.k,
          .bias = nullptr,
          .half = y.data(),
          .floats = nullptr,
          .y_stride = s.n};
}

// How operands are made whose sums are the same in every order: as codes, and as a kernel takes
// them.
template <class T>
struct ExactOperands {
  int8_t (*code)(int32_t, float);
  Half (*half)(int32_t, float);
  T (*operand)(int32_t, float);
};
constexpr ExactOperands<Half> kExactHalves{ExactCode, Exact, Exact};
constexpr ExactOperands<uint8_t> kExactFp8{SignCode, SignHalf, SignE4m3};

// By the kernel for every GPU.
std::vector<Half> FloatOutputs(const Shape& shape, Half (*make)(int32_t, float)) {
  const auto x = OnDevice(BellShaped<Half>(shape.m * shape.k, 1, make));
  const auto weight = OnDevice(BellShaped<Half>(shape.n * shape.k, 2, make));
  DeviceMemory<Half> y;
  y.Reserve(shape.m * shape.n);
  LaunchFloatProduct(nullptr, FloatArgs(shape, x, weight, y));
  return y.ToHost(nullptr, shape.m * shape.n);
}

// Throws unless the sampled ones of y are the CPU's and all are those of that kernel, where its
// sampled ones are the CPU's too.
template <class T>
void CheckFloats(const Shape& shape, const ExactOperands<T>& operands, const std::vector<Half>& y,
                 Figure& figure) {
  const SampledSums sums(BellShaped<int8_t>(shape.m * shape.k, 1, operands.code),
                         BellShaped<int8_t>(shape.n * shape.k, 2, operands.code), shape.m, shape.n,
                         shape.k);
  const auto expected = [](const SampledSums::Sum& sum) {
    return ToHalf(static_cast<float>(sum.value));
  };
  if (const std::string wrong = sums.Differs(y, shape.n, expected); !wrong.empty()) {
    Fail("{}", wrong);
  }
  figure.checked = "sample by the CPU";
  const std::vector<Half> others = FloatOutputs(shape, operands.half);
  if (!sums.Differs(others, shape.n, expected).empty()) return;
  CompareBits(y, others);
  figure.checked += ", all by mma";
}

void MeasureMmaFloats(const Shape& shape, Figure& figure) {
  CheckFloats(shape, kExactHalves, FloatOutputs(shape, Exact), figure);
  const auto x = OnDevice(BellShaped<Half>(shape.m * shape.k, 1, Plain));
  const auto weight = OnDevice(BellShaped<Half>(shape.n * shape.k, 2, Plain));
  DeviceMemory<Half> y;
  y.Reserve(shape.m * shape.n);
  const FloatProductArgs args = FloatArgs(shape, x, weight, y);
  Set(figure, MedianSeconds([&] { LaunchFloatProduct(nullptr, args); }), shape.Operations(),
      "TFLOPS");
}

// The library on `exact` operands; then its time on `plain` ones.
template <class T>
void MeasureLibrary(const Shape& shape, LibraryProduct::Kind kind, const ExactOperands<T>& exact,
                    T (*plain)(int32_t, float), Figure& figure) {
  Need(CublasLt::UnavailableReason());
  CublasLt library;
  DeviceMemory<Half> y;
  y.Reserve(shape.m * shape.n);
  LibraryProduct product{.kind = kind,
                         .m = shape.m,
                         .n = shape.n,
                         .k = shape.k,
                         .x = nullptr,
                         .x_stride = shape.k,
                         .weight = nullptr,
                         .weight_stride = shape.k,
                         .y = y.data()};
  const auto run = [&] {
    if (!library.Multiply(nullptr, product)) Fail("the library has no kernel for the product");
  };
  {
    const auto x = OnDevice(BellShaped<T>(shape.m * shape.k, 1, exact.operand));
    const auto weight = OnDevice(BellShaped<T>(shape.n * shape.k, 2, exact.operand));
    product.x = x.data();
    product.weight = weight.data();
    CheckFloats(shape, exact, AfterPoison(y, shape.m * shape.n, run), figure);
  }
  const auto x = OnDevice(BellShaped<T>(shape.m * shape.k, 1, plain));
  const auto weight = OnDevice(BellShaped<T>(shape.n * shape.k, 2, plain));
  product.x = x.data();
  product.weight = weight.data();
  Set(figure, MedianSeconds(run), shape.Operations(), "TFLOPS");
}

void AddProducts(const Shape& shape, std::vector<Case>& cases) {
  const auto add = [&](const std::string& how, auto measure) {
    cases.push_back({shape.name + ": " + how, measure});
  };
  for (int i = 0; i < kWgmmaTileKinds; ++i) {
    const auto tiles = static_cast<WgmmaTiles>(i);
    const WgmmaTileShape s = ShapeOf(tiles);
    add(fmt::format("INT8 wgmma {}x{}{}", s.rows, s.columns, s.ping_pong ? " ping-pong" : ""),
        [shape, tiles](Figure& figure) { MeasureTiles(shape, tiles, figure); });
  }
  for (const CudaKernels& kernels : AllCudaKernels()) {
    add(fmt::format("INT8 set {}", kernels.name), [shape, &kernels](Figure& figure) {
      MeasureSet(shape, kernels, ProductOutput::kHalf, figure);
    });
    if (shape.name.ends_with("qkv")) continue;
    const bool codes = shape.name.ends_with("fc1");
    add(fmt::format("INT8 set {}, {}", kernels.name, codes ? "GELU to codes" : "residual"),
        [shape, &kernels, codes](Figure& figure) {
          MeasureSet(shape, kernels, codes ? ProductOutput::kCodes : ProductOutput::kResidual,
                     figure);
        });
  }
  add("FP16 mma", [shape](Figure& figure) { MeasureMmaFloats(shape, figure); });
  add("FP16 cuBLASLt", [shape](Figure& figure) {
    MeasureLibrary(shape, LibraryProduct::Kind::kHalfToHalf, kExactHalves, Plain, figure);
  });
  add("FP8 cuBLASLt", [shape](Figure& figure) {
    Need(TooOldFor(0, 8, 9));
    MeasureLibrary(shape, LibraryProduct::Kind::kFp8ToHalf, kExactFp8, PlainE4m3, figure);
  });
}

// ---- what is bound by memory, and attention ----

void MeasureCopy(Figure& figure) {
  constexpr int64_t kBytes = int64_t{2} << 30;
  DeviceMemory<std::byte> from, to;
  from.Reserve(kBytes);
  to.Reserve(kBytes);
  CheckCuda(cudaMemset(from.bytes(), 0xd5, kBytes), "writing what is copied");
  const auto run = [&] {
    CheckCuda(cudaMemcpyAsync(to.bytes(), from.bytes(), kBytes, cudaMemcpyDeviceToDevice, nullptr),
              "copying");
  };
  Set(figure, MedianSeconds(run), 2.0 * kBytes, "GB/s");
}

constexpr float kEps = 1e-6f;

// The codes and scales of the CPU's plain loops.
std::pair<std::vector<int8_t>, std::vector<float>> NormedOnCpu(const std::vector<Half>& x,
                                                               const std::vector<float>& weight,
                                                               int64_t cols) {
  std::vector<Half> y(x.size());
  std::vector<int8_t> codes(x.size());
  std::vector<float> scale(static_cast<size_t>(kBatchRows));
  std::vector<int32_t> code_sum(scale.size());
  kScalarRowKernels.layer_norm({.x = x.data(),
                                .x_stride = cols,
                                .rows = kBatchRows,
                                .cols = cols,
                                .eps = kEps,
                                .weight = weight.data(),
                                .bias = weight.data(),
                                .y = y.data(),
                                .y_stride = cols});
  kScalarInt8Kernels.quantize_rows({.x = y.data(),
                                    .x_stride = cols,
                                    .rows = kBatchRows,
                                    .cols = cols,
                                    .clip_range = std::numeric_limits<float>::infinity(),
                                    .static_scale = nullptr,
                                    .codes = codes.data(),
                                    .codes_stride = cols,
                                    .scale = scale.data(),
                                    .code_sum = code_sum.data(),
                                    .counts = nullptr});
  return {std::move(codes), std::move(scale)};
}

// LayerNorm and the per-token codes behind it: reads FP16 rows, writes codes and scales.
void MeasureNorm(int64_t cols, Figure& figure) {
  const std::vector<Half> host_x = BellShaped<Half>(kBatchRows * cols, 1, Plain);
  const std::vector<float> host_weight = BellShaped<float>(cols, 2, PositiveScale);
  const auto x = OnDevice(host_x);
  const auto weight = OnDevice(host_weight);
  DeviceMemory<int8_t> codes;
  DeviceMemory<float> scale;
  codes.Reserve(kBatchRows * cols);
  scale.Reserve(kBatchRows);
  NormArgs args;
  args.eps = kEps;
  args.x = {x.data(), kBatchRows, cols, cols};
  args.weight = weight.data();
  args.bias = weight.data();
  args.codes = {.codes = codes.data(), .stride = cols, .scale = scale.data()};
  const auto run = [&] { LaunchNorm(nullptr, args); };
  const auto [expected_codes, expected_scale] = NormedOnCpu(host_x, host_weight, cols);
  CompareBits(AfterPoison(scale, kBatchRows, run), expected_scale);
  CompareBits(AfterPoison(codes, kBatchRows * cols, run), expected_codes);
  figure.checked = "all by the CPU";
  Set(figure, MedianSeconds(run),
      static_cast<double>(kBatchRows) * static_cast<double>(3 * cols + 4), "GB/s");
}

// By our kernels, or by cuDNN.
void MeasureAttention(AttentionPrecision precision, bool library, int64_t tokens, int64_t head_dim,
                      Figure& figure) {
  constexpr int64_t kImages = 32, kHeads = 16;
  const int64_t rows = kImages * tokens, width = kHeads * head_dim;
  const auto qkv = OnDevice(BellShaped<Half>(rows * 3 * width, 1, Plain));
  DeviceMemory<Half> out;
  out.Reserve(rows * width);
  BatchAttentionArgs args{.precision = precision,
                          .q = {qkv.data(), rows, width, 3 * width},
                          .k = {qkv.data() + width, rows, width, 3 * width},
                          .v = {qkv.data() + 2 * width, rows, width, 3 * width},
                          .out = {out.data(), rows, width, width},
                          .images = kImages,
                          .heads = kHeads,
                          .head_dim = head_dim};
  DeviceMemory<std::byte> scratch;
  scratch.Reserve(static_cast<int64_t>(AttentionScratchBytes(args)));
  args.scratch = scratch.data();
  const double operations = 4.0 * static_cast<double>(rows * tokens) * static_cast<double>(width);
  if (!library) {
    Set(figure, MedianSeconds([&] { LaunchAttention(nullptr, args); }), operations, "TFLOPS");
    return;
  }
  Need(CudnnAttention::UnavailableReason());
  CudnnAttention cudnn;
  const auto run = [&] {
    if (!cudnn.Attend(nullptr, args)) Fail("cuDNN has no kernel for it");
  };
  Set(figure, MedianSeconds(run), operations, "TFLOPS");
}

std::vector<Case> AllCases() {
  std::vector<Case> cases = {{"copy on the device, 2 GiB", MeasureCopy}};
  for (const int64_t cols : {1152, 1024, 3200}) {
    cases.push_back({fmt::format("norm + per-token codes, {} x {}", kBatchRows, cols),
                     [cols](Figure& figure) { MeasureNorm(cols, figure); }});
  }
  const std::array kinds = {std::tuple{"FP32", AttentionPrecision::kFp32, false},
                            std::tuple{"BF16", AttentionPrecision::kBf16, false},
                            std::tuple{"INT8", AttentionPrecision::kInt8, false},
                            std::tuple{"cuDNN", AttentionPrecision::kFp32, true}};
  for (const auto& [name, precision, library] : kinds) {
    const auto add = [&, p = precision, l = library](const char* model, int64_t tokens,
                                                     int64_t head_dim) {
      cases.push_back({fmt::format("{} batch 32: attention {}", model, name),
                       [=](Figure& f) { MeasureAttention(p, l, tokens, head_dim, f); }});
    };
    add("so400m", 729, 72);
    add("iv300m", 1025, 64);
  }
  for (const Shape& shape : Shapes()) AddProducts(shape, cases);
  return cases;
}

int Main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: cuda_bench FOLDER [SECONDS]\n");
    return 2;
  }
  const int seconds = argc == 3 ? std::atoi(argv[2]) : 240;
  Figure device;
  // In a process of its own as well: a process that has used CUDA cannot fork.
  const std::vector<Figure> found = RunCases({{"device",
                                               [](Figure& figure) {
                                                 const std::string reason = CudaUnavailableReason();
                                                 if (!reason.empty())
                                                   Fail("cuda_bench needs a GPU: {}", reason);
                                                 figure.name = DeviceText(0);
                                               }}},
                                             kDeviceSeconds, kDeviceSeconds);
  if (!found.front().problem.empty()) return 1;
  // After each, so that whoever is killed leaves what there is.
  const std::filesystem::path path = std::filesystem::path(argv[1]) / "cuda_bench.json";
  bool kept = true;
  const auto keep = [&path, &kept](const std::vector<Figure>& figures) {
    const std::filesystem::path part = path.string() + ".part";
    std::ofstream file(part);
    file << Json(figures);
    file.close();
    std::error_code error;
    std::filesystem::rename(part, path, error);
    kept = file && !error;
  };
  const std::vector<Figure> figures = RunCases(AllCases(), kCaseSeconds, seconds, keep);
  keep(figures);
  std::printf("%s, median of %d runs\n%s", found.front().name.c_str(), kRuns,
              Table(figures).c_str());
  const auto none = [&figures](std::string Figure::*why) {
    return std::ranges::all_of(figures, [why](const Figure& f) { return (f.*why).empty(); });
  };
  return !kept || !none(&Figure::problem) ? 1 : none(&Figure::missing) ? 0 : 3;
}

}  // namespace
}  // namespace w8a8::bench

int main(int argc, char** argv) { return w8a8::bench::Main(argc, argv); }
