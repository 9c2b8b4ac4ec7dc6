// The cards of the report: calibration statistics and details of the evaluation, small enough to
// plot.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "eval/measure/site_detail_tap.h"
#include "reports/site_card.h"

namespace w8a8 {

// A card for each of `sites`, which `names` gets to know. `statistics` may lack sites (none without
// calibration); those cards have only what `details` knows, whose codes are the plan's.
std::vector<SiteCard> BuildCards(const std::vector<std::string>& sites,
                                 const SiteStatisticsMap& statistics,
                                 const std::map<std::string, SiteDetail>& details, const Plan& plan,
                                 SiteNames& names);

}  // namespace w8a8
