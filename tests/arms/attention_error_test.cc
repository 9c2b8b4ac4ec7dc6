// The error of attention by itself, arm by arm.
#include <array>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/measure/attention_error_tap.h"
#include "eval/run/runner.h"
#include "tests/arms/made_session.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 5, kBlocks = 2;
constexpr size_t kFp32 = 1, kBf16 = 2, kInt8 = 3;

// The reference, and INT8 under `plan` with each arithmetic of attention.
std::vector<Arm> EveryAttention(const Plan& plan) {
  std::vector<Arm> arms = {{.name = "fp16", .precision = Precision::kFp16, .plan = {}}};
  for (const AttentionPrecision attention :
       {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
    arms.push_back(
        {.name = "int8", .precision = Precision::kInt8, .plan = plan, .attention = attention});
  }
  return arms;
}

AttentionErrors Measure(const Session& session, const Plan& plan, int threads = 1,
                        int64_t batch = 1) {
  const std::vector<Arm> arms = EveryAttention(plan);
  AttentionErrorTap tap({kFp32, kBf16, kInt8}, threads);
  const std::array<Tap*, 1> taps{&tap};
  MadeImages images(session.config, kImages);
  RunArms(session.graph, *session.weights, arms, images, taps,
          {.threads = threads,
           .batch = batch,
           .memory_bytes = 1 << 20,
           .make_backend = session.make_backend,
           .progress = {}});
  return tap.Take();
}

TEST(AttentionErrorTap, ForcedIsWhatTheArithmeticCostsAndNothingForFp32) {
  const Session session = MadeSession("attention_error");
  const AttentionErrors errors = Measure(session, PerTokenPlan(session.graph.Sites()));
  ASSERT_EQ(errors.size(), 3u * 2u * (kBlocks + 1)) << "arms, views, blocks and the pooling head";
  for (int64_t block = 0; block <= kBlocks; ++block) {
    const auto of = [&](size_t run, View view) {
      return errors.at({run, view, block}).Summarize();
    };
    EXPECT_EQ(of(kFp32, View::kTeacherForced).images, static_cast<uint64_t>(kImages));
    EXPECT_TRUE(of(kFp32, View::kTeacherForced).exact) << "block " << block;
    EXPECT_FALSE(of(kFp32, View::kPropagated).exact) << "its inputs are quantized before";
    const double bf16 = of(kBf16, View::kTeacherForced).relative_l2;
    EXPECT_GT(bf16, 0.0) << "block " << block;
    EXPECT_GT(of(kInt8, View::kTeacherForced).relative_l2, bf16) << "block " << block;
  }
}

TEST(AttentionErrorTap, BothViewsAreOneWhereNothingDiffersBefore) {
  const Session session = MadeSession("attention_views");
  const AttentionErrors errors = Measure(session, {});
  for (const size_t run : {kBf16, kInt8}) {
    EXPECT_EQ(errors.at({run, View::kTeacherForced, 0}), errors.at({run, View::kPropagated, 0}));
    EXPECT_NE(errors.at({run, View::kTeacherForced, 1}), errors.at({run, View::kPropagated, 1}));
  }
  for (int64_t block = 0; block <= kBlocks; ++block) {
    EXPECT_TRUE(errors.at({kFp32, View::kPropagated, block}).Summarize().exact)
        << "without a planned site it is the reference";
  }
}

TEST(AttentionErrorTap, DoesNotDependOnBatchOrThreads) {
  const Session session = MadeSession("attention_threads");
  const Plan plan = PerTokenPlan(session.graph.Sites());
  EXPECT_TRUE(Measure(session, plan) == Measure(session, plan, /*threads=*/3, /*batch=*/2));
}

TEST(AttentionErrorTap, AsksForNothingWhereNobodyIsWatched) {
  EXPECT_FALSE(AttentionErrorTap({}, 1).WantsAttention(0));
  EXPECT_TRUE(AttentionErrorTap({2}, 1).WantsAttention(0));
  EXPECT_TRUE(AttentionErrorTap({2}, 1).WantsAttention(2));
  EXPECT_FALSE(AttentionErrorTap({2}, 1).WantsAttention(1));
}

}  // namespace
}  // namespace w8a8::test
