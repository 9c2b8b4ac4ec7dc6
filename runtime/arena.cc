#include "runtime/arena.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {

void Arena::Prepare(std::vector<Slot> slots, BatchInputs inputs) {
  slots_ = std::move(slots);
  inputs_ = std::move(inputs);
  SetRouted({});
  Reserve();
}

void Arena::SetRouted(std::vector<RowOwner> owners) {
  W8A8_CHECK(std::ranges::is_sorted(owners));
  W8A8_CHECK(owners.empty() ||
             (owners.front().sample >= 0 && owners.back().sample < inputs_.images));
  routed_ = std::move(owners);
  routed_before_.assign(static_cast<size_t>(inputs_.images) + 1, 0);
  for (const RowOwner& owner : routed_) ++routed_before_[static_cast<size_t>(owner.sample) + 1];
  std::partial_sum(routed_before_.begin(), routed_before_.end(), routed_before_.begin());
}

void Arena::RunAll(const Program& program, std::span<const SlotId>) {
  for (const Step& step : program.steps) Run(step, {});
}

int64_t Arena::rows(SlotId id) const { return FirstRow(id, inputs_.images); }

int64_t Arena::FirstRow(SlotId id, int64_t image) const {
  const Slot& of = slot(id);
  if (of.tokens == SlotRows::kAll) return image * of.rows;
  return routed_before_[static_cast<size_t>(image)];
}

int64_t Arena::RowsOf(SlotId id, int64_t image) const {
  return FirstRow(id, image + 1) - FirstRow(id, image);
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
