#include "quant/spec.h"

namespace w8a8 {

Plan WithWeightBits(Plan plan, int num_bits) {
  for (auto& [site, site_plan] : plan.sites) {
    int& bits = site_plan.weight.num_bits;
    if (bits == WeightSpec().num_bits) bits = num_bits;
  }
  return plan;
}

}  // namespace w8a8
