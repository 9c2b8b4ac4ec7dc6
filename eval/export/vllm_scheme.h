// What vLLM makes of a layer that a compressed-tensors folder holds: the class it picks, and where
// that computes something else than the plan.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eval/export/compressed_scheme.h"
#include "quant/spec.h"

namespace w8a8 {

enum class VllmVerdict : uint8_t {
  kAsPlanned,
  kOtherwise,  // it loads, and computes something else
  kRefused,    // it does not load
};

struct VllmScheme {
  std::string_view
      name;  // of the class, without "CompressedTensors": "W8A8Int8"; "" where none fits
  VllmVerdict verdict = VllmVerdict::kAsPlanned;
  std::string note = {};  // a clause for people; "" where there is nothing to say
};

// By the dispatch of vLLM's compressed_tensors.py (_get_scheme_from_parts, read in August 2026: the
// first that fits counts), for a plan that is normalized and has weights. Some of it was read, not
// run: that tensors without a parameter keep a folder from loading, and that inputs stay FP16 where
// packed weights come with dynamic INT8 inputs.
VllmScheme VllmSchemeOf(const SitePlan& plan, CompressedFormat format);

}  // namespace w8a8
