#include "eval/cli/command_line.h"

#include <cmath>

#include <gtest/gtest.h>

#include "eval/cli/commands/commands.h"
#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/linear.h"
#include "eval/cli/commands/stage_commands.h"
#include "eval/cli/error_text.h"
#include "eval/cli/output_check.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "runtime/base/atomic_file.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

Options Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "w8a8-calib");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data()).value();
}

// What a refused command line says; fails the test if it is not refused.
std::string Refusal(const std::vector<const char*>& arguments) {
  try {
    Parse(arguments);
  } catch (const BadSetting& error) {
    return error.what();
  }
  ADD_FAILURE() << "was not refused";
  return "";
}

TEST(CommandLine, ReadsTheWholeJobWithItsDefaults) {
  const Options options = Parse({"--images", "photos", "--model", "m"});
  EXPECT_EQ(options.command, "");
  EXPECT_EQ(options.images, "photos");
  EXPECT_EQ(options.memory_bytes, uint64_t{2} << 30);
  EXPECT_EQ(options.clip_ranges.size(), 10u);
  EXPECT_EQ(options.granularities.size(), 2u);
  EXPECT_TRUE(std::isinf(options.clip_ranges.back()));
  EXPECT_EQ(options.typed, "w8a8-calib --images photos --model m");
}

TEST(CommandLine, ReadsListsSizesAndNumbers) {
  const Options options = Parse({"--clip-ranges", "5,0.1,inf", "--granularities", "per-tensor",
                                 "--memory", "512MiB", "--threads", "3", "--device", "cuda:1"});
  EXPECT_EQ(options.clip_ranges, (std::vector<float>{5.0f, 0.1f, kNoClip}));
  EXPECT_EQ(options.granularities, std::vector<Granularity>{Granularity::kTensor});
  EXPECT_EQ(options.memory_bytes, uint64_t{512} << 20);
  EXPECT_EQ(options.ThreadCount(), 3);
  EXPECT_EQ(options.device, "cuda:1");
}

TEST(CommandLine, ReadsSchemesWhereverArmsAreCompared) {
  const std::vector<Scheme> expected = {ParseScheme("w8a8-token"), ParseScheme("w4a8-g128")};
  EXPECT_EQ(Parse({"--schemes", "w8a8,w4a8-g128-token"}).schemes, expected);
  EXPECT_EQ(Parse({"sweep", "--schemes", "w8a8-token,w4a8-g128"}).schemes, expected);
  EXPECT_EQ(Parse({"compare", "--schemes", "w8a8-token,w4a8-g128"}).schemes, expected);
  EXPECT_EQ(Parse({"plan", "--scheme", "w4a8-g128"}).scheme, expected[1]);
  for (const char* command : {"encode", "quantize", "sweep", "compare"}) {
    EXPECT_EQ(Parse({command, "--weight-convention", "vllm"}).weight_convention,
              WeightConvention::kVllm)
        << command;
  }
}

TEST(CommandLine, ReadsTheArithmeticOfAttentionWhereverArmsAreRun) {
  EXPECT_EQ(Parse({"--model", "m"}).attention, AttentionPrecision::kFp32);
  EXPECT_EQ(Parse({"--attention", "bf16"}).attention, AttentionPrecision::kBf16);
  for (const char* command : {"encode", "sweep", "compare"}) {
    EXPECT_EQ(Parse({command, "--attention", "int8"}).attention, AttentionPrecision::kInt8)
        << command;
  }
}

TEST(CommandLine, SuggestsTheNearestNameForOneThatItDoesNotKnow) {
  const auto says = [](const std::vector<const char*>& arguments, const char* text) {
    const std::string refusal = Refusal(arguments);
    EXPECT_NE(refusal.find(text), std::string::npos) << refusal;
  };
  says({"--imges", "photos"}, "Did you mean '--images'?");
  says({"--clip-range=5", "--modle=m"}, "Did you mean '--model'?");
  says({"calibrat"}, "Did you mean 'calibrate'?");
  says({"encode", "--precison", "int8"}, "Did you mean '--precision'?");
  says({"--schemes", "w8a8-tokn"}, "Did you mean 'w8a8-token'?");
  says({"--schemes", "w8a8-token,w4a8_g128"}, "Did you mean 'w4a8-g128'?");
  EXPECT_EQ(Refusal({"--frobnicate", "1"}).find("Did you mean"), std::string::npos);
}

TEST(CommandLine, RefusesToWriteOverWhatItReads) {
  const std::filesystem::path file = ScratchFolder("out_is_input") / "a.h5";
  WriteFileAtomically(file, "");
  const std::string name = file.string();
  CheckOutput(Parse({"calibrate", "--images", "photos", "--out", name.c_str()}),
              Output::kStatistics);
  for (const char* flag : {"--images", "--stats", "--model"}) {
    const bool plan = std::string_view(flag) == "--stats";
    const Options options =
        Parse({plan ? "plan" : "calibrate", flag, name.c_str(), "--out", name.c_str()});
    const Output output = plan ? Output::kPlan : Output::kStatistics;
    EXPECT_TRUE(Contains(ErrorOf([&] { CheckOutput(options, output); }), "would be overwritten"));
  }
  const Options merge = Parse({"merge", name.c_str(), "b.h5", "--out", name.c_str()});
  EXPECT_THROW(CheckOutput(merge, Output::kStatistics), UsageError);
}

TEST(CommandLine, EveryCommandOnOneFileRefusesToReplaceOneThatItDidNotWrite) {
  const std::filesystem::path folder = ScratchFolder("out_is_foreign");
  const std::string foreign = (folder / "notes.txt").string();
  const std::string empty = (folder / "empty").string(), absent = (folder / "absent").string();
  WriteFileAtomically(foreign, "{}");
  WriteFileAtomically(empty, "");
  std::vector<std::string_view> refusing;
  for (const Command& command : Commands()) {
    Options options;
    options.command = command.name;
    for (const std::string& out : {empty, absent, std::string("/dev/null")}) {
      options.out = out;
      EXPECT_NO_THROW(CheckOutput(options, command.output)) << command.name << " " << out;
    }
    options.out = foreign;
    const std::string refusal = [&] {
      try {
        CheckOutput(options, command.output);
      } catch (const UsageError& error) {
        return std::string(error.what());
      }
      return std::string();
    }();
    if (refusal.empty()) continue;
    refusing.push_back(command.name);
    EXPECT_TRUE(Contains(refusal, "would be lost. Choose another name, or remove it first"));
  }
  EXPECT_EQ(refusing, (std::vector<std::string_view>{"calibrate", "encode", "linear", "merge",
                                                     "plan", "preprocess"}));
}

TEST(CommandLine, RoundsANumberOnceToBinary32) {
  // Halfway between two binary32 values, plus a little that binary64 cannot hold.
  const Options options = Parse({"encode", "--clip-range", "1.00000005960464477539062500000001"});
  EXPECT_EQ(*options.clip_range, 1.00000011920928955078125f);
}

TEST(CommandLine, KeepsThresholdsInBinary64SoThatEqualFractionsAreEqual) {
  const Options options =
      Parse({"--min-agreement", "0.98", "--max-drop", "0.01", "--min-sqnr-db", "-3.5"});
  EXPECT_EQ(*options.thresholds.min_agreement, 49.0 / 50.0);
  EXPECT_EQ(*options.thresholds.max_drop, 0.01);
  EXPECT_EQ(*options.thresholds.min_sqnr_db, -3.5);
}

TEST(CommandLine, FlagsBelongToTheirCommand) {
  EXPECT_EQ(Parse({"linear", "--in", "a", "--out", "b", "--precision", "int8"}).in, "a");
  EXPECT_NE(Refusal({"merge", "--model", "m"}).find("--model"), std::string::npos);
}

TEST(CommandLine, RefusesFlagsThatACommandWouldIgnore) {
  const std::vector<std::pair<std::vector<const char*>, std::vector<const char*>>> ignored = {
      {{"preprocess"}, {"--model-prefix", "--seed", "--labels"}},
      {{"encode"}, {"--seed", "--labels", "--eval-images", "--stats", "--granularities"}},
      {{"linear"}, {"--seed", "--plan", "--residual", "--attention"}},
      {{"calibrate"}, {"--eval-images", "--labels", "--plan", "--granularity", "--fake"}},
      {{"plan"}, {"--seed", "--fake", "--weight-bits", "--images"}},
      {{"sweep"}, {"--plan", "--granularity", "--clip-range", "--fake"}},
      {{"compare"}, {"--granularities", "--clip-ranges"}},
      {{"quantize"}, {"--fake", "--weight-bits", "--residual", "--stats"}},
      {{"demo"}, {"--images"}}};
  for (const auto& [command, flags] : ignored) {
    for (const char* flag : flags) {
      const std::string refusal = Refusal({command[0], flag, "1"});
      EXPECT_TRUE(Contains(refusal, std::string("ot expected: ") + flag)) << command[0] << refusal;
    }
  }
}

TEST(CommandLine, EveryCommandThatComputesTakesTheBoundsOfARun) {
  for (const char* command : {"calibrate", "compare", "demo", "encode", "linear", "plan",
                              "preprocess", "quantize", "sweep"}) {
    const Options options = Parse({command, "--threads", "1", "--batch", "2", "--memory", "1GiB"});
    EXPECT_EQ(options.threads, 1) << command;
  }
}

TEST(CommandLine, RefusesFlagsThatAnotherFlagMakesIdle) {
  const auto says = [](int (*command)(const Options&), const std::vector<const char*>& arguments) {
    return ErrorOf([&] { command(Parse(arguments)); });
  };
  for (const char* flag : {"--max-images=3", "--resampler=torchvision"}) {
    EXPECT_TRUE(Contains(says(RunEncode, {"encode", "--model", "m", "--out", "o", "--pixels", "p",
                                          "--precision", "fp16", flag}),
                         "are of --images"));
  }
  EXPECT_TRUE(Contains(says(RunLinear, {"linear", "--in", "i", "--out", "o", "--precision", "fp16",
                                        "--clip-range", "5"}),
                       "nothing is quantized"));
  for (const char* flag : {"--weight-bits=4", "--weight-convention=vllm", "--scheme=w4a8"}) {
    EXPECT_TRUE(Contains(says(RunEncode, {"encode", "--model", "m", "--out", "o", "--images", "i",
                                          "--precision", "fp16", flag}),
                         "nothing is quantized"))
        << flag;
  }
  EXPECT_TRUE(Contains(says(RunLinear, {"linear", "--in", "i", "--out", "o", "--precision", "int8",
                                        "--fake", "ideal"}),
                       "--fake"));
  EXPECT_TRUE(Contains(says(RunEncode, {"encode", "--model", "m", "--out", "o", "--images", "i",
                                        "--precision", "fp16", "--attention", "int8"}),
                       "the reference's attention is always fp32"));
  EXPECT_TRUE(Contains(says(RunPlan, {"plan", "--out", "o", "--attention", "bf16"}),
                       "do not depend on how attention is computed"));
  EXPECT_TRUE(Contains(says(RunQuantize, {"quantize", "--out", "o", "--attention", "int8"}),
                       "do not depend on how attention is computed"));
  EXPECT_TRUE(
      Contains(says(RunDemo, {"demo", "--out", ScratchFolder("seeded").c_str(), "--seed", "3"}),
               "--random"));
}

struct Refused {
  std::vector<const char*> arguments;
  const char* says;
};

TEST(CommandLine, NamesWhatItRefuses) {
  const std::vector<Refused> table = {
      {{"--bogus"}, "--bogus"},
      {{"bogus"}, "bogus"},
      {{"--clip-range", "0"}, "greater than 0"},
      {{"--clip-range", "-1"}, "greater than 0"},
      {{"--clip-range", "nan"}, "nan"},
      {{"--clip-range", "5x"}, "5x"},
      {{"--clip-ranges", "5,,6"}, "empty part"},
      {{"--clip-ranges", "5,5"}, "twice"},
      {{"--granularity", "per-channel"}, "per-token|per-tensor"},
      {{"--memory", "2 GiB"}, "2 GiB"},
      {{"--memory", "99999999999TiB"}, "99999999999TiB"},
      {{"--threads", "0"}, "from 1 to 4096"},
      {{"--batch", "1.5"}, "1.5"},
      {{"--seed", "-1"}, "at least 0"},
      {{"--device", "gpu"}, "auto|cpu|cuda"},
      {{"--device", "cuda:x"}, "x"},
      {{"--device", "cuda:99999999999"}, "from 0 to 1024"},
      {{"--seed", "99999999999999999999"}, "from 0 to 9223372036854775807"},
      {{"--max-images", "99999999999999999999"}, "from 1 to 9223372036854775807"},
      {{"--weight-bits", "1"}, "2 to 8"},
      {{"encode", "--attention", "fp16"}, "fp32|bf16|int8"},
      {{"sweep", "--attention", "int4"}, "fp32|bf16|int8"},
      {{"demo", "--layers", "1"}, "--layers 1."},
      {{"one", "two", "three"}, "one two three."},
      {{"inspect", "--zero", "--one", "1"}, "--zero --one"},
      {{"--fake", "torch"}, "ideal|llm-awq|vllm-static"},
      {{"--weight-bits", "9"}, "2 to 8"},
      {{"--resampler", "pil"}, "pillow13|pillow12|torchvision"},
      {{"--kernels", "sse9"}, "sse9"},
      {{"--model", ""}, "--model"},
      {{"--schemes", "w8a8,w8a8-token"}, "w8a8-token is listed twice"},
      {{"--schemes", "int8"}, "--schemes 'int8'"},
      {{"--schemes", "w8a16-token"}, "a16 leaves the inputs in FP16"},
      {{"--weight-convention", "torch"}, "native|vllm"},
      {{"--min-agreement", "98"}, "from 0 to 1"},
      {{"--max-drop", "-0.1"}, "from 0 to 1"},
      {{"--min-sqnr-db", "nan"}, "finite"},
      {{"encode", "--residual", "bf16"}, "fp16|fp32"},
      {{"encode", "--precision", "int4"}, "fp16|fake|emulated|int8"},
  };
  for (const Refused& refused : table) {
    EXPECT_NE(Refusal(refused.arguments).find(refused.says), std::string::npos)
        << refused.arguments.front() << ": " << Refusal(refused.arguments);
  }
}

TEST(CommandLine, SaysWhatComesLater) {
  const std::vector<std::vector<const char*>> later = {
      {"--target", "vllm"},
      {"--deploy-as", "vllm"},
  };
  for (const auto& arguments : later) {
    const std::string said = Refusal(arguments);
    const bool names_the_future = said.find("not in this version") != std::string::npos ||
                                  said.find("comes later") != std::string::npos;
    EXPECT_TRUE(names_the_future) << arguments.front() << ": " << said;
  }
}

TEST(Settings, TellWhatGoesIntoTheEncoder) {
  const auto input = [](const std::vector<const char*>& arguments) {
    return ModelOf(Parse(arguments)).input;
  };
  EXPECT_EQ(std::get<PixelFile>(input({"encode", "--pixels", "p"})).path, "p");
  EXPECT_EQ(std::get<EmbedFile>(input({"encode", "--embeds", "e"})).path, "e");
  EXPECT_EQ(std::get<PreparedImages>(
                input({"compare", "--eval-images", "i", "--resampler", "torchvision"}))
                .resampler,
            Resampler::kTorchvision);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(input({"quantize", "--model", "m"})));
}

TEST(Settings, RefuseAPlanThatFlagsContradictAndScalesThatNothingTells) {
  const auto says = [](const std::vector<const char*>& arguments) {
    return ErrorOf([&] { PlanOf(Parse(arguments), Statistics::kNone); });
  };
  EXPECT_TRUE(Contains(says({"--plan", "p.json", "--clip-range", "5"}), "leave --granularity and"));
  EXPECT_TRUE(Contains(says({"--granularity", "per-tensor"}), "give --plan FILE"));
  EXPECT_EQ(says({"--plan", "p.json"}), "no error was thrown");
  const PlanSettings asked =
      PlanOf(Parse({"--granularity", "per-tensor", "--clip-range", "5"}), Statistics::kGiven);
  EXPECT_EQ(asked.granularity, Granularity::kTensor);
  EXPECT_EQ(asked.clip_range, 5.0f);
}

TEST(Settings, RefuseASchemeThatFlagsContradictAndConventionsThatCannotMakeIt) {
  const auto says = [](const std::vector<const char*>& arguments, Statistics statistics) {
    return ErrorOf([&] { PlanOf(Parse(arguments), statistics); });
  };
  EXPECT_TRUE(Contains(says({"--scheme", "w4a8", "--weight-bits", "8"}, Statistics::kGiven),
                       "a scheme is a plan, with its granularity and bits"));
  EXPECT_TRUE(Contains(says({"--scheme", "w8a16", "--clip-range", "5"}, Statistics::kGiven),
                       "its inputs stay FP16"));
  EXPECT_TRUE(Contains(says({"--scheme", "w8a8o8"}, Statistics::kNone), "--scheme w8a8o8 --out"));
  EXPECT_EQ(says({"--scheme", "w8a8o8"}, Statistics::kGiven), "no error was thrown");
  const std::vector<const char*> vllm = {"--weight-convention", "vllm", "--weight-bits", "4"};
  EXPECT_TRUE(Contains(says(vllm, Statistics::kGiven), "leave --weight-bits 4 out"));
  EXPECT_TRUE(Contains(
      says({"--weight-convention", "vllm", "--schemes", "w8a8,w8a16,w8a8-token-g32,w8a16-g64"},
           Statistics::kGiven),
      "which w8a16-g64 has not"));
  const WeightSettings weights = WeightsOf(Parse({"--weight-bits", "8"}));
  EXPECT_EQ(weights.bits, 8);
  EXPECT_FALSE(WeightsOf(Parse({})).bits);
}

TEST(ErrorText, NamesTheFlagThatGaveTheValueAndTheOneThatMendsIt) {
  const auto overflow = [] { FailWith({Setting::kResidual, "fp32"}, "m: overflows."); };
  try {
    From("--model ", overflow);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(ErrorText(error), "--model m: overflows. Rerun with --residual fp32.");
  }
  EXPECT_THROW(From("--kernels ", [] { throw BadSetting("none"); }), BadSetting);
  EXPECT_EQ(ErrorText(Error("a: no such file")), "a: no such file");
}

TEST(CommandLine, EveryCommandOfTheTableIsKnownToTheParser) {
  for (const Command& command : Commands()) {
    if (command.name.empty()) continue;
    EXPECT_EQ(Parse({std::string(command.name).c_str()}).command, command.name);
  }
}

}  // namespace
}  // namespace w8a8::test
