#include "runtime/cuda/cublaslt.h"

#include <cublasLt.h>

#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/loaded_library.h"

namespace w8a8 {
namespace {

constexpr size_t kWorkspaceBytes = 32 * 1024 * 1024;  // what NVIDIA advises for Hopper
constexpr int kAlgorithms = 8;
constexpr int kTimedRuns = 3;

struct Types {
  cudaDataType_t operand, result;
  cublasComputeType_t compute;
  cudaDataType_t scale;
};

Types TypesOf(LibraryProduct::Kind kind) {
  switch (kind) {
    case LibraryProduct::Kind::kCodesToInt32:
      return {CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I, CUDA_R_32I};
    case LibraryProduct::Kind::kHalfToFloat:
      return {CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case LibraryProduct::Kind::kHalfToHalf:
      return {CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case LibraryProduct::Kind::kFp8ToHalf:
      return {CUDA_R_8F_E4M3, CUDA_R_16F, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case LibraryProduct::Kind::kFp8ToFp8:
      return {CUDA_R_8F_E4M3, CUDA_R_8F_E4M3, CUBLAS_COMPUTE_32F, CUDA_R_32F};
  }
  Fail("cuBLASLt: a product of no kind");
}

cublasLtEpilogue_t EpilogueOf(const LibraryProduct& product) {
  if (product.gelu) {
    return product.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  }
  return product.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

size_t ResultBytes(const LibraryProduct& product) {
  switch (product.kind) {
    case LibraryProduct::Kind::kCodesToInt32:
    case LibraryProduct::Kind::kHalfToFloat:
      return 4;
    case LibraryProduct::Kind::kHalfToHalf:
    case LibraryProduct::Kind::kFp8ToHalf:
      return 2;
    case LibraryProduct::Kind::kFp8ToFp8:
      break;
  }
  return 1;
}

}  // namespace

// By the names of the library's functions; their types are those of its header.
struct CublasLt::Functions {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) check = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtGetStatusString) words = nullptr;
  std::string reason;  // why it cannot be used

  static const Functions& Get() {
    static const Functions functions = Open();
    return functions;
  }

  void Check(cublasStatus_t status, std::string_view what) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    Fail("cuBLASLt: {}: {} (status {})", what, words(status), static_cast<int>(status));
  }

 private:
  static Functions Open() {
    Functions f;
    const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
    LoadedLibrary library(name.c_str());
    library.Find("cublasLtCreate", &f.create);
    library.Find("cublasLtDestroy", &f.destroy);
    library.Find("cublasLtMatmulDescCreate", &f.desc_create);
    library.Find("cublasLtMatmulDescDestroy", &f.desc_destroy);
    library.Find("cublasLtMatmulDescSetAttribute", &f.desc_set);
    library.Find("cublasLtMatrixLayoutCreate", &f.layout_create);
    library.Find("cublasLtMatrixLayoutDestroy", &f.layout_destroy);
    library.Find("cublasLtMatmulPreferenceCreate", &f.preference_create);
    library.Find("cublasLtMatmulPreferenceDestroy", &f.preference_destroy);
    library.Find("cublasLtMatmulPreferenceSetAttribute", &f.preference_set);
    library.Find("cublasLtMatmulAlgoGetHeuristic", &f.heuristic);
    library.Find("cublasLtMatmulAlgoCheck", &f.check);
    library.Find("cublasLtMatmul", &f.matmul);
    library.Find("cublasLtGetStatusString", &f.words);
    f.reason = library.reason();
    return f;
  }
};

// The library's matrices are column-major: y^T [n, m] = weight (transposed [k, n]) x^T [k, m].
struct CublasLt::Problem {
  Problem(const Functions& functions, const LibraryProduct& product) : f(functions) {
    const auto [operand, result, compute, scale] = TypesOf(product.kind);
    const auto k = static_cast<uint64_t>(product.k);
    const auto rows = static_cast<uint64_t>(product.m), cols = static_cast<uint64_t>(product.n);
    f.Check(f.desc_create(&desc, compute, scale), "describing a product");
    Set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    SetEpilogue(product);
    f.Check(f.layout_create(&weight, operand, k, cols, product.weight_stride),
            "describing weights");
    f.Check(f.layout_create(&x, operand, k, rows, product.x_stride), "describing rows");
    // An FP8 result is added to nothing; what it would be added to is FP16 by the library's rule.
    const bool fp8 = product.kind == LibraryProduct::Kind::kFp8ToFp8;
    f.Check(f.layout_create(&c, fp8 ? CUDA_R_16F : result, cols, rows, product.n),
            "describing what is added to");
    f.Check(f.layout_create(&y, result, cols, rows, product.n), "describing outputs");
  }
  ~Problem() {
    for (cublasLtMatrixLayout_t layout : {weight, x, c, y}) {
      if (layout != nullptr) f.layout_destroy(layout);
    }
    if (desc != nullptr) f.desc_destroy(desc);
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  // Into `to`, which is the product's y or has as much room.
  cublasStatus_t Run(cublasLtHandle_t handle, const LibraryProduct& product,
                     const cublasLtMatmulAlgo_t& algorithm, std::byte* workspace, void* to,
                     Queue queue) const {
    const bool codes = product.kind == LibraryProduct::Kind::kCodesToInt32;
    const int32_t one = 1, zero = 0;
    const float one_float = 1.0f, beta_float = product.add ? 1.0f : 0.0f;
    const void* alpha = codes ? static_cast<const void*>(&one) : &one_float;
    const void* beta = codes ? static_cast<const void*>(&zero) : &beta_float;
    // Without `add` nobody reads what is added to.
    const void* added_to = product.add ? product.y : to;
    return f.matmul(handle, desc, alpha, product.weight, weight, product.x, x, beta, added_to, c,
                    to, y, &algorithm, workspace, kWorkspaceBytes, queue);
  }

  // The library's best for it, by its own ranking.
  std::vector<cublasLtMatmulHeuristicResult_t> Offered(cublasLtHandle_t handle) const {
    cublasLtMatmulPreference_t preference = nullptr;
    f.Check(f.preference_create(&preference), "describing what is preferred");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      f.Check(f.preference_set(preference, attribute, &value, sizeof(value)),
              "describing what is preferred");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    // By itself the library also adds up parts of a sum that were rounded to FP16 outputs.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    std::vector<cublasLtMatmulHeuristicResult_t> results(kAlgorithms);
    int count = 0;
    const cublasStatus_t status =
        f.heuristic(handle, desc, weight, x, c, y, preference, kAlgorithms, results.data(), &count);
    f.preference_destroy(preference);
    results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<size_t>(count) : 0);
    return results;
  }

  const Functions& f;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, c = nullptr, y = nullptr;

 private:
  template <class T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    f.Check(f.desc_set(desc, attribute, &value, sizeof(value)), "describing a product");
  }

  void SetEpilogue(const LibraryProduct& product) {
    const cublasLtEpilogue_t epilogue = EpilogueOf(product);
    if (epilogue != CUBLASLT_EPILOGUE_DEFAULT) Set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (product.bias != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(product.bias));
      Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{CUDA_R_16F});
    }
    // What everybody takes FP8 by: sums that are brought to full precision again and again are
    // slower.
    if (product.kind == LibraryProduct::Kind::kFp8ToHalf ||
        product.kind == LibraryProduct::Kind::kFp8ToFp8) {
      Set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
    }
    // The library's A are our weights.
    if (product.weight_scale != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(product.weight_scale));
    }
    if (product.x_scale != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(product.x_scale));
    }
    if (product.y_inv_scale != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, static_cast<const void*>(product.y_inv_scale));
    }
  }
};

struct CublasLt::Pinned {
  bool found = false;
  cublasLtMatmulAlgo_t algorithm{};
};

std::string CublasLt::UnavailableReason() { return Functions::Get().reason; }

CublasLt::CublasLt() : library_(Functions::Get()) {
  if (!library_.reason.empty()) Fail("cuBLASLt: {}", library_.reason);
  cublasLtHandle_t handle = nullptr;
  library_.Check(library_.create(&handle), "opening the library");
  handle_ = handle;
}

CublasLt::~CublasLt() { library_.destroy(static_cast<cublasLtHandle_t>(handle_)); }

std::byte* CublasLt::WorkspaceOf(Queue queue) {
  const std::lock_guard lock(mutex_);
  return workspaces_[queue].Reserve(static_cast<int64_t>(kWorkspaceBytes));
}

std::byte* CublasLt::TrialOf(const LibraryProduct& product) {
  return trial_.Reserve(product.m * product.n * static_cast<int64_t>(ResultBytes(product)));
}

// What only speed is compared with takes the best for its rows; the sums of other kinds have one
// order whatever their m.
CublasLt::Key CublasLt::KeyOf(const LibraryProduct& product) {
  const bool one_order = product.kind == LibraryProduct::Kind::kCodesToInt32 ||
                         product.kind == LibraryProduct::Kind::kHalfToFloat;
  return {product.kind, one_order ? 0 : product.m, product.n,
          product.k,    product.bias != nullptr,   product.gelu,
          product.add};
}

const CublasLt::Pinned* CublasLt::PinnedFor(Queue queue, const LibraryProduct& product,
                                            const Problem& problem, std::byte* workspace) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Pinned>& pinned = pinned_[KeyOf(product)];
  if (pinned != nullptr) return pinned.get();
  pinned = std::make_unique<Pinned>();
  std::byte* const trial = TrialOf(product);
  double best = 0;
  for (const cublasLtMatmulHeuristicResult_t& offered :
       problem.Offered(static_cast<cublasLtHandle_t>(handle_))) {
    const auto run = [&] {
      return problem.Run(static_cast<cublasLtHandle_t>(handle_), product, offered.algo, workspace,
                         trial, queue) == CUBLAS_STATUS_SUCCESS;
    };
    Stopwatch stopwatch;
    bool ran = run();
    stopwatch.Start(queue);
    for (int i = 0; ran && i < kTimedRuns; ++i) ran = run();
    stopwatch.Stop(queue);
    if (!ran) continue;
    const double seconds = stopwatch.Seconds();
    if (pinned->found && seconds >= best) continue;
    *pinned = {.found = true, .algorithm = offered.algo};
    best = seconds;
  }
  return pinned.get();
}

bool CublasLt::Multiply(Queue queue, const LibraryProduct& product) {
  const Problem problem(library_, product);
  const auto handle = static_cast<cublasLtHandle_t>(handle_);
  std::byte* const workspace = WorkspaceOf(queue);
  const Pinned* pinned = PinnedFor(queue, product, problem, workspace);
  if (!pinned->found) return false;
  // An algorithm of another m may not take this one's.
  cublasLtMatmulHeuristicResult_t checked{};
  if (library_.check(handle, problem.desc, problem.weight, problem.x, problem.c, problem.y,
                     &pinned->algorithm, &checked) != CUBLAS_STATUS_SUCCESS ||
      checked.workspaceSize > kWorkspaceBytes) {
    return false;
  }
  library_.Check(problem.Run(handle, product, pinned->algorithm, workspace, product.y, queue),
                 "multiplying");
  return true;
}

}  // namespace w8a8
