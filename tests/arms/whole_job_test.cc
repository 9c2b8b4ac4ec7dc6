// The whole job on the demo: every file appears, nothing but run.json and the marked places depends
// on the run, and what quantized/ holds computes the bits of the in-memory INT8 arm.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/stage_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "tests/arms/random_demo.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

class WholeJob : public testing::Test {
 protected:
  static void SetUpTestSuite() { folder_ = FolderWithRandomDemo("whole_job"); }

  static Options JobOptions(const std::string& out) {
    Options options;
    options.model = folder_ / "demo/model";
    options.images = folder_ / "demo/images";
    options.out = folder_ / out;
    options.device = "cpu";
    options.quiet = true;
    options.clip_ranges = {kClipRange, kNoClip};
    options.max_images = 40;
    return options;
  }

  static nlohmann::json Json(const std::string& file) {
    return nlohmann::json::parse(ReadFile(folder_ / file));
  }

  static inline fs::path folder_;
};

TEST_F(WholeJob, WritesEveryFileOfTheOutputFolder) {
  ASSERT_EQ(RunWholeJob(JobOptions("out")), 0);
  for (const char* file :
       {"report.html", "report.json", "report.h5", "run.json", "stats.h5", "plan.json",
        "quantized/config.json", "quantized/model.safetensors", "quantized/scales.h5",
        "quantized/preprocessor_config.json", "quantized/plan.json"}) {
    EXPECT_TRUE(fs::exists(folder_ / "out" / file)) << file;
  }
  const nlohmann::json report = Json("out/report.json");
  EXPECT_EQ(report["schema"], "w8a8-report/1");
  EXPECT_EQ(report["facts"]["images"]["evaluation"], 16);
  EXPECT_EQ(report["facts"]["images"]["calibration"], 24);
  EXPECT_EQ(report["sites"].size(), 16u * 3 * 2);  // sites x arms x views
  EXPECT_EQ(report["checks"]["sites"].size(), 16u);
  const nlohmann::json& checks = report["checks"];
  EXPECT_GT(checks["int32_compared"], 0u);
  EXPECT_GT(checks["codes_compared"], 0u);
  EXPECT_GT(checks["outputs_compared"], 0u);
  EXPECT_EQ(checks["int32_mismatches"], 0u);
  EXPECT_EQ(checks["code_mismatches"], 0u);
  EXPECT_EQ(checks["output_mismatches"], 0u);
  std::set<std::string> names;
  for (const nlohmann::json& arm : report["arms"]) names.insert(arm["name"]);
  for (const char* name : {"fp16", "fake/plan", "int8/plan", "int8/per-token/5",
                           "int8/per-tensor/inf", "emulated/plan", "emulated/per-tensor/inf"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST_F(WholeJob, GivesEqualBytesForAnyBatchAndThreads) {
  Options one = JobOptions("one");
  one.threads = 1;
  Options two = JobOptions("two");
  two.threads = 2;
  two.batch = 7;
  two.memory_bytes = uint64_t{1} << 20;  // some images of 40
  RunWholeJob(one);
  RunWholeJob(two);
  for (const char* file : {"report.json", "stats.h5", "plan.json", "quantized/model.safetensors",
                           "quantized/scales.h5", "quantized/config.json"}) {
    EXPECT_TRUE(ReadFile(folder_ / "one" / file) == ReadFile(folder_ / "two" / file)) << file;
  }
}

int64_t ThreadsOfThisProcess() {
  return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
}

// The most that there were at once, beside those that looked on.
int64_t MostThreadsDuring(const std::function<void()>& job) {
  std::atomic<bool> done = false;
  int64_t most = 0;
  std::thread watcher([&] {
    while (!done) {
      most = std::max(most, ThreadsOfThisProcess());
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  job();
  done = true;
  watcher.join();
  return most - 1;
}

TEST_F(WholeJob, StartsNoThreadWhereOneIsAskedFor) {
  const int64_t before = ThreadsOfThisProcess();
  const auto most_with = [](int threads) {
    Options job = JobOptions(fmt::format("threads_{}", threads));
    job.threads = threads;
    return MostThreadsDuring([&job] { RunWholeJob(job); });
  };
  EXPECT_EQ(most_with(1), before);
  EXPECT_GE(most_with(2), before + 1) << "nothing was seen";
}

TEST_F(WholeJob, WritesAReportThatTheReportCommandWritesAgain) {
  RunWholeJob(JobOptions("first"));
  Options again;
  again.command = "report";
  again.inputs = {(folder_ / "first").string()};
  again.out = folder_ / "again";
  again.quiet = true;
  RunReport(again);
  for (const char* file : {"report.json", "run.json", "report.html", "report.h5"}) {
    EXPECT_TRUE(ReadFile(folder_ / "first" / file) == ReadFile(folder_ / "again" / file)) << file;
  }
}

void ExpectQuantizedFolderComputesTheBitsOfMemory(const Options& job, const fs::path& folder) {
  RunWholeJob(job);
  const auto encode = [&](const fs::path& model, const std::string& plan, const std::string& out) {
    Options options;
    options.command = "encode";
    options.model = model;
    options.images = job.images;
    options.max_images = 3;
    options.precision = Precision::kInt8;
    options.plan = plan;
    options.out = folder / out;
    options.device = "cpu";
    options.quiet = true;
    RunEncode(options);
    return SafetensorsFile(options.out);
  };
  const fs::path out = job.out;
  const SafetensorsFile memory = encode(job.model, out / "plan.json", "memory.safetensors");
  const SafetensorsFile stored = encode(out / "quantized", "", "stored.safetensors");
  ASSERT_EQ(memory.tensors().size(), stored.tensors().size());
  for (const auto& [name, tensor] : memory.tensors()) {
    const TensorView& other = stored.Get(name);
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, other.bytes)) << name;
  }
}

TEST_F(WholeJob, StoresDynamicInt8ThatComputesTheBitsOfMemory) {
  ExpectQuantizedFolderComputesTheBitsOfMemory(JobOptions("dynamic"), folder_);
}

TEST_F(WholeJob, StoresStaticInt8ThatComputesTheBitsOfMemory) {
  Options job = JobOptions("static");
  job.granularity = Granularity::kTensor;
  ExpectQuantizedFolderComputesTheBitsOfMemory(job, folder_);
}

TEST_F(WholeJob, MissesAThresholdInItsExitCodeAndInItsReport) {
  Options job = JobOptions("missed");
  job.thresholds.min_sqnr_db = 1000;
  EXPECT_EQ(RunWholeJob(job), 3);
  const nlohmann::json verdict = Json("missed/report.json")["verdict"];
  EXPECT_EQ(verdict["ship"], "no");
  EXPECT_TRUE(Contains(verdict["text"].get<std::string>(), "asked for at least 1000"));
}

TEST_F(WholeJob, ComparesAQuantizedFolderAndSaysWhatItsReferenceIs) {
  ASSERT_EQ(RunWholeJob(JobOptions("original")), 0);
  EXPECT_EQ(Json("original/report.json")["facts"]["weights"], "quantized");
  Options compare = JobOptions("original");  // beside the weights that it does not write
  compare.command = "compare";
  compare.model = folder_ / "original/quantized";
  RunCompare(compare);
  const nlohmann::json report = Json("original/report.json");
  EXPECT_FALSE(report["facts"].contains("weights"));
  EXPECT_TRUE(Contains(report["health"].dump(), "this checkpoint is INT8 already"));
}

TEST_F(WholeJob, KeepsAPlanThatWasWrittenByHandWhenItWritesItsOwn) {
  ASSERT_EQ(RunWholeJob(JobOptions("kept")), 0);
  const fs::path plan = folder_ / "kept/plan.json";
  const std::string own = ReadFile(plan);
  WriteFileAtomically(plan, "by hand");
  ASSERT_EQ(RunWholeJob(JobOptions("kept")), 0);
  EXPECT_EQ(ReadFile(plan), own);
  EXPECT_EQ(ReadFile(folder_ / "kept/plan.old.json"), "by hand");
}

TEST_F(WholeJob, DoesNotJudgeAPlanThatLeavesEverySiteInFp16) {
  const fs::path plan = folder_ / "nothing.json";
  WriteFileAtomically(plan, R"({"version": 1, "sites": {}})");
  Options compare = JobOptions("nothing");
  compare.command = "compare";
  compare.plan = plan;
  EXPECT_EQ(RunCompare(compare), 0);
  const nlohmann::json verdict = Json("nothing/report.json")["verdict"];
  EXPECT_EQ(verdict["ship"], "undecided");
  EXPECT_TRUE(Contains(verdict["text"].get<std::string>(), "nothing to judge"));
}

TEST_F(WholeJob, RefusesAFolderThatItDidNotWriteAndLeavesItAlone) {
  const fs::path foreign = folder_ / "foreign";
  fs::create_directories(foreign);
  WriteFileAtomically(foreign / "thesis.txt", "mine");
  EXPECT_THROW(RunWholeJob(JobOptions("foreign")), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(foreign), {}), 1);
}

TEST_F(WholeJob, PrintsAPathForMachinesWhateverItsLetters) {
  Options demo;
  demo.command = "demo";
  demo.out = (folder_ / "a \"quote\" and a \\").string();
  demo.random = true;
  demo.json = true;
  testing::internal::CaptureStdout();
  RunDemo(demo);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_EQ(nlohmann::json::parse(said)["out"], demo.out);
}

TEST_F(WholeJob, NamesTheFlagThatGaveAPathWithoutImages) {
  const std::string none = (folder_ / "none").string();
  Options job = JobOptions("unread");
  job.eval_images = none;
  EXPECT_EQ(ErrorOf([&] { RunWholeJob(job); }),
            "--eval-images " + none + ": no such file or folder");
  Options compare = job;
  compare.command = "compare";
  EXPECT_EQ(ErrorOf([&] { RunCompare(compare); }),
            "--eval-images " + none + ": no such file or folder");
  job.images = none;
  EXPECT_EQ(ErrorOf([&] { RunWholeJob(job); }), "--images " + none + ": no such file or folder");
}

TEST_F(WholeJob, SaysThatItWritesTheTowerAloneWhereverTheModelLies) {
  const fs::path model = folder_ / "fp8_beside";
  fs::copy(folder_ / "demo/model", model);
  nlohmann::json config{{"model_type", "siglip"}};
  config["vision_config"] = nlohmann::json::parse(ReadFile(model / "config.json"));
  WriteFileAtomically(model / "config.json", config.dump());
  WriteFileAtomically(model / "hf_quant_config.json", R"({"quantization": {"quant_algo": "FP8"}})");
  Options options = JobOptions("beside");
  options.quiet = false;
  options.clip_ranges = {kNoClip};
  options.model = model;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  ASSERT_EQ(RunWholeJob(options), 0);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(Contains(told,
                       "note: quantized/ holds the vision tower alone. hf_quant_config.json: "
                       "other parts of the model are quantized by"))
      << told;
  options = JobOptions("beside_dotted");
  options.clip_ranges = {kNoClip};
  options.model = folder_ / "." / "fp8_beside";
  ASSERT_EQ(RunWholeJob(options), 0);
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(ReadFile(folder_ / "beside/report.json"),
            ReadFile(folder_ / "beside_dotted/report.json"));
}

TEST_F(WholeJob, RefusesAClippedDynamicPlanBeforeAnyWork) {
  Options job = JobOptions("clipped");
  job.clip_range = kClipRange;
  EXPECT_THROW(RunWholeJob(job), Error);
  EXPECT_FALSE(fs::exists(folder_ / "clipped"));
}

}  // namespace
}  // namespace w8a8::test
