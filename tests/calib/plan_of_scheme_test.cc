#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "calib/clip_rules.h"
#include "calib/make_plan.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"
#include "tests/calib/made_activations.h"

namespace w8a8 {
namespace {

using test::FirstImages;
using test::MadeSites;

const std::vector<std::string> kSites = {MadeSites()[1].site, MadeSites()[0].site};

PatternHistogram HistogramOf(const std::vector<float>& values) {
  PatternHistogram histogram;
  for (const float value : values) {
    const Half half = ToHalf(value);
    histogram.Add({&half, 1});
  }
  return histogram;
}

// The made activations; outputs are those of the other site, of other values.
SiteStatisticsMap StatisticsWithOutputs() {
  SiteStatisticsMap statistics = test::ObserveImages(FirstImages(4)).sites;
  statistics.at(kSites[0]).outputs = statistics.at(kSites[1]).histogram;
  statistics.at(kSites[1]).outputs = HistogramOf({0.25f, -3.0f, 1.0f, 7.5f});
  return statistics;
}

// The mean squared error of input and output alone, by the histograms.
TeacherForcedError RangeError(const SiteStatisticsMap& statistics) {
  return [&statistics](const std::string& site, const SitePlan& plan) {
    const SiteStatistics& seen = statistics.at(site);
    const Quantizer& last = plan.output ? *plan.output : *plan.input;
    const PatternHistogram& values = plan.output ? *seen.outputs : seen.histogram;
    return values.MeanSquaredError(last.scale * 127.0f);
  };
}

TEST(PlanOfScheme, DynamicSchemesNeedNoStatistics) {
  for (const char* name :
       {"w8a8-token", "w4a8-g128", "w8a16", "w8a8-token-g32", "w8a8-token-asym"}) {
    const Scheme scheme = ParseScheme(name);
    const TensorPlan made = PlanOfScheme(scheme, kSites, {});
    ASSERT_EQ(made.plan.sites.size(), kSites.size()) << name;
    for (const auto& [site, plan] : made.plan.sites) EXPECT_EQ(plan, SitePlanOf(scheme)) << name;
    EXPECT_TRUE(made.choices.empty() && made.output_choices.empty()) << name;
  }
  EXPECT_EQ(PlanOfScheme({}, kSites, {}, kClipRange).plan, PerTokenPlan(kSites, kClipRange));
}

TEST(PlanOfScheme, StaticScalesAreAbsMaxOver127) {
  const SiteStatisticsMap statistics = StatisticsWithOutputs();
  const TensorPlan made = PlanOfScheme(ParseScheme("w4a8o8"), kSites, statistics);
  for (const std::string& site : kSites) {
    const SitePlan& plan = made.plan.sites.at(site);
    EXPECT_EQ(plan.input, Quantizer::Static(statistics.at(site).AbsMax() / 127.0f));
    EXPECT_EQ(plan.output, Quantizer::Static(statistics.at(site).outputs->AbsMax() / 127.0f));
    EXPECT_EQ(plan.weight->num_bits, 4);
  }
  ASSERT_EQ(made.output_choices.size(), kSites.size());
  EXPECT_EQ(made.output_choices[1].absmax, 7.5f);
  EXPECT_EQ(made.output_choices[1].rule, "abs-max");
}

TEST(PlanOfScheme, AClipRangeIsAboutInputsAlone) {
  const SiteStatisticsMap statistics = StatisticsWithOutputs();
  const TensorPlan made = PlanOfScheme(ParseScheme("w8a8o8"), kSites, statistics, 2.0f);
  for (const std::string& site : kSites) {
    EXPECT_EQ(made.plan.sites.at(site).input, Quantizer::Static(2.0f / 127.0f, 2.0f));
    EXPECT_EQ(made.plan.sites.at(site).output,
              Quantizer::Static(statistics.at(site).outputs->AbsMax() / 127.0f));
  }
}

TEST(PlanOfScheme, AnOutputOfZerosStaysFp16AndASiteWithoutInputRangeDoesWhole) {
  SiteStatisticsMap statistics = StatisticsWithOutputs();
  statistics.at(kSites[0]).outputs = PatternHistogram();
  statistics.at(kSites[1]).histogram = HistogramOf({0.0f, -0.0f});
  for (const TensorPlan& made :
       {PlanOfScheme(ParseScheme("w8a8o8"), kSites, statistics),
        BestPlanOfScheme(ParseScheme("w8a8o8"), kSites, statistics, RangeError(statistics))}) {
    EXPECT_FALSE(made.plan.sites.at(kSites[0]).output.has_value());
    EXPECT_EQ(made.plan.sites.count(kSites[1]), 0u);
    EXPECT_TRUE(made.output_choices.at(0).stays_fp16);
    EXPECT_TRUE(made.choices.at(1).stays_fp16);
  }
}

TEST(PlanOfScheme, MissingOutputsAreRefusedWithTheSite) {
  const SiteStatisticsMap statistics = test::ObserveImages(FirstImages(2)).sites;
  try {
    PlanOfScheme(ParseScheme("w8a8o8-token"), kSites, statistics);
    ADD_FAILURE() << "a scale out of nothing";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(kSites[0]), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("outputs"), std::string::npos) << error.what();
  }
}

TEST(BestPlanOfScheme, FindsTheInputsRuleFirstAndThenTheOutputsBesideIt) {
  const SiteStatisticsMap statistics = StatisticsWithOutputs();
  std::vector<std::string> called;
  const TeacherForcedError range_error = RangeError(statistics);
  const TensorPlan made = BestPlanOfScheme(ParseScheme("w8a8o8"), kSites, statistics,
                                           [&](const std::string& site, const SitePlan& plan) {
                                             const std::string call =
                                                 site + (plan.output ? " output" : " input");
                                             if (called.empty() || called.back() != call)
                                               called.push_back(call);
                                             return range_error(site, plan);
                                           });
  EXPECT_EQ(called, (std::vector<std::string>{kSites[0] + " input", kSites[0] + " output",
                                              kSites[1] + " input", kSites[1] + " output"}));
  for (size_t i = 0; i < kSites.size(); ++i) {
    const SiteStatistics& seen = statistics.at(kSites[i]);
    EXPECT_EQ(made.plan.sites.at(kSites[i]).input->scale, ClipByMse(seen.histogram) / 127.0f);
    EXPECT_EQ(made.plan.sites.at(kSites[i]).output->scale, ClipByMse(*seen.outputs) / 127.0f);
    EXPECT_EQ(made.output_choices[i].candidates.size(), ClipRules().size());
  }
}

TEST(Remembered, SchemesThatShareTheirInputsSearchThoseOnce) {
  const SiteStatisticsMap statistics = StatisticsWithOutputs();
  size_t inputs = 0, outputs = 0;
  const TeacherForcedError range_error = RangeError(statistics);
  const TeacherForcedError error = Remembered([&](const std::string& site, const SitePlan& plan) {
    ++(plan.output ? outputs : inputs);
    return range_error(site, plan);
  });
  const TensorPlan both = BestPlanOfScheme(ParseScheme("w8a8o8"), kSites, statistics, error);
  const size_t searched = inputs;
  const TensorPlan made = BestPlanOfScheme(ParseScheme("w8a8-tensor"), kSites, statistics, error);
  EXPECT_EQ(inputs, searched);
  EXPECT_GT(outputs, 0u);
  for (const std::string& site : kSites) {
    EXPECT_EQ(made.plan.sites.at(site).input, both.plan.sites.at(site).input);
  }
  BestPlanOfScheme(ParseScheme("w4a8-tensor"), kSites, statistics, error);
  EXPECT_EQ(inputs, 2 * searched);
}

TEST(StaticAsymmetricInput, CoversTheRangeThatWasSeenWithZeroInIt) {
  const struct {
    std::vector<float> values;
    float clip;
    float scale;
    int32_t zero_point;
  } cases[] = {
      // numpy: lo, hi = min(v.min(), 0), max(v.max(), 0); s = (hi - lo) / float32(255);
      //        z = clip(rint(float32(-128) - lo / s), -128, 127)
      {{-1.0f, 4.1f}, kNoClip, 0x1.47c7c8p-6f, -78},
      {{-0.17f, 3.0f, 1.0f}, kNoClip, 0x1.975b5cp-7f, -114},
      {{0.5f, 3.0f}, kNoClip, 0x1.818182p-7f, -128},
      {{-0.5f, -3.0f}, kNoClip, 0x1.818182p-7f, 127},
      {{-570.0f, 13.0f}, kNoClip, 0x1.24a4a4p+1f, 121},
      {{-570.0f, 13.0f}, 20.0f, 0x1.09090ap-3f, 27},
  };
  for (const auto& c : cases) {
    const Quantizer quantizer = StaticAsymmetricInput(HistogramOf(c.values), c.clip);
    EXPECT_EQ(quantizer.scale, c.scale) << c.values[0];
    EXPECT_EQ(quantizer.zero_point, c.zero_point) << c.values[0];
    EXPECT_NO_THROW(CheckQuantizer(quantizer, "site"));
  }
}

TEST(StaticOutput, IsAScaleThatFp16CanHoldTheLargestCodeOf) {
  for (uint32_t bits = 1; bits < kHalfInfinityBits; ++bits) {
    const float clip = ToFloat(Half{static_cast<uint16_t>(bits)});
    ASSERT_NO_THROW(CheckOutputQuantizer(StaticOutput(clip), "site")) << clip;
  }
  EXPECT_EQ(StaticOutput(12.7f).scale, 12.7f / 127.0f);
}

TEST(PatternHistogram, ItsRangeIsThatOfTheFiniteValuesWithZero) {
  const auto range = [](const std::vector<float>& values) {
    const FiniteRange seen = HistogramOf(values).Range();
    return std::pair(seen.low, seen.high);
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(range({}), std::pair(0.0f, 0.0f));
  EXPECT_EQ(range({2.0f, 0.5f}), std::pair(0.0f, 2.0f));
  EXPECT_EQ(range({-2.0f, -0.0f}), std::pair(-2.0f, 0.0f));
  EXPECT_EQ(range({-kInfinity, 3.0f, kInfinity, NAN, -65504.0f}), std::pair(-65504.0f, 3.0f));
}

}  // namespace
}  // namespace w8a8
