#include "runtime/arena.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace w8a8 {

namespace {

template <class T>
bool Grow(AlignedBuffer<T>& buffer, int64_t elements) {
  const bool grows = elements > buffer.capacity();
  buffer.Reserve(elements);
  return grows;
}

}  // namespace

void Arena::Prepare(std::span<const Slot> slots, int64_t images) {
  shapes_.assign(slots.begin(), slots.end());
  images_ = images;
  buffers_.resize(std::max(buffers_.size(), shapes_.size()));
  for (size_t i = 0; i < shapes_.size(); ++i) {
    const int64_t elements = images * shapes_[i].rows * shapes_[i].cols;
    if (shapes_[i].storage == SlotStorage::kCodes) continue;
    const bool grew = shapes_[i].storage == SlotStorage::kFloat ? Grow(buffers_[i].floats, elements)
                                                                : Grow(buffers_[i].half, elements);
    if (grew) ++allocations_;
  }
}

MatView<float> Arena::ReserveAttention(int64_t rows, int64_t keys) {
  if (Grow(attention_buffer_, rows * keys)) ++allocations_;
  attention = {attention_buffer_.data(), rows, keys, keys};
  return attention;
}

MatView<Half> Arena::half(SlotId slot) const {
  W8A8_CHECK(slot >= 0 && storage(slot) == SlotStorage::kHalf);
  const Slot& shape = shapes_[static_cast<size_t>(slot)];
  return {buffers_[static_cast<size_t>(slot)].half.data(), images_ * shape.rows, shape.cols,
          shape.cols};
}

MatView<Half> Arena::half(SlotId slot, int64_t image) const {
  const int64_t rows = rows_per_image(slot);
  return half(slot).RowRange(image * rows, rows);
}

MatView<float> Arena::floats(SlotId slot) const {
  W8A8_CHECK(slot >= 0 && storage(slot) == SlotStorage::kFloat);
  const Slot& shape = shapes_[static_cast<size_t>(slot)];
  return {buffers_[static_cast<size_t>(slot)].floats.data(), images_ * shape.rows, shape.cols,
          shape.cols};
}

MatView<float> Arena::floats(SlotId slot, int64_t image) const {
  const int64_t rows = rows_per_image(slot);
  return floats(slot).RowRange(image * rows, rows);
}

}  // namespace w8a8
