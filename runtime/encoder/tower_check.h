// Holds a checkpoint against the layout that its config asks for.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/layout.h"
#include "runtime/encoder/quantization_record.h"
#include "runtime/encoder/stored_module.h"

namespace w8a8 {

struct TowerReport {
  bool quantized = false;  // at least one site holds codes
  // Tensors that are not used, heads that are not run, what runs dequantized.
  std::vector<std::string> notes;
  std::set<std::string, std::less<>> read;      // the tensors that the layout asks for
  std::map<std::string, StoredModule> modules;  // stored as codes, by their weight's layout key
};

// Checks name, shape and dtype of every tensor of the tower at `prefix`. Throws one Error that
// names all that is missing or wrong (the first eight, and the count), or a tensor that would
// change what the tower computes. A layer may be stored as codes, if `record` says nothing against
// it; a tower in any other quantized format is refused by the name of its
// first such tensor. What is stored outside the tower is not looked at.
TowerReport CheckTower(const Checkpoint& checkpoint, const std::string& prefix,
                       const CheckpointLayout& layout, const QuantizationRecord& record);

}  // namespace w8a8
