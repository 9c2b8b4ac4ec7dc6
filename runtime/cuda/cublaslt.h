// cuBLASLt, opened when it is first asked for: what needs none of it runs without NVIDIA's
// libraries.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// y = x * weight^T, rows of all three on the device. Pointers and strides of whole 16 bytes.
struct LibraryProduct {
  // The last two round to FP16 themselves: what speed is compared with. FP8 is E4M3, which needs
  // compute capability 8.9.
  enum class Kind : uint8_t { kCodesToInt32, kHalfToFloat, kHalfToHalf, kFp8ToHalf };
  Kind kind = Kind::kCodesToInt32;
  int64_t m = 0, n = 0, k = 0;  // k: with padding
  const void* x = nullptr;
  int64_t x_stride = 0;  // elements, as all
  const void* weight = nullptr;
  int64_t weight_stride = 0;
  void* y = nullptr;  // [m, n] without gaps, of what the kind names
};

// One device's. Calls of several threads, each with a queue of its own.
class CublasLt {
 public:
  // Why the library cannot be used; empty if it can.
  static std::string UnavailableReason();
  // Throws Error with that reason.
  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // False where the library has no kernel for the product. The first call for each (kind, n, k)
  // times up to eight of its algorithms on these operands and keeps the fastest for all later ones,
  // whatever their m: float sums have one order then.
  bool Multiply(Queue queue, const LibraryProduct& product);

 private:
  struct Functions;
  struct Problem;
  struct Pinned;
  using Key = std::tuple<LibraryProduct::Kind, int64_t, int64_t>;

  const Pinned* PinnedFor(Queue queue, const LibraryProduct& product, const Problem& problem,
                          std::byte* workspace);
  std::byte* WorkspaceOf(Queue queue);

  const Functions& library_;
  void* handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, std::unique_ptr<Pinned>> pinned_;
  std::map<Queue, DeviceMemory<std::byte>> workspaces_;
};

}  // namespace w8a8
