// One worker of the runner: takes a batch of images through one stage, arm by arm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "eval/run/arm.h"
#include "eval/run/tap.h"
#include "runtime/arena.h"
#include "runtime/backend.h"
#include "runtime/lower.h"

namespace w8a8 {

// The images that are alive together. streams[arm][image] is that arm's residual stream, the bytes
// of [tokens x width] in the storage of the graph's stream; an empty streams[arm] means that the
// arm still shares streams[0].
struct Chunk {
  std::vector<ImageId> images;
  std::vector<std::vector<float>> pixels;
  std::vector<PatchGrid> grids;                 // as InputImage has them
  std::vector<std::vector<uint8_t>> key_masks;  // as InputImage has them
  std::vector<std::vector<std::vector<std::byte>>> streams;
};

// What an arm runs in a stage.
struct StageProgram {
  Program whole;
  std::map<int32_t, Program> layers;  // by node: each site's linear layer by itself
};

// Per arm, or nullopt where it shares arms[0].
using StagePrograms = std::vector<std::optional<StageProgram>>;

class StageWorker {
 public:
  StageWorker(const Graph& graph, std::span<const Arm> arms, std::span<Tap* const> taps, int worker,
              std::unique_ptr<Backend> backend);

  // Images [first, first + count) of the chunk, which have equal grids.
  void RunBatch(int stage, const StagePrograms& programs, Chunk& chunk, int64_t first,
                int64_t count);

  Backend& backend() { return *backend_; }
  const std::vector<double>& arm_seconds() const { return arm_seconds_; }

 private:
  class Event;
  struct Batch {
    int stage;
    const StagePrograms& programs;
    Chunk& chunk;
    int64_t first;
    std::vector<ImageId> images;
  };

  void Diverge(const Batch& batch);
  void RunArm(const Batch& batch, int arm);
  void LoadInput(const Batch& batch, int arm);
  void LoadKeyMask(const Batch& batch);
  void StoreStream(const Batch& batch, int arm);
  std::span<std::byte> StreamBytes(size_t image) const;
  void ShowStream(const Batch& batch, int arm);
  void ShowAttention(const Batch& batch, int arm);
  void ShowLinear(const Batch& batch, int arm, int32_t node);
  void ShowOutputs(const Batch& batch, int arm);
  LinearResult RunLinearAs(const Batch& batch, int arm, int32_t node);

  const Graph& graph_;
  const std::span<const Arm> arms_;
  const std::span<Tap* const> taps_;
  const int worker_;
  std::unique_ptr<Backend> backend_;
  Arena arena_;
  Arena replay_;  // of the layer that RunLinearAs() runs
  std::vector<double> arm_seconds_;
};

}  // namespace w8a8
