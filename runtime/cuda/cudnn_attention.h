// Attention by cuDNN's SDPA, through its C backend: opened when it is first asked for, and declared
// here, because the CUDA toolkit has no headers of cuDNN.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/cuda/attention_library.h"
#include "runtime/cuda/device_memory.h"

namespace w8a8 {

// One device's. Calls of several threads, each with a queue of its own, are made one by one.
class CudnnAttention final : public AttentionLibrary {
 public:
  // Why the library cannot be used; empty if it can.
  static std::string UnavailableReason();
  // Throws Error with that reason, or the library's where it finds no device.
  CudnnAttention();
  ~CudnnAttention() override;
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  std::string name() const override;
  // FP16 without a mask and without probabilities, heads of whole 16 bytes. The first call of each
  // shape builds a plan, which takes up to a second.
  bool Attend(Queue queue, const BatchAttentionArgs& args) override;

 private:
  struct Functions;
  class Descriptor;
  struct Plan;
  // Images, heads, head_dim, queries, keys; strides of rows of q, k, v and out.
  using Shape = std::array<int64_t, 9>;

  const Plan& PlanFor(const Shape& shape);
  Descriptor TensorOf(int64_t id, const std::array<int64_t, 4>& dims,
                      const std::array<int64_t, 4>& strides) const;
  Descriptor ScaleTensor() const;
  std::unique_ptr<Plan> MakePlan(const Shape& shape) const;
  void BuildPlan(Plan* plan) const;
  void Execute(const Plan& plan, const BatchAttentionArgs& args, std::byte* workspace);

  const Functions& library_;
  void* handle_ = nullptr;
  std::mutex mutex_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;
  std::map<Queue, DeviceMemory<std::byte>> workspaces_;
};

}  // namespace w8a8
