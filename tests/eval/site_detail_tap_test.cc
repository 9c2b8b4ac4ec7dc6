// Code use is counted over all of int8: a code of -128 is legal when it is read.
#include "eval/measure/site_detail_tap.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "quant/numerics.h"

namespace w8a8 {
namespace {

class MadeEvent final : public LinearEvent {
 public:
  LinearResult RunAs(int /*arm*/, const Wanted& /*wanted*/) override { return {}; }
};

TEST(SiteDetailTap, CountsEveryInt8CodeInItsOwnPlace) {
  Experiment experiment;
  experiment.AddRow(Arm(), ArmRow());
  AddChosenPlan(experiment, PerTokenPlan(std::array{std::string("site")}), std::nullopt,
                FakeFlavour::kIdeal);
  SiteDetailTap tap(experiment, 1);

  const std::string site = "site";
  const std::vector<int8_t> codes = {-128, -128, -127, 0, 127};
  const auto trace = std::make_shared<LinearTrace>();
  trace->codes = Matrix<int8_t>(1, 5);
  std::ranges::copy(codes, trace->codes.view().data);
  MadeEvent event;
  event.arm = static_cast<int>(*experiment.ChosenRun(Precision::kInt8));
  event.site = &site;
  event.trace = trace;
  tap.OnLinear(event);

  const std::vector<uint64_t> counts = tap.Take().at(site).code_count;
  ASSERT_EQ(counts.size(), kInt8Values);
  const auto count = [&](int code) { return counts[static_cast<size_t>(code - kLowestInt8)]; };
  EXPECT_EQ(count(-128), 2u);
  EXPECT_EQ(count(-127), 1u);
  EXPECT_EQ(count(0), 1u);
  EXPECT_EQ(count(127), 1u);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), uint64_t{0}), codes.size());
}

}  // namespace
}  // namespace w8a8
