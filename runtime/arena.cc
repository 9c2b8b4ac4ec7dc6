#include "runtime/arena.h"

#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

void Arena::Prepare(std::vector<Slot> slots, BatchInputs inputs) {
  slots_ = std::move(slots);
  inputs_ = std::move(inputs);
  rows_.clear();
  for (const Slot& slot : slots_) rows_.push_back(inputs_.images * slot.rows);
  Reserve();
}

void Arena::SetRows(SlotId id, int64_t rows) {
  W8A8_CHECK(rows >= 0 && rows <= inputs_.images * slot(id).rows);
  rows_[static_cast<size_t>(id)] = rows;
}

size_t Arena::row_bytes(SlotId id) const {
  W8A8_CHECK(slot(id).storage != SlotStorage::kCodes);
  const bool wide = slot(id).storage == SlotStorage::kFloat;
  return static_cast<size_t>(slot(id).cols) * (wide ? sizeof(float) : sizeof(Half));
}

MatView<const Half> Arena::HostHalf(SlotId id) {
  W8A8_CHECK(slot(id).storage == SlotStorage::kHalf);
  const int64_t cols = slot(id).cols;
  return {reinterpret_cast<const Half*>(HostView(id).data()), rows(id), cols, cols};
}

MatView<const float> Arena::HostFloats(SlotId id) {
  W8A8_CHECK(slot(id).storage == SlotStorage::kFloat);
  const int64_t cols = slot(id).cols;
  return {reinterpret_cast<const float*>(HostView(id).data()), rows(id), cols, cols};
}

}  // namespace w8a8
