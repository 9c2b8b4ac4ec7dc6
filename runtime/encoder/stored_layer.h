// One linear layer that is stored as codes: its parts (q, k and v of one product) read as one.
#pragma once

#include <string>
#include <vector>

#include "quant/spec.h"
#include "quant/weight_codes.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/stored_module.h"

namespace w8a8 {

// All throw Error naming the tensor for a scale that is not finite or not above 0 (a static scale
// of 0 is the uncalibrated side of vLLM's W8A8O8, and read where inputs and outputs are static), a
// code or zero point beyond the bits, a bit behind the last packed code; and, naming one of each,
// for parts that differ in bits, groups, zero points, or in the scales of inputs and outputs.
class StoredLayer {
 public:
  // The modules were checked (CheckStoredModule) and outlive this object.
  StoredLayer(const Checkpoint& checkpoint, std::vector<const StoredModule*> parts);

  // The rows of all parts, with one scale for all (kTensor) where each part has the same lone one,
  // and no zero points; else a lone scale is that of each row. Not finished (FinishCodes).
  WeightCodes Codes() const;
  // How the layer is run as it is stored: its own scales, bits, groups and zero points.
  SitePlan Plan() const;
  bool IsPacked() const;  // of any part

 private:
  void RequireAlike() const;
  Scales WeightScales(std::vector<int8_t>* zero_points) const;

  const Checkpoint& checkpoint_;
  std::vector<const StoredModule*> parts_;
};

}  // namespace w8a8
