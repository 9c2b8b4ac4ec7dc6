// The whole job with the CUDA backend behind it, on one block and two images: every arm runs, the
// emulated ones equal the int8 ones, and what was calibrated is of the rows that the CPU sees.
#include <numeric>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "calib/stats_file.h"
#include "datasets/draw.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "runtime/base/atomic_file.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

class WholeJobOnDevice : public DeviceTest {};

EncoderConfig OneBlock() {
  EncoderConfig config = TinySiglip();
  config.width = 32;
  config.mlp_width = 48;
  config.blocks = 1;
  config.image_height = config.image_width = 16;
  return config;
}

// Static scales, so that single layers are replayed too.
Options JobIn(const fs::path& folder, const std::string& out) {
  Options job;
  job.model = folder / "model";
  job.images = folder / "images";
  job.out = folder / out;
  job.device = "cpu";
  job.quiet = true;
  job.threads = 1;
  job.batch = 2;
  job.granularity = Granularity::kTensor;
  job.granularities = {Granularity::kToken};
  job.clip_ranges = {kNoClip};
  return job;
}

std::set<std::string> ArmsOf(const nlohmann::json& report) {
  std::set<std::string> names;
  for (const nlohmann::json& arm : report["arms"]) names.insert(arm["name"]);
  return names;
}

uint64_t ValuesOf(const SiteStatistics& site) {
  const std::vector<uint64_t> counts = site.histogram.counts();
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

TEST_F(WholeJobOnDevice, RunsEveryArmAndItsChecksFindNothing) {
  const fs::path folder = ScratchFolder("whole_job_on_device");
  WriteHashCheckpoint(folder / "model", OneBlock(), Dtype::kF32, /*seed=*/1);
  WriteDrawnImages(folder / "images", 2, /*seed=*/1);
  ASSERT_EQ(RunWholeJob(JobIn(folder, "cpu")), 0);
  Options job = JobIn(folder, "device");
  job.make_backend = MakeBackendOnDevice;
  ASSERT_EQ(RunWholeJob(job), 0);

  const auto report_of = [&folder](const char* device) {
    return nlohmann::json::parse(ReadFile(folder / device / "report.json"));
  };
  const nlohmann::json cpu = report_of("cpu"), device = report_of("device");
  for (const char* kind : {"int32", "code", "output"}) {
    const std::string compared = std::string(kind) + (*kind == 'i' ? "_compared" : "s_compared");
    EXPECT_GT(device["checks"][compared], 0u) << compared;
    EXPECT_EQ(device["checks"][compared], cpu["checks"][compared]) << compared;
    EXPECT_EQ(device["checks"][std::string(kind) + "_mismatches"], 0u) << kind;
  }
  EXPECT_EQ(ArmsOf(device), ArmsOf(cpu));
  for (const char* arm : {"fp16", "fake/plan", "int8/plan", "emulated/plan"}) {
    EXPECT_TRUE(ArmsOf(device).contains(arm)) << arm;
  }
  EXPECT_EQ(device["sites"].size(), cpu["sites"].size());

  const CalibrationStats expected = ReadStats(folder / "cpu/stats.h5");
  const CalibrationStats actual = ReadStats(folder / "device/stats.h5");
  EXPECT_EQ(actual.header.images, expected.header.images);
  ASSERT_EQ(actual.sites.size(), expected.sites.size());
  for (const auto& [name, site] : expected.sites) {
    const SiteStatistics& found = actual.sites.at(name);
    EXPECT_GT(ValuesOf(found), 0u) << name;
    EXPECT_EQ(ValuesOf(found), ValuesOf(site)) << name;
    EXPECT_EQ(found.position_count, site.position_count) << name;
    EXPECT_EQ(found.rows.InOrder().keys, site.rows.InOrder().keys) << name;
  }
}

}  // namespace
}  // namespace w8a8::test
