// The `linear` command: what it refuses, what it writes, and that equal arms write equal bytes.
#include <cmath>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/cli/command_line.h"
#include "eval/cli/commands/linear.h"
#include "eval/cli/output_check.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/setting.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A layer's tensors as they go to the file; tests spoil one of them.
struct Tensors {
  std::vector<Half> x = test::RandomHalves(3 * 70, 61, test::Values::kAny);
  std::vector<int64_t> x_shape = {3, 70};
  std::vector<float> weight = std::vector<float>(5 * 70, 0.25f);
  std::vector<int64_t> weight_shape = {5, 70};
  std::vector<float> bias = std::vector<float>(5, 1.0f);
  std::vector<int64_t> bias_shape = {5};
};

class LinearCommand : public ::testing::Test {
 protected:
  const std::filesystem::path folder_ = test::ScratchFolder("linear_command");

  std::string in() const { return (folder_ / "in.safetensors").string(); }
  std::string out(const std::string& name) const { return (folder_ / name).string(); }

  void Write(const Tensors& t) const {
    SafetensorsWriter writer;
    writer.Add("x", Dtype::kF16, t.x_shape, std::span(t.x));
    writer.Add("weight", Dtype::kF32, t.weight_shape, std::span(t.weight));
    writer.Add("bias", Dtype::kF32, t.bias_shape, std::span(t.bias));
    writer.Write(in());
  }

  // Runs `linear --in IN --out OUT --quiet <flags>`.
  void Run(std::vector<std::string> flags, const std::string& name = "out") const {
    flags.insert(flags.begin(), {"w8a8-calib", "linear", "--in", in(), "--out", out(name)});
    flags.push_back("--quiet");
    std::vector<const char*> argv;
    for (const std::string& flag : flags) argv.push_back(flag.c_str());
    const auto options = ParseCommandLine(static_cast<int>(argv.size()), argv.data());
    ASSERT_TRUE(options.has_value());
    EXPECT_EQ(RunLinear(*options), 0);
  }

  std::string ErrorOf(const Tensors& tensors, const std::vector<std::string>& flags) const {
    Write(tensors);
    try {
      Run(flags);
    } catch (const BadSetting& error) {
      return std::string("usage: ") + error.what();
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }
};

std::set<std::string> TensorNames(const SafetensorsFile& file) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) names.insert(name);
  return names;
}

TEST_F(LinearCommand, WritesWhatEachPrecisionHas) {
  Write({});
  std::set<std::string> all = {"codes",        "input_scale", "code_sum", "weight_codes",
                               "weight_scale", "acc",         "y",        "counts"};
  for (const char* precision : {"int8", "emulated"}) {
    Run({"--precision", precision}, precision);
    const SafetensorsFile file(out(precision));
    EXPECT_EQ(TensorNames(file), all) << precision;
    EXPECT_TRUE(file.metadata().empty());
    EXPECT_THAT(file.Get("input_scale").shape, ElementsAre(3));
    EXPECT_EQ(file.Get("counts").dtype, Dtype::kU64);
  }
  all.erase("acc");
  Run({"--precision", "fake"}, "fake");
  EXPECT_EQ(TensorNames(SafetensorsFile(out("fake"))), all);
  Run({"--precision", "fp16"}, "fp16");
  EXPECT_EQ(TensorNames(SafetensorsFile(out("fp16"))), std::set<std::string>{"y"});
}

TEST_F(LinearCommand, EqualArmsWriteEqualBytes) {
  Write({});
  const std::vector<std::vector<std::string>> modes = {
      {}, {"--clip-range", "0.5"}, {"--input-scale", "0.0125"}};
  for (const std::vector<std::string>& mode : modes) {
    std::vector<std::string> flags = {"--precision", "emulated"};
    flags.insert(flags.end(), mode.begin(), mode.end());
    Run(flags, "emulated");
    for (const Kernels& kernels : test::SetsOfThisMachine()) {
      flags[1] = "int8";
      std::vector<std::string> forced = flags;
      forced.insert(forced.end(), {"--kernels", std::string(kernels.name)});
      Run(forced, "int8");
      EXPECT_EQ(ReadFile(out("emulated")), ReadFile(out("int8"))) << kernels.name;
    }
  }
  EXPECT_THAT(SafetensorsFile(out("int8")).Get("input_scale").shape, ElementsAre(1));
}

TEST_F(LinearCommand, RefusesFlagsThatContradict) {
  const std::vector<std::vector<std::string>> refused = {
      {},  // no --precision
      {"--precision", "int8", "--granularity", "per-tensor"},
      {"--precision", "int8", "--input-scale", "0.1", "--granularity", "per-token"},
      {"--precision", "int8", "--input-scale", "0.1", "--clip-range", "5"},
      {"--precision", "int8", "--input-scale", "0"},
      {"--precision", "int8", "--input-scale", "-1"},
      {"--precision", "int8", "--input-scale", "inf"},
      {"--precision", "int8", "--input-scale", "1e-40"},  // its reciprocal is infinite
      {"--precision", "int8", "--clip-range", "0"},
      {"--precision", "int8", "--clip-range", "nan"},
      {"--precision", "int8", "--weight-bits", "9"},
      {"--precision", "fake", "--fake", "vllm-static"},
      {"--precision", "fake", "--fake", "round-half-up"},
      {"--precision", "int8", "--kernels", "sse9"},
      {"--precision", "w4"}};
  for (const std::vector<std::string>& flags : refused) {
    EXPECT_THAT(ErrorOf({}, flags), HasSubstr("usage: ")) << ::testing::PrintToString(flags);
  }
}

TEST_F(LinearCommand, ReplacesWhatItWroteWhateverTheScheme) {
  Write({});
  const std::vector<std::vector<std::string>> schemes = {
      {"fp16"},
      {"int8"},
      {"int8", "--asymmetric"},
      {"int8", "--output-scale", "0.1"},
      {"int8", "--rotation", "2"},
      {"int8", "--weight-only"},
      {"fake", "--fake", "vllm-static", "--dtype", "bf16", "--input-scale", "0.1"}};
  for (std::vector<std::string> flags : schemes) {
    flags.insert(flags.begin(), "--precision");
    Run(flags);
    Options again;
    again.command = "linear";
    again.out = out("out");
    EXPECT_NO_THROW(CheckOutput(again, Output::kLayer)) << ::testing::PrintToString(flags);
  }
}

TEST_F(LinearCommand, AcceptsPerTensorSpelledOut) {
  EXPECT_EQ(
      ErrorOf({}, {"--precision", "int8", "--input-scale", "0.1", "--granularity", "per-tensor"}),
      "(no error)");
}

TEST_F(LinearCommand, NamesTheTensorThatDoesNotFit) {
  const std::vector<std::string> int8 = {"--precision", "int8"};
  Tensors narrow;
  narrow.weight_shape = {7, 50};
  EXPECT_THAT(ErrorOf(narrow, int8), HasSubstr("'weight' is [7, 50], but 'x' has 70 columns"));
  Tensors flat;
  flat.x_shape = {210};
  EXPECT_THAT(ErrorOf(flat, int8), HasSubstr("'x' is [210]"));
  Tensors short_bias;
  short_bias.bias = {1.0f};
  short_bias.bias_shape = {1};
  EXPECT_THAT(ErrorOf(short_bias, int8), HasSubstr("'bias' is [1]"));
  Tensors broken;
  broken.weight[71] = std::nanf("");
  for (const char* precision : {"fp16", "fake", "emulated", "int8"}) {
    EXPECT_THAT(ErrorOf(broken, {"--precision", precision}), HasSubstr("weight[1, 1] is nan"));
  }
}

}  // namespace
}  // namespace w8a8
