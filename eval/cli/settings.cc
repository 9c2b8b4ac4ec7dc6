#include "eval/cli/settings.h"

#include "eval/cli/flag_values.h"
#include "eval/cli/usage_error.h"

namespace w8a8 {
namespace {

EncoderInput InputOf(const Options& options) {
  if (!options.pixels.empty()) return PixelFile{options.pixels};
  if (!options.embeds.empty()) return EmbedFile{options.embeds};
  if (options.images.empty() && options.eval_images.empty()) return {};
  return PreparedImages{options.resampler};
}

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

DeviceSettings DeviceOf(const Options& options) {
  DeviceSettings device{.cuda_device = std::nullopt,
                        .kernels = options.kernels,
                        .make_backend = options.make_backend};
  if (options.device == "cuda") device.cuda_device = 0;
  if (options.device.starts_with("cuda:")) {
    device.cuda_device =
        static_cast<int>(ParseCount("--device cuda:", options.device.substr(5), 0));
  }
  return device;
}

FakeSettings FakeOf(const Options& options) {
  return {.flavour = options.fake, .weight_bits = options.weight_bits};
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
  return {
      .file = options.plan, .granularity = options.granularity, .clip_range = options.clip_range};
}

void RequireFlag(const std::string& value, const char* flag, const std::string& command) {
  if (!value.empty()) return;
  const std::string name = command.empty() ? "w8a8-calib" : "w8a8-calib " + command;
  FailUsage("{0}: {1} is missing. {0} --help shows what it takes.", name, flag);
}

}  // namespace w8a8
