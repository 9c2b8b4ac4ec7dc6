// inspect and diff on everything that one run writes.
#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "calib/stats_file.h"
#include "eval/cli/artifacts/artifact.h"
#include "eval/cli/artifacts/difference.h"
#include "eval/cli/artifacts/inspect.h"
#include "eval/cli/commands/diff.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/inspect.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/arms/random_demo.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// Two runs of one job on the made-up model, with one and two threads.
class Artifacts : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = FolderWithRandomDemo("artifacts");
    for (const int threads : {1, 2}) {
      Options job;
      job.model = folder_ / "demo/model";
      job.images = folder_ / "demo/images";
      job.out = folder_ / (threads == 1 ? "one" : "two");
      job.device = "cpu";
      job.quiet = threads == 1;
      job.clip_ranges = {kNoClip};
      job.max_images = 12;
      job.threads = threads;
      testing::internal::CaptureStdout();
      RunWholeJob(job);
      printed_ = testing::internal::GetCapturedStdout();
    }
  }

  static fs::path Copy(const std::string& file, const std::string& name) {
    fs::copy_file(folder_ / "one" / file, folder_ / name, fs::copy_options::overwrite_existing);
    return folder_ / name;
  }

  static std::vector<std::string> Differing(const fs::path& a, const fs::path& b,
                                            RunFacts run = RunFacts::kCompared) {
    std::vector<std::string> places;
    for (const Difference& difference : CompareArtifacts(a, b, run).differences) {
      places.push_back(difference.where);
    }
    return places;
  }

  // The largest channel over the middle one, the upper of two.
  static float OutlierRatio(std::vector<float> channel_absmax) {
    const auto middle = static_cast<std::ptrdiff_t>(channel_absmax.size() / 2);
    std::ranges::nth_element(channel_absmax, channel_absmax.begin() + middle);
    return std::ranges::max(channel_absmax) / channel_absmax[static_cast<size_t>(middle)];
  }

  static inline fs::path folder_;
  static inline std::string printed_;  // by the second run
};

int Diff(const fs::path& a, const fs::path& b, RunFacts run) {
  Options options;
  options.inputs = {a.string(), b.string()};
  options.ignore_run = run == RunFacts::kIgnored;
  options.quiet = true;
  return RunDiff(options);
}

TEST_F(Artifacts, OfTwoRunsAreEqualButForWhatDependsOnTheRun) {
  EXPECT_EQ(Diff(folder_ / "one", folder_ / "two", RunFacts::kIgnored), 0);
  EXPECT_EQ(Diff(folder_ / "one", folder_ / "two", RunFacts::kCompared), 3);
  EXPECT_GT(CompareArtifacts(folder_ / "one", folder_ / "two", RunFacts::kIgnored).compared, 1000u);
  for (const std::string& place : Differing(folder_ / "one", folder_ / "two")) {
    EXPECT_TRUE(place.starts_with("run.json: ") || place.starts_with("report.h5: /run") ||
                place == "report.html: page")
        << place;
  }
}

TEST_F(Artifacts, DifferByTheNameOfTheChangedArm) {
  nlohmann::json report = nlohmann::json::parse(ReadFile(folder_ / "one/report.json"));
  for (nlohmann::json& arm : report["arms"]) {
    if (arm["name"] == "int8/plan") arm["outputs"]["pooled"]["sqnr_db"]["value"] = 1.5;
  }
  WriteFileAtomically(folder_ / "changed.json", report.dump());
  EXPECT_EQ(Differing(folder_ / "one/report.json", folder_ / "changed.json"),
            std::vector<std::string>{"arms/int8/plan/outputs/pooled/sqnr_db/value"});
}

TEST_F(Artifacts, DifferByTheTensorOfOneChangedCode) {
  const fs::path changed = Copy("quantized/model.safetensors", "changed.safetensors");
  std::string bytes = ReadFile(changed);
  const SafetensorsFile file(changed);
  const auto tensor = std::find_if(
      file.tensors().begin(), file.tensors().end(),
      [](const auto& named) { return named.first.ends_with("encoder.layers.2.mlp.fc2.weight"); });
  ASSERT_NE(tensor, file.tensors().end());
  const std::vector<int8_t> codes = Int8Values(tensor->second);
  std::vector<int8_t> other = codes;
  other[70] = static_cast<int8_t>(codes[70] == 0 ? 1 : 0);
  const auto* first = reinterpret_cast<const char*>(tensor->second.bytes.data());
  const size_t at = bytes.find(std::string_view(first, codes.size()));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 70] = static_cast<char>(other[70]);
  WriteFileAtomically(folder_ / "flipped.safetensors", bytes);
  const ArtifactComparison comparison =
      CompareArtifacts(changed, folder_ / "flipped.safetensors", RunFacts::kCompared);
  ASSERT_EQ(comparison.differences.size(), 1u);
  EXPECT_EQ(comparison.differences[0].where, tensor->first);
  EXPECT_TRUE(comparison.differences[0].how.starts_with("1 of 65536 differ"));
  EXPECT_NE(comparison.differences[0].how.find("[70]"), std::string::npos);
}

TEST_F(Artifacts, DifferByDatasetAndElementInStatistics) {
  CalibrationStats stats = ReadStats(folder_ / "one/stats.h5");
  stats.sites.begin()->second.channel_absmax[5] += 1;
  WriteStats(folder_ / "changed.h5", stats);
  const ArtifactComparison comparison =
      CompareArtifacts(folder_ / "one/stats.h5", folder_ / "changed.h5", RunFacts::kCompared);
  ASSERT_EQ(comparison.differences.size(), 1u);
  EXPECT_EQ(comparison.differences[0].where, "/sites/blocks.0.attn.proj/channel_absmax");
  EXPECT_TRUE(
      comparison.differences[0].how.starts_with("1 of 128 differ by at most 1; the first, [5]"))
      << comparison.differences[0].how;
}

TEST_F(Artifacts, TreatNullInAPlanAsAbsent) {
  WriteFileAtomically(folder_ / "null.json",
                      R"({"version": 1, "model_sha256": "a", "sites": {"x": null}})");
  WriteFileAtomically(folder_ / "absent.json",
                      R"({"version": 1, "model_sha256": "a", "sites": {}})");
  WriteFileAtomically(folder_ / "b.json", R"({"version": 1, "model_sha256": "b", "sites": {}})");
  EXPECT_EQ(Diff(folder_ / "null.json", folder_ / "absent.json", RunFacts::kCompared), 0);
  EXPECT_EQ(Differing(folder_ / "absent.json", folder_ / "b.json"),
            std::vector<std::string>{"model_sha256"});
}

TEST_F(Artifacts, AreComparedWithFilesThatTheModelCameWithByTheirBytes) {
  const fs::path a = folder_ / "carried_a", b = folder_ / "carried_b";
  for (const fs::path& folder : {a, b}) {
    fs::copy(folder_ / "one/quantized", folder);
    WriteFileAtomically(folder / "list.json", "[1, 2]");
    WriteFileAtomically(folder / "none.json", "{not JSON");
    WriteFileAtomically(folder / "merges.txt", "a b");
    fs::create_directories(folder / ".cache");
    WriteFileAtomically(folder / ".cache/at.json", folder.string());
  }
  EXPECT_EQ(Diff(a, b, RunFacts::kCompared), 0);
  for (const char* file : {"list.json", "merges.txt", "none.json"}) {
    WriteFileAtomically(b / file, ReadFile(b / file) + " ");
  }
  WriteFileAtomically(b / "chat_template.jinja", "{{ messages }}");
  EXPECT_EQ(Differing(a, b),
            (std::vector<std::string>{"list.json: bytes", "none.json: bytes",
                                      "chat_template.jinja: bytes", "merges.txt: bytes"}));
}

TEST_F(Artifacts, OfDifferentKindsAreNotCompared) {
  const std::string refusal = ErrorOf([] {
    CompareArtifacts(folder_ / "one/plan.json", folder_ / "one/stats.h5", RunFacts::kCompared);
  });
  EXPECT_TRUE(Contains(refusal, "is a plan") && Contains(refusal, "is statistics")) << refusal;
  EXPECT_TRUE(Contains(ErrorOf([] { RecognizeArtifact(folder_ / "no"); }), "does not exist"));
  WriteFileAtomically(folder_ / "notes.txt", "x");
  EXPECT_TRUE(Contains(ErrorOf([] { RecognizeArtifact(folder_ / "notes.txt"); }), "plan.json"));
}

// 4 blocks of width 128, MLP 512, 64 tokens: counted by hand, not from the graph.
TEST_F(Artifacts, AModelIsInspectedWithItsMultiplyAddsAndMemory) {
  const auto facts = InspectArtifact(folder_ / "demo/model", "");
  const int64_t per_block = 64 * (4 * 128 * 128 + 2 * 128 * 512);
  EXPECT_EQ(facts["macs_per_image"]["sites"], 4 * per_block);
  EXPECT_EQ(facts["macs_per_image"]["attention"], 4 * 2 * 64 * 64 * 128 + 2 * 64 * 128);
  EXPECT_EQ(facts["shape"]["tokens"], 64);
  EXPECT_EQ(facts["sites"].size(), 16u);
  int64_t parameters = 0;
  const SafetensorsFile file(folder_ / "demo/model/model.safetensors");
  for (const auto& [name, tensor] : file.tensors()) parameters += tensor.elements();
  EXPECT_EQ(facts["parameters"], parameters);
  EXPECT_EQ(facts["memory"]["weights_fp16_bytes"], 2 * parameters);
}

TEST_F(Artifacts, OnlyTensorsThatAreNotReadAreSaidNotToBeRead) {
  const fs::path folder = ScratchFolder("inspect_classifier");
  WriteHashCheckpoint(folder,
                      R"({"model_type": "siglip", "architectures": ["SiglipForImageClassification"],
                          "num_labels": 5, "vision_config": {"hidden_size": 64,
                          "num_attention_heads": 2, "intermediate_size": 80, "image_size": 32,
                          "num_hidden_layers": 1}})",
                      Dtype::kF32, /*seed=*/4);
  EditTensors(folder, [](OwnedTensors& tensors) {
    OwnedTensors moved;
    for (auto& [key, tensor] : tensors) {
      moved[key.starts_with("classifier") ? key : "vision_model." + key] = std::move(tensor);
    }
    tensors = std::move(moved);
  });
  const auto facts = InspectArtifact(folder, "");
  EXPECT_EQ(facts["shape"]["classes"], 5);
  EXPECT_TRUE(facts["notes"].empty()) << facts["notes"];
  EXPECT_EQ(facts["tensors"], ReadTensors(folder / "model.safetensors").size());
  EditTensors(folder, [](OwnedTensors& tensors) { tensors["logit_scale"] = Zeros({1}); });
  const auto beside = InspectArtifact(folder, "");
  EXPECT_EQ(beside["notes"], nlohmann::json({"1 tensor(s) outside 'vision_model.' belong to other "
                                             "parts and are not read: logit_scale"}));
}

TEST_F(Artifacts, EveryFileOfARunIsInspected) {
  const auto kind_of = [](const char* file) -> std::string {
    return InspectArtifact(folder_ / "one" / file, "")["kind"];
  };
  EXPECT_EQ(kind_of("stats.h5"), "statistics");
  EXPECT_EQ(kind_of("plan.json"), "a plan");
  EXPECT_EQ(kind_of("quantized"), "quantized model");
  EXPECT_EQ(kind_of("quantized/scales.h5"), "scales");
  EXPECT_EQ(kind_of("quantized/model.safetensors"), "a safetensors file");
  EXPECT_EQ(kind_of("report.h5"), "a report.h5");
  EXPECT_EQ(kind_of("run.json"), "a run.json");
  const auto quantized = InspectArtifact(folder_ / "one/quantized", "");
  EXPECT_EQ(quantized["sites"][0]["stored"], "INT8, per-token input");
  const auto plan = InspectArtifact(folder_ / "one/plan.json", "");
  EXPECT_EQ(plan["sites_in_int8"], 16);
  const auto stats = InspectArtifact(folder_ / "one/stats.h5", "");
  const CalibrationStats read = ReadStats(folder_ / "one/stats.h5");
  for (const auto& row : stats["sites"]) {
    const SiteStatistics& site = read.sites.at(row["site"]);
    EXPECT_EQ(row["abs_max"].get<float>(), site.AbsMax());
    EXPECT_EQ(row["outlier_ratio"].get<float>(), OutlierRatio(site.channel_absmax));
  }
}

TEST_F(Artifacts, AreKnownByTheirContentWhateverTheirNames) {
  for (const char* file : {"stats.h5", "plan.json", "quantized/scales.h5", "report.json",
                           "quantized/model.safetensors", "report.h5", "run.json", "report.html"}) {
    const fs::path renamed = Copy(file, "renamed.st"), again = Copy(file, "renamed");
    EXPECT_EQ(RecognizeArtifact(renamed), RecognizeArtifact(folder_ / "one" / file)) << file;
    EXPECT_EQ(InspectArtifact(renamed, "")["kind"], InspectArtifact(again, "")["kind"]) << file;
    const auto compared = CompareArtifacts(renamed, again, RunFacts::kCompared);
    EXPECT_TRUE(compared.differences.empty() && compared.compared > 0) << file;
  }
  const fs::path run = Copy("run.json", "renamed");
  EXPECT_EQ(CompareArtifacts(run, run, RunFacts::kIgnored).compared, 0u);
  WriteFileAtomically(folder_ / "chat.jinja", "{%- for message in messages %}");
  EXPECT_TRUE(Contains(ErrorOf([] { RecognizeArtifact(folder_ / "chat.jinja"); }), "nothing that"));
  const std::string tensors = ReadFile(folder_ / "one/quantized/model.safetensors");
  WriteFileAtomically(folder_ / "short", tensors.substr(0, 500));
  EXPECT_TRUE(Contains(ErrorOf([] { InspectArtifact(folder_ / "short", ""); }), "header of"));
}

TEST_F(Artifacts, DifferInSumsByTheirFixedPointValues) {
  CalibrationStats stats = ReadStats(folder_ / "one/stats.h5");
  SiteStatistics& site = stats.sites.begin()->second;
  site.channel_sum[3] = ToFixedPoint(0.5, kSumFractionBits);
  WriteStats(folder_ / "half.h5", stats);
  site.channel_sum[3] = ToFixedPoint(-1.5, kSumFractionBits);
  WriteStats(folder_ / "negative.h5", stats);
  const auto how = [](const char* a, const char* b) {
    const auto found = CompareArtifacts(folder_ / a, folder_ / b, RunFacts::kCompared);
    return found.differences.size() == 1 ? found.differences[0].how : "";
  };
  EXPECT_EQ(how("half.h5", "negative.h5"),
            "1 of 128 differ by at most 2; the first, [3]: 0.5, -1.5");
  site.channel_sum_sq[7] = ToFixedPoint(4096, kSumOfSquaresFractionBits);
  WriteStats(folder_ / "square.h5", stats);
  site.channel_sum_sq[7] += 1;  // 2^-48 beside 4096
  WriteStats(folder_ / "beside.h5", stats);
  EXPECT_EQ(how("square.h5", "beside.h5"), "only digits beyond binary64 differ");
  site.position_absmax_sum[2] += uint64_t{1} << kSumFractionBits;
  WriteStats(folder_ / "position.h5", stats);
  EXPECT_TRUE(how("beside.h5", "position.h5").starts_with("1 of 64 differ by at most 1;"))
      << how("beside.h5", "position.h5");
}

TEST_F(Artifacts, AReportIsInspectedAsTheRunPrintedIt) {
  Options options;
  options.inputs = {(folder_ / "two").string()};
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunInspect(options), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), printed_);
  EXPECT_TRUE(Contains(printed_, "int8/plan")) << printed_;
  EXPECT_THROW(RunInspect(Options()), UsageError);
}

TEST(FactsText, PutsFactsFirstAndTablesBelow) {
  const nlohmann::ordered_json facts{
      {"rows", nlohmann::ordered_json::array(
                   {{{"site", "a"}, {"scale", 0.5}}, {{"site", "long"}, {"scale", nullptr}}})},
      {"count", 2},
      {"shape", {{"width", 8}}}};
  EXPECT_EQ(FactsText(facts),
            "count        2\n"
            "shape.width  8\n"
            "\nrows\n"
            "  site  scale\n"
            "  a       0.5\n"
            "  long      -\n");
}

}  // namespace
}  // namespace w8a8::test
