// report.json and run.json, key by key, against the documented schema.
#include "reports/json_writer.h"

#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "tests/reports/sample_report.h"

namespace w8a8 {
namespace {

using Json = nlohmann::json;

Json Written() { return Json::parse(ReportJsonText(test::SampleReport(3))); }

std::set<std::string> Keys(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

// `object` has all of `names` and nothing but them and `optional`.
void ExpectKeys(const Json& object, const std::set<std::string>& names,
                const std::set<std::string>& optional = {}) {
  const std::set<std::string> keys = Keys(object);
  for (const std::string& name : names) {
    EXPECT_TRUE(keys.contains(name)) << name << " is missing in " << object.dump().substr(0, 200);
  }
  for (const std::string& key : keys) {
    EXPECT_TRUE(names.contains(key) || optional.contains(key)) << key << " is not documented";
  }
}

TEST(ReportJson, HasTheDocumentedMembers) {
  const Json report = Written();
  ExpectKeys(report, {"schema", "title", "verdict", "facts", "arms", "sites", "attention", "checks",
                      "experts", "routing", "min_expert_tokens", "skipped_images", "plan_choices",
                      "health"});
  EXPECT_EQ(report["schema"], "w8a8-report/1");
  ExpectKeys(report["verdict"], {"ship", "arm", "text"});
  EXPECT_EQ(report["verdict"]["ship"], "undecided");
  EXPECT_EQ(report["facts"]["images"]["calibration"], 64);
  ExpectKeys(report["skipped_images"][0], {"file", "reason"});
}

TEST(ReportJson, AttentionHasItsErrorByBlockArmAndViewWhereItIsNotTheReferences) {
  const Json report = Written();
  ASSERT_EQ(report["attention"].size(), 8u);
  ExpectKeys(report["attention"][0], {"block", "arm", "view", "sqnr_db", "exact", "relative_l2",
                                      "cosine", "max_abs", "mean_error", "nonfinite"});
  EXPECT_EQ(report["attention"][0]["block"], 0);
  EXPECT_TRUE(report["attention"][1]["block"].is_null()) << "the pooling head";
  EXPECT_TRUE(report["attention"][0]["sqnr_db"].is_null()) << "exact";
  EXPECT_EQ(report["attention"][7]["arm"], "int8/plan");
  Report reference = test::SampleReport(1);
  reference.attention.clear();
  EXPECT_FALSE(Json::parse(ReportJsonText(reference)).contains("attention"));
}

TEST(ReportJson, ExpertsHaveTheirCoverageAndArmsWhatTheyRouteOtherwise) {
  const Json report = Written();
  ASSERT_EQ(report["experts"].size(), 4u);
  for (const Json& expert : report["experts"]) {
    ExpectKeys(expert, {"block", "expert", "tokens", "share", "images", "below_minimum"},
               {"calibration_tokens"});
  }
  EXPECT_EQ(report["experts"][3]["below_minimum"], true);
  ASSERT_EQ(report["routing"].size(), 2u);
  ExpectKeys(report["routing"][0], {"arm", "block", "tokens", "routing_changed"});
  EXPECT_EQ(report["routing"][1]["arm"], "int8/plan");
}

TEST(ReportJson, ArmsHaveIntervalsFractionsAndNulls) {
  const Json arms = Written()["arms"];
  ASSERT_EQ(arms.size(), 44u + 1 + 2);  // the weights alone, and a scheme
  for (const Json& arm : arms) {
    ExpectKeys(arm,
               {"name", "precision", "flavour", "granularity", "clip_range", "chosen", "outputs",
                "top1", "top5", "agreement"},
               {"label", "weight_bytes", "part", "scheme", "compressed_tensors", "vllm",
                "routing_changed"});
    EXPECT_TRUE(arm["name"].get<std::string>().starts_with(arm["precision"].get<std::string>()));
    for (const Json& errors : arm["outputs"]) {
      ExpectKeys(errors, {"sqnr_db", "relative_l2", "cosine_mean", "cosine_p1", "max_abs"},
                 {"exact", "nonfinite"});
    }
    for (const char* fraction : {"top1", "top5", "agreement"}) {
      if (arm[fraction].is_null()) continue;
      ExpectKeys(arm[fraction], {"value", "low", "high"});
      EXPECT_GE(arm[fraction]["value"], 0);
      EXPECT_LE(arm[fraction]["value"], 1);
    }
  }
  const Json& reference = arms[0];
  EXPECT_TRUE(reference["granularity"].is_null());
  EXPECT_TRUE(reference["agreement"].is_null());
  EXPECT_TRUE(reference["outputs"]["logits"]["sqnr_db"].is_null());
  EXPECT_EQ(reference["outputs"]["logits"]["exact"], true);
  EXPECT_EQ(reference["outputs"]["logits"]["relative_l2"]["value"], 0);
  EXPECT_EQ(arms[1]["name"], "fake/plan");
  EXPECT_EQ(arms[1]["flavour"], "ideal");
  EXPECT_EQ(arms[1]["chosen"], true);
  EXPECT_TRUE(arms[2]["flavour"].is_null());
  ExpectKeys(arms[2]["outputs"]["pooled"]["sqnr_db"], {"value", "low", "high"});
  EXPECT_FALSE(arms[2]["outputs"]["pooled"].contains("exact"));
}

TEST(ReportJson, SchemesHaveTheirNamesAndThoseOfOthers) {
  const Json arms = Written()["arms"];
  EXPECT_EQ(arms[2]["scheme"], "w8a8-token");
  EXPECT_FALSE(arms[4].contains("scheme"));
  EXPECT_EQ(arms[44]["name"], "int8/weight-only");
  EXPECT_EQ(arms[44]["part"], "weights");
  EXPECT_EQ(arms[44]["granularity"], "plan");
  EXPECT_EQ(arms[46]["name"], "int8/w4a8-g128");
  EXPECT_EQ(arms[46]["scheme"], "w4a8-g128");
  EXPECT_EQ(arms[46]["granularity"], "plan");
  EXPECT_EQ(arms[46]["vllm"], "CompressedTensorsW4A8Int (Arm CPUs only)");
}

TEST(ReportJson, NoClipIsNull) {
  const Json arms = Written()["arms"];
  for (const Json& arm : arms) {
    const bool no_clip = arm["name"].get<std::string>().ends_with("/inf");
    const bool one_range = arm["granularity"] == "per-token" || arm["granularity"] == "per-tensor";
    EXPECT_EQ(arm["clip_range"].is_null(), no_clip || !one_range) << arm["name"];
  }
}

TEST(ReportJson, SitesAreNumbersOrNullAndExactIsSaid) {
  const Json sites = Written()["sites"];
  ASSERT_EQ(sites.size(), 3u * 4 * 2 * 3);
  for (const Json& site : sites) {
    ExpectKeys(site,
               {"site", "arm", "view", "sqnr_db", "relative_l2", "cosine", "max_abs", "mean_error",
                "saturation"},
               {"exact", "block", "input_sqnr_db", "nonfinite", "weight_share"});
    EXPECT_EQ(site.contains("weight_share"), site["arm"] == "int8/plan");
    EXPECT_TRUE(site["view"] == "teacher_forced" || site["view"] == "propagated");
    EXPECT_EQ(site["sqnr_db"].is_null(), site.contains("exact"));
  }
  EXPECT_EQ(sites[1]["exact"], true);
}

TEST(ReportJson, ChecksStandBesideWhatWasCompared) {
  const Json checks = Written()["checks"];
  const std::set<std::string> counts = {"int32_compared",    "int32_mismatches", "codes_compared",
                                        "code_mismatches",   "code_differences", "outputs_compared",
                                        "output_mismatches", "nonfinite"};
  std::set<std::string> names = counts;
  names.insert({"sites", "passes"});
  ExpectKeys(checks, names);
  ExpectKeys(checks["code_differences"], {"0", "1", "2+"});
  ASSERT_EQ(checks["sites"].size(), 12u);
  names = counts;
  names.insert("site");
  ExpectKeys(checks["sites"][0], names);
  EXPECT_EQ(checks["sites"][0]["site"], "blocks.0.attn.qkv");
  EXPECT_EQ(checks["int32_compared"], 12u * 33292800);
  names.erase("site");
  names.insert({"name", "images"});
  ExpectKeys(checks["passes"][0], names);
}

// No member of the text is spelled as JSON does not know it.
void ExpectNoNan(const std::string& text) {
  for (const char* token : {"nan", "NaN", "inf,", "Infinity"}) {
    EXPECT_EQ(text.find(std::string(": ") + token), std::string::npos) << token;
  }
}

TEST(ReportJson, NeverHoldsNanOrInfinity) {
  Report report = test::SampleReport(1);
  report.sites[0].cosine = kUndefined;
  report.sites[0].max_abs = HUGE_VAL;
  report.arms[2].outputs["logits"].sqnr_db.high = HUGE_VAL;
  report.arms[2].clip_range = HUGE_VAL;
  report.facts.json()["bad"] = kUndefined;
  const std::string text = ReportJsonText(report);
  ExpectNoNan(text);
  const Json json = Json::parse(text);  // strict: throws on NaN
  EXPECT_TRUE(json["sites"][0]["cosine"].is_null());
  EXPECT_TRUE(json["arms"][2]["outputs"]["logits"]["sqnr_db"]["high"].is_null());
  EXPECT_TRUE(json["arms"][2]["clip_range"].is_null());
}

TEST(ReportJson, KeepsNumbersInEveryBitAndNamesAsUtf8) {
  Report report = test::SampleReport(1);
  report.sites[0].sqnr_db = 0.1 + 0.2;
  const Json json = Json::parse(ReportJsonText(report));
  EXPECT_EQ(json["sites"][0]["sqnr_db"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(json["skipped_images"][0]["file"], test::kHostileName);
  EXPECT_EQ(json["skipped_images"][1]["file"], "caf\\xe9.jpg");
}

TEST(ReportJson, AnEmptyReportIsStillOne) {
  const Json json = Json::parse(ReportJsonText(Report{}));
  EXPECT_TRUE(json["arms"].is_array());
  EXPECT_TRUE(json["facts"].is_object());
  EXPECT_TRUE(json["checks"]["sites"].is_array());
}

TEST(RunJson, HasTheDocumentedMembers) {
  const Json run = Json::parse(RunJsonText(test::SampleRun()));
  ExpectKeys(run, {"command", "host", "device", "kernels", "float_products", "reference_attention",
                   "attention", "threads", "started", "stages", "peak_memory_bytes", "latency",
                   "site_latency"});
  ExpectKeys(run["stages"][0], {"name", "seconds", "reference_forwards"});
  EXPECT_EQ(run["latency"]["fp16"]["ms_per_image"], 52.5);
  EXPECT_EQ(run["threads"], 2);
  ExpectKeys(run["site_latency"][0], {"site", "fp16_ms", "int8_ms"});
  EXPECT_EQ(run["site_latency"][0]["int8_ms"], 1.5);
}

}  // namespace
}  // namespace w8a8
