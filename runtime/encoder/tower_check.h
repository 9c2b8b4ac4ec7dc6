// Holds a checkpoint against the layout that its config asks for.
#pragma once

#include <string>
#include <vector>

#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/layout.h"

namespace w8a8 {

struct TowerReport {
  bool quantized = false;          // at least one site holds INT8 codes
  std::vector<std::string> notes;  // tensors that are not used
};

// Checks name, shape and dtype of every tensor of the tower at `prefix`. Throws one Error that
// names all that is missing or wrong (the first eight, and the count), or a tensor that would
// change what the tower computes. A site's weight may be I8 beside a `weight_scale`.
TowerReport CheckTower(const Checkpoint& checkpoint, const std::string& prefix,
                       const CheckpointLayout& layout);

// "a.weight" gives "a"; other keys are returned whole.
std::string StemOfKey(const std::string& key);

}  // namespace w8a8
