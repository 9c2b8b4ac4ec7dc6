#include "tests/reports/sample_report.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/counter_hash.h"

namespace w8a8::test {
namespace {

constexpr ArmRef kChosenFake{1}, kChosenInt8{2};

double Wobble(const std::string& name) { return HashUniform(HashText(name), 0); }

Estimate Around(double value, double width) { return {value, value - width, value + 1.2 * width}; }

OutputErrors ErrorsAt(double sqnr_db) {
  OutputErrors errors;
  errors.sqnr_db = Around(sqnr_db, 0.5);
  const double relative = std::pow(10, -sqnr_db / 20);
  errors.relative_l2 = Around(relative, 0.05 * relative);
  errors.cosine_mean = Around(1 - relative * relative / 2, 1e-4);
  errors.cosine_p1 = Around(1 - relative * relative, 1e-3);
  errors.max_abs = Around(10 * relative, relative);
  return errors;
}

ArmReport MakeArm(Precision precision, std::optional<InputScaling> granularity,
                  std::optional<double> clip_range, double sqnr_db) {
  ArmReport arm;
  const std::string clip = clip_range ? fmt::format("{:g}", *clip_range) : "inf";
  arm.name = NameOf(precision);
  if (granularity) arm.name += fmt::format("/{}", NameOf(*granularity));
  if (granularity && granularity != InputScaling::kPlan) arm.name += "/" + clip;
  arm.precision = precision;
  if (precision == Precision::kFake) arm.flavour = "ideal";
  arm.granularity = granularity;
  arm.clip_range = clip_range;
  arm.chosen = arm.granularity == InputScaling::kPlan && precision != Precision::kEmulated;
  for (const char* output : {"tokens", "pooled", "logits"}) arm.outputs[output] = ErrorsAt(sqnr_db);
  const double agreement = 1 / (1 + std::exp(-(sqnr_db - 5) / 5));
  arm.top1 = Around(0.76 * agreement, 0.03);
  arm.top5 = Around(0.9 * agreement, 0.02);
  arm.agreement = Around(agreement, 0.01);
  if (arm.chosen) arm.weight_bytes = 5767168;
  return arm;
}

void AddArms(Report& report) {
  ArmReport reference = MakeArm(Precision::kFp16, std::nullopt, std::nullopt, 30);
  for (auto& [output, errors] : reference.outputs) {
    errors = {};
    errors.exact = true;
    errors.relative_l2 = {0, 0, 0};
  }
  reference.agreement.reset();
  report.arms.push_back(reference);
  for (const Precision precision : {Precision::kFake, Precision::kInt8, Precision::kEmulated}) {
    report.arms.push_back(MakeArm(precision, InputScaling::kPlan, std::nullopt, 27.6));
  }
  for (const InputScaling granularity : {InputScaling::kPerToken, InputScaling::kPerTensor}) {
    const double best = granularity == InputScaling::kPerToken ? 27.6 : 9.3;
    for (const double clip : {2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, HUGE_VAL}) {
      const std::optional<double> range =
          std::isinf(clip) ? std::nullopt : std::optional<double>(clip);
      const double sqnr_db = std::isinf(clip) ? best : best * (1 - 0.9 * std::exp(-clip / 9));
      report.arms.push_back(MakeArm(Precision::kFake, granularity, range, sqnr_db + 0.3));
      report.arms.push_back(MakeArm(Precision::kInt8, granularity, range, sqnr_db));
      if (clip == 5 && best > 20) report.arms.back().label = "CLIP_RANGE = 5";
    }
  }
}

// The chosen plan's weights alone, and a scheme.
void AddPartsAndSchemes(Report& report) {
  report.arms[kChosenInt8.index].scheme = "w8a8-token";
  report.arms[kChosenInt8.index].compressed_tensors = "weights int8 channel symmetric";
  report.arms[kChosenInt8.index].vllm = "CompressedTensorsW8A8Int8 (dynamic)";
  ArmReport weights = MakeArm(Precision::kInt8, InputScaling::kPlan, std::nullopt, 32);
  weights.name = "int8/weight-only";
  weights.chosen = false;
  weights.part = PlanPart::kWeights;
  report.arms.push_back(weights);
  for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
    ArmReport scheme = MakeArm(precision, InputScaling::kPlan, std::nullopt, 18.5);
    scheme.name = fmt::format("{}/w4a8-g128", NameOf(precision));
    scheme.chosen = false;
    scheme.scheme = "w4a8-g128";
    scheme.compressed_tensors = "weights int4 group 128 symmetric; input_activations int8 token";
    scheme.vllm = "CompressedTensorsW4A8Int (Arm CPUs only)";
    scheme.weight_bytes = 3000000;
    report.arms.push_back(scheme);
  }
}

SiteReport MakeSite(const std::string& site, int64_t block, const ArmReport& arm, View view) {
  SiteReport row;
  row.view = view;
  row.block = block;
  const double depth_loss = view == View::kPropagated ? 6 + 0.5 * static_cast<double>(block) : 0;
  row.sqnr_db = 34 + 5 * Wobble(site) - depth_loss + (arm.precision == Precision::kFake ? 0.2 : 0);
  row.relative_l2 = std::pow(10, -row.sqnr_db / 20);
  row.cosine = 1 - row.relative_l2 * row.relative_l2 / 2;
  row.max_abs = 0.3 + 0.1 * Wobble(fmt::format("{}{}", site, NameOf(view)));
  row.mean_error = 1e-4 * Wobble(site + arm.name);
  row.saturation = 1e-5 * (1 + Wobble(arm.name + site));
  if (arm.part) row.sqnr_db += 6 * Wobble(site + "weights");
  row.input_sqnr_db = arm.part ? kUndefined : row.sqnr_db + 3;
  if (arm.chosen && arm.precision == Precision::kInt8) {
    row.weight_share = std::pow(10, -0.6 * Wobble(site + "weights"));
  }
  return row;
}

void AddSites(Report& report, int blocks) {
  for (const ArmRef arm : {kChosenFake, kChosenInt8, *PartArm(report, PlanPart::kWeights)}) {
    for (const View view : {View::kTeacherForced, View::kPropagated}) {
      for (int block = 0; block < blocks; ++block) {
        for (const char* part : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}) {
          const std::string site = fmt::format("blocks.{}.{}", block, part);
          report.sites.push_back(MakeSite(site, block, report[arm], view));
          report.sites.back().site = report.site_names.Add(site);
          report.sites.back().arm = arm;
        }
      }
    }
  }
  SiteReport& exact = report.sites[1];
  exact.sqnr_db = HUGE_VAL;
  exact.exact = true;
  exact.relative_l2 = 0;
}

// Of one block and the pooling head; the fake arm's is exact where it is forced.
void AddAttention(Report& report) {
  for (const ArmRef arm : {kChosenFake, kChosenInt8}) {
    for (const View view : {View::kTeacherForced, View::kPropagated}) {
      for (const std::optional<int64_t> block : {std::optional<int64_t>(0), {}}) {
        const bool exact = arm == kChosenFake && view == View::kTeacherForced;
        report.attention.push_back({.block = block,
                                    .arm = arm,
                                    .view = view,
                                    .sqnr_db = exact ? HUGE_VAL : 38.5,
                                    .exact = exact,
                                    .relative_l2 = exact ? 0.0 : 0.0119,
                                    .cosine = exact ? 1.0 : 0.99993,
                                    .max_abs = exact ? 0.0 : 0.0625,
                                    .mean_error = exact ? 0.0 : -1e-5});
      }
    }
  }
}

// Two of four run for a token of block 1; the last one gets nothing.
void AddExperts(Report& report) {
  report.min_expert_tokens = 2;
  for (int64_t e = 0; e < 4; ++e) {
    const uint64_t tokens = e == 3 ? 0 : 8712;
    report.experts.push_back({.block = 1,
                              .expert = e,
                              .tokens = tokens,
                              .share = e == 3 ? 0.0 : 2.0 / 3,
                              .images = e == 3 ? uint64_t{0} : uint64_t{64},
                              .calibration_tokens = tokens,
                              .below_minimum = e == 3});
  }
  for (const ArmRef arm : {kChosenFake, kChosenInt8}) {
    report.arms[arm.index].routing_changed = 0.0125;
    report.routing.push_back({.arm = arm, .block = 1, .tokens = 13068, .routing_changed = 0.0125});
  }
}

void AddChecksAndPlan(Report& report, int blocks) {
  for (int block = 0; block < blocks; ++block) {
    for (const char* part : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}) {
      const std::string site = fmt::format("blocks.{}.{}", block, part);
      CheckCounts counts;
      counts.int32_compared = 33292800;
      counts.codes_compared = 8321280;
      counts.code_differences.none = counts.codes_compared;
      counts.outputs_compared = 33292800;
      report.checks.sites.push_back({report.site_names.Add(site), counts});
      report.checks.total.int32_compared += counts.int32_compared;
      report.checks.total.codes_compared += counts.codes_compared;
      report.checks.total.code_differences.none += counts.code_differences.none;
      report.checks.total.outputs_compared += counts.outputs_compared;
      PlanChoice choice;
      choice.site = report.site_names.Add(site);
      choice.granularity = InputScaling::kPerTensor;
      choice.rule = "mse";
      choice.clip_range = 4.25;
      choice.scale = 4.25 / 127;
      choice.layer = "weights 8 bits per-channel; input per-tensor";
      choice.candidates = {{"abs-max", 21.5, 20.1}, {"mse", 4.25, 26.4}, {"kl", 3.5, kUndefined}};
      report.plan_choices.push_back(choice);
      report.cards.push_back(SampleCard(site));
      report.cards.back().site = choice.site;
    }
  }
  report.checks.passes = {{"int8/plan against emulated/plan", 220, report.checks.total}};
}

}  // namespace

Report SampleReport(int blocks) {
  Report report;
  report.title = "vit <tiny> & friends";
  report.verdict = {.ship = Ship::kUndecided,
                    .arm = kChosenInt8,
                    .text =
                        "agreement 98.2 % [95.4, 99.3]; yes needs a lower bound of 98 %: more "
                        "images",
                    .notes = {}};
  report.facts = Facts(nlohmann::ordered_json{
      {"tool", {{"version", "0.1.0"}}},
      {"model", {{"name", "vit <tiny> & friends"}, {"sha256", "0123"}}},
      {"images", {{"calibration", 64}, {"evaluation", 220}, {"sha256", "4567"}}},
      {"preprocessing", {{"resample", "bicubic"}, {"mean", {0.5, 0.5, 0.5}}}},
      {"plan_sha256", "89ab"},
      {"seed", 7},
      {"a/b", "a name with a slash"}});
  AddArms(report);
  AddPartsAndSchemes(report);
  AddSites(report, blocks);
  AddAttention(report);
  AddChecksAndPlan(report, blocks);
  AddExperts(report);
  report.skipped_images = {{kHostileName, "not an image"}, {"caf\xe9.jpg", "cut short"}};
  report.health = {{"warning", "blocks.0.mlp.fc1", "holds 3 values that are not finite in FP16"},
                   {"note", "", "calibration and evaluation images are the same"}};
  report.worst_images = SampleWorstImages();
  return report;
}

RunInfo SampleRun() {
  RunInfo run;
  run.command = "w8a8-calib --images '<photos>' --model vit";
  run.host = "host";
  run.device = "cpu";
  run.kernels = "avx512vnni";
  run.float_products = run.reference_attention = "FP32 FMA";
  run.attention = "INT8, plain loops";
  run.threads = 2;
  run.started = "2024-05-06T07:08:09Z";
  run.stages = {{"calibrate", 12.5, 1.25}, {"compare", 100, 10}};
  run.peak_memory_bytes = uint64_t{3} << 29;
  run.latency["fp16"] = {.ms_per_image = 52.5};
  run.latency["int8"] = {.ms_per_image = 12.25};
  run.site_latency = {{.site = "blocks.0.attn.qkv", .fp16_ms = 4.0, .int8_ms = 1.5},
                      {.site = "blocks.0.mlp.fc2", .fp16_ms = 2.0, .int8_ms = 1.9}};
  return run;
}

}  // namespace w8a8::test
