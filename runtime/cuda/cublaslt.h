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
#include "runtime/cuda/product_library.h"
#include "runtime/cuda/queue.h"

namespace w8a8 {

// One device's. Calls of several threads, each with a queue of its own.
class CublasLt final : public ProductLibrary {
 public:
  // Why the library cannot be used; empty if it can.
  static std::string UnavailableReason();
  // Throws Error with that reason.
  CublasLt();
  ~CublasLt() override;
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // The first call for each (kind, n, k) times up to eight of the library's algorithms on these
  // operands and keeps the fastest for all later ones, whatever their m: float sums have one order
  // then. Of the kinds that only speed is compared with, the first for each m and epilogue.
  bool Multiply(Queue queue, const LibraryProduct& product) override;

 private:
  struct Functions;
  struct Problem;
  struct Pinned;
  // Kind, m (0: any), n, k, whether there are a bias, GELU and a residual.
  using Key = std::tuple<LibraryProduct::Kind, int64_t, int64_t, int64_t, bool, bool, bool>;
  static Key KeyOf(const LibraryProduct& product);

  const Pinned* PinnedFor(Queue queue, const LibraryProduct& product, const Problem& problem,
                          std::byte* workspace);
  std::byte* WorkspaceOf(Queue queue);
  // Where algorithms that are timed leave their outputs, so that those of the product are written
  // once.
  std::byte* TrialOf(const LibraryProduct& product);

  const Functions& library_;
  void* handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, std::unique_ptr<Pinned>> pinned_;
  std::map<Queue, DeviceMemory<std::byte>> workspaces_;
  DeviceMemory<std::byte> trial_;
};

}  // namespace w8a8
