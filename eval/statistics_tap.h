// The calibration pass: every site's input, observed by its SiteStatistics.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calib/site_statistics.h"
#include "eval/tap.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Watches arms[0]. Each worker fills statistics of its own; Take() merges them, which gives the
// same values for any split of the images.
class StatisticsTap final : public Tap {
 public:
  StatisticsTap(const Graph& graph, int workers, uint64_t seed);

  bool WantsLinear(int arm, const std::string& /*site*/) const override { return arm == 0; }
  void OnLinear(LinearEvent& event) override;

  std::map<std::string, SiteStatistics> Take();

 private:
  const uint64_t seed_;
  std::vector<std::map<std::string, SiteStatistics>> workers_;
};

}  // namespace w8a8
