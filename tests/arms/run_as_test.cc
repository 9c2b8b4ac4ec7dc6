// A linear layer, or attention, replayed for a tap: as its own arm it gives the arm's bits, as
// another it leaves everything that the tap was shown as it is. On the CPU, and on a device behind
// copies.
#include <array>
#include <atomic>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/run/runner.h"
#include "tests/arms/made_session.h"
#include "tests/arms/stub_device.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

Arm ArmOf(Precision precision, Plan plan) {
  return {.name = "", .precision = precision, .plan = std::move(plan)};
}

// The reference, and an arm of every other arithmetic; int8 per token and per tensor, emulated and
// int8 with every attention.
std::vector<Arm> EveryArithmetic(const std::vector<std::string>& sites) {
  Plan fixed = PerTokenPlan(sites);
  for (auto& [site, plan] : fixed.sites) {
    plan.input = Quantizer{.granularity = Granularity::kTensor, .scale = 0.05f};
  }
  const Plan dynamic = PerTokenPlan(sites);
  std::vector<Arm> arms = {ArmOf(Precision::kFp16, {}), ArmOf(Precision::kFake, dynamic),
                           ArmOf(Precision::kEmulated, dynamic), ArmOf(Precision::kInt8, dynamic),
                           ArmOf(Precision::kInt8, fixed)};
  for (const AttentionPrecision attention :
       {AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
    for (const Precision precision : {Precision::kEmulated, Precision::kInt8}) {
      arms.push_back(ArmOf(precision, dynamic));
      arms.back().attention = attention;
    }
  }
  return arms;
}

class ReplayingTap final : public Tap {
 public:
  explicit ReplayingTap(int arms) : arms_(arms) {}

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return true; }
  bool WantsTrace(int /*arm*/) const override { return true; }
  bool WantsAttention(int /*arm*/) const override { return true; }
  void OnAttention(AttentionEvent& event) override {
    const std::vector<Half> output = Copy(event.output);
    for (int arm = 0; arm < arms_; ++arm) {
      const std::vector<Half> replayed = Copy(event.RunAs(arm));
      if (arm != event.arm) continue;
      EXPECT_EQ(Equal(output, replayed), "") << "attention " << event.block << " as arm " << arm;
      ++own_attention_replays;
    }
    EXPECT_EQ(Equal(output, Copy(event.output)), "") << "attention " << event.block;
    EXPECT_EQ(event.probabilities.rows, 0) << "nobody asked for them";
  }
  void OnLinear(LinearEvent& event) override {
    const std::vector<Half> input = Copy(event.input);
    const std::vector<Half> output = Copy(event.output);
    const std::vector<int8_t> codes = CodesOf(event.trace);
    for (int arm = 0; arm < arms_; ++arm) {
      const LinearResult replayed = event.RunAs(arm, {.trace = true});
      if (arm == event.arm) {
        EXPECT_EQ(Equal(output, Copy(replayed.output)), "") << *event.site << " as arm " << arm;
        EXPECT_EQ(codes, CodesOf(replayed.trace)) << *event.site << " as arm " << arm;
        ++own_replays;
      }
    }
    EXPECT_EQ(Equal(input, Copy(event.input)), "") << *event.site;
    EXPECT_EQ(Equal(output, Copy(event.output)), "") << *event.site;
    EXPECT_EQ(codes, CodesOf(event.trace)) << *event.site;
  }

  std::atomic<int> own_replays = 0;
  std::atomic<int> own_attention_replays = 0;

 private:
  static std::vector<int8_t> CodesOf(const std::shared_ptr<const LinearTrace>& trace) {
    return trace == nullptr ? std::vector<int8_t>() : Copy(trace->codes.view());
  }

  const int arms_;
};

void ExpectReplaysOfEveryArm(const std::function<std::unique_ptr<Backend>()>& make_backend) {
  const Session session = MadeSession("run_as");
  const std::vector<std::string> sites = session.graph.Sites();
  const std::vector<Arm> arms = EveryArithmetic(sites);
  MadeImages images(session.config, 3);
  ReplayingTap tap(static_cast<int>(arms.size()));
  const std::array<Tap*, 1> taps{&tap};
  RunArms(session.graph, *session.weights, arms, images, taps,
          {.threads = 1,
           .batch = 2,
           .memory_bytes = 1 << 20,
           .make_backend = make_backend,
           .progress = {}});
  EXPECT_EQ(tap.own_replays, static_cast<int>(arms.size() * sites.size() * 2));  // 2 batches
  EXPECT_EQ(tap.own_attention_replays, static_cast<int>(arms.size() * 3 * 2))
      << "two blocks and the pooling head";
}

TEST(RunAs, GivesTheArmsOwnBitsAndLeavesTheEventAsItIs) {
  ExpectReplaysOfEveryArm([] { return MakeCpuBackend(""); });
}

TEST(RunAs, DoesTheSameOnADeviceBehindCopies) {
  Traffic traffic;
  ExpectReplaysOfEveryArm(
      [&traffic] { return std::make_unique<StubBackend>(Select(""), &traffic); });
  EXPECT_GT(traffic.downloaded_bytes, 0u);
}

}  // namespace
}  // namespace w8a8::test
