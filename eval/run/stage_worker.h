// One worker of the runner: takes a batch of images through one stage, arm by arm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "eval/run/arm.h"
#include "eval/run/shared_stages.h"
#include "eval/run/tap.h"
#include "runtime/arena.h"
#include "runtime/backend.h"
#include "runtime/base/parallel.h"

namespace w8a8 {

// The samples that are alive together. streams[arm][sample] is that arm's residual stream, the
// bytes of [tokens x width] in the storage of the graph's stream; empty while the arm follows
// another.
struct Chunk {
  std::vector<Sample> samples;
  std::vector<std::vector<float>> pixels;
  std::vector<PatchGrid> grids;                 // as InputImage has them
  std::vector<std::vector<uint8_t>> key_masks;  // as InputImage has them
  std::vector<std::vector<std::vector<std::byte>>> streams;
};

// What an arm runs in a stage.
struct StageProgram {
  Program whole;
  // By node: each site's linear layer, and each attention, by itself.
  std::map<int32_t, Program> layers;
};

// One stage of all arms.
struct StagePrograms {
  int stage = 0;
  Leaders leaders;
  Leaders before;                      // the leaders of the stage before
  std::vector<StageProgram> programs;  // by arm; only leaders have steps

  bool Leads(size_t arm) const { return leaders[arm] == arm; }
};

class StageWorker {
 public:
  // All of these outlive the worker. `timed`: the arms whose site_seconds() are asked for. `worker`
  // is its number in the pool that runs it.
  StageWorker(const Graph& graph, std::span<const Arm> arms, std::span<Tap* const> taps,
              const std::vector<bool>& timed, ThreadPool& pool, int worker, Backend& backend);

  // Samples [first, first + count) of the chunk, which have equal grids.
  void RunBatch(const StagePrograms& stage, Chunk& chunk, int64_t first, int64_t count);

  // In the steps of each arm; those of a shared stage count for every arm that shares it.
  const std::vector<double>& arm_seconds() const { return arm_seconds_; }
  double seconds() const { return seconds_; }  // in all steps, each counted once
  // By arm and node: in the layers of sites, quantizing of their inputs included; of timed arms.
  const std::vector<std::vector<double>>& site_seconds() const { return site_seconds_; }

 private:
  template <class Base>
  class NodeEvent;
  class LayerEvent;
  class AttendedEvent;
  struct Batch {
    const StagePrograms& stage;
    Chunk& chunk;
    int64_t first;
    std::span<const Sample> samples;
    BatchInputs inputs;
  };

  // Asks `show(arm)` of every arm that follows `leader`, the leader first.
  template <class Show>
  void ForEachFollower(const Batch& batch, int leader, const Show& show) const;
  void Diverge(const Batch& batch);
  void RunArm(const Batch& batch, int arm);
  bool IsLast(const Batch& batch) const;
  bool IsUnseen(const Batch& batch, int arm) const;
  void RunSteps(const Batch& batch, int arm, const Program& program);
  Wanted WantedOf(const Batch& batch, int arm) const;
  void Prepare(const Program& program, const Batch& batch, Arena& arena) const;
  void LoadInput(const Batch& batch, int arm);
  void StoreStream(const Batch& batch, int arm);
  void CountSeconds(const Batch& batch, int arm, const Program& program, size_t step,
                    double seconds);
  void ShowStream(const Batch& batch, int arm);
  void ShowAttention(const Batch& batch, int arm, int32_t node, const StepResult& result);
  void ShowNode(const Batch& batch, int arm, int32_t node, const StepResult& result);
  void ShowRouting(const Batch& batch, int arm, SlotId routing);
  void ShowLinear(const Batch& batch, int arm, int32_t node, const StepResult& result);
  void ShowOutputs(const Batch& batch, int arm);
  // Runs a layer as `arm` does on what the node has just read.
  LinearResult RunAs(const Batch& batch, int arm, int32_t node, const Wanted& wanted);

  const Graph& graph_;
  const std::span<const Arm> arms_;
  const std::span<Tap* const> taps_;
  const std::vector<bool> timed_;  // by arm
  const int worker_;
  const std::unique_ptr<Arena> arena_;
  const std::unique_ptr<Arena> replay_;  // of the layer that RunAs() runs
  std::vector<double> arm_seconds_;
  std::vector<std::vector<double>> site_seconds_;
  double seconds_ = 0;
};

}  // namespace w8a8
