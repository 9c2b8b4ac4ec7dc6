// The buffers of one worker: sized from a graph's slots for a batch of images, regrown for larger
// shapes, never shrunk, reused by every layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/row_scales.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// What the quantized linear step that ran last left behind. `codes` are real codes in [-128, 127].
// Filled on request only (Arena::keep_trace), because reading them back costs a pass.
struct LinearTrace {
  MatView<const int8_t> codes;  // [rows, K]
  RowScales input_scale;        // of the rows
  MatView<const int32_t> acc;   // [rows, N]
  // [N]: sum over k of the weight codes; as the runtime holds it (int8), or summed anew (emulated).
  std::span<const int32_t> weight_code_sum;
};

class Arena {
 public:
  // Buffers for `images` images of `slots`. Cheap when nothing grows.
  void Prepare(std::span<const Slot> slots, int64_t images);

  int64_t images() const { return images_; }
  int64_t rows_per_image(SlotId slot) const { return shapes_[static_cast<size_t>(slot)].rows; }
  int64_t rows(SlotId slot) const { return images_ * rows_per_image(slot); }
  SlotStorage storage(SlotId slot) const { return shapes_[static_cast<size_t>(slot)].storage; }
  // All images' rows, or one's. Only the view that the slot's storage names exists.
  MatView<Half> half(SlotId slot) const;
  MatView<Half> half(SlotId slot, int64_t image) const;
  MatView<float> floats(SlotId slot) const;
  MatView<float> floats(SlotId slot, int64_t image) const;

  PatchGrid grid;  // of the images, where the graph's is variable

  // When set, quantized linear steps also leave `trace`.
  bool keep_trace = false;
  LinearTrace trace;

  // [images * tokens]: 0 where a token is no key of any attention (padding); empty: all tokens are.
  // At least one key of each image is left.
  std::vector<uint8_t> key_mask;
  // When set, attention steps also leave `attention`: [images * heads * queries, keys].
  bool keep_attention = false;
  MatView<float> attention;
  // Room for `attention`, to be written; counted like the slots' buffers.
  MatView<float> ReserveAttention(int64_t rows, int64_t keys);

  int64_t allocations() const { return allocations_; }  // how often any buffer grew

 private:
  std::vector<Slot> shapes_;
  struct Buffers {  // one of the two is used; codes are the backend's
    AlignedBuffer<Half> half;
    AlignedBuffer<float> floats;
  };
  std::vector<Buffers> buffers_;
  AlignedBuffer<float> attention_buffer_;
  int64_t images_ = 0;
  int64_t allocations_ = 0;
};

}  // namespace w8a8
