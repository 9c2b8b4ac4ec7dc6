#include "eval/cli/thresholds.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

// fp16 with a top-1 of 90 %, the chosen int8 arm with 87.5 %, 96 % agreement and 20 dB.
ArmReport MadeArm(const char* name, Precision precision) {
  ArmReport arm;
  arm.name = name;
  arm.precision = precision;
  return arm;
}

Report MadeReport() {
  ArmReport reference = MadeArm("fp16", Precision::kFp16);
  reference.top1 = Estimate{0.9, 0.8, 0.95};
  ArmReport chosen = MadeArm("int8/plan", Precision::kInt8);
  chosen.chosen = true;
  chosen.top1 = Estimate{0.875, 0.8, 0.9};
  chosen.agreement = Estimate{0.96, 0.5, 0.99};
  chosen.outputs["pooled"].sqnr_db = {20, 18, 22};
  ArmReport point = MadeArm("int8/per-token/2", Precision::kInt8);  // not the one that is judged
  point.outputs["pooled"].sqnr_db = {1, 1, 1};
  Report report;
  report.arms = {reference, chosen, point};
  return report;
}

TEST(Thresholds, PassWhereTheMeasuredValueReachesThem) {
  Thresholds thresholds;
  EXPECT_EQ(MissedThresholds(thresholds, MadeReport()), "");
  thresholds.min_sqnr_db = 20;  // reached exactly, though the interval begins at 18
  thresholds.min_agreement = 0.96;
  thresholds.max_drop = 0.03;
  EXPECT_EQ(MissedThresholds(thresholds, MadeReport()), "");
}

TEST(Thresholds, NameFigureThresholdAndArmInOneLine) {
  Thresholds thresholds;
  thresholds.min_sqnr_db = 20.5;
  thresholds.max_drop = 0.02;
  thresholds.min_agreement = 0.98;
  const std::string line = MissedThresholds(thresholds, MadeReport());
  EXPECT_EQ(line,
            "below threshold: pooled SQNR of int8/plan is 20 dB, asked for at least 20.5 "
            "(--min-sqnr-db); top-1 drop of int8/plan is 0.025 (0.9 to 0.875), asked for at most "
            "0.02 (--max-drop); agreement of int8/plan is 0.96, asked for at least 0.98 "
            "(--min-agreement)");
}

TEST(Thresholds, PassAnArmThatIsExact) {
  Thresholds thresholds;
  thresholds.min_sqnr_db = 1000;
  Report report = MadeReport();
  report.arms[1].outputs["pooled"] = {};
  report.arms[1].outputs["pooled"].exact = true;
  EXPECT_EQ(MissedThresholds(thresholds, report), "");
}

TEST(Thresholds, NeverPassAFigureThatIsNotANumber) {
  Thresholds sqnr, agreement, drop;
  sqnr.min_sqnr_db = -100;
  agreement.min_agreement = 0;
  drop.max_drop = 1;
  Report report = MadeReport();
  report.arms[1].outputs["pooled"].sqnr_db = {};
  report.arms[1].agreement.reset();
  report.arms[0].top1 = Estimate{};
  for (const Thresholds& thresholds : {sqnr, agreement, drop}) {
    const std::string said = ErrorOf([&] { MissedThresholds(thresholds, report); });
    EXPECT_TRUE(Contains(said, "is not defined")) << said;
  }
}

TEST(Thresholds, JudgeNothingWithoutAChosenArm) {
  Report report = MadeReport();
  report.arms[1].chosen = false;
  EXPECT_EQ(MissedThresholds({}, report), "");
  Thresholds sqnr;
  sqnr.min_sqnr_db = 1;
  EXPECT_TRUE(Contains(ErrorOf([&] { MissedThresholds(sqnr, report); }), "nothing to judge"));
}

TEST(Thresholds, AreRefusedBeforeTheWorkWhereTheFigureCannotExist) {
  Thresholds agreement, drop;
  agreement.min_agreement = 0.9;
  drop.max_drop = 0.1;
  EncoderConfig features_only, regression, classifier;
  regression.classes = 1;
  classifier.classes = 10;
  Task no_labels, labelled;
  labelled.accepted["a.png"] = {1};
  const auto said = [&](const Thresholds& thresholds, const Task& task,
                        const EncoderConfig& config) {
    return ErrorOf([&] { CheckThresholds(thresholds, task, config); });
  };
  EXPECT_TRUE(Contains(said(agreement, labelled, features_only), "--classes FILE"));
  EXPECT_TRUE(Contains(said(drop, labelled, features_only), "--classes FILE"));
  EXPECT_TRUE(Contains(said(agreement, labelled, regression), "head has one output"));
  EXPECT_TRUE(Contains(said(drop, labelled, regression), "head has one output"));
  EXPECT_TRUE(Contains(said(drop, no_labels, classifier), "have no labels"));
  EXPECT_EQ(said(agreement, no_labels, classifier), "no error was thrown");
  EXPECT_EQ(said(drop, labelled, classifier), "no error was thrown");
}

}  // namespace
}  // namespace w8a8::test
