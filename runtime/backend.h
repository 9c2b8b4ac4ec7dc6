// A device: how each step runs. One object per worker thread (it owns scratch memory); packed
// weights are shared between workers.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "quant/quantized_linear.h"
#include "runtime/arena.h"
#include "runtime/steps.h"

namespace w8a8 {

// One pure virtual per step: a new step does not compile until every device has it. Steps run on
// all images of the arena; float products never mix images, so results do not depend on the batch.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view kernels_name() const = 0;  // "scalar", "avx512vnni"

  virtual PackedPtr PackFloat(MatView<const float> weight) = 0;  // [N, K]
  virtual PackedPtr PackInt8(const QuantizedLinear& linear) = 0;
  virtual PackedPtr PackEmulated(const QuantizedLinear& linear) = 0;

  virtual void Run(const EmbedStep&, Arena&) = 0;
  virtual void Run(const NormStep&, Arena&) = 0;
  virtual void Run(const QkNormStep&, Arena&) = 0;
  virtual void Run(const ActivationStep&, Arena&) = 0;
  virtual void Run(const GateStep&, Arena&) = 0;
  virtual void Run(const AttentionStep&, Arena&) = 0;
  virtual void Run(const AddStep&, Arena&) = 0;
  virtual void Run(const BroadcastStep&, Arena&) = 0;
  virtual void Run(const SelectRowStep&, Arena&) = 0;
  virtual void Run(const MeanRowsStep&, Arena&) = 0;
  virtual void Run(const AverageStep&, Arena&) = 0;
  virtual void Run(const ConvertStep&, Arena&) = 0;
  virtual void Run(const GemmF16Step&, Arena&) = 0;
  virtual void Run(const GemmFakeStep&, Arena&) = 0;
  virtual void Run(const QuantizeStep&, Arena&) = 0;
  virtual void Run(const GemmS8Step&, Arena&) = 0;
  virtual void Run(const GemmCodesStep&, Arena&) = 0;
};

}  // namespace w8a8
