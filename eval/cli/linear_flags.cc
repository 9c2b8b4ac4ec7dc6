#include "eval/cli/linear_flags.h"

#include <bit>

#include <fmt/format.h>

#include "eval/cli/command_flags.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/options.h"
#include "eval/cli/usage_error.h"

namespace w8a8 {
namespace {

void AddScale(CLI::App& app, const std::string& flag, std::optional<float>& scale,
              const std::string& help) {
  AddValue(app, flag, help, "S",
           [&scale, flag](const std::string& text) { scale = ParseFloat(flag, text); });
}

void AddSize(CLI::App& app, const std::string& flag, std::optional<int64_t>& size,
             const std::string& help) {
  AddValue(app, flag, help, "G",
           [&size, flag](const std::string& text) { size = ParseCount(flag, text, 1); });
}

void AddInputFlags(CLI::App& app, LinearFlags& f) {
  AddScale(app, "--input-scale", f.input_scale,
           "Static input scale; implies per-tensor (0 with vllm-static: not quantized)");
  AddValue(app, "--input-zero-point", "Zero point of --input-scale: codes -128 to 127 around it",
           "Z", [&f](const std::string& text) {
             constexpr int64_t kLowest = -128, kHighest = 127;
             f.input_zero_point =
                 static_cast<int32_t>(ParseCount("--input-zero-point", text, kLowest, kHighest));
           });
  AddSize(app, "--input-group-size", f.input_group_size,
          "One dynamic scale for each row and G inputs");
  AddSwitch(app, "--asymmetric", f.asymmetric, "Per-token scales with zero points");
  AddSwitch(app, "--weight-only", f.weight_only, "The input stays FP16");
}

void AddWeightFlags(CLI::App& app, LinearFlags& f) {
  AddSize(app, "--group-size", f.group_size, "One weight scale for each row and G inputs");
  AddValue(app, "--weight-granularity", "Granularity of weight scales (default channel)",
           "channel|per-tensor", [&f](const std::string& text) {
             RequireOneOf("--weight-granularity", text, {"channel", "per-tensor"});
             f.weight_granularity =
                 text == "channel" ? Granularity::kChannel : Granularity::kTensor;
           });
  AddValue(app, "--weight-convention",
           "Arithmetic that makes scales and codes: binary32, or vLLM's online int8, in the dtype "
           "of the weights (default native)",
           "native|vllm", [&f](const std::string& text) {
             RequireOneOf("--weight-convention", text, {"native", "vllm"});
             f.weight_convention =
                 text == "vllm" ? WeightConvention::kVllm : WeightConvention::kNative;
           });
}

}  // namespace

void AddLinearFlags(CLI::App& app, Options& o) {
  LinearFlags& f = o.linear;
  AddInputFlags(app, f);
  AddWeightFlags(app, f);
  AddScale(app, "--output-scale", f.output_scale,
           "Static output scale (0 with vllm-static: not quantized)");
  AddValue(
      app, "--rotation",
      "Hadamard transform of each BLOCK inputs, mixed across the blocks; the seed of its signs "
      "(default 0)",
      "BLOCK[,mix][,seed=N]",
      [&f](const std::string& text) { f.rotation = ParseRotation("--rotation", text); });
  AddSwitch(app, "--first-row-twice", f.first_row_twice,
            "Code what the first coding of row 0 leaves, too");
  AddValue(app, "--dtype", "What --fake vllm-static computes in (default fp16)", "fp16|bf16",
           [&f](const std::string& text) {
             RequireOneOf("--dtype", text, {"fp16", "bf16"});
             f.dtype = text == "bf16" ? Dtype::kBF16 : Dtype::kF16;
           });
}

Rotation ParseRotation(std::string_view flag, const std::string& text) {
  constexpr std::string_view kSeed = "seed=";
  const std::vector<std::string> parts = ParseList(flag, text);
  const auto block = ParseCount(flag, parts.front(), 2);
  if (!std::has_single_bit(static_cast<uint64_t>(block))) {
    FailUsage("{} '{}': a block is a power of two, at least 2.", flag, text);
  }
  Rotation rotation{.block = block};
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "mix") {
      rotation.mix = true;
    } else if (parts[i].starts_with(kSeed)) {
      const auto seed = ParseCount(fmt::format("{} seed=", flag), parts[i].substr(kSeed.size()), 0,
                                   static_cast<int64_t>(kMaxRotationSeed));
      rotation.seed = static_cast<uint64_t>(seed);
    } else {
      FailUsage("{} '{}': takes BLOCK[,mix][,seed=N].", flag, text);
    }
  }
  return rotation;
}

}  // namespace w8a8
