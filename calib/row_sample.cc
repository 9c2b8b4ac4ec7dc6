#include "calib/row_sample.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"

namespace w8a8 {

RowKeys::RowKeys(uint64_t seed, const std::string& image_sha256, int64_t first_token)
    : first_token_(first_token) {
  uint64_t image = 0;
  const char* const end = image_sha256.data() + 16;
  W8A8_CHECK(image_sha256.size() == 64 &&
             std::from_chars(image_sha256.data(), end, image, 16).ptr == end);
  image_hash_ = CounterHash(seed, image);
}

uint64_t RowKeys::operator()(int64_t token) const {
  return CounterHash(image_hash_, static_cast<uint64_t>(first_token_ + token));
}

RowSample::RowSample(int64_t channels, int64_t capacity)
    : channels_(channels), capacity_(capacity) {
  W8A8_CHECK(channels > 0 && capacity >= 0);
}

RowSample::RowSample(int64_t channels, int64_t capacity, std::vector<uint64_t> keys,
                     std::vector<Half> rows)
    : RowSample(channels, capacity) {
  W8A8_CHECK(rows.size() == keys.size() * static_cast<size_t>(channels));
  const std::span<const Half> all(rows);
  const auto width = static_cast<size_t>(channels);
  for (size_t i = 0; i < keys.size(); ++i) Offer(keys[i], all.subspan(i * width, width));
}

std::span<const Half> RowSample::Row(int64_t slot) const {
  return {rows_.data() + slot * channels_, static_cast<size_t>(channels_)};
}

bool RowSample::Precedes(uint64_t key, std::span<const Half> row, int64_t slot) const {
  const uint64_t other = keys_[static_cast<size_t>(slot)];
  if (key != other) return key < other;
  const auto smaller = [](Half left, Half right) { return left.bits < right.bits; };
  const std::span<const Half> kept = Row(slot);
  return std::lexicographical_compare(row.begin(), row.end(), kept.begin(), kept.end(), smaller);
}

bool RowSample::SlotPrecedes(int64_t left, int64_t right) const {
  return Precedes(keys_[static_cast<size_t>(left)], Row(left), right);
}

void RowSample::Offer(uint64_t key, std::span<const Half> row) {
  W8A8_CHECK(static_cast<int64_t>(row.size()) == channels_);
  const auto precedes = [this](int64_t left, int64_t right) { return SlotPrecedes(left, right); };
  if (size() < capacity_) {
    heap_.push_back(size());
    keys_.push_back(key);
    rows_.insert(rows_.end(), row.begin(), row.end());
    std::push_heap(heap_.begin(), heap_.end(), precedes);
    return;
  }
  if (capacity_ == 0 || !Precedes(key, row, heap_.front())) return;
  std::pop_heap(heap_.begin(), heap_.end(), precedes);
  const int64_t slot = heap_.back();
  keys_[static_cast<size_t>(slot)] = key;
  std::copy(row.begin(), row.end(), rows_.begin() + slot * channels_);
  std::push_heap(heap_.begin(), heap_.end(), precedes);
}

std::vector<int32_t> RowSample::MayBeKept(std::span<const uint64_t> keys) const {
  std::vector<int32_t> kept;
  if (capacity_ == 0) return kept;
  uint64_t largest = std::numeric_limits<uint64_t>::max();
  if (size() == capacity_) largest = keys_[static_cast<size_t>(heap_.front())];
  if (static_cast<int64_t>(keys.size()) > capacity_) {
    std::vector<uint64_t> sorted(keys.begin(), keys.end());
    const auto last = sorted.begin() + capacity_ - 1;
    std::nth_element(sorted.begin(), last, sorted.end());
    largest = std::min(largest, *last);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] <= largest) kept.push_back(static_cast<int32_t>(i));
  }
  return kept;
}

void RowSample::Merge(const RowSample& other) {
  W8A8_CHECK(other.channels_ == channels_ && other.capacity_ == capacity_);
  for (int64_t slot = 0; slot < other.size(); ++slot) {
    Offer(other.keys_[static_cast<size_t>(slot)], other.Row(slot));
  }
}

RowSample::Sorted RowSample::InOrder() const {
  std::vector<int64_t> slots = heap_;
  std::sort(slots.begin(), slots.end(),
            [this](int64_t left, int64_t right) { return SlotPrecedes(left, right); });
  Sorted sorted;
  for (const int64_t slot : slots) {
    sorted.keys.push_back(keys_[static_cast<size_t>(slot)]);
    const std::span<const Half> row = Row(slot);
    sorted.rows.insert(sorted.rows.end(), row.begin(), row.end());
  }
  return sorted;
}

}  // namespace w8a8
