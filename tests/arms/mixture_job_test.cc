// The stages of a job on a mixture of experts of which one gets no token: calibrate, plan, compare,
// report.
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "calib/stats_file.h"
#include "datasets/draw.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/stage_commands.h"
#include "runtime/base/atomic_file.h"
#include "tests/encoder/mixture_models.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kImages = 18, kTokens = 16;
constexpr const char* kUnreached = "blocks.1.mlp.experts.2";

// TinyMixture() with a fourth expert. Behind the norm before the router channel 0 is 8 for every
// token, and expert 2 alone has a weight there, -100.
fs::path ModelFolder() {
  EncoderConfig config = TinyMixture();
  config.mixture.experts = 4;
  const fs::path folder = MixtureFolder("mixture_job_model", config);
  const std::string block = kMixtureBlock;
  const auto set = [](OwnedTensor& tensor, int64_t index, float value) {
    std::memcpy(tensor.bytes.data() + static_cast<size_t>(index) * sizeof(float), &value,
                sizeof(float));
  };
  EditTensors(folder, [&](OwnedTensors& tensors) {
    set(tensors.at(block + "layer_norm2.weight"), 0, 0.0f);
    set(tensors.at(block + "layer_norm2.bias"), 0, 8.0f);
    for (int64_t e = 0; e < 4; ++e) {
      set(tensors.at(block + "mlp.gate.weight"), e * config.width, e == 2 ? -100.0f : 0.0f);
    }
  });
  return folder;
}

class MixtureJob : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = ScratchFolder("mixture_job");
    model_ = ModelFolder();
    WriteDrawnImages(folder_ / "images", kImages, /*seed=*/5);
    Options calibrate = OptionsOf("calibrate", "stats.h5");
    calibrate.outputs = true;
    ASSERT_EQ(RunCalibrate(calibrate), 0);
    Options plan = OptionsOf("plan", "tensor.json");
    plan.images.clear();
    plan.stats = folder_ / "stats.h5";
    plan.granularity = Granularity::kTensor;
    ASSERT_EQ(RunPlan(plan), 0);
    Options compare = OptionsOf("compare", "compared");
    compare.stats = folder_ / "stats.h5";
    compare.plan = folder_ / "tensor.json";
    for (const char* scheme : {"w8a8-token", "w8a8-tensor", "w8a16", "w8a8o8"}) {
      compare.schemes.push_back(ParseScheme(scheme));
    }
    ASSERT_EQ(RunCompare(compare), 0);
    report_ = json::parse(ReadFile(folder_ / "compared/report.json"));
  }

  static Options OptionsOf(const std::string& command, const std::string& out) {
    Options options;
    options.command = command;
    options.model = model_;
    options.images = folder_ / "images";
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.threads = 2;
    options.batch = 3;
    return options;
  }

  static inline fs::path folder_, model_;
  static inline json report_;
};

std::string Fc(int layer) { return std::string(kUnreached) + ".fc" + std::to_string(layer); }

TEST_F(MixtureJob, TheStatisticsOfTheUnreachedExpertAreZeros) {
  const CalibrationStats stats = ReadStats(folder_ / "stats.h5");
  EXPECT_EQ(stats.sites.size(), 4u + 2u + 4u * 2u);
  EXPECT_EQ(stats.sites.at(Fc(1)).Rows(), 0u);
  EXPECT_EQ(stats.sites.at(Fc(2)).Rows(), 0u);
  EXPECT_GT(stats.sites.at("blocks.1.mlp.experts.3.fc2").Rows(), 0u);
}

TEST_F(MixtureJob, AStaticPlanLeavesItInFp16AndThePlanAndTheReportSayWhy) {
  const json plan = json::parse(ReadFile(folder_ / "tensor.json"));
  size_t quantized = 0;
  for (const auto& [site, entry] : plan["sites"].items()) quantized += entry.is_null() ? 0 : 1;
  EXPECT_EQ(quantized, 12u);
  std::set<std::string> unseen, noted;
  for (const json& choice : report_["plan_choices"]) {
    if (choice["rule"] == kNoRows) unseen.insert(choice["site"]);
  }
  for (const json& note : report_["health"]) {
    if (note["text"].get<std::string>().starts_with("got no row while calibrating: stays FP16")) {
      noted.insert(note["site"]);
    }
  }
  EXPECT_EQ(unseen, (std::set<std::string>{Fc(1), Fc(2)}));
  EXPECT_EQ(noted, unseen);
}

TEST_F(MixtureJob, CoverageNamesTheExpertThatGotNothing) {
  ASSERT_EQ(report_["experts"].size(), 4u);
  double share = 0;
  for (const json& expert : report_["experts"]) {
    const bool unreached = expert["expert"] == 2;
    EXPECT_EQ(expert["block"], 1);
    EXPECT_EQ(expert["below_minimum"], unreached);
    EXPECT_EQ(expert["tokens"], expert["calibration_tokens"]) << "the same images";
    EXPECT_EQ(expert["tokens"] == 0, unreached);
    EXPECT_EQ(expert["images"] == 0, unreached);
    EXPECT_DOUBLE_EQ(expert["share"], expert["tokens"].get<double>() / (kImages * kTokens));
    share += expert["share"].get<double>();
  }
  EXPECT_DOUBLE_EQ(share, 2.0);
  EXPECT_EQ(report_["min_expert_tokens"], 1);
  const std::string page = ReadFile(folder_ / "compared/report.html");
  EXPECT_NE(page.find("id=\"experts\""), std::string::npos);
  EXPECT_NE(page.find("1 of 4 experts got fewer than 1 token"), std::string::npos);
  EXPECT_NE(page.find(kUnreached), std::string::npos);
}

TEST_F(MixtureJob, AnotherMinimumNamesMoreAndChangesNothingElse) {
  Options compare = OptionsOf("compare", "minimum");
  ASSERT_EQ(RunCompare(compare), 0);
  const json one = json::parse(ReadFile(folder_ / "minimum/report.json"));
  compare.min_expert_tokens = 1'000'000;
  ASSERT_EQ(RunCompare(compare), 0);
  const json many = json::parse(ReadFile(folder_ / "minimum/report.json"));
  for (const json& expert : many["experts"]) {
    EXPECT_EQ(expert["below_minimum"], true);
    EXPECT_FALSE(expert.contains("calibration_tokens"));
  }
  for (const char* same : {"verdict", "arms", "sites", "checks", "routing", "plan_choices"}) {
    EXPECT_EQ(one[same], many[same]) << same;
  }
}

TEST_F(MixtureJob, RoutingChangesAreThoseOfEachArmAndTheReferenceHasNone) {
  std::map<std::string, json> arms;
  for (const json& arm : report_["arms"]) arms[arm["name"]] = arm;
  EXPECT_FALSE(arms.at("fp16").contains("routing_changed"));
  size_t rows = 0;
  for (const json& row : report_["routing"]) {
    ++rows;
    EXPECT_EQ(row["block"], 1);
    EXPECT_EQ(row["tokens"], kImages * kTokens);
    EXPECT_EQ(row["routing_changed"], arms.at(row["arm"])["routing_changed"]) << row["arm"];
  }
  EXPECT_EQ(rows, arms.size() - 1);
  EXPECT_EQ(arms.at("int8/plan")["routing_changed"], arms.at("emulated/plan")["routing_changed"]);
}

TEST_F(MixtureJob, EveryExpertThatGotRowsIsProvenAndMeasuredInBothViews) {
  std::set<std::string> reached;
  for (const json& site : report_["checks"]["sites"]) {
    const bool unreached = site["site"] == Fc(1) || site["site"] == Fc(2);
    EXPECT_EQ(site["int32_compared"] == 0, unreached) << site["site"];
    EXPECT_EQ(site["outputs_compared"] == 0, unreached) << site["site"];
    for (const char* mismatches : {"int32_mismatches", "code_mismatches", "output_mismatches"}) {
      EXPECT_EQ(site[mismatches], 0) << site["site"];
    }
    if (!unreached) reached.insert(site["site"]);
  }
  ASSERT_EQ(reached.size(), 12u);
  for (const char* view : {"teacher_forced", "propagated"}) {
    std::set<std::string> measured;
    for (const json& site : report_["sites"]) {
      if (site["arm"] != "int8/plan" || site["view"] != view) continue;
      measured.insert(site["site"]);
      EXPECT_TRUE(site["sqnr_db"].is_number()) << site["site"];
    }
    EXPECT_EQ(measured, reached) << view;
  }
}

TEST_F(MixtureJob, ThePageIsDrawnAgainFromTheFiles) {
  Options report = OptionsOf("report", "again");
  report.inputs = {(folder_ / "compared").string()};
  ASSERT_EQ(RunReport(report), 0);
  for (const char* file : {"report.json", "report.html", "report.h5"}) {
    EXPECT_TRUE(ReadFile(folder_ / "again" / file) == ReadFile(folder_ / "compared" / file))
        << file;
  }
}

TEST_F(MixtureJob, GivesEqualBytesForAnyBatchAndThreads) {
  Options calibrate = OptionsOf("calibrate", "stats_again.h5");
  calibrate.outputs = true;
  calibrate.threads = 1;
  calibrate.batch = 1;
  ASSERT_EQ(RunCalibrate(calibrate), 0);
  EXPECT_TRUE(ReadFile(folder_ / "stats_again.h5") == ReadFile(folder_ / "stats.h5"));
  Options compare = OptionsOf("compare", "compared_again");
  compare.stats = folder_ / "stats.h5";
  compare.plan = folder_ / "tensor.json";
  for (const char* scheme : {"w8a8-token", "w8a8-tensor", "w8a16", "w8a8o8"}) {
    compare.schemes.push_back(ParseScheme(scheme));
  }
  compare.threads = 1;
  compare.batch = 18;
  ASSERT_EQ(RunCompare(compare), 0);
  EXPECT_TRUE(ReadFile(folder_ / "compared_again/report.json") ==
              ReadFile(folder_ / "compared/report.json"));
}

}  // namespace
}  // namespace w8a8::test
