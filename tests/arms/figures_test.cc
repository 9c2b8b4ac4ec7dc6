// The arms on the real ViT-Ti/16 and 220 photos against an independent numpy forward in binary32
// with quantize-dequantize at the four linear inputs of each block (the figures of the data's
// README).
#include <gtest/gtest.h>

#include "eval/job/calibration.h"
#include "eval/job/open_task.h"
#include "eval/measure/evaluate.h"
#include "runtime/base/parallel.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

constexpr double kOneImage = 1.0 / 220;

// A published SQNR (against binary32) and how far ours (against FP16) may be from it.
struct Published {
  const char* arm;
  double sqnr_db, sqnr_tolerance_db;
};

class FiguresOfTheRealModel : public testing::Test {
 protected:
  static Evaluation EvaluateArms() {
    const RunSettings run{.threads = AvailableCpus(), .progress = ProgressLines::kHidden};
    const LoaderOptions loading{.threads = run.threads};
    const Session session = OpenSession({.folder = VitTinyFolder(), .input = PreparedImages{}}, {});
    const Preprocessing preprocessing = OpenPreprocessing(session, Resampler::kPillow13);
    LoaderSource calibration(ListImages(DataFolder() / "images/calib").files, preprocessing,
                             loading);
    const CalibrationStats stats = Calibrate(session, calibration, preprocessing, run);
    const std::vector<std::string> sites = session.graph.Sites();
    Experiment experiment;
    const auto add = [&](Precision precision, Granularity granularity, float clip_range) {
      experiment.AddRow({.name = ArmName(precision, granularity, clip_range),
                         .precision = precision,
                         .plan = SweepPlan(sites, stats.sites, granularity, clip_range)},
                        {});
    };
    experiment.AddRow({.name = "fp16", .precision = Precision::kFp16, .plan = {}}, {});
    for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
      add(precision, Granularity::kToken, kNoClip);
      add(precision, Granularity::kTensor, kNoClip);
      add(precision, Granularity::kToken, kClipRange);
    }
    const std::vector<ImageFile> files = ListImages(DataFolder() / "images/eval").files;
    LoaderSource images(files, preprocessing, loading);
    const OpenedTask opened =
        OpenTask(session, files, {.labels = DataFolder() / "images/eval/labels.tsv"});
    return Evaluate(session.graph, *session.weights, experiment, images, opened.task,
                    session.Runner(run));
  }
};

TEST_F(FiguresOfTheRealModel, AreReproducedByTheFakeAndTheInt8Arm) {
  if (DataFolder().empty()) W8A8_SKIP_OR_FAIL("data", "no W8A8_DATA and no ../shared/data");
  const Evaluation evaluation = EvaluateArms();
  ASSERT_EQ(evaluation.run.images, 220);
  const auto top1 = [&](const std::string& arm) {
    return evaluation.outputs.tasks.at(evaluation.experiment.RunOf(arm)).Result().top1->value;
  };
  // FP16 may turn one image that binary32 decides narrowly; CLIP_RANGE's noise some more.
  EXPECT_NEAR(top1("fp16"), 0.755, kOneImage + PrintedBound(3));
  EXPECT_NEAR(top1("fake/per-token/5"), 0.68, 4 * kOneImage + PrintedBound(2));
  EXPECT_NEAR(top1("int8/per-token/5"), 0.68, 4 * kOneImage + PrintedBound(2));
  for (const Published& published :
       {Published{"per-token/inf", 27.6, 0.7}, Published{"per-tensor/inf", 9.3, 1.0},
        Published{"per-token/5", 7.2, 0.3}}) {
    for (const std::string precision : {"fake/", "int8/"}) {
      const size_t run = evaluation.experiment.RunOf(precision + published.arm);
      const ErrorSummary logits = evaluation.outputs.meters.at({run, "logits"}).Summarize();
      EXPECT_NEAR(logits.sqnr_db, published.sqnr_db, published.sqnr_tolerance_db)
          << precision << published.arm;
    }
  }
}

}  // namespace
}  // namespace w8a8::test
