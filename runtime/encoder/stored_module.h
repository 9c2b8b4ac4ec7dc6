// The tensors that hold one module's codes, as compressed-tensors stores them, checked against each
// other and against what the configs say of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/encoder/module_scheme.h"
#include "runtime/encoder/quantization_record.h"
#include "runtime/encoder/tower_findings.h"

namespace w8a8 {

// Views into the checkpoint; nullptr: not stored, or of no use to the scheme.
struct StoredModule {
  std::string name;    // "vision_model.encoder.layers.0.mlp.fc1"
  int64_t rows = 0;    // outputs
  int64_t inputs = 0;  // of a convolution: channels * height * width
  ModuleScheme scheme;
  bool packed = false;
  const TensorView* codes = nullptr;        // <name>.weight I8, or .weight_packed I32
  const TensorView* scale = nullptr;        // [rows, 1] or [rows], [rows, groups], or one for all
  const TensorView* zero_point = nullptr;   // I8 of the scale's shape; I32 packed along the rows
  const TensorView* input_scale = nullptr;  // one value
  const TensorView* input_zero_point = nullptr;  // one I8
  const TensorView* output_scale = nullptr;      // one value
};

// Whether `part` may be stored as codes: compressed-tensors has names for those of an
// "<layer>.weight" only, and they are of the whole tensor.
bool MayBeCodes(const StoredTensor& part);
// Whether it is: INT8 under its own name, or packed.
bool IsStoredAsCodes(const StoredTensor& part, const TowerFindings& findings);

// `part` is stored as codes. Gathers what is missing or wrong in `findings`; throws what
// QuantizationRecord::SchemeOf() does. Where the record says nothing INT8 codes are of 8 bits, and
// the tensors beside them say the rest.
StoredModule CheckStoredModule(const StoredTensor& part, const QuantizationRecord& record,
                               TowerFindings& findings);

// "a.weight" gives "a"; other keys are returned whole.
std::string StemOfKey(const std::string& key);

}  // namespace w8a8
