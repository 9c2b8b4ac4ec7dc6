#include "eval/cli/commands/encode.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "eval/cli/error_text.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/inputs.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "eval/job/calibration.h"
#include "eval/job/embed_source.h"
#include "eval/job/image_run.h"
#include "eval/job/output_folder.h"
#include "eval/job/pixel_source.h"
#include "eval/job/progress.h"
#include "eval/job/recording_source.h"
#include "eval/job/session.h"
#include "eval/job/version.h"
#include "eval/measure/feature_tap.h"
#include "eval/run/known_sites.h"
#include "runtime/base/standard_streams.h"
#include "runtime/base/utf8.h"

namespace w8a8 {
namespace {

void CheckFlags(const Options& o) {
  RequireFlag(o.model, "--model", "encode");
  RequireFlag(o.out, "--out", "encode");
  if (!o.precision) FailUsage("encode: --precision is missing: fp16, fake, emulated or int8.");
  const int inputs = !o.images.empty() + !o.pixels.empty() + !o.embeds.empty();
  if (inputs != 1) {
    FailUsage("encode: takes one of --images PATH, --pixels FILE and --embeds FILE.");
  }
  const bool fake = *o.precision == Precision::kFake;
  if (o.images.empty() && (o.max_images || o.resampler != Resampler::kPillow13)) {
    FailUsage("encode: --max-images and --resampler are of --images, which is not given.");
  }
  if (o.fake_given && !fake) FailUsage("--fake: only --precision fake has flavours.");
  if (*o.precision == Precision::kFp16 && (o.HasWeightBits() || o.weight_convention || o.scheme)) {
    FailUsage(
        "encode --precision fp16: nothing is quantized; leave --scheme, --weight-bits and "
        "--weight-convention out.");
  }
  if (*o.precision == Precision::kFp16 && o.attention != AttentionPrecision::kFp32) {
    FailUsage(
        "encode --precision fp16 --attention {}: the reference's attention is always fp32; it is a "
        "choice of fake, emulated and int8.",
        NameOf(o.attention));
  }
  if (o.plan.empty() && o.granularity == Granularity::kTensor) {
    FailUsage(
        "encode --granularity per-tensor: static scales come from calibration; give --plan FILE "
        "(w8a8-calib plan makes one).");
  }
}

Arm ArmOf(const Session& session, const Options& options) {
  Arm arm{.name = std::string(NameOf(*options.precision)),
          .precision = *options.precision,
          .plan = {},
          .flavour = options.fake,
          .attention = options.attention};
  if (arm.precision == Precision::kFp16) return arm;
  arm.plan = ChoosePlan(session, PlanOf(options, Statistics::kNone), RunOf(options), nullptr).plan;
  return arm;
}

std::set<int64_t> SelectLayers(const std::string& layers, int64_t blocks) {
  std::set<int64_t> selected;
  if (layers == "none") return selected;
  if (layers == "all") {
    for (int64_t i = 0; i <= blocks; ++i) selected.insert(i);
    return selected;
  }
  for (const std::string& part : ParseList("--layers", layers)) {
    const int64_t layer = ParseCount("--layers", part, 0);
    if (layer > blocks) {
      FailUsage("--layers {}: this encoder has hidden states 0 to {}.", layer, blocks);
    }
    selected.insert(layer);
  }
  return selected;
}

FeatureSelection SelectFeatures(const Options& options, const Session& session) {
  FeatureSelection selection;
  selection.attentions = options.attentions;
  selection.layers = SelectLayers(options.layers, session.config.blocks);
  const std::vector<std::string> sites = session.graph.Sites();
  for (const std::string& site : options.taps) {
    if (std::find(sites.begin(), sites.end(), site) == sites.end()) {
      FailUsage("--taps {}: this encoder has no such site; it has {}, ... ({} in all).", site,
                sites.front(), sites.size());
    }
    selection.sites.insert(site);
  }
  return selection;
}

// --images, --pixels or --embeds, and what the metadata says about them.
class Input {
 public:
  Input(const Options& options, const Session& session) {
    if (!options.pixels.empty()) {
      auto pixels = std::make_unique<PixelSource>(options.pixels, session.config);
      preprocessing_sha256_ = pixels->Metadata("preprocessing_sha256");
      skipped_text_ = pixels->Metadata("skipped");
      source_ = std::move(pixels);
      return;
    }
    if (!options.embeds.empty()) {
      source_ = std::make_unique<EmbedSource>(options.embeds, session.config);
      return;
    }
    const Preprocessing preprocessing = OpenPreprocessing(session, options.resampler);
    preprocessing_sha256_ = preprocessing.sha256;
    ImageSet set = ListImagesOf(options, "--images", options.images);
    skipped_ = std::move(set.unreadable);
    auto loader = std::make_unique<LoaderSource>(std::move(set.files), preprocessing,
                                                 LoadingOf(options, options.max_images));
    loader_ = loader.get();
    source_ = std::move(loader);
  }

  ImageSource& source() { return *source_; }
  const std::string& preprocessing_sha256() const { return preprocessing_sha256_; }

  // Complete once the source is exhausted.
  std::vector<SkippedImage> Skipped() const {
    std::vector<SkippedImage> all = skipped_;
    if (loader_ == nullptr) return all;
    all.insert(all.end(), loader_->skipped().begin(), loader_->skipped().end());
    return all;
  }
  std::string SkippedText() const {
    if (!skipped_text_.empty()) return skipped_text_;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const SkippedImage& image : Skipped()) {
      list.push_back({{"file", image.file}, {"reason", image.reason}});
    }
    return list.dump();
  }

 private:
  std::unique_ptr<ImageSource> source_;
  const LoaderSource* loader_ = nullptr;
  std::vector<SkippedImage> skipped_;
  std::string skipped_text_;
  std::string preprocessing_sha256_;
};

void WarnOfOverflow(const std::map<int64_t, uint64_t>& nonfinite, const Graph& graph) {
  if (nonfinite.empty()) return;
  const auto& [layer, count] = *nonfinite.begin();
  const Slot& stream = graph.slot(graph.stream);
  Tell(
      "warning: hidden_states.{} holds {} values that are not finite; everything after it "
      "is affected.{}\n",
      layer, count, stream.storage == SlotStorage::kHalf ? " Rerun with --residual fp32." : "");
}

// Nothing in the metadata depends on batch, threads or time: equal inputs give equal bytes.
void WriteFeatures(const Options& options, const Session& session, const Arm& arm,
                   const Input& input, const std::vector<std::string>& names,
                   const FeatureStore& store) {
  SafetensorsWriter writer;
  store.AddTo(writer);
  writer.SetMetadata("images", nlohmann::json(names).dump());
  writer.SetMetadata("skipped", input.SkippedText());
  writer.SetMetadata("precision", std::string(NameOf(arm.precision)));
  if (arm.precision == Precision::kFake) {
    writer.SetMetadata("fake", std::string(NameOf(arm.flavour)));
  }
  writer.SetMetadata("attention", std::string(NameOf(AttentionOf(arm))));
  writer.SetMetadata("model_sha256", session.weights->sha256());
  if (arm.precision != Precision::kFp16) {
    writer.SetMetadata("plan_sha256",
                       PlanSha256(ToPlanFile(session, arm.plan), KnownSites(session.graph)));
  }
  if (!input.preprocessing_sha256().empty()) {
    writer.SetMetadata("preprocessing_sha256", input.preprocessing_sha256());
  }
  writer.SetMetadata("residual", ResidualName(session.graph));
  writer.SetMetadata("kernels", session.kernels);
  writer.SetMetadata("version", ToolVersion());
  writer.Write(options.out);
}

void PrintResult(const Options& options, const Session& session, const Input& input, int64_t images,
                 size_t tensors) {
  const std::vector<SkippedImage> skipped = input.Skipped();
  const std::string_view precision = NameOf(*options.precision);
  if (options.json) {
    Print("{}\n", nlohmann::ordered_json{{"out", ValidUtf8(options.out)},
                                         {"images", images},
                                         {"skipped", skipped.size()},
                                         {"precision", precision},
                                         {"kernels", session.kernels},
                                         {"tensors", tensors}}
                      .dump());
    return;
  }
  PrintSkipped(skipped);
  if (options.quiet) return;
  Print("{}: {} images, {} ({}), {} tensors\n", options.out, images, precision, session.kernels,
        tensors);
}

}  // namespace

int RunEncode(const Options& options) {
  CheckFlags(options);
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const Session session = OpenSession(options);
  const Arm arm = ArmOf(session, options);
  FeatureSelection selection = SelectFeatures(options, session);
  Input input(options, session);

  FeatureStore store;
  FeatureTap tap(session.graph, arm, std::move(selection), &store);
  const KeepPixels keep_pixels = options.embeds.empty() ? KeepPixels::kYes : KeepPixels::kNo;
  RecordingSource source(input.source(), session.config, keep_pixels, &store);
  const RunSettings settings = RunOf(options);
  RunnerOptions runner = session.Runner(settings);
  Progress progress("encode", "images", 0, settings.progress);
  runner.progress = [&](double done) { progress.Update(done); };
  const std::array<Tap*, 1> taps{&tap};
  const RunnerResult run =
      RunArms(session.graph, *session.weights, {&arm, 1}, source, taps, runner);
  progress.Finish();
  if (run.images == 0) {
    From(fmt::format("--images {}: ", options.images),
         [&] { FailNoneRead("images", input.Skipped()); });
  }
  WarnOfOverflow(tap.nonfinite(), session.graph);
  WriteFeatures(options, session, arm, input, source.names(), store);
  PrintResult(options, session, input, run.images, store.tensors());
  return 0;
}

}  // namespace w8a8
