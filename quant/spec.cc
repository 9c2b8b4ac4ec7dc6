#include "quant/spec.h"

#include "runtime/base/error.h"

namespace w8a8 {

Plan WithWeightBits(Plan plan, int num_bits) {
  for (auto& [site, site_plan] : plan.sites) {
    int& bits = site_plan.weight.num_bits;
    if (bits == WeightSpec().num_bits) bits = num_bits;
  }
  return plan;
}

std::string_view GranularityName(Granularity granularity) {
  switch (granularity) {
    case Granularity::kTensor:
      return "per-tensor";
    case Granularity::kToken:
      return "per-token";
    case Granularity::kChannel:
      return "per-channel";
    case Granularity::kGroup:
      return "per-group";
  }
  W8A8_CHECK(!"a Granularity outside its enumeration");
  return {};
}

std::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFp16:
      return "fp16";
    case Precision::kFake:
      return "fake";
    case Precision::kEmulated:
      return "emulated";
    case Precision::kInt8:
      return "int8";
  }
  W8A8_CHECK(!"a Precision outside its enumeration");
  return {};
}

std::string_view FakeFlavourName(FakeFlavour flavour) {
  switch (flavour) {
    case FakeFlavour::kIdeal:
      return "ideal";
    case FakeFlavour::kLlmAwq:
      return "llm-awq";
    case FakeFlavour::kVllmStatic:
      return "vllm-static";
  }
  W8A8_CHECK(!"a FakeFlavour outside its enumeration");
  return {};
}

}  // namespace w8a8
