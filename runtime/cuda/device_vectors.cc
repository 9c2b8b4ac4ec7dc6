#include "runtime/cuda/device_vectors.h"

#include <utility>

#include "quant/transform.h"
#include "runtime/cuda/embed_kernels.h"

namespace w8a8 {

// The caller holds the lock.
const float* DeviceVectors::Keep(std::shared_ptr<const void> owner, std::span<const float> values) {
  Entry& entry = entries_[owner.get()];
  if (entry.owner == nullptr) {
    entry.values = DeviceMemory<float>(nullptr, values);
    entry.owner = std::move(owner);
  }
  return entry.values.data();
}

const float* DeviceVectors::Get(const FloatsPtr& values) {
  if (values == nullptr || values->empty()) return nullptr;
  const std::lock_guard lock(mutex_);
  return Keep(values, *values);
}

const float* DeviceVectors::FactorsOf(const TransformPtr& transform, int64_t cols) {
  if (transform == nullptr) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(transform.get());
  if (found != entries_.end()) return found->second.values.data();
  std::vector<float> factors(static_cast<size_t>(cols));
  RowFactors(*transform, factors);
  return Keep(transform, factors);
}

const Half* DeviceVectors::TanhTable() {
  const std::lock_guard lock(mutex_);
  if (tanh_.capacity() == 0) tanh_ = DeviceMemory<Half>(nullptr, w8a8::TanhTable());
  return tanh_.data();
}

size_t DeviceVectors::count() {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void DeviceVectors::Sweep() {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& entry) { return entry.second.owner.use_count() == 1; });
}

}  // namespace w8a8
