// Holds a checkpoint against the layout that its config asks for.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/quantization_record.h"

namespace w8a8 {

struct TowerReport {
  bool quantized = false;  // at least one site holds INT8 codes
  // Tensors that are not used, heads that are not run, what runs dequantized.
  std::vector<std::string> notes;
  std::set<std::string, std::less<>> read;  // the tensors that the layout asks for
};

// Checks name, shape and dtype of every tensor of the tower at `prefix`. Throws one Error that
// names all that is missing or wrong (the first eight, and the count), or a tensor that would
// change what the tower computes. A layer's weight may be I8 beside a `weight_scale`, if `record`
// says nothing against it; a tower in any other quantized format is refused by the name of its
// first such tensor. What is stored outside the tower is not looked at.
TowerReport CheckTower(const Checkpoint& checkpoint, const std::string& prefix,
                       const CheckpointLayout& layout, const QuantizationRecord& record);

// Whether `part` may be stored as INT8 codes with one scale for each of its rows:
// compressed-tensors has a name for the scales of an "<layer>.weight" only.
bool MayBeCodes(const StoredTensor& part);

// "a.weight" gives "a"; other keys are returned whole.
std::string StemOfKey(const std::string& key);

}  // namespace w8a8
