#include "eval/cli/inputs.h"

#include <utility>

#include "eval/cli/error_text.h"
#include "eval/cli/settings.h"
#include "eval/cli/thresholds.h"
#include "eval/job/open_task.h"
#include "eval/job/reference_check.h"
#include "runtime/base/standard_streams.h"
#include "runtime/base/utf8.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {

Session OpenSession(const Options& options) {
  RequireFlag(options.model, "--model", options.command);
  Session session = OpenSession(ModelOf(options), DeviceOf(options));
  if (options.device == "auto" && !options.quiet) {
    const std::string reason = CudaUnavailableReason();
    Tell("device     {} ({}), {}\n", session.device, session.kernels,
         reason.empty() ? "a CUDA device is there for --device cuda" : reason);
  }
  return session;
}

ImageSet ListImagesOf(const Options& options, const char* flag, const std::string& path) {
  return From(fmt::format("{} ", flag), [&] { return ListImages(path, options.ThreadCount()); });
}

ImagePlan PlanImages(const Options& options, const Preprocessing& preprocessing) {
  RequireFlag(options.images, "--images", options.command);
  ImageSet images = ListImagesOf(options, "--images", options.images);
  if (options.eval_images.empty()) {
    return From(fmt::format("--images {}: ", options.images), [&] {
      return SplitImages(std::move(images), preprocessing, LoadingOf(options, options.max_images));
    });
  }
  ImageSet evaluation = ListImagesOf(options, "--eval-images", options.eval_images);
  std::vector<std::string> listed = ListedNames(evaluation);
  ImagePlan plan{.calibration = std::move(images.files),
                 .evaluation = std::move(evaluation.files),
                 .skipped = std::move(images.unreadable),
                 .max_calibration = options.max_images,
                 .evaluated_on = "judged on the images of --eval-images",
                 .listed = std::move(listed)};
  plan.skipped.insert(plan.skipped.end(), evaluation.unreadable.begin(),
                      evaluation.unreadable.end());
  return plan;
}

OpenedTask OpenTaskOf(const Options& options, const Session& session,
                      const std::vector<ImageFile>& files, std::vector<std::string> listed) {
  TaskSettings settings{
      .labels = options.labels,
      .classes = From("--classes ", [&] { return OpenClasses(options.classes, session); }),
      .unknown_folders =
          options.demo_classes ? UnknownFolders::kMeanNoLabels : UnknownFolders::kAreAnError,
      .listed = std::move(listed)};
  const char* origin = !options.labels.empty()        ? "--labels "
                       : !options.eval_images.empty() ? "--eval-images "
                                                      : "--images ";
  OpenedTask opened = From(origin, [&] { return OpenTask(session, files, std::move(settings)); });
  if (!options.quiet) {
    for (const std::string& note : opened.notes) Tell("labels     {}\n", note);
  }
  CheckThresholds(options.thresholds, opened.task, session.config);
  return opened;
}

std::vector<HealthNote> WarnOfReference(const Session& session, const Preprocessing& preprocessing,
                                        const Options& options,
                                        const std::vector<ImageFile>& files) {
  LoaderSource source(files, preprocessing, LoadingOf(options, kReferenceImages));
  std::vector<HealthNote> notes;
  for (ReferenceNote& found : CheckReference(session, source, session.Runner(RunOf(options)))) {
    HealthNote& note = notes.emplace_back(std::move(found.note));
    if (found.remedy) note.text += RemedyText(*found.remedy);
    const char* colon = note.site.empty() ? "" : ": ";
    if (!options.quiet) Tell("{}: {}{}{}\n", note.level, note.site, colon, note.text);
  }
  return notes;
}

void PrintSkipped(const std::vector<SkippedImage>& skipped) {
  for (const SkippedImage& image : skipped) {
    Tell("skipped    {}: {}\n", WithoutControls(image.file, KeepLines::kNo), image.reason);
  }
}

}  // namespace w8a8
