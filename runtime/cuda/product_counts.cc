#include "runtime/cuda/product_counts.h"

#include <utility>

namespace w8a8 {

std::string ProductCounts::LeftText() const {
  constexpr std::pair<ProductKind, const char*> kLeft[] = {
      {ProductKind::kGroups, "products with scales of groups"},
      {ProductKind::kZeroPoints, "products with zero points"},
      {ProductKind::kWeightOnly, "weight-only products"},
      {ProductKind::kInt8Sizes, "INT8 products of sizes that the set does not take"},
      {ProductKind::kHalfSizes, "FP16 products of sizes that the set does not take"},
      {ProductKind::kSums, "INT32 sums that are looked at"}};
  std::string text;
  for (const auto& [kind, what] : kLeft) {
    if (Of(kind) == 0) continue;
    text += (text.empty() ? "by the kernels for every GPU: " : ", ") + std::string(what);
  }
  return text;
}

}  // namespace w8a8
