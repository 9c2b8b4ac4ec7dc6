#include "eval/job/report_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "eval/job/plan_words.h"
#include "eval/job/report_sites.h"
#include "eval/job/version.h"
#include "runtime/base/error.h"
#include "runtime/encoder/graph_costs.h"

namespace w8a8 {
namespace {

ArmReport BuildArm(const Graph& graph, const Evaluation& evaluation, const ArmRow& row,
                   const ReportContext& context) {
  const Arm& arm = evaluation.experiment.runs[row.run];
  ArmReport report;
  report.name = row.name;
  report.precision = arm.precision;
  if (arm.precision == Precision::kFake) report.flavour = NameOf(arm.flavour);
  report.granularity = row.granularity;
  if (row.clip_range) report.clip_range = static_cast<double>(*row.clip_range);
  report.chosen = row.chosen;
  report.part = row.part;
  if (row.chosen || row.part || !row.scheme.empty()) {
    PlanWords words = WordsOf(arm.plan, &graph);
    report.scheme = row.scheme.empty() ? words.scheme : row.scheme;
    report.compressed_tensors = std::move(words.compressed_tensors);
    report.vllm = std::move(words.vllm);
  }
  if (arm.precision == Precision::kInt8 && row.clip_range == kClipRange) {
    report.label = "CLIP_RANGE = 5";
  }
  for (const char* output : kOutputNames) {
    const auto meter = evaluation.outputs.meters.find({row.run, output});
    if (meter == evaluation.outputs.meters.end()) continue;
    report.outputs[output] = meter->second.Estimates(context.seed);
  }
  const auto task = evaluation.outputs.tasks.find(row.run);
  if (task != evaluation.outputs.tasks.end()) {
    const TaskAccuracy accuracy = task->second.Result(context.inputs);
    report.top1 = accuracy.top1;
    report.top5 = accuracy.top5;
    report.agreement = accuracy.agreement;
  }
  return report;
}

nlohmann::ordered_json BuildFacts(const Session& session, const ReportContext& context) {
  const EncoderConfig& config = session.config;
  std::vector<std::string> notes = config.notes;
  notes.insert(notes.end(), session.weights->notes().begin(), session.weights->notes().end());
  return {{"tool", {{"name", "w8a8-calib"}, {"version", ToolVersion()}}},
          {"model",
           {{"name", context.model_name},
            {"family", config.family},
            {"sha256", session.weights->sha256()},
            {"blocks", config.blocks},
            {"width", config.width},
            {"mlp_width", config.mlp_width},
            {"heads", config.heads},
            {"tokens", config.tokens()},
            {"image", config.variable_grid
                          ? std::string("any shape")
                          : fmt::format("{}x{}", config.image_height, config.image_width)},
            {"patch", config.patch},
            {"sites", session.graph.Sites().size()},
            {"notes", notes}}},
          {"images",
           {{"calibration", context.calibration_images},
            {"evaluation", context.evaluation_images},
            {"evaluation_different", context.different_images},
            {"sha256", context.image_set_sha256}}},
          {"evaluated_on", context.evaluated_on},
          {"preprocessing", context.preprocessing},
          {"preprocessing_sha256", context.preprocessing_sha256},
          {"plan_sha256", context.plan_sha256},
          {"attention", NameOf(context.attention)},
          {"residual", ResidualName(session.graph)},
          {"seed", context.seed}};
}

const ArmReport* Int8Point(const Report& report, InputScaling granularity,
                           std::optional<double> clip_range) {
  for (const ArmReport& arm : report.arms) {
    const bool int8 = arm.precision == Precision::kInt8;
    if (int8 && arm.granularity == granularity && arm.clip_range == clip_range) return &arm;
  }
  return nullptr;
}

// What the constant CLIP_RANGE = 5 costs this model, where the sweep has that point and no clip.
void AddClipRangeCost(Report& report) {
  const std::string output = MainOutput(report);
  for (const InputScaling granularity : {InputScaling::kPerToken, InputScaling::kPerTensor}) {
    const ArmReport* clipped = Int8Point(report, granularity, kClipRange);
    const ArmReport* whole = Int8Point(report, granularity, std::nullopt);
    if (clipped == nullptr || whole == nullptr || !clipped->outputs.contains(output)) continue;
    std::string text =
        fmt::format("CLIP_RANGE = 5, {}: {} SQNR {:.1f} dB, against {:.1f} dB without a clip",
                    NameOf(granularity), output, clipped->outputs.at(output).sqnr_db.value,
                    whole->outputs.at(output).sqnr_db.value);
    if (clipped->top1 && whole->top1) {
      text += fmt::format("; top-1 {:.1f} % against {:.1f} %", 100 * clipped->top1->value,
                          100 * whole->top1->value);
    }
    report.health.push_back({.level = "note", .site = "", .text = text + "."});
  }
}

template <class Map, class Same>
bool AllSame(const Map& by_image, const Same& same) {
  return !by_image.empty() && std::all_of(by_image.begin(), by_image.end(), [&](const auto& image) {
    return same(image.second, by_image.begin()->second);
  });
}

// A reference that cannot tell its images apart, so that an arm may agree with it whatever it does.
std::vector<std::string> DegenerateNotes(const Evaluation& evaluation,
                                         const ReportContext& context) {
  if (context.different_images < kMinJudgedImages) return {};
  const auto& digests = evaluation.outputs.reference_digests;
  std::vector<std::string> notes;
  if (AllSame(digests, [](uint64_t a, uint64_t b) { return a == b; })) {
    notes.push_back(fmt::format(
        "the reference's outputs are the same for all {} images: they do not depend on the image, "
        "so the verdict says nothing about others. Is this the trained checkpoint?",
        digests.size()));
  }
  const Answers& answers = evaluation.answers;
  if (AllSame(answers,
              [](const Answer& a, const Answer& b) { return a.reference == b.reference; })) {
    notes.push_back(fmt::format(
        "the reference's answer is the same for all {} images: class {}. Agreement with "
        "it says little; give images of several classes.",
        answers.size(), answers.begin()->second.reference));
  }
  return notes;
}

// What the verdict and the figures beside it stand on.
std::vector<std::string> VerdictNotes(const Evaluation& evaluation, const ReportContext& context) {
  std::vector<std::string> notes;
  if (!evaluation.outputs.tasks.empty()) {
    const TaskAccuracy accuracy = evaluation.outputs.tasks.begin()->second.Result();
    if (accuracy.labelled > 0 && accuracy.labelled < accuracy.images) {
      notes.push_back(fmt::format("top-1 is over {} of {} images: the others do not have a label.",
                                  accuracy.labelled, accuracy.images));
    }
  }
  if (context.different_images < context.evaluation_images) {
    notes.push_back(
        fmt::format("only {} of the {} images differ in what the encoder sees; shares of "
                    "images and intervals count equal ones once.",
                    context.different_images, context.evaluation_images));
  }
  const std::vector<std::string> degenerate = DegenerateNotes(evaluation, context);
  notes.insert(notes.end(), degenerate.begin(), degenerate.end());
  notes.insert(notes.end(), context.notes.begin(), context.notes.end());
  return notes;
}

void AddNonFinite(const Evaluation& evaluation, Report& report) {
  const std::map<ImageKey, uint64_t>& nonfinite = evaluation.outputs.nonfinite_reference;
  if (nonfinite.empty()) return;
  uint64_t values = 0;
  for (const auto& [image, count] : nonfinite) values += count;
  report.health.push_back(
      {.level = "warning",
       .site = "",
       .text = fmt::format("{} output values of the FP16 reference are not finite, on {} images "
                           "(the first: '{}'); no figure of this report can be trusted.",
                           values, nonfinite.size(), nonfinite.begin()->first.name)});
}

// Of the chosen INT8 arm.
void AddVerdict(const Evaluation& evaluation, const Plan& plan, const ReportContext& context,
                Report& report) {
  const auto& tasks = evaluation.outputs.tasks;
  const Judged judged{
      .images = context.evaluation_images,
      .different = context.different_images,
      .ranked = tasks.empty() ? 0 : tasks.begin()->second.Result(context.inputs).ranked,
      .nonfinite = evaluation.outputs.nonfinite_reference.size(),
      .on = context.evaluated_on};
  if (const std::optional<ArmRef> chosen = ChosenArm(report, Precision::kInt8)) {
    report.verdict = JudgeArm(report[*chosen], context.thresholds, judged);
    report.verdict.arm = chosen;
  }
  const bool as_reference = plan.sites.empty() && context.attention == AttentionPrecision::kFp32;
  if (as_reference && judged.nonfinite == 0) {
    report.verdict.ship = Ship::kUndecided;
    report.verdict.text = "nothing to judge: the plan leaves every site in FP16.";
  }
  report.verdict.notes = VerdictNotes(evaluation, context);
}

}  // namespace

uint64_t WeightBytes(const Graph& graph, const Plan& plan) {
  int64_t bytes = 0;
  for (const Node& node : graph.nodes) {
    const int64_t elements = WeightElements(graph, node);
    const auto planned = plan.sites.find(node.site);
    if (planned == plan.sites.end() || !planned->second.weight) {
      bytes += 2 * elements;
      continue;
    }
    const WeightSpec& weight = *planned->second.weight;
    const int64_t rows = graph.slot(node.out).cols;
    const Scales scales{.granularity = weight.granularity, .group_size = weight.group_size};
    const bool tensor = weight.granularity == Granularity::kTensor;
    const int64_t groups = rows > 0 ? scales.GroupsOf(elements / rows) : 0;
    const int64_t count = tensor ? 1 : rows * groups;
    const int64_t codes = elements + (weight.symmetric ? 0 : count);
    bytes += (codes * weight.num_bits + 7) / 8 + 4 * count;
  }
  return static_cast<uint64_t>(bytes);
}

Report BuildReport(const Session& session, const Evaluation& evaluation, const Plan& plan,
                   const ReportContext& context) {
  Report report;
  report.title = context.model_name;
  report.facts = Facts(BuildFacts(session, context));
  for (const ArmRow& row : evaluation.experiment.rows) {
    ArmReport arm = BuildArm(session.graph, evaluation, row, context);
    const Arm& run = evaluation.experiment.runs[row.run];
    if (run.precision == Precision::kFp16 || row.chosen || row.part || !row.scheme.empty()) {
      const bool int8 = run.precision == Precision::kInt8;
      arm.weight_bytes = WeightBytes(session.graph, int8 ? run.plan : Plan{});
    }
    report.arms.push_back(std::move(arm));
  }
  AddVerdict(evaluation, plan, context, report);
  AddSites(session.graph, evaluation, report);
  AddAttention(session.graph, evaluation, report);
  AddChecks(session.graph, evaluation, report);
  report.skipped_images = context.skipped;
  AddChoices(session.graph, plan, context.choices, context.calibrated, report);
  report.health = context.health;
  AddExperts(evaluation, context.calibrated, context.min_expert_tokens, report);
  for (const std::string& note : report.verdict.notes) {
    report.health.push_back({.level = "note", .site = "", .text = note});
  }
  AddClipRangeCost(report);
  AddNonFinite(evaluation, report);
  return report;
}

}  // namespace w8a8
