#include "runtime/cpu/cpu_arena.h"

#include <algorithm>
#include <cstddef>

#include "runtime/base/error.h"
#include "runtime/no_rows.h"

namespace w8a8 {
namespace {

template <class... Buffers>
int64_t Bytes(const Buffers&... buffers) {
  return ((buffers.capacity() * static_cast<int64_t>(sizeof(*buffers.data()))) + ...);
}

}  // namespace

// A step that no overload takes does not compile.
StepResult CpuArena::Run(const Step& step, const Wanted& wanted) {
  if (IsOfNoRows(*this, step)) return {};
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
  seconds_ += SecondsSince(start);
  return result;
}

void CpuArena::Reserve() {
  memory_.resize(std::max(slots().size(), memory_.size()));
  for (size_t i = 0; i < slots().size(); ++i) {
    const int64_t rows = inputs().images * slots()[i].rows;
    if (slots()[i].storage == SlotStorage::kHalf) {
      memory_[i].half.Reserve(rows * StrideOf(static_cast<SlotId>(i)));
    }
    if (slots()[i].storage == SlotStorage::kFloat) {
      memory_[i].floats.Reserve(rows * slots()[i].cols);
    }
  }
}

void CpuArena::Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) {
  if (IsSpaced(id)) {
    const MatView<Half> all = half(id);
    const auto* from = reinterpret_cast<const Half*>(rows.data());
    const auto count = static_cast<int64_t>(rows.size() / row_bytes(id));
    W8A8_CHECK(first_row + count <= all.rows);
    for (int64_t r = 0; r < count; ++r) {
      std::copy_n(from + r * all.cols, all.cols, all.row(first_row + r));
    }
    return;
  }
  const size_t begin = static_cast<size_t>(first_row) * row_bytes(id);
  const std::span<std::byte> values = Values(id);
  W8A8_CHECK(begin + rows.size() <= values.size());
  std::copy(rows.begin(), rows.end(), values.begin() + static_cast<std::ptrdiff_t>(begin));
}

std::span<const std::byte> CpuArena::HostView(SlotId id) {
  if (!IsSpaced(id)) return Values(id);
  const MatView<const Half> all = half(id);
  Half* dense = memory_[static_cast<size_t>(id)].dense.Reserve(all.rows * all.cols);
  for (int64_t r = 0; r < all.rows; ++r) std::copy_n(all.row(r), all.cols, dense + r * all.cols);
  return std::as_bytes(std::span(dense, static_cast<size_t>(all.rows * all.cols)));
}

int64_t CpuArena::StrideOf(SlotId id) const {
  constexpr int64_t kLine = 64 / sizeof(Half);
  const Slot& of = slot(id);
  return of.spaced ? ((of.cols + kLine - 1) / kLine | 1) * kLine : of.cols;
}

bool CpuArena::IsSpaced(SlotId id) const {
  return slot(id).storage == SlotStorage::kHalf && StrideOf(id) != slot(id).cols;
}

void CpuArena::ShareWith(ThreadPool& pool, int worker) {
  pool_ = &pool;
  worker_ = worker;
}

CpuArena::Scratch& CpuArena::HelpersScratch() {
  thread_local Scratch scratch;
  return scratch;
}

std::span<std::byte> CpuArena::Values(SlotId id) const {
  const bool wide = slot(id).storage == SlotStorage::kFloat;
  void* values = wide ? static_cast<void*>(floats(id).data) : half(id).data;
  return {static_cast<std::byte*>(values), static_cast<size_t>(rows(id)) * row_bytes(id)};
}

MatView<Half> CpuArena::half(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kHalf);
  const int64_t cols = slot(id).cols;
  return {memory_[static_cast<size_t>(id)].half.data(), rows(id), cols, StrideOf(id)};
}

MatView<float> CpuArena::floats(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kFloat);
  const int64_t cols = slot(id).cols;
  return {memory_[static_cast<size_t>(id)].floats.data(), rows(id), cols, cols};
}

MatView<Half> CpuArena::half(SlotId id, int64_t image) const {
  return half(id).RowRange(FirstRow(id, image), RowsOf(id, image));
}

MatView<float> CpuArena::floats(SlotId id, int64_t image) const {
  return floats(id).RowRange(FirstRow(id, image), RowsOf(id, image));
}

int64_t CpuArena::bytes() const {
  int64_t bytes = Bytes(scratch_.operand, scratch_.attention, unpacked_, ideal_.codes, ideal_.scale,
                        ideal_.zero_point, ideal_.code_sum, ideal_.values, ideal_.factors, x_,
                        product_, patches_, ones_, zeros_, emulated_.acc, emulated_.chunk_codes,
                        emulated_.chunk_product, emulated_.sum, product_scratch_.values,
                        product_scratch_.factors, product_scratch_.rounded);
  for (const SlotMemory& memory : memory_) {
    const CodeRows& codes = memory.codes;
    bytes += Bytes(memory.half, memory.dense, memory.floats, codes.codes, codes.scale,
                   codes.zero_point, codes.code_sum, codes.values, codes.factors);
  }
  return bytes;
}

}  // namespace w8a8
