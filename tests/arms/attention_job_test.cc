// --attention in whole jobs, from the command's options to report.json and run.json.
#include <map>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/cli/commands/evaluate_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/cpu/kernels.h"
#include "tests/arms/random_demo.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kBlocks = 4;  // of the demo, which has a pooling head

class AttentionJob : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = FolderWithRandomDemo("attention_job");
    for (const AttentionPrecision attention :
         {AttentionPrecision::kFp32, AttentionPrecision::kBf16, AttentionPrecision::kInt8}) {
      Options options;
      options.command = "compare";
      options.model = folder_ / "demo/model";
      options.images = folder_ / "demo/images";
      options.out = folder_ / NameOf(attention);
      options.attention = attention;
      options.device = "cpu";
      options.quiet = true;
      options.max_images = 6;
      RunCompare(options);
    }
  }

  static json Report(const std::string& attention) {
    return json::parse(ReadFile(folder_ / attention / "report.json"));
  }

  // Relative L2 by arm, view and block; -1 stands for the pooling head.
  static std::map<std::tuple<std::string, std::string, int>, double> ErrorsOf(
      const std::string& attention) {
    std::map<std::tuple<std::string, std::string, int>, double> errors;
    const json report = Report(attention);
    for (const json& row : report.at("attention")) {
      const int block = row["block"].is_null() ? -1 : row["block"].get<int>();
      errors[{row["arm"], row["view"], block}] = row["relative_l2"];
    }
    return errors;
  }

  static inline fs::path folder_;
};

TEST_F(AttentionJob, SaysInTheFactsHowAttentionWasComputedAndByWhatInTheRun) {
  for (const std::string attention : {"fp32", "bf16", "int8"}) {
    const json report = Report(attention);
    EXPECT_EQ(report["facts"]["attention"], attention);
    const bool noted = report.dump().find("no checkpoint says so") != std::string::npos;
    EXPECT_EQ(noted, attention != "fp32") << attention;
    const json run = json::parse(ReadFile(folder_ / attention / "run.json"));
    const FloatKernels& floats = *Select("").floats;
    const auto index = static_cast<size_t>(*FromName<AttentionPrecision>(attention));
    EXPECT_EQ(run["float_products"], floats.half.name);
    EXPECT_EQ(run["reference_attention"], floats.attention[0]->name);
    EXPECT_EQ(run["attention"], floats.attention[index]->name);
  }
}

TEST_F(AttentionJob, HasTheErrorOfEveryAttentionOfTheChosenArmsUnlessItIsTheReferences) {
  EXPECT_FALSE(Report("fp32").contains("attention"));
  const auto bf16 = ErrorsOf("bf16"), int8 = ErrorsOf("int8");
  EXPECT_EQ(bf16.size(), 2 * 2 * (kBlocks + 1)) << "fake and int8, two views";
  ASSERT_EQ(int8.size(), bf16.size());
  for (const auto& [place, error] : int8) {
    const auto& [arm, view, block] = place;
    if (view != "teacher_forced") continue;
    EXPECT_GT(error, bf16.at(place)) << arm << ", block " << block;
  }
  const std::string page = ReadFile(folder_ / "int8/report.html");
  EXPECT_NE(page.find("id=\"attention-table\""), std::string::npos);
}

TEST_F(AttentionJob, IsProvenWithTheRestAndCostsTheOutputsSomething) {
  std::map<std::string, uint64_t> compared;
  std::map<std::string, double> pooled;
  for (const std::string attention : {"fp32", "bf16", "int8"}) {
    const json report = Report(attention);
    EXPECT_EQ(report["checks"]["output_mismatches"], 0) << attention;
    EXPECT_EQ(report["checks"]["code_mismatches"], 0) << attention;
    compared[attention] = report["checks"]["outputs_compared"];
    for (const json& arm : report["arms"]) {
      if (arm["name"] == "int8/plan") {
        pooled[attention] = arm["outputs"]["pooled"]["relative_l2"]["value"];
      }
    }
  }
  EXPECT_EQ(compared["fp32"], compared["bf16"]);
  EXPECT_GT(compared["int8"], compared["fp32"]);
  EXPECT_NE(pooled["int8"], pooled["fp32"]);
  EXPECT_NE(pooled["bf16"], pooled["fp32"]);
}

}  // namespace
}  // namespace w8a8::test
