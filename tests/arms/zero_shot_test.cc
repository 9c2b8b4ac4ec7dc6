// Zero-shot classes through the whole evaluation: the embeddings are the reference's own pooled
// outputs, so that every image's class is known.
#include <array>
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "eval/measure/evaluate.h"
#include "tests/arms/made_session.h"

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 8;

class KeepPooled final : public Tap {
 public:
  bool WantsLinear(int, const std::string&) const override { return false; }
  void OnOutputs(const OutputEvent& event) override {
    const std::span<const Half> row = event.pooled.row_span(0);
    pooled[event.arm][event.samples.front().key->image.name].assign(row.begin(), row.end());
  }
  std::map<int, std::map<std::string, std::vector<Half>>> pooled;  // by arm and image
};

struct ZeroShot : testing::Test {
  Session session = MadeSession("zero_shot");
  RunnerOptions options{.threads = 1,
                        .batch = 1,
                        .memory_bytes = 1 << 24,
                        .make_backend = session.make_backend,
                        .progress = {}};
  KeepPooled seen;
  Task task;

  Experiment Arms() const {
    Experiment experiment;
    experiment.AddRow({.name = "fp16", .precision = Precision::kFp16, .plan = {}}, {});
    AddChosenPlan(experiment, PerTokenPlan(session.graph.Sites(), 0.5f), std::nullopt,
                  FakeFlavour::kIdeal);
    return experiment;
  }

  void SetUp() override {
    MadeImages images(session.config, kImages);
    const std::array<Tap*, 1> taps{&seen};
    RunArms(session.graph, *session.weights, Arms().runs, images, taps, options);
    ClassEmbeddings classes;
    for (const auto& [image, pooled] : seen.pooled.at(0)) {
      task.accepted[image] = {classes.classes()};
      classes.names.push_back("like " + image);
      classes.width = static_cast<int64_t>(pooled.size());
      double sum_sq = 0;
      for (const Half value : pooled) {
        classes.rows.push_back(ToFloat(value));
        sum_sq += static_cast<double>(ToFloat(value)) * ToFloat(value);
      }
      classes.lengths.push_back(std::sqrt(sum_sq));
    }
    task.classes = classes;
  }
};

TEST_F(ZeroShot, FindsEveryImageByItsOwnEmbedding) {
  MadeImages images(session.config, kImages);
  const Evaluation evaluation =
      Evaluate(session.graph, *session.weights, Arms(), images, task, options);
  const TaskAccuracy reference = evaluation.outputs.tasks.at(0).Result();
  EXPECT_EQ(reference.labelled, static_cast<uint64_t>(kImages));
  EXPECT_EQ(reference.top1->value, 1.0);
  EXPECT_EQ(reference.agreement->value, 1.0);
}

TEST_F(ZeroShot, CountsWhatTheInt8ArmsOwnFeaturesRankFirst) {
  MadeImages images(session.config, kImages);
  const Evaluation evaluation =
      Evaluate(session.graph, *session.weights, Arms(), images, task, options);
  const size_t run = evaluation.experiment.RunOf("int8/plan");
  uint64_t right = 0;
  for (const auto& [image, pooled] : seen.pooled.at(static_cast<int>(run))) {
    const std::vector<double> cosines = task.classes->Cosines(pooled);
    right += TopClasses(cosines, 1).front() == task.accepted.at(image).front();
  }
  const TaskAccuracy accuracy = evaluation.outputs.tasks.at(run).Result();
  EXPECT_EQ(accuracy.top1->value, static_cast<double>(right) / kImages);
  EXPECT_EQ(accuracy.agreement->value, accuracy.top1->value);  // the reference is always right
  EXPECT_GE(accuracy.top5->value, accuracy.top1->value);
}

TEST_F(ZeroShot, GivesAgreementOnlyWithoutLabels) {
  task.accepted.clear();
  MadeImages images(session.config, kImages);
  const Evaluation evaluation =
      Evaluate(session.graph, *session.weights, Arms(), images, task, options);
  const TaskAccuracy accuracy = evaluation.outputs.tasks.at(1).Result();
  EXPECT_FALSE(accuracy.top1);
  EXPECT_TRUE(accuracy.agreement);
}

}  // namespace
}  // namespace w8a8::test
