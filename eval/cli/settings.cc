#include "eval/cli/settings.h"

#include <algorithm>
#include <vector>

#include <fmt/ranges.h>

#include "eval/cli/error_text.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/usage_error.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

EncoderInput InputOf(const Options& options) {
  if (!options.pixels.empty()) return PixelFile{options.pixels};
  if (!options.embeds.empty()) return EmbedFile{options.embeds};
  if (options.images.empty() && options.eval_images.empty()) return {};
  return PreparedImages{options.resampler};
}

// --scheme with what it says itself, or that nothing tells.
void CheckScheme(const Options& options, Statistics statistics) {
  if (!options.scheme) return;
  const std::string name = SchemeName(*options.scheme);
  if (!options.plan.empty() || options.granularity || options.HasWeightBits()) {
    FailUsage(
        "--scheme {}: a scheme is a plan, with its granularity and bits; leave --plan, "
        "--granularity and --weight-bits out.",
        name);
  }
  if (options.scheme->convention != WeightConvention::kNative) {
    FailUsage(
        "--scheme {}: a plan has no word for whose codes the weights get; take it without -vllm "
        "and give --weight-convention vllm. In --schemes it is a scheme like any other.",
        name);
  }
  if (options.clip_range && !options.scheme->input) {
    FailUsage("--scheme {}: its inputs stay FP16; leave --clip-range out.", name);
  }
  if (NeedsStatistics(*options.scheme) && statistics == Statistics::kNone) {
    FailUsage(
        "--scheme {}: static scales come from calibration; give --plan FILE, or make one with: "
        "w8a8-calib plan --model DIR --stats stats.h5 --scheme {} --out plan.json.",
        name, name);
  }
}

bool IsOnCuda(const Options& options) { return options.device.starts_with("cuda"); }

}  // namespace

RunSettings RunOf(const Options& options) {
  return {.threads = options.ThreadCount(),
          .batch = options.batch.value_or(1),
          .memory_bytes = options.memory_bytes,
          .seed = options.seed,
          .progress = options.quiet ? ProgressLines::kHidden : ProgressLines::kShown};
}

LoaderOptions LoadingOf(const Options& options, std::optional<int64_t> max_images) {
  return {.threads = options.ThreadCount(), .max_images = max_images};
}

ModelSettings ModelOf(const Options& options) {
  return {.folder = options.model,
          .prefix = options.model_prefix,
          .name = options.demo_model ? "demo" : "",
          .residual = options.residual,
          .input = InputOf(options)};
}

void CheckKernels(const Options& options) {
  if (options.kernels.empty()) return;
  std::vector<std::string> of_cuda;
  for (const CudaKernelsFacts& set : CudaKernelSets()) of_cuda.push_back(set.name);
  const bool on_cuda = IsOnCuda(options);
  const bool is_of_cuda = std::ranges::find(of_cuda, options.kernels) != of_cuda.end();
  const bool is_of_cpu = std::ranges::find(All(), options.kernels, &Kernels::name) != All().end();
  // A set of the one kind of device forces nothing on the other.
  if (on_cuda ? is_of_cpu : is_of_cuda) {
    FailUsage("--kernels {}: a set of {}, but --device {} runs on {}.", options.kernels,
              on_cuda ? "CPUs" : "CUDA devices", options.device,
              on_cuda ? "a CUDA device. Leave it out" : "the CPU. Add --device cuda");
  }
  if (!on_cuda) {
    From("--kernels ", [&] { return Select(options.kernels).name; });
  } else if (!is_of_cuda && !of_cuda.empty()) {
    FailUsage("--kernels {}: no kernel set of CUDA devices has that name; they are {}.",
              options.kernels, fmt::join(of_cuda, ", "));
  }
}

std::string CpuKernelsOf(const Options& options) {
  return IsOnCuda(options) ? "" : options.kernels;
}

DeviceSettings DeviceOf(const Options& options) {
  DeviceSettings device{.cuda_device = std::nullopt,
                        .kernels = options.kernels,
                        .make_backend = options.make_backend};
  if (options.device == "cuda") device.cuda_device = 0;
  if (options.device.starts_with("cuda:")) {
    device.cuda_device =
        static_cast<int>(ParseCount("--device cuda:", options.device.substr(5), 0));
  }
  CheckKernels(options);
  return device;
}

WeightSettings WeightsOf(const Options& options) {
  const bool vllm = options.weight_convention == WeightConvention::kVllm;
  if (vllm && options.weight_bits != WeightSpec().num_bits) {
    FailUsage("--weight-convention vllm: makes codes of 8 bits; leave --weight-bits {} out.",
              options.weight_bits);
  }
  for (const Scheme& scheme : options.AllSchemes()) {
    const bool fits = scheme.weight_bits == WeightSpec().num_bits && scheme.weight_group == 0;
    if (!vllm || fits) continue;
    FailUsage(
        "--weight-convention vllm: makes codes of 8 bits with one scale a row, which {} has not; "
        "run the two apart.",
        SchemeName(scheme));
  }
  WeightSettings weights{.convention = options.weight_convention};
  if (options.HasWeightBits()) weights.bits = options.weight_bits;
  return weights;
}

VerdictThresholds VerdictOf(const Options& options) {
  VerdictThresholds verdict;
  if (options.thresholds.min_agreement) verdict.min_agreement = *options.thresholds.min_agreement;
  return verdict;
}

ExportScope ScopeOf(const Options& options) {
  return options.tower_only ? ExportScope::kTowerOnly : ExportScope::kWhole;
}

PlanSettings PlanOf(const Options& options, Statistics statistics) {
  if (!options.plan.empty() && (options.granularity || options.clip_range)) {
    FailUsage(
        "--plan {}: a plan says granularity and clip range itself; leave --granularity and "
        "--clip-range out.",
        options.plan);
  }
  if (options.granularity == Granularity::kTensor && statistics == Statistics::kNone) {
    FailUsage(
        "--granularity per-tensor: static scales come from calibration; give --plan FILE, or "
        "make one with: w8a8-calib plan --model DIR --stats stats.h5 --granularity per-tensor "
        "--out plan.json.");
  }
  CheckScheme(options, statistics);
  return {.file = options.plan,
          .granularity = options.granularity,
          .clip_range = options.clip_range,
          .scheme = options.scheme,
          .weights = WeightsOf(options)};
}

void RefuseAttention(const Options& options) {
  if (options.attention == AttentionPrecision::kFp32) return;
  FailUsage(
      "{} --attention {}: plans and weights do not depend on how attention is computed; it is a "
      "choice of what runs arms (encode, sweep, compare, the whole job).",
      options.command, NameOf(options.attention));
}

void RequireFlag(const std::string& value, const char* flag, const std::string& command) {
  if (!value.empty()) return;
  const std::string name = command.empty() ? "w8a8-calib" : "w8a8-calib " + command;
  FailUsage("{0}: {1} is missing. {0} --help shows what it takes.", name, flag);
}

}  // namespace w8a8
