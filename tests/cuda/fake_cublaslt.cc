#include "tests/cuda/fake_cublaslt.h"

#include <chrono>
#include <thread>

namespace w8a8::test {
namespace {

FakeProduct& DescOf(cublasLtMatmulDesc_t desc) { return *reinterpret_cast<FakeProduct*>(desc); }
FakeLayout& LayoutOf(cublasLtMatrixLayout_t layout) {
  return *reinterpret_cast<FakeLayout*>(layout);
}

}  // namespace

FakeCublasLt& TheFakeCublasLt() {
  static FakeCublasLt fake;
  return fake;
}

}  // namespace w8a8::test

using w8a8::test::DescOf;
using w8a8::test::FakeLayout;
using w8a8::test::FakeProduct;
using w8a8::test::LayoutOf;
using w8a8::test::TheFakeCublasLt;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(&TheFakeCublasLt());
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_EXECUTION_FAILED ? "the fake failed" : "another status";
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  auto* made = new FakeProduct();
  made->compute = compute;
  made->scale = scale;
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(made);
  ++TheFakeCublasLt().alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete &DescOf(desc);
  --TheFakeCublasLt().alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  const auto* first = static_cast<const std::byte*>(value);
  DescOf(desc).attributes[attribute].assign(first, first + bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t stride) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new FakeLayout{type, rows, cols, stride});
  ++TheFakeCublasLt().alive;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &LayoutOf(layout);
  --TheFakeCublasLt().alive;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(&TheFakeCublasLt());
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    std::memcpy(&TheFakeCublasLt().reductions, value, bytes);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int most,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* count) {
  w8a8::test::FakeCublasLt& fake = TheFakeCublasLt();
  ++fake.asked;
  *count = fake.offered < most ? fake.offered : most;
  for (int i = 0; i < *count; ++i) {
    results[i] = {};
    results[i].algo.data[0] = static_cast<uint64_t>(i);
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t*,
                                       cublasLtMatmulHeuristicResult_t*) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void*, size_t, cudaStream_t) {
  w8a8::test::FakeCublasLt& fake = TheFakeCublasLt();
  if (fake.unwritable != nullptr && d == fake.unwritable) return CUBLAS_STATUS_EXECUTION_FAILED;
  FakeProduct product = DescOf(desc);
  const auto value = [&product](const void* scalar) {
    if (product.scale == CUDA_R_32I)
      return static_cast<float>(*static_cast<const int32_t*>(scalar));
    return *static_cast<const float*>(scalar);
  };
  product.a = LayoutOf(a_layout);
  product.b = LayoutOf(b_layout);
  product.c = LayoutOf(c_layout);
  product.d = LayoutOf(d_layout);
  product.a_data = a;
  product.b_data = b;
  product.c_data = c;
  product.d_data = d;
  product.alpha = value(alpha);
  product.beta = value(beta);
  product.algorithm = static_cast<int>(algo->data[0]);
  if (product.algorithm + 1 < fake.offered)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  fake.products.push_back(product);
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
