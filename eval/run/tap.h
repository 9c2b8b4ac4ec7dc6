// What the runner shows to observers while it runs: statistics, meters, checks and feature dumps
// are taps. A tap never changes a result.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/arena.h"

namespace w8a8 {

// A sample as the runner knows it: an image, or one of the views (tiles and thumbnail) that a tiled
// image becomes. All views of an image follow each other.
struct ImageId {
  int64_t index = 0;  // counts the samples of the run in source order
  std::string name;   // the image's, which its views share
  std::string sha256;
  int64_t image = index;  // counts the images
  int64_t view = 0;       // of this image
  // The view that answers for its image in the task: the whole image, which comes last.
  bool whole = true;
};

// Output of one linear layer, as an arm computed it.
struct LinearResult {
  MatView<const Half> output;                // [rows, N]
  std::shared_ptr<const LinearTrace> trace;  // of quantized arms, where wanted
};

// A linear layer that an arm has just run. Views live until OnLinear() returns. All images of a
// batch at once: image i has rows [i * rows_per_image, (i + 1) * rows_per_image).
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
  const std::vector<ImageId>* images = nullptr;
  int64_t rows_per_image = 0;
  MatView<const Half> input;
  MatView<const Half> output;
  std::shared_ptr<const LinearTrace> trace;  // of quantized arms, where WantsTrace(arm)
};

// The residual stream that enters stage `stage + 1`; stage 0 embeds. [images * tokens, width] in
// the storage of the graph's stream; the other view is empty.
struct StreamEvent {
  int arm = 0;
  int stage = 0;
  const std::vector<ImageId>* images = nullptr;
  MatView<const Half> half;
  MatView<const float> floats;
};

// Attention probabilities of a block: [images * heads * queries, keys].
struct AttentionEvent {
  int arm = 0;
  int block = 0;
  const std::vector<ImageId>* images = nullptr;
  MatView<const float> probabilities;
};

struct OutputEvent {
  int worker = 0;
  int arm = 0;
  const std::vector<ImageId>* images = nullptr;
  MatView<const Half> tokens;  // [images * tokens, width], after the final norm
  MatView<const Half> pooled;  // [images, width] or empty
  MatView<const Half> logits;  // [images, classes] or empty
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
  // Attention probabilities cost memory quadratic in the tokens: only when asked for.
  virtual bool WantsAttention(int /*arm*/) const { return false; }
  virtual void OnLinear(LinearEvent&) {}
  virtual void OnStream(const StreamEvent&) {}
  virtual void OnAttention(const AttentionEvent&) {}
  virtual void OnOutputs(const OutputEvent&) {}
};

}  // namespace w8a8
