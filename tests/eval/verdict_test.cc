#include "eval/job/verdict.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

const Judged kJudged{
    .images = 240, .different = 240, .ranked = 240, .on = "judged on held-out images"};

ArmReport ArmWith(std::optional<Estimate> agreement, Estimate cosine_p1) {
  ArmReport arm;
  arm.name = "int8/plan";
  arm.precision = Precision::kInt8;
  arm.agreement = agreement;
  arm.outputs["pooled"].cosine_p1 = cosine_p1;
  return arm;
}

Ship ShipByAgreement(Estimate agreement) {
  return JudgeArm(ArmWith(agreement, {0.5, 0.5, 0.5}), {}, kJudged).ship;
}

Ship ShipByCosine(Estimate cosine_p1) {
  return JudgeArm(ArmWith(std::nullopt, cosine_p1), {}, kJudged).ship;
}

TEST(Verdict, FollowsTheBoundsOfTheAgreementWhereThereAreClasses) {
  EXPECT_EQ(ShipByAgreement({0.99, 0.98, 1.0}), Ship::kYes);
  EXPECT_EQ(ShipByAgreement({0.99, 0.97, 1.0}), Ship::kUndecided);
  EXPECT_EQ(ShipByAgreement({0.95, 0.93, 0.97}), Ship::kNo);
}

TEST(Verdict, FollowsTheBoundsOfTheCosineWhereThereAreNoClasses) {
  EXPECT_EQ(ShipByCosine({0.995, 0.99, 0.999}), Ship::kYes);
  EXPECT_EQ(ShipByCosine({0.995, 0.98, 0.999}), Ship::kUndecided);
  EXPECT_EQ(ShipByCosine({0.9, 0.8, 0.98}), Ship::kNo);
}

TEST(Verdict, PrintsThresholdIntervalAndImages) {
  const Verdict verdict = JudgeArm(ArmWith(Estimate{0.995, 0.981, 0.999}, {}), {}, kJudged);
  EXPECT_EQ(verdict.text,
            "INT8 can ship: int8/plan has the reference's top-1 on 99.5 % of the images (95 % "
            "interval 98.1 to 99.9; needed: at least 98.0), judged on held-out images.");
}

TEST(Verdict, SaysOnHowFewImagesAPercentileStands) {
  const ArmReport arm = ArmWith(std::nullopt, {0.995, 0.99, 0.999});
  Judged judged = kJudged;
  EXPECT_FALSE(Contains(JudgeArm(arm, {}, judged).text, "as far as"));
  judged.images = judged.different = judged.ranked = 8;
  EXPECT_TRUE(Contains(JudgeArm(arm, {}, judged).text, "as far as 8 images can tell"));
  judged.images = judged.different = judged.ranked = 1;
  EXPECT_TRUE(Contains(JudgeArm(arm, {}, judged).text, "as far as 1 image can tell"));
}

TEST(Verdict, IsUndecidedOnFewerThan16DifferentImages) {
  Judged judged{.images = 40, .different = 15, .ranked = 15, .on = "judged on copies"};
  for (const Estimate certain : {Estimate{1, 1, 1}, Estimate{0.2, 0.1, 0.3}}) {
    for (const ArmReport& arm : {ArmWith(certain, {}), ArmWith(std::nullopt, certain)}) {
      judged.different = judged.ranked = 15;
      const Verdict verdict = JudgeArm(arm, {}, judged);
      EXPECT_EQ(verdict.ship, Ship::kUndecided);
      EXPECT_TRUE(Contains(verdict.text, "as far as 15 different images can tell"));
      judged.different = judged.ranked = 16;
      EXPECT_NE(JudgeArm(arm, {}, judged).ship, Ship::kUndecided);
    }
  }
}

TEST(Verdict, IsUndecidedWhereTheReferenceRanksFewerThan16DifferentImages) {
  const Judged judged{.images = 17, .different = 16, .ranked = 1, .on = "judged on ties"};
  const Verdict verdict = JudgeArm(ArmWith(Estimate{0, 0, 0.79}, {}), {}, judged);
  EXPECT_EQ(verdict.ship, Ship::kUndecided);
  EXPECT_TRUE(Contains(verdict.text, "0.0 % of the 1 different image that the reference ranks (95"))
      << verdict.text;
}

TEST(Verdict, IsNoWhereTheReferenceOrTheArmIsNotFinite) {
  Judged judged{.images = 6, .different = 6, .ranked = 6, .nonfinite = 2, .on = "judged on images"};
  ArmReport arm = ArmWith(Estimate{1, 0.99, 1}, {1, 1, 1});
  Verdict verdict = JudgeArm(arm, {}, judged);
  EXPECT_EQ(verdict.ship, Ship::kNo);
  EXPECT_TRUE(Contains(verdict.text, "the FP16 reference is not finite on 2 of 6 images"));
  EXPECT_TRUE(Contains(verdict.text, "more images would not help"));
  judged.nonfinite = 0;
  arm.outputs["pooled"].nonfinite = 3;
  verdict = JudgeArm(arm, {}, judged);
  EXPECT_EQ(verdict.ship, Ship::kNo);
  EXPECT_TRUE(Contains(verdict.text, "3 values of the pooled output of int8/plan are not finite"));
}

TEST(Verdict, IsUndecidedWithoutAnyImage) {
  const Verdict verdict =
      JudgeArm(ArmWith(std::nullopt, {kUndefined, kUndefined, kUndefined}), {}, kJudged);
  EXPECT_EQ(verdict.ship, Ship::kUndecided);
}

TEST(Verdict, IsNoWhereAThresholdWasMissed) {
  Verdict verdict = JudgeArm(ArmWith(Estimate{1, 0.99, 1}, {}), {}, kJudged);
  ASSERT_EQ(verdict.ship, Ship::kYes);
  Overrule("below threshold: pooled SQNR of int8/plan is 20 dB", verdict);
  EXPECT_EQ(verdict.ship, Ship::kNo);
  EXPECT_EQ(verdict.text,
            "INT8 should not ship as it is, below threshold: pooled SQNR of int8/plan is 20 dB.");
}

}  // namespace
}  // namespace w8a8::test
