// The steps of a baseline's forward.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "runtime/cuda/baseline.h"
#include "runtime/cuda/cuda_arena.h"

namespace w8a8 {

class BaselineArena final : public CudaArena {
 public:
  // All outlive the arena.
  BaselineArena(int device_index, CudaProducts* products, DeviceVectors& vectors,
                BaselineBackend& baseline);

  void RunAll(const Program& program, std::span<const SlotId> kept) override;

 protected:
  size_t RunFrom(const Program& program, size_t i, ProductFusion fusion,
                 std::span<const SlotId> kept) override;

 private:
  // E4M3 rows of a slot that the step before left; a layer's product is made from one room while
  // the next layer's inputs go to the other.
  struct Fp8Rows {
    SlotId slot = kNoSlot;  // kNoSlot: none
    float scale = 0.0f;
    DeviceMemory<uint8_t> codes;
  };

  bool Attend(const AttentionStep& step);
  size_t RunProduct(const Program& program, size_t i, ProductFusion fusion,
                    std::span<const SlotId> kept);
  bool Multiply(const GemmF16Step& step, LibraryProduct product);
  // With the product's GELU or residual; false: the library has no kernel for that.
  bool MultiplyWithGelu(const Program& program, size_t i, std::span<const SlotId> kept);
  bool MultiplyWithResidual(const Program& program, size_t i, std::span<const SlotId> kept);
  // A step that makes FP16 rows in `out`, with E4M3 of them where the next step's product wants it.
  bool RunCoding(const Program& program, size_t i, const Step& step, std::span<const SlotId> kept);
  // The layer at step i whose input is `slot`, if its scale is known; nullptr: none.
  const BaselineWeights* Fp8LayerAt(const Program& program, size_t i, SlotId slot) const;
  // A product that may be FP8: whether the library has one of so many rows was not asked.
  bool IsUnknown(const Step& step) const;
  // Of every layer of the program, by a run of its own, which leaves the slots as they are.
  void FindScales(const Program& program);
  void FindScale(const GemmF16Step& step, const BaselineWeights& weight);
  PlainCodes BeginRows(SlotId slot, float scale, Fp8Rows* rows);
  const uint8_t* RowsOf(const GemmF16Step& step, const BaselineWeights& weight);

  void Note(BaselineNote note) {
    if (!finding_scales_) baseline_.notes().Add(note);
  }

  BaselineBackend& baseline_;
  bool finding_scales_ = false;
  Fp8Rows rows_, next_rows_;
};

}  // namespace w8a8
