#include "eval/job/image_run.h"

#include <algorithm>
#include <span>
#include <utility>

#include "eval/job/session.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

// As much memory for the images decoded ahead, however many views each of them has.
LoaderOptions Bounded(LoaderOptions loading, const Preprocessing& preprocessing) {
  if (const auto& tiling = preprocessing.preprocessor.config().tiling) {
    loading.ahead = std::max(2, loading.ahead / tiling->MaxViews());
  }
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

int PatchOf(const Preprocessing& preprocessing) {
  const PreprocessConfig& config = preprocessing.preprocessor.config();
  return config.variable_size() ? config.budget.patch : 0;
}

}  // namespace

Preprocessing OpenPreprocessing(const Session& session, Resampler resampler) {
  const EncoderConfig& config = session.config;
  PreprocessConfig read = ReadPreprocessConfig(session.folder, resampler);
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

void FailNoneRead(const char* images, const std::vector<SkippedImage>& skipped) {
  if (skipped.empty()) Fail("there are no {}.", images);
  Fail("none of the {} {} can be read; the first: {}: {}.", skipped.size(), images,
       skipped.front().file, skipped.front().reason);
}

namespace {

std::string InputSha256(const LoadedImage& image) {
  std::string of_views;
  for (const ImageView& view : image.views) {
    of_views += fmt::format("{}x{} {}\n", view.resized.width, view.resized.height,
                            Sha256Hex(std::as_bytes(std::span(view.resized.pixels))));
  }
  return Sha256Hex(of_views);
}

}  // namespace

LoaderSource::LoaderSource(std::vector<ImageFile> files, const Preprocessing& preprocessing,
                           LoaderOptions loading)
    : files_(std::move(files)),
      copies_(CountCopies(NamesOf(files_))),
      expected_(static_cast<double>(
          std::min<int64_t>(static_cast<int64_t>(files_.size()),
                            loading.max_images.value_or(static_cast<int64_t>(files_.size()))))),
      patch_(PatchOf(preprocessing)),
      loader_(files_, preprocessing.preprocessor, Bounded(loading, preprocessing)) {}

std::optional<InputImage> LoaderSource::Next() {
  ThrowIfInterrupted();
  if (!image_ || next_view_ == image_->views.size()) {
    image_ = loader_.Next();
    if (!image_) return std::nullopt;
    next_view_ = 0;
    const auto index = static_cast<size_t>(image_->index);
    used_.push_back(files_[index]);
    key_ = {.sha256 = image_->sha256, .name = image_->name, .copy = copies_[index]};
    inputs_.emplace(key_, InputSha256(*image_));
  }
  ImageView& view = image_->views[next_view_++];
  PatchGrid grid;
  if (patch_ > 0) grid = {view.resized.height / patch_, view.resized.width / patch_};
  ++samples_;
  return InputImage{.key = {.image = key_, .view = static_cast<int64_t>(next_view_) - 1},
                    .whole = next_view_ == image_->views.size(),
                    .pixels = std::move(view.pixels),
                    .grid = grid};
}

std::vector<ImageFile> ReadableImages(const std::vector<ImageFile>& files,
                                      const Preprocessing& preprocessing, LoaderOptions loading,
                                      std::vector<SkippedImage>* skipped) {
  return KeepDecodable(files, preprocessing.preprocessor, Bounded(loading, preprocessing), skipped);
}

std::vector<ImageEntry> EntriesOf(const std::vector<ImageFile>& files) {
  std::vector<ImageEntry> entries;
  entries.reserve(files.size());
  for (const ImageFile& file : files) entries.push_back({file.sha256, file.name});
  return entries;
}

std::vector<std::string> ListedNames(const ImageSet& images) {
  std::vector<std::string> names = NamesOf(images.files);
  for (const SkippedImage& image : images.unreadable) names.push_back(image.file);
  return names;
}

ImagePlan SplitImages(ImageSet images, const Preprocessing& preprocessing, LoaderOptions loading) {
  ImagePlan plan;
  plan.listed = ListedNames(images);
  plan.skipped = std::move(images.unreadable);
  const std::vector<ImageFile> readable =
      ReadableImages(images.files, preprocessing, loading, &plan.skipped);
  if (readable.empty()) FailNoneRead("images", plan.skipped);
  ImageSplit split = SplitForEvaluation(readable);
  plan.calibration = std::move(split.calibration);
  plan.evaluation = std::move(split.evaluation);
  plan.shared = split.shared;
  plan.evaluated_on =
      split.shared
          ? fmt::format(
                "judged on the same {} image{} that served calibration (too few to keep some "
                "apart)",
                plan.evaluation.size(), plan.evaluation.size() == 1 ? "" : "s")
          : fmt::format("judged on {} images kept out of calibration", plan.evaluation.size());
  return plan;
}

}  // namespace w8a8
