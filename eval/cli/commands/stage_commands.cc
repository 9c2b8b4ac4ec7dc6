#include "eval/cli/commands/stage_commands.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "datasets/draw.h"
#include "eval/cli/error_text.h"
#include "eval/cli/inputs.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "eval/export/export_target.h"
#include "eval/job/calibration.h"
#include "eval/job/demo_data.h"
#include "eval/job/demo_mixture.h"
#include "eval/job/output_folder.h"
#include "eval/job/plan_words.h"
#include "eval/job/report_experts.h"
#include "eval/run/known_sites.h"
#include "reports/card_file.h"
#include "reports/json_reader.h"
#include "reports/report_files.h"
#include "runtime/base/file_group.h"
#include "runtime/base/standard_streams.h"
#include "runtime/base/utf8.h"
#include "runtime/encoder/hash_checkpoint.h"

namespace w8a8 {
namespace {

constexpr int64_t kDemoImages = 64;
constexpr int64_t kDemoOutliers = 3;

// A SigLIP shape that runs in seconds: 4 blocks of width 128 on 64x64 images.
EncoderConfig DemoConfig() {
  EncoderConfig config;
  config.family = "siglip";
  config.name = "demo";
  config.width = 128;
  config.mlp_width = 512;
  config.heads = 4;
  config.blocks = 4;
  config.image_height = 64;
  config.image_width = 64;
  config.patch = 8;
  config.pool = PoolKind::kAttentionProbe;
  return config;
}

// What a command says at its end on stdout: where it wrote, and what for people.
void PrintWritten(const Options& options, const std::string& path, const std::string& what) {
  if (options.json) {
    Print("{}\n", nlohmann::ordered_json{{"out", ValidUtf8(path)}}.dump());
  } else if (!options.quiet) {
    Print("{}: {}\n", path, what);
  }
}

}  // namespace

int RunCalibrate(const Options& options) {
  RequireFlag(options.out, "--out", "calibrate");
  RequireFlag(options.images, "--images", "calibrate");
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const Session session = OpenSession(options);
  const Preprocessing preprocessing = OpenPreprocessing(session, options.resampler);
  const ImageSet images = ListImagesOf(options, "--images", options.images);
  CheckImagesDiffer(EntriesOf(images.files), "--images " + options.images);
  LoaderSource source(images.files, preprocessing, LoadingOf(options, options.max_images));
  const CalibrationStats stats =
      Calibrate(session, source, preprocessing, RunOf(options),
                options.outputs ? Observed::kInputsAndOutputs : Observed::kInputs);
  WriteStats(options.out, stats);
  WarnOfReference(session, preprocessing, options, images.files);
  PrintSkipped(images.unreadable);
  PrintSkipped(source.skipped());
  const std::vector<std::string> rare =
      RareExperts(session.graph, stats.sites, options.min_expert_tokens);
  if (!rare.empty()) {
    Tell("warning    {} expert{} got {}: {}\n", rare.size(), rare.size() == 1 ? "" : "s",
         FewerTokens(options.min_expert_tokens), fmt::join(rare, ", "));
  }
  PrintWritten(options, options.out,
               fmt::format("statistics of {} sites over {} images", stats.sites.size(),
                           stats.header.images.size()));
  return 0;
}

int RunPlan(const Options& options) {
  RequireFlag(options.out, "--out", "plan");
  RefuseAttention(options);
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const Session session = OpenSession(options);
  std::optional<CalibrationStats> stats;
  if (!options.stats.empty()) {
    stats = ReadStats(options.stats);
    CheckStatsFit(stats->header, options.stats, session, "");
  }
  const ChosenPlan chosen =
      ChoosePlan(session, PlanOf(options, stats ? Statistics::kGiven : Statistics::kNone),
                 RunOf(options), stats ? &stats->sites : nullptr);
  WritePlan(options.out, ToPlanFile(session, chosen.plan), KnownSites(session.graph));
  if (stats) {
    const std::vector<std::string> unseen = UnseenInFp16(session, stats->sites, chosen.plan);
    if (!unseen.empty()) {
      Tell("warning    {} sites got no row while calibrating and stay FP16: {}\n", unseen.size(),
           fmt::join(unseen, ", "));
    }
  }
  PrintWritten(options, options.out, fmt::format("a plan of {} sites", chosen.plan.sites.size()));
  return 0;
}

int RunQuantize(const Options& options) {
  RequireFlag(options.out, "--out", "quantize");
  RefuseAttention(options);
  const LockedFolder held = From("--out ", [&] { return LockedFolder(options.out); });
  const Session session = OpenSession(options);
  const ChosenPlan chosen =
      ChoosePlan(session, PlanOf(options, Statistics::kNone), RunOf(options), nullptr);
  for (const std::string& warning :
       DefaultExportTarget().write(*session.weights, session.graph, chosen.plan, session.folder,
                                   options.out, ScopeOf(options))) {
    Tell("warning    {}\n", warning);
  }
  const PlanWords words = WordsOf(chosen.plan, &session.graph);
  PrintWritten(
      options, options.out,
      fmt::format("{} of {} sites: {}", chosen.plan.sites.size(), session.graph.Sites().size(),
                  words.scheme.empty() ? words.compressed_tensors : words.scheme));
  return 0;
}

int RunReport(const Options& options) {
  if (options.inputs.size() != 1) {
    FailUsage("report: takes one folder with report.json, run.json and report.h5; {} given.",
              options.inputs.size());
  }
  const std::filesystem::path from = options.inputs.front();
  const std::filesystem::path to = options.out.empty() ? from : std::filesystem::path(options.out);
  Report report = ReadReportJson(from / "report.json");
  ReadCards(from / "report.h5", report);
  const RunInfo run = ReadRunJson(from / "run.json");
  const OutputFolder held = From("--out ", [&] { return OutputFolder(to); });
  WriteReportFiles(to, report, run);
  PrintWritten(options, to.string(), "report.html, report.h5, report.json and run.json");
  return 0;
}

int RunDemo(const Options& options) {
  RequireFlag(options.out, "--out", "demo");
  if (options.seed != 0 && !options.random) {
    FailUsage("demo --seed {}: only a demo made with --random depends on it.", options.seed);
  }
  if (options.moe && options.random) FailUsage("demo: takes --moe or --random, not both.");
  const std::filesystem::path folder = options.out;
  const OutputFolder held = From("--out ", [&] { return OutputFolder(folder); });
  FileGroup files;
  if (!options.random) {
    if (options.moe) {
      WriteMixtureDemo(folder);
    } else {
      CopyDemo(folder);
    }
    files.Commit();
    PrintWritten(options, options.out,
                 "the demo's model/, class_embeddings.safetensors, images/calib and images/eval");
    return 0;
  }
  WriteHashCheckpoint(folder / "model", DemoConfig(), Dtype::kF16, options.seed, kDemoOutliers);
  WriteDrawnImages(folder / "images", kDemoImages, options.seed);
  files.Commit();
  PrintWritten(
      options, options.out,
      fmt::format("model/ with random weights (not trained) and {} drawn images in images/",
                  kDemoImages));
  return 0;
}

}  // namespace w8a8
