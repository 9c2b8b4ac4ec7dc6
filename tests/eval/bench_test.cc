#include "eval/bench/bench.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "eval/bench/forward_check.h"
#include "eval/bench/kernel_bench.h"
#include "eval/bench/made_encoder.h"
#include "eval/bench/peak.h"
#include "eval/bench/sampling.h"
#include "eval/bench/steady_forward.h"
#include "eval/cli/command_line.h"
#include "eval/cli/commands/bench.h"
#include "eval/cli/usage_error.h"
#include "eval/run/runner.h"
#include "runtime/base/atomic_file.h"
#include "runtime/cpu/cpu_backend.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

const nlohmann::json& SmallRun() {
  static const nlohmann::json json =
      nlohmann::json::parse(BenchJson(RunBench({.extent = BenchExtent::kSmall})));
  return json;
}

bool IsNumberOrNull(const nlohmann::json& value) { return value.is_number() || value.is_null(); }

TEST(Bench, NamesTheMachineAndItsPeaks) {
  EXPECT_FALSE(SmallRun().at("machine").at("cpu").get<std::string>().empty());
  EXPECT_FALSE(SmallRun().at("machine").at("kernels").empty());
  for (const char* name : {"vpdpbusd", "fp32_fma"}) {
    EXPECT_TRUE(IsNumberOrNull(SmallRun().at("peaks").at(name))) << name;
  }
}

TEST(Bench, HasEveryProductOnEveryFastSet) {
  for (const Kernels& set : All()) {
    const bool fast = set.supported() && &set != &All().back();
    for (const char* op : {"gemm_s8", "gemm_f16", "attention_fp32"}) {
      const bool measured =
          std::ranges::any_of(SmallRun().at("kernels"), [&](const nlohmann::json& kernel) {
            return kernel.at("op") == op && kernel.at("isa") == std::string(set.name);
          });
      EXPECT_TRUE(measured || !fast) << op << " on " << set.name;
    }
  }
}

TEST(Bench, WritesTheFieldsOfItsInterface) {
  for (const nlohmann::json& kernel : SmallRun().at("kernels")) {
    EXPECT_TRUE(kernel.at("m").is_number() && kernel.at("k").is_number()) << kernel;
    for (const char* field : {"n", "share_of_peak", "times_faster_than_onednn"}) {
      EXPECT_TRUE(IsNumberOrNull(kernel.at(field))) << kernel;
    }
  }
  ASSERT_EQ(SmallRun().at("forward").size(), 4u);
  for (const nlohmann::json& forward : SmallRun().at("forward")) {
    EXPECT_TRUE(forward.at("model").is_string() && forward.at("precision").is_string());
    EXPECT_EQ(forward.at("threads"), 1);
    EXPECT_GT(forward.at("ms_per_image"), 0.0);
    EXPECT_TRUE(IsNumberOrNull(forward.at("share_of_peak")));
    const bool with_sites = forward.at("attention") == "fp32";  // four layers in each of two blocks
    EXPECT_EQ(forward.at("sites").size(), with_sites ? 8u : 0u);
  }
  for (const nlohmann::json& stage : SmallRun().at("stages")) {
    EXPECT_TRUE(stage.at("name").is_string() && stage.at("reference_forwards").is_number());
  }
}

TEST(Bench, MeasuresOnAllThreadsBesideOne) {
  const BenchReport report =
      RunBench({.kernels = false, .stages = false, .extent = BenchExtent::kSmall, .threads = 2});
  ASSERT_EQ(report.forward.size(), 8u);
  EXPECT_EQ(report.forward.front().threads, 1);
  EXPECT_EQ(report.forward.back().threads, 2);
}

TEST(Bench, MeasuresOnlyTheSetThatIsForced) {
  const BenchReport report = RunBench(
      {.forward = false, .stages = false, .extent = BenchExtent::kSmall, .kernel_set = "scalar"});
  ASSERT_FALSE(report.kernels.empty());
  for (const KernelResult& kernel : report.kernels) EXPECT_EQ(kernel.isa, "scalar");
}

// What the runner shows of the second made image, whose pixels a steady forward has.
class SecondTokens final : public Tap {
 public:
  bool WantsLinear(int, const std::string&) const override { return false; }
  void OnOutputs(const OutputEvent& event) override {
    const int64_t count = event.tokens.rows * event.tokens.cols;
    tokens.assign(event.tokens.data, event.tokens.data + count);
  }
  std::vector<Half> tokens;
};

TEST(SteadyForward, ComputesWhatTheRunnerDoes) {
  const MadeEncoder made = SmallEncoder();
  const Graph graph = BuildGraph(made.config);
  const MadeWeights weights(made.config);
  for (const Precision precision : {Precision::kFp16, Precision::kInt8}) {
    CpuBackend backend(Select(""));
    const ForwardVariant variant{.precision = precision};
    const std::vector<LoweredEncoder> lowered =
        LowerEncoder(graph, weights, backend, {&variant, 1});
    SteadyForward forward(lowered.front(), backend);
    forward.Run();
    SecondTokens seen;
    Tap* const tap = &seen;
    MadeImageSource images(made.config, 2);
    const Arm arm{.name = "arm", .precision = precision, .plan = PerTokenPlan(graph)};
    RunArms(graph, weights, {&arm, 1}, images, {&tap, 1},
            {.make_backend = [] { return MakeCpuBackend(""); }, .progress = {}});
    const MatView<const Half> tokens = forward.Tokens();
    EXPECT_EQ(std::vector<Half>(tokens.data, tokens.data + tokens.rows * tokens.cols), seen.tokens)
        << NameOf(precision);
  }
}

// The models' published sizes, in parameters of a block: 4 w^2 of attention, 2 w m of the MLP.
TEST(WideEncoders, HaveTheSizesOfTheirModelsAndAsManyBlocksAsAskedFor) {
  const std::vector<MadeEncoder> some = WideEncoders(4), all = WideEncoders(100);
  const std::vector<int64_t> blocks = {24, 45}, millions_of_weights = {12, 122};
  for (size_t i = 0; i < all.size(); ++i) {
    const EncoderConfig& config = all[i].config;
    EXPECT_EQ(all[i].key, kWideEncoders[i]);
    EXPECT_EQ(config.blocks, blocks[i]);
    EXPECT_EQ(all[i].all_blocks, blocks[i]);
    EXPECT_EQ(some[i].config.blocks, 4);
    EXPECT_EQ(config.tokens(), 1025);
    int64_t weights = 0;
    const CheckpointLayout layout = LayoutOf(config);
    for (const LinearLayout& layer : layout.linears) {
      if (layer.stem.starts_with("blocks.0.")) weights += layer.n * layer.k;
    }
    EXPECT_EQ(weights / 1'000'000, millions_of_weights[i]);
  }
}

TEST(Sampling, TakesMediansOfPairs) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  const std::vector<double> slow = {2, 9, 4}, fast = {1, 3, 4};
  EXPECT_EQ(MedianRatio(slow, fast), 2);
}

TEST(Sampling, TakesTurns) {
  std::string turns;
  const std::vector<Body> bodies = {[&] { turns += 'a'; }, [&] { turns += 'b'; }};
  const auto samples = SampleInTurn(bodies, {.seconds = 0, .least = 3, .most = 3});
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].size(), 3u);
  EXPECT_NE(turns.find("ab"), std::string::npos);
  EXPECT_NE(turns.find("ba"), std::string::npos);
}

// A peak that is measured after other work meets another clock than what is held against it.
TEST(Sampling, NothingComesBetweenABodyAndWhatFollowsIt) {
  std::string turns;  // of equal calls the first one
  const auto say = [&turns](char who) {
    return [&turns, who] {
      if (turns.empty() || turns.back() != who) turns += who;
    };
  };
  const std::vector<FollowedBody> bodies = {{say('a'), say('p')}, {say('b')}, {say('c'), say('q')}};
  const auto samples = SampleFollowed(bodies, {.seconds = 0, .least = 3, .most = 3});
  EXPECT_TRUE(turns.ends_with("apbcqapbcqapbcq")) << turns;
  ASSERT_EQ(samples.size(), 3u);
  for (const FollowedSamples& own : samples) EXPECT_EQ(own.body.size(), 3u);
  EXPECT_EQ(samples[0].then.size(), 3u);
  EXPECT_TRUE(samples[1].then.empty());
  EXPECT_EQ(samples[2].then.size(), 3u);
}

TEST(Peak, OfAnUnknownInstructionIsNone) {
  EXPECT_EQ(PeakMacsPerSecond("vfoo"), 0.0);
  EXPECT_EQ(PeakOfInt8(All().back()), "");  // scalar
}

constexpr ForwardVariant kChecked[] = {{Precision::kFp16, AttentionPrecision::kFp32},
                                       {Precision::kInt8, AttentionPrecision::kBf16},
                                       {Precision::kInt8, AttentionPrecision::kInt8}};

void CheckAll(const Kernels& set) {
  const QuantizedLinear layer = MadeLayer({.where = "small", .m = 1, .n = 40, .k = 65});
  CheckGemmS8(set, layer);
  CheckGemmF16(set, layer);
  CheckGemmW8(set, layer);
  for (const RowOperation& operation : RowOperations()) CheckRows(set, operation, 72);
  CheckForward(set, kChecked);
}

TEST(BenchChecks, HoldOnEverySet) {
  for (const Kernels& set : All()) {
    if (set.supported()) CheckAll(set);
  }
}

// Right where AMX takes no tiles, and without the last row where it does.
void LosesARowFrom16On(const GemmS8Args& args) {
  GemmS8Args fewer = args;
  if (args.m >= 16) --fewer.m;
  kScalarInt8Kernels.gemm_s8(fewer);
}

TEST(BenchChecksDeathTest, EndTheRunOfASetThatIsWrong) {
  Kernels set = All().back();
  Int8Kernels int8 = *set.int8;
  int8.gemm_s8 = LosesARowFrom16On;
  set.int8 = &int8;
  EXPECT_DEATH(CheckGemmS8(set, MadeLayer({.where = "small", .m = 1, .n = 40, .k = 65})),
               "This is a bug");
  EXPECT_DEATH(CheckForward(set, kChecked), "This is a bug");
  Kernels other = All().back();
  RowKernels rows = *other.rows;
  rows.gelu_tanh = rows.gelu_erf;  // at most 4.7e-4 apart
  other.rows = &rows;
  EXPECT_DEATH(CheckForward(other, kChecked), "This is a bug");
  EXPECT_DEATH(CheckAll(other), "SameRows");
}

Options Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"w8a8-calib", "bench"});
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data()).value();
}

TEST(BenchCommand, RefusesWhatItDoesNotKnow) {
  const auto refusal = [](const std::vector<const char*>& arguments) {
    try {
      RunBenchmarks(Parse(arguments));
    } catch (const UsageError& error) {  // exit 2
      return std::string(error.what());
    }
    return std::string("was not refused");
  };
  EXPECT_TRUE(Contains(refusal({"--frobnicate"}), "--frobnicate"));
  EXPECT_TRUE(Contains(refusal({"--encoder", "giant"}), "giant"));
  EXPECT_TRUE(Contains(refusal({"--threads", "0"}), "--threads"));
  EXPECT_TRUE(Contains(refusal({"--full", "--kernels-only"}), "--full"));
  EXPECT_TRUE(Contains(refusal({"--encoder", "base", "--model", "m"}), "--model m"));
}

TEST(BenchCommand, WritesItsFileWholeAndReplacesOnlyItsOwn) {
  const fs::path folder = ScratchFolder("bench");
  const std::string file = (folder / "bench.json").string();
  const Options options = Parse({"--small", "--quiet", "--kernels-only", "--json", file.c_str()});
  EXPECT_EQ(RunBenchmarks(options), 0);
  EXPECT_TRUE(nlohmann::json::parse(ReadFile(file)).contains("peaks"));
  EXPECT_EQ(RunBenchmarks(options), 0);  // over its own
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  std::ofstream(file) << "a letter";
  EXPECT_THROW(RunBenchmarks(options), UsageError);
  EXPECT_EQ(ReadFile(file), "a letter");
}

TEST(BenchCommand, RefusesAFileThatCannotBeBeforeTheWork) {
  const std::string file = (ScratchFolder("bench_no") / "absent/bench.json").string();
  EXPECT_TRUE(Contains(ErrorOf([&] { RunBenchmarks(Parse({"--json", file.c_str()})); }), "--json"));
}

}  // namespace
}  // namespace w8a8::test
