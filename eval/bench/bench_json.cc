#include <nlohmann/json.hpp>

#include "eval/bench/bench_report.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

Json OrNull(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
Json OrNull(int64_t value) { return value != 0 ? Json(value) : Json(nullptr); }
Json OrNull(const std::string& value) { return !value.empty() ? Json(value) : Json(nullptr); }

Json MachineJson(const MachineFacts& machine) {
  return {{"cpu", machine.cpu},
          {"cpus", machine.cpus},
          {"kernels", machine.kernels},
          {"onednn", machine.onednn},
          {"onednn_x64_use_zen", machine.onednn_zen ? Json(*machine.onednn_zen) : Json(nullptr)},
          {"compiler", machine.compiler}};
}

Json KernelJson(const KernelResult& kernel) {
  return {{"op", kernel.op},
          {"isa", kernel.isa},
          {"where", kernel.where},
          {"m", kernel.m},
          {"n", OrNull(kernel.n)},
          {"k", kernel.k},
          {"heads", OrNull(kernel.heads)},
          {"ms", kernel.ms},
          {"gmacs_per_second",
           kernel.macs_per_second > 0 ? Json(kernel.macs_per_second / kGiga) : Json(nullptr)},
          {"peak", OrNull(kernel.peak)},
          {"share_of_peak", OrNull(kernel.share_of_peak)},
          {"times_faster_than_onednn", OrNull(kernel.times_faster_than_onednn)},
          {"times_faster_than_onednn_partial", OrNull(kernel.times_faster_than_onednn_partial)}};
}

const char* PoolName(PoolKind pool) {
  switch (pool) {
    case PoolKind::kNone:
      return "none";
    case PoolKind::kFirstToken:
      return "token";
    case PoolKind::kMean:
      return "mean";
    case PoolKind::kAttentionProbe:
      return "attention";
  }
  return "";
}

const char* ActivationName(ActivationKind activation) {
  switch (activation) {
    case ActivationKind::kGeluErf:
      return "gelu_erf";
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kQuickGelu:
      return "quick_gelu";
    case ActivationKind::kSilu:
      return "silu";
  }
  return "";
}

// What a plain pre-norm encoder has not; empty: it is one.
std::string OtherParts(const EncoderConfig& config) {
  std::string parts;
  const auto add = [&parts](bool has, const char* part) {
    if (has) parts += (parts.empty() ? "" : ", ") + std::string(part);
  };
  add(config.norm == NormKind::kRmsNorm, "RMS norms");
  add(config.gated_mlp, "gated MLPs");
  add(config.mixture.experts > 0, "experts");
  add(config.layer_scale, "layer scales");
  add(config.qk_norm, "norms of queries and keys");
  add(config.pool == PoolKind::kNone || config.pool == PoolKind::kMean, "another pooling");
  add(config.pool_norm || config.pooler > 0 || config.projection > 0, "a further pooling layer");
  add(config.head_input != HeadInput::kPooled || config.distilled_head, "another classifier");
  return parts;
}

Json ShapeJson(const EncoderConfig& config) {
  return {{"width", config.width},
          {"mlp_width", config.mlp_width},
          {"heads", config.heads},
          {"blocks", config.blocks},
          {"tokens", config.tokens()},
          {"channels", config.channels},
          {"image_height", config.image_height},
          {"image_width", config.image_width},
          {"patch", config.patch},
          {"activation", ActivationName(config.activation)},
          {"pool", PoolName(config.pool)},
          {"classes", config.classes},
          {"other", OtherParts(config)}};
}

Json TimesJson(const std::vector<StepTime>& times, const char* name) {
  Json list = Json::array();
  for (const StepTime& time : times) list.push_back({{name, time.kind}, {"ms", time.ms}});
  return list;
}

Json ForwardJson(const ForwardResult& forward) {
  return {{"model", forward.model},
          {"precision", forward.precision},
          {"attention", forward.attention},
          {"threads", forward.threads},
          {"launched", OrNull(forward.launched)},
          {"images", forward.images},
          {"isa", forward.isa},
          {"blocks", forward.config.blocks},
          {"shape", ShapeJson(forward.config)},
          {"gmacs", static_cast<double>(forward.macs) / kGiga},
          {"ms_per_image", forward.ms_per_image > 0 ? Json(forward.ms_per_image) : Json(nullptr)},
          {"ms_of_all_blocks", OrNull(forward.ms_of_all_blocks)},
          {"ms_of_one_image_on_all_threads", OrNull(forward.ms_of_one_shared)},
          {"peak", OrNull(forward.peak)},
          {"share_of_peak", OrNull(forward.share_of_peak)},
          {"times_faster_than_fp16", OrNull(forward.times_faster_than_fp16)},
          {"sqnr_db", OrNull(forward.sqnr_db)},
          {"scales", OrNull(forward.scales)},
          {"baseline", forward.is_baseline},
          {"how", OrNull(forward.how)},
          {"missing", OrNull(forward.missing)},
          {"problem", OrNull(forward.problem)},
          {"times_faster_than_fp16_baseline", OrNull(forward.times_faster_than_fp16_baseline)},
          {"times_faster_than_fp8_baseline", OrNull(forward.times_faster_than_fp8_baseline)},
          {"steps", TimesJson(forward.steps, "kind")},
          {"sites", TimesJson(forward.sites, "site")}};
}

}  // namespace

std::string BenchJson(const BenchReport& report) {
  Json peaks = Json::object();
  for (const auto& [name, macs] : report.peaks) {
    peaks[name] = macs > 0 ? Json(macs / kGiga) : Json(nullptr);
  }
  Json kernels = Json::array(), forwards = Json::array(), stages = Json::array();
  for (const KernelResult& kernel : report.kernels) kernels.push_back(KernelJson(kernel));
  for (const ForwardResult& forward : report.forward) forwards.push_back(ForwardJson(forward));
  for (const StageResult& stage : report.stages) {
    stages.push_back({{"name", stage.name}, {"reference_forwards", stage.reference_forwards}});
  }
  const Json json = {{"machine", MachineJson(report.machine)},
                     {"peak_unit", "GMAC/s of one core"},
                     {"peaks", peaks},
                     {"peak_scaling", OrNull(report.peak_scaling)},
                     {"kernels", kernels},
                     {"forward", forwards},
                     {"stages_model", OrNull(report.stages_model)},
                     {"stages", stages}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace w8a8
