// Which products a kernel set made, and which it left to the kernels for every GPU: no product is
// replaced in silence.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace w8a8 {

enum class ProductKind : uint8_t {
  kInt8,  // by the set
  kHalf,  // by the set
  // By the kernels for every GPU, whatever the set:
  kGroups,      // scales of groups, of inputs or weights
  kZeroPoints,  // of inputs or weights
  kWeightOnly,
  kInt8Sizes,  // of sizes or addresses that the set does not take
  kHalfSizes,  // likewise
  kSums,       // made a second time, for INT32 sums that somebody looks at
  kCount
};

// Of all workers. A graph counts once, when it is made.
class ProductCounts {
 public:
  void Add(ProductKind kind) { counts_[static_cast<size_t>(kind)].fetch_add(1); }
  int64_t Of(ProductKind kind) const { return counts_[static_cast<size_t>(kind)].load(); }
  // What the set left, for people: "by the kernels for every GPU: weight-only products"; empty:
  // nothing.
  std::string LeftText() const;

 private:
  std::array<std::atomic<int64_t>, static_cast<size_t>(ProductKind::kCount)> counts_ = {};
};

}  // namespace w8a8
