#include "runtime/arena.h"

#include "runtime/base/error.h"

namespace w8a8 {

void Arena::Prepare(const Graph& graph, int64_t images) {
  shapes_ = graph.slots;
  images_ = images;
  pixels_slot_ = graph.pixels;
  buffers_.resize(std::max(buffers_.size(), shapes_.size()));
  for (size_t i = 0; i < shapes_.size(); ++i) {
    const int64_t elements = images * shapes_[i].rows * shapes_[i].cols;
    if (static_cast<SlotId>(i) == pixels_slot_) {
      if (elements > pixels_.capacity()) ++allocations_;
      pixels_.Reserve(elements);
    } else {
      if (elements > buffers_[i].capacity()) ++allocations_;
      buffers_[i].Reserve(elements);
    }
  }
}

MatView<Half> Arena::half(SlotId slot) const {
  W8A8_CHECK(slot >= 0 && slot != pixels_slot_);
  const Slot& shape = shapes_[static_cast<size_t>(slot)];
  return {buffers_[static_cast<size_t>(slot)].data(), images_ * shape.rows, shape.cols, shape.cols};
}

MatView<Half> Arena::half(SlotId slot, int64_t image) const {
  const int64_t rows = rows_per_image(slot);
  return half(slot).RowRange(image * rows, rows);
}

MatView<float> Arena::pixels(SlotId slot) const {
  W8A8_CHECK(slot == pixels_slot_);
  const Slot& shape = shapes_[static_cast<size_t>(slot)];
  return {pixels_.data(), images_ * shape.rows, shape.cols, shape.cols};
}

}  // namespace w8a8
