// The CUDA backend on whatever runs the kernels of a test.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "runtime/backend.h"
#include "runtime/cuda/product_counts.h"

namespace w8a8::test {

std::unique_ptr<Backend> MakeBackendOnDevice();

// What the kernel set of these backends made and left so far; nullptr where its products are the
// kernels for every GPU.
const ProductCounts* CountsOfTheSet();

// Equal bits would be no wonder where the kernels for every GPU made them.
inline void ExpectTheSetMadeInt8Products() {
  const ProductCounts* counts = CountsOfTheSet();
  if (counts == nullptr) return;
  EXPECT_GT(counts->Of(ProductKind::kInt8), 0) << counts->LeftText();
}

}  // namespace w8a8::test
