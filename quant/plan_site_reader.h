// One site of a plan.json as a value. Part of the plan reader.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "quant/plan_tensors.h"
#include "runtime/base/json_fields.h"

namespace w8a8 {

// What stands around a site in its file.
struct PlanContext {
  int version = 1;
  PlanTensors* tensors = nullptr;  // nullptr: the plan has none
};

// `fields` is the site's object; messages begin with its file(), "plan.json: site 'x'". Throws
// Error for what plan_file.h says, and where no layer could be run by the result (CheckSitePlan).
SitePlan ParseSitePlan(const JsonView<FloatJson>& fields, const KnownSite& site,
                       const PlanContext& context);

}  // namespace w8a8
