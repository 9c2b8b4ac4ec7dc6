// A library in cuBLASLt's place that multiplies nothing and remembers what it was told.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

namespace w8a8::test {

struct FakeLayout {
  cudaDataType_t type;
  uint64_t rows, cols;
  int64_t stride;
  friend bool operator==(const FakeLayout&, const FakeLayout&) = default;
};

struct FakeProduct {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  std::map<int, std::vector<std::byte>> attributes;
  FakeLayout a, b, c, d;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  float alpha, beta;  // of integer products as well
  int algorithm;      // which of those that were offered

  bool Has(cublasLtMatmulDescAttributes_t attribute) const {
    return attributes.contains(attribute);
  }
  template <class T>
  T Get(cublasLtMatmulDescAttributes_t attribute) const {
    T value;
    std::memcpy(&value, attributes.at(attribute).data(), sizeof(T));
    return value;
  }
};

struct FakeCublasLt {
  std::vector<FakeProduct> products;  // that were run
  int offered = 2;                    // algorithms; all but the last one take a while
  int asked = 0;                      // times for algorithms
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;  // that were allowed at the last time
  int alive = 0;                                         // descriptors and layouts
  const void* unwritable = nullptr;                      // products into it fail
};
FakeCublasLt& TheFakeCublasLt();

}  // namespace w8a8::test
