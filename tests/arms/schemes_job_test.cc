// Schemes as points of the sweep and the chosen plan's weights alone, from the command's options to
// report.json.
#include <cmath>
#include <functional>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/stage_commands.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/safetensors.h"
#include "tests/arms/random_demo.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class SchemesJob : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = FolderWithRandomDemo("schemes_job");
    RunWholeJob(JobOptions("plain"));
    Options job = JobOptions("schemes");
    for (const char* name : kSchemes) job.schemes.push_back(ParseScheme(name));
    RunWholeJob(job);
    job.out = folder_ / "outputs";
    job.schemes = {ParseScheme("w8a8o8")};
    RunWholeJob(job);
  }

  static Options JobOptions(const std::string& out) {
    Options options;
    options.model = folder_ / "demo/model";
    options.images = folder_ / "demo/images";
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.clip_ranges = {kNoClip};
    options.max_images = 12;
    return options;
  }

  static json Json(const std::string& file) { return json::parse(ReadFile(folder_ / file)); }

  static std::map<std::string, json> ArmsOf(const std::string& file) {
    std::map<std::string, json> arms;
    const json report = Json(file);
    for (const json& arm : report["arms"]) arms[arm["name"]] = arm;
    return arms;
  }

  static constexpr const char* kSchemes[] = {
      "w8a8-token",     "w8a8-tensor", "w8a16",     "w8a8-token-asym", "w8a8-tensor-asym",
      "w8a8-token-g32", "w4a16-g32",   "w4a8-g128", "w3a8-g48-tensor", "w8a8-token-vllm"};
  static inline fs::path folder_;
};

TEST_F(SchemesJob, RunsEachAsFakeAndAsInt8UnderItsNameWithWhatOthersCallIt) {
  const std::map<std::string, json> arms = ArmsOf("schemes/report.json");
  for (const std::string scheme : kSchemes) {
    for (const std::string precision : {"fake", "int8"}) {
      ASSERT_TRUE(arms.contains(precision + "/" + scheme)) << precision << " " << scheme;
      const json& arm = arms.at(precision + "/" + scheme);
      EXPECT_EQ(arm["scheme"], scheme);
      EXPECT_EQ(arm["granularity"], "plan");
      EXPECT_EQ(arm["chosen"], false);
      EXPECT_FALSE(arm["compressed_tensors"].get<std::string>().empty());
      EXPECT_FALSE(arm["vllm"].get<std::string>().empty());
      EXPECT_TRUE(arm["outputs"]["pooled"]["sqnr_db"]["value"].is_number());
    }
  }
  EXPECT_EQ(arms.at("int8/w8a8-token")["outputs"], arms.at("int8/plan")["outputs"]);
  EXPECT_EQ(arms.at("int8/w8a16")["outputs"], arms.at("int8/weight-only")["outputs"]);
  EXPECT_EQ(arms.at("int8/plan")["scheme"], "w8a8-token");
}

TEST_F(SchemesJob, ChangeNothingOfTheOtherArms) {
  const std::map<std::string, json> plain = ArmsOf("plain/report.json");
  const std::map<std::string, json> with = ArmsOf("schemes/report.json");
  // w8a8-token is the chosen plan, which has its emulated twin already.
  EXPECT_EQ(with.size(), plain.size() + 3 * std::size(kSchemes) - 1);
  for (const auto& [name, arm] : plain) EXPECT_EQ(with.at(name), arm) << name;
  EXPECT_EQ(Json("plain/report.json")["sites"], Json("schemes/report.json")["sites"]);
  for (const char* file : {"stats.h5", "plan.json", "quantized/model.safetensors"}) {
    EXPECT_TRUE(ReadFile(folder_ / "plain" / file) == ReadFile(folder_ / "schemes" / file)) << file;
  }
}

// Every scheme but the plan's own has a check of its own, without a mismatch and not about nothing;
// float products are compared apart.
void ExpectProven(const json& checks, size_t schemes) {
  size_t proven = 0;
  for (const json& pass : checks["passes"]) {
    const std::string name = pass["name"];
    proven += name.starts_with("emulated/w") ? 1 : 0;
    for (const char* mismatches : {"int32_mismatches", "code_mismatches", "output_mismatches"}) {
      EXPECT_EQ(pass[mismatches], 0) << name;
    }
    EXPECT_EQ(pass.value("float_output_mismatches", 0), 0) << name;
    const bool weight_only = name.find("a16") != name.npos;
    EXPECT_GT(pass.value(weight_only ? "float_outputs_compared" : "int32_compared", 0), 0) << name;
  }
  EXPECT_EQ(proven, schemes);
}

TEST_F(SchemesJob, AreEachProvenByATwin) {
  ExpectProven(Json("schemes/report.json")["checks"], std::size(kSchemes) - 1);
  ExpectProven(Json("outputs/report.json")["checks"], 1);
}

TEST_F(SchemesJob, OutputsAreObservedWhereASchemeNeedsThemAndOnlyThere) {
  const auto bytes = [](const char* out) { return ReadFile(folder_ / out / "stats.h5"); };
  EXPECT_FALSE(bytes("outputs") == bytes("plain"));
  EXPECT_TRUE(ArmsOf("outputs/report.json").contains("int8/w8a8o8"));
  RunWholeJob(JobOptions("outputs"));  // does not resume from statistics of something else
  EXPECT_TRUE(bytes("outputs") == bytes("plain"));
}

TEST_F(SchemesJob, TellTheTimeOfEach) {
  const json latency = Json("schemes/run.json")["latency"];
  for (const char* arm :
       {"int8/w8a8-token", "int8/w8a8-tensor", "int8/w8a16", "int8/weight-only"}) {
    ASSERT_TRUE(latency.contains(arm)) << arm;
    EXPECT_GT(latency[arm]["ms_per_image"], 0) << arm;
  }
  EXPECT_FALSE(Json("plain/run.json")["latency"].contains("int8/w8a16"));
}

// The sweep's only INT8 run of the plan's steps is watched, and so is every scheme's twin.
TEST_F(SchemesJob, TellTheTimeOfEverySiteOfTheChosenPlanAfterASweepOfOnePoint) {
  for (const char* job : {"plain", "schemes"}) {
    const json run = Json(std::string(job) + "/run.json");
    ASSERT_EQ(run["site_latency"].size(), 16u) << job;
    double sites = 0;
    for (const json& site : run["site_latency"]) {
      EXPECT_GT(site["fp16_ms"], 0) << job;
      EXPECT_GT(site["int8_ms"], 0) << job;
      sites += site["int8_ms"].get<double>();
    }
    EXPECT_LT(sites, run["latency"]["int8"]["ms_per_image"]) << job;
  }
}

// SQNR in dB by site and view.
std::map<std::pair<std::string, std::string>, double> SitesOf(const json& report,
                                                              const std::string& arm) {
  std::map<std::pair<std::string, std::string>, double> sites;
  for (const json& site : report["sites"]) {
    if (site["arm"] == arm) sites[{site["site"], site["view"]}] = site["sqnr_db"];
  }
  return sites;
}

TEST_F(SchemesJob, TheWeightsAloneStandBesideEverySiteInBothViews) {
  const json report = Json("plain/report.json");
  const auto weights = SitesOf(report, "int8/weight-only");
  const auto whole = SitesOf(report, "int8/plan");
  ASSERT_EQ(weights.size(), 16u * 2);
  for (const auto& [place, sqnr_db] : weights) {
    // Errors of weights and activations may cancel a little.
    constexpr double kCancelledDb = 0.5;
    EXPECT_TRUE(std::isfinite(sqnr_db)) << place.first;
    EXPECT_GE(sqnr_db + kCancelledDb, whole.at(place)) << place.first << " " << place.second;
  }
}

TEST_F(SchemesJob, TheShareOfTheWeightsIsThatOfTheTwoNoisePowers) {
  const json report = Json("plain/report.json");
  const auto weights = SitesOf(report, "int8/weight-only");
  size_t shares = 0;
  for (const json& site : report["sites"]) {
    if (!site.contains("weight_share")) continue;
    ++shares;
    EXPECT_EQ(site["arm"], "int8/plan");
    const double apart_db =
        weights.at({site["site"], site["view"]}) - site["sqnr_db"].get<double>();
    EXPECT_DOUBLE_EQ(std::round(1e6 * std::pow(10, -apart_db / 10)),
                     std::round(1e6 * site["weight_share"].get<double>()));
  }
  EXPECT_EQ(shares, 16u * 2);
}

TEST_F(SchemesJob, AStaticSchemeNeedsStatistics) {
  Options compare = JobOptions("static");
  compare.command = "compare";
  compare.schemes = {ParseScheme("w8a8-tensor")};
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(compare); }),
                       "--schemes w8a8-tensor has static scales, which come from calibration; "
                       "give --stats FILE"));
  compare.stats = folder_ / "plain/stats.h5";
  EXPECT_EQ(RunCompare(compare), 0);
  EXPECT_TRUE(ArmsOf("static/report.json").contains("int8/w8a8-tensor"));
}

TEST_F(SchemesJob, WeightBitsAndAConventionAreThoseOfThePlanThatIsRun) {
  Options compare = JobOptions("bits");
  compare.command = "compare";
  compare.weight_bits = 4;
  ASSERT_EQ(RunCompare(compare), 0);
  std::map<std::string, json> arms = ArmsOf("bits/report.json");
  EXPECT_EQ(arms.at("int8/plan")["scheme"], "w4a8-token");
  EXPECT_LT(arms.at("int8/plan")["outputs"]["pooled"]["sqnr_db"]["value"],
            ArmsOf("plain/report.json").at("int8/plan")["outputs"]["pooled"]["sqnr_db"]["value"]);
  compare.weight_bits = 8;
  compare.weight_convention = WeightConvention::kVllm;
  ASSERT_EQ(RunCompare(compare), 0);
  arms = ArmsOf("bits/report.json");
  EXPECT_EQ(arms.at("int8/plan")["scheme"], "w8a8-token-vllm");
  EXPECT_NE(arms.at("int8/plan")["outputs"],
            ArmsOf("plain/report.json").at("int8/plan")["outputs"]);
  compare.weight_bits = 4;
  EXPECT_THROW(RunCompare(compare), UsageError);
}

// The features of the demo's images; `edit` says how.
std::string PooledOf(Options options, const std::function<void(Options&)>& edit) {
  options.command = "encode";
  options.out += ".safetensors";
  options.precision = Precision::kFake;
  options.fake = FakeFlavour::kVllmStatic;
  options.layers = "none";
  edit(options);
  RunEncode(options);
  const SafetensorsFile features(options.out);
  const std::span<const std::byte> bytes = features.Get("pooler_output").bytes;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(SchemesJob, VllmsArmLeavesAnUncalibratedSideOfW8A8O8AloneAndNoOtherArmRunsIt) {
  Options o8 = JobOptions("o8.h5");
  o8.outputs = true;
  RunCalibrate(o8);
  o8.stats = o8.out;
  o8.out = folder_ / "o8.json";
  o8.scheme = ParseScheme("w8a8o8");
  RunPlan(o8);
  Options quantized = JobOptions("o8");
  quantized.plan = o8.out;
  quantized.quiet = false;
  testing::internal::CaptureStdout();
  RunQuantize(quantized);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), quantized.out + ": 16 of 16 sites: w8a8o8\n");
  const auto features = [](const std::string& plan) {
    Options options = JobOptions("o8_encoded");
    options.model = folder_ / "o8";
    return PooledOf(options, [&plan](Options& o) { o.plan = plan; });
  };
  const std::string calibrated = features("");
  EditTensors(folder_ / "o8", [](OwnedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      const bool input = name.ends_with("layers.1.mlp.fc1.input_scale");
      if (input || name.ends_with("layers.2.mlp.fc2.output_scale")) tensor = Zeros({1});
    }
  });
  const std::string stored = features("");
  EXPECT_FALSE(stored == calibrated);
  // A plan that does not quantize these sides computes the same; folders have no clip ranges, which
  // keep this flavour from the code -128.
  json plan = Json("o8.json");
  plan.erase("model_sha256");
  for (json& site : plan["sites"]) site["input"]["clip_range"] = nullptr;
  plan["sites"]["blocks.1.mlp.fc1"]["input"] = nullptr;
  plan["sites"]["blocks.2.mlp.fc2"].erase("output");
  WriteFileAtomically(folder_ / "o8_without.json", plan.dump());
  EXPECT_TRUE(features(folder_ / "o8_without.json") == stored);
  Options other = JobOptions("o8_other");
  other.model = folder_ / "o8";
  const auto int8 = [&] { PooledOf(other, [](Options& o) { o.precision = Precision::kInt8; }); };
  EXPECT_TRUE(Contains(ErrorOf(int8), "blocks.1.mlp.fc1: the static input scale is 0"));
  EXPECT_TRUE(Contains(ErrorOf([&] { RunPlan(other); }),
                       "site 'blocks.1.mlp.fc1': the static input scale is 0"));
}

TEST_F(SchemesJob, SitesThatAPlanSpellsOutToStayFp16AreNotInIt) {
  WriteFileAtomically(folder_ / "spelt.json",
                      R"({"version": 2, "sites": {"blocks.0.mlp.fc1": {"input": null,
                          "weight": null}, "blocks.1.mlp.fc2": {"input": null}}})");
  Options compare = JobOptions("spelt");
  compare.command = "compare";
  compare.plan = folder_ / "spelt.json";
  ASSERT_EQ(RunCompare(compare), 0);
  EXPECT_EQ(ArmsOf("spelt/report.json").at("int8/plan")["scheme"], "w8a16");
  for (const json& choice : Json("spelt/report.json")["plan_choices"]) {
    EXPECT_EQ(choice.value("layer", "").empty(), choice["site"] != "blocks.1.mlp.fc2") << choice;
  }
}

TEST_F(SchemesJob, TheReportHasTheOutputsScales) {
  WriteFileAtomically(folder_ / "output.json",
                      R"({"version": 2, "sites": {"blocks.0.mlp.fc1": {
                          "input": {"strategy": "token"}, "output": {"scale": 0.25}}}})");
  Options compare = JobOptions("output");
  compare.command = "compare";
  compare.plan = folder_ / "output.json";
  ASSERT_EQ(RunCompare(compare), 0);
  for (const json& choice : Json("output/report.json")["plan_choices"]) {
    EXPECT_EQ(choice.value("output_scale", 0.0), choice["site"] == "blocks.0.mlp.fc1" ? 0.25 : 0.0);
  }
}

TEST_F(SchemesJob, AFlavourThatCanRunNoneOfThePlansIsRefused) {
  Options compare = JobOptions("flavour");
  compare.command = "compare";
  compare.fake = FakeFlavour::kLlmAwq;
  compare.scheme = ParseScheme("w8a16");
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(compare); }),
                       "--fake llm-awq: it can run none of the plans here"));
  compare.fake = FakeFlavour::kVllmStatic;
  compare.scheme.reset();
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(compare); }),
                       "--fake vllm-static: it can run none of the plans here"));
}

TEST_F(SchemesJob, ClipRulesAreJudgedWithTheWeightsThatAreRun) {
  Options compare = JobOptions("searched_bits");
  compare.command = "compare";
  compare.stats = folder_ / "plain/stats.h5";
  compare.granularity = Granularity::kTensor;
  compare.weight_bits = 3;
  ASSERT_EQ(RunCompare(compare), 0);
  compare.out = folder_ / "searched_scheme";
  compare.granularity.reset();
  compare.weight_bits = 8;
  compare.scheme = ParseScheme("w3a8-tensor");
  ASSERT_EQ(RunCompare(compare), 0);
  EXPECT_EQ(Json("searched_bits/report.json")["plan_choices"],
            Json("searched_scheme/report.json")["plan_choices"]);
}

TEST_F(SchemesJob, CodesThatAreThereAreNotMadeAnew) {
  Options compare = JobOptions("codes");
  compare.command = "compare";
  compare.model = folder_ / "plain/quantized";
  compare.weight_bits = 4;
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(compare); }),
                       "weights of 4 bits: those of site 'blocks.0.attn.proj' are codes of 8 bits "
                       "already"));
  compare.weight_bits = 8;
  compare.weight_bits_given = true;
  compare.weight_convention = WeightConvention::kVllm;
  EXPECT_TRUE(Contains(ErrorOf([&] { RunCompare(compare); }),
                       "weight convention vllm: the weights of site 'blocks.0.attn.proj' are codes "
                       "already"));
}

}  // namespace
}  // namespace w8a8::test
