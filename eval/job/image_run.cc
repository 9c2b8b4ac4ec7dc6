#include "eval/job/image_run.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "eval/job/thresholds.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

LoaderOptions Loading(const Options& options, const Preprocessing& preprocessing,
                      std::optional<int64_t> limit) {
  LoaderOptions loading;
  loading.threads = options.ThreadCount();
  // As much memory for the images decoded ahead, however many views each of them has.
  if (const auto& tiling = preprocessing.preprocessor.config().tiling) {
    loading.ahead = std::max(2, loading.ahead / tiling->MaxViews());
  }
  loading.max_images = limit;
  return loading;
}

// An encoder of any grid needs a processor that keeps the aspect, and the other way round.
void CheckPatches(const PreprocessConfig& read, const EncoderConfig& config) {
  if (read.variable_size() != config.variable_grid) {
    Fail("{}: {}, but the encoder takes images of {}. Mend the preprocessing config.",
         read.source_file.string(), DescribePreprocessing(read),
         config.variable_grid ? "any shape (Siglip2ImageProcessor)" : "one size");
  }
  if (config.variable_grid && read.budget.patch != config.patch) {
    Fail("{}: patches of {} pixels, but the encoder's have {}. Mend patch_size.",
         read.source_file.string(), read.budget.patch, config.patch);
  }
}

}  // namespace

Preprocessing OpenPreprocessing(const Options& options, const EncoderConfig& config) {
  PreprocessConfig read = ReadPreprocessConfig(options.model, ResamplerFromName(options.resampler));
  CheckPatches(read, config);
  const ImageSize size = read.OutputSize();
  if (!config.variable_grid &&
      (size.height != config.image_height || size.width != config.image_width)) {
    Fail(
        "{}: makes images of {}x{}, but the encoder takes {}x{} (height x width). Mend the "
        "preprocessing config.",
        read.source_file.string(), size.height, size.width, config.image_height,
        config.image_width);
  }
  std::string description = DescribePreprocessing(read);
  std::string sha256 = PreprocessingSha256(read);
  return {Preprocessor(std::move(read)), std::move(description), std::move(sha256)};
}

namespace {

int PatchOf(const Preprocessing& preprocessing) {
  const PreprocessConfig& config = preprocessing.preprocessor.config();
  return config.variable_size() ? config.budget.patch : 0;
}

}  // namespace

LoaderSource::LoaderSource(std::vector<ImageFile> files, const Preprocessing& preprocessing,
                           const Options& options, std::optional<int64_t> limit)
    : files_(std::move(files)),
      patch_(PatchOf(preprocessing)),
      loader_(files_, preprocessing.preprocessor, Loading(options, preprocessing, limit)) {}

std::optional<InputImage> LoaderSource::Next() {
  ThrowIfInterrupted();
  if (!image_ || next_view_ == image_->views.size()) {
    image_ = loader_.Next();
    if (!image_) return std::nullopt;
    next_view_ = 0;
    used_.push_back(files_[static_cast<size_t>(image_->index)]);
  }
  ImageView& view = image_->views[next_view_++];
  PatchGrid grid;
  if (patch_ > 0) grid = {view.resized.height / patch_, view.resized.width / patch_};
  return InputImage{{.index = samples_++,
                     .name = image_->name,
                     .sha256 = image_->sha256,
                     .image = static_cast<int64_t>(used_.size()) - 1,
                     .view = static_cast<int64_t>(next_view_) - 1,
                     .whole = next_view_ == image_->views.size()},
                    std::move(view.pixels),
                    grid};
}

std::vector<ImageFile> ReadableImages(const Options& options, const Preprocessing& preprocessing,
                                      const std::vector<ImageFile>& files,
                                      std::optional<int64_t> limit,
                                      std::vector<SkippedImage>* skipped) {
  return KeepDecodable(files, preprocessing.preprocessor, Loading(options, preprocessing, limit),
                       skipped);
}

std::vector<ImageEntry> EntriesOf(const std::vector<ImageFile>& files) {
  std::vector<ImageEntry> entries;
  entries.reserve(files.size());
  for (const ImageFile& file : files) entries.push_back({file.sha256, file.name});
  return entries;
}

std::optional<ClassEmbeddings> OpenClasses(const Options& options, const Session& session) {
  if (options.classes.empty()) return std::nullopt;
  ClassEmbeddings classes = ReadClassEmbeddings(options.classes);
  const SlotId pooled = session.graph.pooled;
  CheckEmbeddingWidth(
      classes, pooled == kNoSlot ? 0 : session.graph.slots[static_cast<size_t>(pooled)].cols);
  return classes;
}

namespace {

Labels LabelsOf(const Options& options, const std::vector<ImageFile>& files, int64_t head_classes,
                const std::optional<ClassEmbeddings>& classes) {
  if (!options.labels.empty()) return ReadLabels(options.labels);
  if (!classes) return LabelsFromFolders(files, head_classes);
  NamedFolders named = LabelsFromNamedFolders(files, classes->names);
  if (!named.unknown_folder.empty() && options.demo_classes) {
    if (!options.quiet) {
      fmt::print(stderr, "labels     none: the sub-folder '{}' is no class of the demo model\n",
                 named.unknown_folder);
    }
    return {};
  }
  if (!named.unknown_folder.empty()) {
    Fail(
        "--classes {}: the images' sub-folder '{}' is none of its {} classes ('{}', ...). Name the "
        "sub-folders as the classes, or give --labels FILE.",
        classes->file, named.unknown_folder, classes->classes(), classes->names.front());
  }
  return std::move(named.labels);
}

AcceptedClasses ReadAcceptedClasses(const Options& options, const std::vector<ImageFile>& files,
                                    int64_t head_classes,
                                    const std::optional<ClassEmbeddings>& embedded) {
  const Labels labels = LabelsOf(options, files, head_classes, embedded);
  const int64_t classes = embedded ? embedded->classes() : head_classes;
  if (classes > 0) labels.CheckClasses(classes);
  AcceptedClasses accepted;
  for (const ImageFile& file : files) {
    const std::vector<int32_t>* found = labels.Find(file.name);
    if (found != nullptr) accepted[file.name].assign(found->begin(), found->end());
  }
  if (!options.labels.empty() && accepted.empty()) {
    Fail("--labels {}: names none of the {} evaluation images (the first is '{}').", options.labels,
         files.size(), files.empty() ? "" : files.front().name);
  }
  return accepted;
}

}  // namespace

Task OpenTask(const Options& options, const Session& session, const std::vector<ImageFile>& files,
              std::optional<ClassEmbeddings> classes) {
  Task task;
  task.accepted = ReadAcceptedClasses(options, files, session.config.classes, classes);
  task.classes = std::move(classes);
  CheckThresholds(options, task, session.config);
  return task;
}

ImagePlan PlanImages(const Options& options, const Session& session,
                     const Preprocessing& preprocessing) {
  RequireFlag(options.images, "--images", options.command.c_str());
  std::optional<ClassEmbeddings> classes = OpenClasses(options, session);
  ImagePlan plan;
  ImageSet images = ListImages(options.images);
  plan.skipped = std::move(images.unreadable);
  if (!options.eval_images.empty()) {
    ImageSet evaluation = ListImages(options.eval_images);
    plan.calibration = std::move(images.files);
    plan.max_calibration = options.max_images;
    plan.evaluation = std::move(evaluation.files);
    plan.skipped.insert(plan.skipped.end(), evaluation.unreadable.begin(),
                        evaluation.unreadable.end());
    plan.evaluated_on = "judged on the images of --eval-images";
  } else {
    // The split counts images that can be read, so they are all decoded once before it.
    const std::vector<ImageFile> readable =
        ReadableImages(options, preprocessing, images.files, options.max_images, &plan.skipped);
    if (readable.empty()) {
      Fail("--images {}: none of the {} images can be read; the first: {}: {}.", options.images,
           plan.skipped.size(), plan.skipped.empty() ? "" : plan.skipped.front().file,
           plan.skipped.empty() ? "" : plan.skipped.front().reason);
    }
    ImageSplit split = SplitForEvaluation(readable);
    plan.calibration = std::move(split.calibration);
    plan.evaluation = std::move(split.evaluation);
    plan.evaluated_on = split.shared ? fmt::format(
                                           "judged on the same {} images that served calibration "
                                           "(too few to keep some apart)",
                                           plan.evaluation.size())
                                     : fmt::format("judged on {} images kept out of calibration",
                                                   plan.evaluation.size());
  }
  plan.task = OpenTask(options, session, plan.evaluation, std::move(classes));
  return plan;
}

}  // namespace w8a8
