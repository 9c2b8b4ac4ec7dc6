#include "eval/job/worst_images.h"

#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "datasets/draw.h"
#include "eval/job/calibration.h"
#include "eval/job/report_builder.h"
#include "runtime/base/atomic_file.h"
#include "tests/arms/made_session.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

// The report over three made images, with the pictures of `files`.
Report ReportWith(const std::vector<ImageFile>& files) {
  const Session session = MadeSession("worst_images");
  const Plan plan = PerTokenPlan(session.graph.Sites(), 0.5f);
  Experiment experiment;
  experiment.AddRow({.name = "fp16", .precision = Precision::kFp16, .plan = {}}, {});
  AddChosenPlan(experiment, plan, std::nullopt, FakeFlavour::kIdeal);
  MadeImages images(session.config, static_cast<int64_t>(files.size()));
  const Task task;
  const Evaluation evaluation =
      Evaluate(session.graph, *session.weights, experiment, images, task, session.Runner({}));
  Report report = BuildReport(session, evaluation, plan, {});
  AddWorstImages(evaluation, task, files, report);
  return report;
}

TEST(Health, NamesOutputsThatStayFp16OrOverflowed) {
  const Session session = MadeSession("health");
  const std::vector<std::string> sites = session.graph.Sites();
  SiteStatisticsMap statistics;
  Plan plan = PerTokenPlan(sites);
  for (const std::string& site : sites) {
    statistics.emplace(site, SiteStatistics(1, 1));
    plan.sites[site].output = Quantizer::Static(0.5f);
  }
  EXPECT_TRUE(HealthOf(session, statistics, plan).empty());
  const std::vector<Half> infinite = {Half{0x7c00}};
  statistics.at(sites[0]).ObserveOutputs({infinite.data(), 1, 1, 1});
  plan.sites[sites[1]].output.reset();
  plan.sites.erase(sites[2]);
  std::string said;
  for (const HealthNote& note : HealthOf(session, statistics, plan)) {
    said += note.site + ": " + note.text + "\n";
  }
  EXPECT_EQ(said, sites[0] +
                      ": 0 NaN and 1 infinite outputs while calibrating: the FP16 reference "
                      "overflowed.\n" +
                      sites[1] +
                      ": got no row while calibrating: its output stays FP16 under the plan.\n" +
                      sites[2] + ": got no row while calibrating: stays FP16 under the plan.\n");
}

TEST(WorstImages, AreListedWithTheReasonWhereTheFileIsNotTheOneThatWasJudged) {
  const std::filesystem::path folder = ScratchFolder("worst_images_files");
  WriteDrawnImages(folder, 3, /*seed=*/1);
  std::vector<ImageFile> files = ListImages(folder).files;
  ASSERT_EQ(files.size(), 3u);
  for (size_t i = 0; i < 3; ++i) files[i].name = fmt::format("a{:02}.png", i);  // as MadeImages'
  std::filesystem::remove(files[1].path);
  WriteFileAtomically(files[2].path, ReadFile(files[0].path));

  const Report report = ReportWith(files);
  ASSERT_EQ(report.worst_images.size(), 3u);
  std::string notes;
  for (const HealthNote& note : report.health) notes += note.text + "\n";
  for (const WorstImage& image : report.worst_images) {
    EXPECT_EQ(image.thumbnail.empty(), image.file != files[0].name) << image.file;
    const std::string reason = image.file == files[0].name   ? ""
                               : image.file == files[1].name ? "no such file"
                                                             : "its bytes are others by now";
    if (reason.empty()) {
      EXPECT_FALSE(Contains(notes, image.file)) << notes;
      continue;
    }
    EXPECT_TRUE(Contains(notes, "'" + image.file +
                                    "' was judged, but has no picture among the "
                                    "worst images: " +
                                    reason + "."))
        << notes;
  }
}

}  // namespace
}  // namespace w8a8::test
