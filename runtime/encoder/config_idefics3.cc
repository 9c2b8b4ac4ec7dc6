// Idefics3VisionConfig and SmolVLMVisionConfig: SigLIP's blocks, positions by buckets.
#include <algorithm>
#include <array>

#include "runtime/base/error.h"
#include "runtime/encoder/config_readers.h"

namespace w8a8 {
namespace {

// transformers computes the buckets of Idefics3's positions in binary32. For a square image that
// fills the table they are 0, 1, 2, ..., except for these sides, where some rows come twice (found
// by running transformers 5.23 on all sides up to kCheckedSides).
constexpr int64_t kCheckedSides = 70;
constexpr std::array<int64_t, 19> kInexactSides = {19, 25, 29, 31, 38, 40, 41, 43, 47, 49,
                                                   50, 54, 55, 58, 59, 61, 62, 67, 68};

}  // namespace

EncoderConfig ReadIdefics3Config(const JsonFields& vision) {
  EncoderConfig config = ReadTransformerSizes(vision, {.width = 1152,
                                                       .mlp_width = 3072,
                                                       .blocks = 12,
                                                       .heads = 16,
                                                       .image = 224,
                                                       .patch = 32,
                                                       .norm_eps = 1e-6,
                                                       .activation = "gelu_pytorch_tanh"});
  config.family = "siglip";  // its tensors have SigLIP's names
  const int64_t side = config.grid_rows();
  const bool exact =
      side <= kCheckedSides && std::count(kInexactSides.begin(), kInexactSides.end(), side) == 0;
  if (side != config.grid_cols() || !exact) {
    Fail(
        "{}: Idefics3's position buckets on a grid of {}x{} do not give every patch its own row of "
        "the position table; such encoders are not supported.",
        vision.file(), side, config.grid_cols());
  }
  config.notes.emplace_back(
      "images fill the whole position table: every patch has its own row, as in transformers 5 "
      "(4.57 places most patches one row and column before theirs)");
  return config;
}

}  // namespace w8a8
