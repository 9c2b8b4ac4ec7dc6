// A bounded sample of rows that does not depend on the order in which they are seen.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/half.h"

namespace w8a8 {

constexpr int64_t kRowSampleSize = 256;

// The place of one row in the order that samples are drawn by: a hash of seed, image and token.
// The same at every site, so that the rows of two sites belong together.
class RowKeys {
 public:
  // `image_sha256` is 64 lower-case hex digits. Token 0 is the image's token `first_token`: later
  // views of a tiled image go on counting.
  RowKeys(uint64_t seed, const std::string& image_sha256, int64_t first_token = 0);
  uint64_t operator()(int64_t token) const;

 private:
  uint64_t image_hash_;
  int64_t first_token_;
};

// Keeps the `capacity` rows of smallest key (equal keys: of smaller patterns) of all rows offered.
class RowSample {
 public:
  RowSample(int64_t channels, int64_t capacity);
  // Rows as they stand in a file, row-major [keys.size(), channels], in any order.
  RowSample(int64_t channels, int64_t capacity, std::vector<uint64_t> keys, std::vector<Half> rows);

  void Offer(uint64_t key, std::span<const Half> row);
  // Of rows with these keys, the indices of those that may be kept once all are offered; the others
  // need not be.
  std::vector<int32_t> MayBeKept(std::span<const uint64_t> keys) const;
  void Merge(const RowSample& other);

  struct Sorted {
    std::vector<uint64_t> keys;  // ascending
    std::vector<Half> rows;      // [keys.size(), channels]
  };
  Sorted InOrder() const;

  int64_t channels() const { return channels_; }
  int64_t capacity() const { return capacity_; }
  int64_t size() const { return static_cast<int64_t>(keys_.size()); }

 private:
  std::span<const Half> Row(int64_t slot) const;
  bool Precedes(uint64_t key, std::span<const Half> row, int64_t slot) const;
  bool SlotPrecedes(int64_t left, int64_t right) const;

  int64_t channels_;
  int64_t capacity_;
  std::vector<uint64_t> keys_;  // by slot
  std::vector<Half> rows_;      // by slot
  std::vector<int64_t> heap_;   // slots, the last one to keep on top
};

}  // namespace w8a8
