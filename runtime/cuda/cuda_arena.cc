#include "runtime/cuda/cuda_arena.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/no_rows.h"

namespace w8a8 {
namespace {

// Pairs of events that wait to be read: a forward has some hundred steps.
constexpr size_t kMostRunning = 1024;

}  // namespace

CudaArena::CudaArena(int device_index, CudaProducts* products, DeviceVectors& vectors)
    : device_index_(device_index), products_(products), vectors_(vectors) {}

StepResult CudaArena::Run(const Step& step, const Wanted& wanted) {
  if (IsOfNoRows(*this, step)) return {};
  UseDevice(device_index_);
  StepResult result;
  const auto run = [&] {
    result = std::visit(
        [&](const auto& s) -> StepResult {
          if constexpr (requires { Do(s, wanted); }) {
            return Do(s, wanted);
          } else {
            Do(s);
            return {};
          }
        },
        step);
  };
  Timed(run);
  return result;
}

Stopwatch& CudaArena::NextStopwatch() {
  if (running_.size() >= kMostRunning) Seconds();
  if (idle_.empty()) idle_.push_back(std::make_unique<Stopwatch>());
  running_.push_back(std::move(idle_.back()));
  idle_.pop_back();
  return *running_.back();
}

double CudaArena::Seconds() const {
  for (std::unique_ptr<Stopwatch>& stopwatch : running_) {
    seconds_ += stopwatch->Seconds();
    idle_.push_back(std::move(stopwatch));
  }
  running_.clear();
  return seconds_;
}

void CudaArena::Reserve() {
  UseDevice(device_index_);
  vectors_.Sweep();  // of programs that are gone: those of the stage before
  listed_ = kNoSlot;
  memory_.resize(std::max(slots().size(), memory_.size()));
  for (size_t i = 0; i < slots().size(); ++i) {
    const int64_t elements = inputs().images * slots()[i].rows * slots()[i].cols;
    if (slots()[i].storage == SlotStorage::kHalf) memory_[i].half.Reserve(elements);
    if (slots()[i].storage == SlotStorage::kFloat) memory_[i].floats.Reserve(elements);
  }
  const std::vector<uint8_t>& mask = inputs().key_mask;
  if (mask.empty()) return;
  key_mask_.Reserve(static_cast<int64_t>(mask.size()));
  staging_.Copy(queue(), key_mask_.bytes(), std::as_bytes(std::span(mask)));
}

const uint8_t* CudaArena::KeyMask() const {
  return inputs().key_mask.empty() ? nullptr : key_mask_.data();
}

void CudaArena::Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) {
  UseDevice(device_index_);
  if (id == listed_) listed_ = kNoSlot;
  const size_t begin = static_cast<size_t>(first_row) * row_bytes(id);
  W8A8_CHECK(begin + rows.size() <= static_cast<size_t>(this->rows(id)) * row_bytes(id));
  staging_.Copy(queue(), Bytes(id) + begin, rows);
}

std::span<const std::byte> CudaArena::HostView(SlotId id) {
  UseDevice(device_index_);
  const size_t bytes = static_cast<size_t>(rows(id)) * row_bytes(id);
  std::byte* const host = memory_[static_cast<size_t>(id)].host.Reserve(bytes);
  CopyToHost(queue(), host, Bytes(id), bytes);
  return {host, bytes};
}

std::byte* CudaArena::Bytes(SlotId id) const {
  const SlotMemory& memory = memory_[static_cast<size_t>(id)];
  return IsFloat(id) ? memory.floats.bytes() : memory.half.bytes();
}

MatView<Half> CudaArena::half(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kHalf);
  const int64_t cols = slot(id).cols;
  return {memory_[static_cast<size_t>(id)].half.data(), rows(id), cols, cols};
}

MatView<float> CudaArena::floats(SlotId id) const {
  W8A8_CHECK(slot(id).storage == SlotStorage::kFloat);
  const int64_t cols = slot(id).cols;
  return {memory_[static_cast<size_t>(id)].floats.data(), rows(id), cols, cols};
}

}  // namespace w8a8
