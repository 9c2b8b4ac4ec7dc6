#include "runtime/cpu/cpu_arena.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Clock = std::chrono::steady_clock;

template <class... Buffers>
int64_t Bytes(const Buffers&... buffers) {
  return ((buffers.capacity() * static_cast<int64_t>(sizeof(*buffers.data()))) + ...);
}

}  // namespace

// A step that no overload takes does not compile.
StepResult CpuArena::Run(const Step& step, const Wanted& wanted) {
  const Clock::time_point start = Clock::now();
  StepResult result = std::visit(
      [&](const auto& s) -> StepResult {
        if constexpr (requires { Do(s, wanted); }) {
          return Do(s, wanted);
        } else {
          Do(s);
          return {};
        }
      },
      step);
  seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

void CpuArena::Reserve() {
  const size_t count = std::max(slots().size(), halves_.size());
  halves_.resize(count);
  floats_.resize(count);
  codes_.resize(count);
  for (size_t i = 0; i < slots().size(); ++i) {
    const int64_t elements = inputs().images * slots()[i].rows * slots()[i].cols;
    if (slots()[i].storage == SlotStorage::kHalf) halves_[i].Reserve(elements);
    if (slots()[i].storage == SlotStorage::kFloat) floats_[i].Reserve(elements);
  }
}

void CpuArena::Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) {
  const size_t begin = static_cast<size_t>(first_row) * row_bytes(id);
  const std::span<std::byte> values = Values(id);
  W8A8_CHECK(begin + rows.size() <= values.size());
  std::copy(rows.begin(), rows.end(), values.begin() + static_cast<std::ptrdiff_t>(begin));
}

std::span<const std::byte> CpuArena::HostView(SlotId id) { return Values(id); }

std::span<std::byte> CpuArena::Values(SlotId id) const {
  const bool wide = slot(id).storage == SlotStorage::kFloat;
  void* values = wide ? static_cast<void*>(floats(id).data) : half(id).data;
  return {static_cast<std::byte*>(values), static_cast<size_t>(rows(id)) * row_bytes(id)};
}

MatView<Half> CpuArena::half(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kHalf);
  const int64_t cols = slot(id).cols;
  return {halves_[static_cast<size_t>(id)].data(), rows(id), cols, cols};
}

MatView<float> CpuArena::floats(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kFloat);
  const int64_t cols = slot(id).cols;
  return {floats_[static_cast<size_t>(id)].data(), rows(id), cols, cols};
}

MatView<Half> CpuArena::half(SlotId id, int64_t image) const {
  return half(id).RowRange(FirstRow(id, image), slot(id).rows);
}

MatView<float> CpuArena::floats(SlotId id, int64_t image) const {
  return floats(id).RowRange(FirstRow(id, image), slot(id).rows);
}

int64_t CpuArena::FirstRow(SlotId id, int64_t image) const {
  W8A8_CHECK(rows(id) == inputs().images * slot(id).rows);
  return image * slot(id).rows;
}

int64_t CpuArena::bytes() const {
  int64_t bytes = attention_.scratch_bytes() +
                  Bytes(x_, product_, patch_, ones_, zeros_, emulated_.codes, emulated_.scale,
                        emulated_.acc, emulated_.chunk_codes, emulated_.chunk_product);
  for (size_t i = 0; i < halves_.size(); ++i) {
    bytes += Bytes(halves_[i], floats_[i], codes_[i].rows.codes, codes_[i].rows.scale);
  }
  return bytes;
}

}  // namespace w8a8
