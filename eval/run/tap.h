// What the runner shows to observers while it runs: statistics, meters, checks and feature dumps
// are taps. A tap never changes a result.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eval/run/sample.h"
#include "runtime/arena.h"

namespace w8a8 {

// Output of one linear layer, as an arm computed it.
struct LinearResult {
  MatView<const Half> output;                // [rows, N]
  std::shared_ptr<const LinearTrace> trace;  // of quantized arms, where wanted
};

// A linear layer that an arm has just run, on all samples of a batch at once; there is none for an
// expert that got no row of the batch. Views live until OnLinear() returns.
class LinearEvent {
 public:
  virtual ~LinearEvent() = default;
  // Runs the same layer as `arm` does, on this event's input: teacher-forced runs, and checks of
  // one arm's arithmetic on another's input. Replaces the output that the last call returned, and
  // nothing else.
  virtual LinearResult RunAs(int arm, const Wanted& wanted) = 0;

  int worker = 0;
  int arm = 0;
  int stage = 0;
  const std::string* site = nullptr;
  std::span<const Sample> samples = {};
  // Of every row, ascending, where only some tokens come here (experts). Empty: all do, and row r
  // is token r % tokens of sample r / tokens.
  std::span<const RowOwner> owners = {};
  MatView<const Half> input;
  MatView<const Half> output;
  // Counts the rows of the two on the device that holds them; nullptr: they are the host's.
  RowCounter* counter = nullptr;
  SlotId input_slot = kNoSlot, output_slot = kNoSlot;
  std::shared_ptr<const LinearTrace> trace;  // of quantized arms, where WantsTrace(arm)
};

// The rows of one sample, which lie together.
struct SampleRows {
  int64_t first = 0, count = 0;
  std::vector<int32_t> tokens = {};  // of each, ascending; empty: row first + t is token t
};
SampleRows RowsOf(const LinearEvent& event, size_t sample);
// The same where the owners of all rows are known, ascending.
SampleRows RowsOf(std::span<const RowOwner> owners, size_t sample);

// The residual stream that enters stage `stage + 1`; stage 0 embeds. [samples * tokens, width] in
// the storage of the graph's stream; the other view is empty.
struct StreamEvent {
  int arm = 0;
  int stage = 0;
  std::span<const Sample> samples = {};
  MatView<const Half> half;
  MatView<const float> floats;
};

// A router's choice in a block: [samples * tokens, experts], the weight of each expert that runs
// for the token, kNotRouted elsewhere; padding has none.
struct RoutingEvent {
  int worker = 0;
  int arm = 0;
  int block = 0;
  std::span<const Sample> samples = {};
  MatView<const float> weights;
};

// Attention that an arm has just run, on all samples of a batch at once. Views live until
// OnAttention() returns.
class AttentionEvent {
 public:
  virtual ~AttentionEvent() = default;
  // The output of attention as `arm` computes it, of this event's queries, keys and values. As
  // LinearEvent::RunAs().
  virtual MatView<const Half> RunAs(int arm) = 0;

  int worker = 0;
  int arm = 0;
  int64_t block = 0;  // of the pooling head: as many as there are blocks
  std::span<const Sample> samples = {};
  MatView<const Half> output;  // [samples * queries, width]
  // [samples * heads * queries, keys], of a block, where WantsProbabilities(arm).
  MatView<const float> probabilities;
};

struct OutputEvent {
  int worker = 0;
  int arm = 0;
  std::span<const Sample> samples = {};
  MatView<const Half> tokens;        // [samples * tokens, width], after the final norm
  MatView<const Half> pooled;        // [samples, width] or empty
  MatView<const Half> image_embeds;  // [samples, projection] or empty
  MatView<const Half> logits;        // [samples, classes] or empty

  // What class embeddings are compared with.
  MatView<const Half> embedding() const { return image_embeds.rows > 0 ? image_embeds : pooled; }
};

// Events of one batch and stage come from one worker. Arms that share the stage (shared_stages.h)
// are shown the same values, each as itself, when the first of them runs; else arms come in their
// order, the reference before all. Different batches come from different workers at the same time,
// in any order. Keep state per worker and merge it afterwards, by means that do not depend on the
// order.
class Tap {
 public:
  virtual ~Tap() = default;
  // Asked once per arm and site before anything is run; no event is made that nobody wants.
  virtual bool WantsLinear(int arm, const std::string& site) const = 0;
  // Codes and accumulators cost a pass to read back: only when asked for.
  virtual bool WantsTrace(int /*arm*/) const { return false; }
  // True: OnLinear() looks at the rows through the event's counter, where there is one. The views
  // may be empty then: they cost a copy.
  virtual bool CountsOnDevice() const { return false; }
  // No event is made that nobody wants.
  virtual bool WantsAttention(int /*arm*/) const { return false; }
  // Attention probabilities of the blocks cost memory quadratic in the tokens: only when asked for.
  virtual bool WantsProbabilities(int /*arm*/) const { return false; }
  virtual void OnLinear(LinearEvent&) {}
  virtual void OnStream(const StreamEvent&) {}
  virtual void OnAttention(AttentionEvent&) {}
  virtual void OnRouting(const RoutingEvent&) {}
  virtual void OnOutputs(const OutputEvent&) {}
};

}  // namespace w8a8
