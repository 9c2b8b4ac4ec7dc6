// Weights of a stage are prepared while images run through the stage before.
#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <gtest/gtest.h>

#include "calib/make_plan.h"
#include "eval/run/runner.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/arms/made_session.h"

namespace w8a8::test {
namespace {

// Where two threads meet: each waits there for the other, the first a minute at most.
class MeetingPoint {
 public:
  void Arrive(bool& me, const bool& other) {
    std::unique_lock lock(mutex_);
    me = true;
    arrived_.notify_all();
    if (!missed) missed = !arrived_.wait_for(lock, std::chrono::minutes(1), [&] { return other; });
  }
  bool packing = false, running = false, missed = false;

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
};

class MeetingArena final : public Arena {
 public:
  MeetingArena(std::unique_ptr<Arena> cpu, MeetingPoint* point)
      : cpu_(std::move(cpu)), point_(point) {}
  StepResult Run(const Step& step, const Wanted& wanted) override {
    point_->Arrive(point_->running, point_->packing);
    return cpu_->Run(step, wanted);
  }
  double Seconds() const override { return cpu_->Seconds(); }
  void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) override {
    cpu_->Upload(id, first_row, rows);
  }
  std::span<const std::byte> HostView(SlotId id) override { return cpu_->HostView(id); }

 private:
  void Reserve() override { cpu_->Prepare(slots(), inputs()); }

  const std::unique_ptr<Arena> cpu_;
  MeetingPoint* const point_;
};

// The first layer that is packed as INT8 (a block's) and the first step that is run (the
// embedding's) wait for each other.
class MeetingBackend final : public Backend {
 public:
  MeetingBackend(const Kernels& kernels, MeetingPoint* point) : cpu_(kernels), point_(point) {}
  PackedPtr PackFloat(MatView<const float> weight, FloatOperands operands) override {
    return cpu_.PackFloat(weight, operands);
  }
  PackedPtr PackInt8(const QuantizedLinear& linear, int64_t group) override {
    point_->Arrive(point_->packing, point_->running);
    return cpu_.PackInt8(linear, group);
  }
  PackedPtr PackEmulated(const QuantizedLinear& linear, int64_t group) override {
    return cpu_.PackEmulated(linear, group);
  }
  std::unique_ptr<Arena> MakeArena() override {
    return std::make_unique<MeetingArena>(cpu_.MakeArena(), point_);
  }

 private:
  CpuBackend cpu_;
  MeetingPoint* const point_;
};

TEST(Runner, PreparesTheWeightsOfAStageWhileAnImageRunsThroughTheStageBefore) {
  const Session session = MadeSession("prepare_ahead");
  MadeImages images(session.config, 1);
  const std::array<Arm, 2> arms{Arm{.name = "fp16", .precision = Precision::kFp16, .plan = {}},
                                Arm{.name = "int8",
                                    .precision = Precision::kInt8,
                                    .plan = PerTokenPlan(session.graph.Sites())}};
  MeetingPoint point;
  RunArms(session.graph, *session.weights, arms, images, {},
          {.threads = 2,
           .make_backend = [&] { return std::make_unique<MeetingBackend>(Select(""), &point); },
           .progress = {}});
  EXPECT_TRUE(point.packing);
  EXPECT_TRUE(point.running);
  EXPECT_FALSE(point.missed);
}

}  // namespace
}  // namespace w8a8::test
