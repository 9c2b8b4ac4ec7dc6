// The whole job on a device that keeps its memory to itself gives the bytes that the CPU gives.
#include "tests/arms/stub_device.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/run/runner.h"
#include "runtime/base/atomic_file.h"
#include "tests/arms/made_session.h"
#include "tests/arms/random_demo.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

class StubDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() { folder_ = FolderWithRandomDemo("stub_device"); }

  Options On(const std::string& device, const std::string& command, const std::string& out) {
    Options options;
    options.command = command;
    options.model = folder_ / "demo/model";
    options.images = folder_ / "demo/images";
    options.out = folder_ / (device + out);
    options.device = "cpu";
    options.quiet = true;
    options.max_images = 12;
    options.batch = 3;
    options.threads = 2;
    options.clip_ranges = {kNoClip};
    if (device == "stub") {
      options.make_backend = [this] {
        return std::make_unique<StubBackend>(Select(""), &traffic_);
      };
    }
    return options;
  }

  static void ExpectEqualFiles(const std::string& file) {
    EXPECT_TRUE(ReadFile(folder_ / ("cpu" + file)) == ReadFile(folder_ / ("stub" + file))) << file;
  }

  void ExpectBytesWentBothWays() const {
    EXPECT_GT(traffic_.uploaded_bytes, 0u);
    EXPECT_GT(traffic_.downloaded_bytes, 0u);
    EXPECT_GT(traffic_.steps, 0);
  }

  static inline fs::path folder_;
  Traffic traffic_;
};

// Static scales, so that single layers are replayed too.
TEST_F(StubDevice, RunsTheWholeJobToTheSameBytes) {
  for (const char* device : {"cpu", "stub"}) {
    Options job = On(device, "", "");
    job.granularity = Granularity::kTensor;
    ASSERT_EQ(RunWholeJob(job), 0) << device;
  }
  ExpectBytesWentBothWays();
  for (const char* file :
       {"/stats.h5", "/plan.json", "/report.json", "/quantized/model.safetensors",
        "/quantized/scales.h5", "/quantized/config.json"}) {
    ExpectEqualFiles(file);
  }
}

TEST_F(StubDevice, EncodesHiddenStatesAttentionAndTracesToTheSameBytes) {
  for (const char* device : {"cpu", "stub"}) {
    Options encode = On(device, "encode", ".safetensors");
    encode.precision = Precision::kInt8;
    encode.granularity = Granularity::kToken;
    encode.attentions = true;
    encode.taps = {"blocks.0.mlp.fc1", "blocks.1.attn.proj"};
    ASSERT_EQ(RunEncode(encode), 0) << device;
  }
  ExpectBytesWentBothWays();
  ExpectEqualFiles(".safetensors");
}

TEST_F(StubDevice, RunsAStageAtOnceWhereNobodyLooksInside) {
  constexpr int64_t kBatches = 4;
  int64_t unseen = 0;
  for (const char* site : {"", "blocks.1.attn.proj"}) {
    traffic_.whole_programs = 0;
    for (const char* device : {"cpu", "stub"}) {
      Options encode = On(device, "encode", ".safetensors");
      encode.precision = Precision::kInt8;
      encode.granularity = Granularity::kToken;
      if (*site != '\0') encode.taps = {site};
      ASSERT_EQ(RunEncode(encode), 0) << device;
    }
    ExpectEqualFiles(".safetensors");
    if (*site == '\0') unseen = traffic_.whole_programs;
  }
  EXPECT_GT(unseen, kBatches);
  EXPECT_EQ(traffic_.whole_programs, unseen - kBatches);
}

TEST_F(StubDevice, TellsTheTimeOfTheArms) {
  const Session session = MadeSession("stub_clock");
  MadeImages images(session.config, 4);
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  RunnerOptions options{
      .threads = 2, .batch = 1, .memory_bytes = 1, .make_backend = {}, .progress = {}};
  options.make_backend = [this] { return std::make_unique<StubBackend>(Select(""), &traffic_); };
  const RunnerResult run =
      RunArms(session.graph, *session.weights, {&reference, 1}, images, {}, options);
  ASSERT_GT(traffic_.steps, 0);
  EXPECT_EQ(run.arm_seconds[0], static_cast<double>(traffic_.steps));
}

}  // namespace
}  // namespace w8a8::test
