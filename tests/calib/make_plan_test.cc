#include "calib/make_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "calib/clip_rules.h"
#include "quant/plan_file.h"
#include "runtime/base/error.h"
#include "tests/calib/made_activations.h"

namespace w8a8 {
namespace {

using test::FirstImages;
using test::kMadeTokens;
using test::MadeSites;

const std::vector<std::string> kSites = {MadeSites()[1].site, MadeSites()[0].site};

SiteStatisticsMap Statistics() { return test::ObserveImages(FirstImages(8)).sites; }

// Squared error of the input alone: enough to rank clips, and known in closed form.
TeacherForcedError InputError(const SiteStatisticsMap& statistics) {
  return [&statistics](const std::string& site, const SitePlan& plan) {
    return statistics.at(site).histogram.MeanSquaredError(plan.input->scale * 127.0f);
  };
}

TensorPlan BestPerTensorPlan(std::span<const std::string> sites,
                             const SiteStatisticsMap& statistics, const TeacherForcedError& error) {
  return BestPlanOfScheme({.input = Granularity::kTensor}, sites, statistics, error);
}

TEST(PerTokenPlan, HasEverySiteWithoutClipUnlessAsked) {
  const Plan plan = PerTokenPlan(kSites);
  ASSERT_EQ(plan.sites.size(), 2u);
  for (const auto& [site, planned] : plan.sites) EXPECT_EQ(planned, SitePlan{}) << site;
  EXPECT_EQ(PerTokenPlan(kSites, 5.0f).sites.at(kSites[0]).input->clip_range, 5.0f);
}

TEST(PerTensorPlan, TakesTheSmallerOfAbsMaxAndClipRange) {
  const SiteStatisticsMap statistics = Statistics();
  for (const float clip_range : {0.5f, 5.0f, 1e9f, kNoClip}) {
    const TensorPlan made = PerTensorPlan(kSites, statistics, clip_range);
    for (const std::string& site : kSites) {
      const Quantizer& input = *made.plan.sites.at(site).input;
      EXPECT_EQ(input.granularity, Granularity::kTensor);
      EXPECT_EQ(input.clip_range, clip_range);
      EXPECT_EQ(input.scale, std::min(statistics.at(site).AbsMax(), clip_range) / 127.0f);
    }
  }
}

TEST(PerTensorPlan, ASiteOfZerosStaysFp16AndIsReported) {
  SiteStatisticsMap statistics = Statistics();
  SiteStatistics zeros(4, 2);
  zeros.Observe(RowKeys(0, test::MadeImage(0).sha256), test::View(std::vector<Half>(8), 4));
  statistics.insert_or_assign(kSites[0], zeros);
  for (const TensorPlan& made : {PerTensorPlan(kSites, statistics),
                                 BestPerTensorPlan(kSites, statistics, InputError(statistics))}) {
    EXPECT_EQ(made.plan.sites.count(kSites[0]), 0u);
    EXPECT_EQ(made.plan.sites.count(kSites[1]), 1u);
    ASSERT_EQ(made.choices.size(), 2u);
    EXPECT_TRUE(made.choices[0].stays_fp16);
    EXPECT_FALSE(made.choices[1].stays_fp16);
  }
}

TEST(BestPerTensorPlan, TakesTheRuleOfLeastError) {
  const SiteStatisticsMap statistics = Statistics();
  const TensorPlan made = BestPerTensorPlan(kSites, statistics, InputError(statistics));
  ASSERT_EQ(made.choices.size(), kSites.size());
  for (const SiteChoice& choice : made.choices) {
    EXPECT_EQ(choice.rule, "mse") << choice.site;  // by construction of the error
    ASSERT_EQ(choice.candidates.size(), ClipRules().size());
    for (size_t i = 0; i < choice.candidates.size(); ++i) {
      const RuleResult& candidate = choice.candidates[i];
      EXPECT_EQ(candidate.rule, ClipRules()[i].name);
      EXPECT_EQ(candidate.clip, ClipRules()[i].clip(statistics.at(choice.site).histogram));
      EXPECT_LE(choice.error, candidate.error);
    }
    EXPECT_EQ(made.plan.sites.at(choice.site).input->scale, choice.clip / 127.0f);
  }
}

TEST(BestPerTensorPlan, TheErrorDecidesAndTheEarlierRuleWinsTies) {
  const SiteStatisticsMap statistics = Statistics();
  const auto prefer_small = [](const std::string&, const SitePlan& plan) {
    return static_cast<double>(plan.input->scale);
  };
  const auto indifferent = [](const std::string&, const SitePlan&) { return 1.0; };
  for (const SiteChoice& choice : BestPerTensorPlan(kSites, statistics, prefer_small).choices) {
    for (const RuleResult& other : choice.candidates) EXPECT_LE(choice.clip, other.clip);
  }
  const TensorPlan made = BestPerTensorPlan(kSites, statistics, indifferent);
  for (const SiteChoice& choice : made.choices) {
    EXPECT_EQ(choice.rule, "abs-max");
    EXPECT_EQ(made.plan.sites.at(choice.site).input->clip_range, kNoClip);
  }
}

TEST(BestPerTensorPlan, CallsOfOneSiteFollowEachOtherInTheGivenOrder) {
  const SiteStatisticsMap statistics = Statistics();
  std::vector<std::string> called;
  BestPerTensorPlan(kSites, statistics, [&](const std::string& site, const SitePlan&) {
    if (called.empty() || called.back() != site) called.push_back(site);
    return 0.0;
  });
  EXPECT_EQ(called, kSites);
}

TEST(BestPerTensorPlan, ReportsNonFiniteCounts) {
  const SiteStatisticsMap statistics = Statistics();
  for (const SiteChoice& choice : PerTensorPlan(kSites, statistics).choices) {
    EXPECT_EQ(choice.nonfinite, (NonFiniteCounts{.nan = 2, .inf = 2})) << choice.site;
  }
}

TEST(BestPerTensorPlan, IsAPlanThatThePlanFileAccepts) {
  const SiteStatisticsMap statistics = Statistics();
  const std::vector<KnownSite> known = {{kSites[0], 37}, {kSites[1], 24}};
  for (const TensorPlan& made : {BestPerTensorPlan(kSites, statistics, InputError(statistics)),
                                 PerTensorPlan(kSites, statistics, kClipRange)}) {
    const std::string text = PlanText({"", made.plan}, known);
    EXPECT_EQ(ParsePlan(text, "plan.json", known).plan, made.plan) << text;
  }
}

TEST(BestPerTensorPlan, ErrorsThatAreNotNumbersAndUnknownSitesAreRefusedByName) {
  const SiteStatisticsMap statistics = Statistics();
  const auto nan = [](const std::string&, const SitePlan&) {
    return std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_THROW(BestPerTensorPlan(kSites, statistics, nan), Error);
  const std::vector<std::string> absent = {"blocks.9.mlp.fc1"};
  EXPECT_THROW(PerTensorPlan(absent, statistics), Error);
}

}  // namespace
}  // namespace w8a8
