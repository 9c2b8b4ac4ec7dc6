// A forward as it is once everything is warm: programs lowered once, an arena that has seen every
// shape, and nothing watching.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/arena.h"
#include "runtime/backend.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"
#include "runtime/lower.h"

namespace w8a8 {

// Every site per-token, no clip.
Plan PerTokenPlan(const Graph& graph);
// Every site by a static scale, from the largest magnitude of its input.
Plan StaticPlan(const std::map<std::string, float>& input_amax);

// How a forward computes.
struct ForwardVariant {
  Precision precision = Precision::kFp16;
  AttentionPrecision attention = AttentionPrecision::kFp32;
  const Plan* plan = nullptr;  // of kInt8; while it is lowered. nullptr: PerTokenPlan()
};

// The programs of all stages of one variant; shared by the forwards of several threads.
struct LoweredEncoder {
  const Graph* graph = nullptr;
  ForwardVariant variant;
  std::vector<Program> stages;
  // Of each site, in node order: its layer by itself, from Lowering::kLayerIn to kLayerOut.
  std::vector<std::pair<std::string, Program>> sites;
};

// Of every variant; those of one precision share the packed weights. The graph outlives them.
std::vector<LoweredEncoder> LowerEncoder(const Graph& graph, const Weights& weights,
                                         Backend& backend,
                                         std::span<const ForwardVariant> variants);

// One worker of it, on a batch of made images.
class SteadyForward {
 public:
  SteadyForward(const LoweredEncoder& encoder, Backend& backend, int64_t images = 1);

  void Run();
  // As Arena::ShareWith().
  void ShareWith(ThreadPool& pool, int worker) { arena_->ShareWith(pool, worker); }
  // What all runs so far took, by the arena's clock.
  double Seconds() const { return arena_->Seconds(); }
  // How the stages of the last Run() came about: "graph", "step by step", "graph in 3 of 5 stages".
  std::string LaunchText() const;
  // The same with the CPU seconds of each step: [stage][step].
  std::vector<std::vector<double>> RunTimed();
  // One more run: the largest finite magnitude of each site's input, of FP16 programs.
  std::map<std::string, float> InputAmax();
  // Of the last run, after the final norm.
  MatView<const Half> Tokens() { return arena_->HostHalf(encoder_.graph->tokens); }

 private:
  template <class RunStage>
  void RunStages(const RunStage& run_stage);

  const LoweredEncoder& encoder_;
  const int64_t images_;
  std::unique_ptr<Arena> arena_;
  std::vector<float> pixels_;
  size_t graphs_ = 0;
};

// What the kind of a step is called: "gemm_s8 fc1", "layer_norm+quantize", "attention".
std::string StepName(const Graph& graph, int stage, const Program& program, size_t step);

}  // namespace w8a8
