// The images of a run: which, how they are prepared, and as a source for the runner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "calib/stats_file.h"
#include "datasets/image_set.h"
#include "datasets/labels.h"
#include "datasets/loader.h"
#include "datasets/preprocess.h"
#include "eval/cli/options.h"
#include "eval/job/progress.h"
#include "eval/job/session.h"
#include "eval/measure/evaluate.h"
#include "eval/run/image_source.h"

namespace w8a8 {

struct Preprocessing {
  Preprocessor preprocessor;
  std::string description;  // one line for people
  std::string sha256;
};

// How the model at --model wants its images, with --resampler. Throws Error if its image size is
// not the encoder's.
Preprocessing OpenPreprocessing(const Options& options, const EncoderConfig& config);

// Decoded ahead by --threads; at most --max-images of --images where `limit` is set. Shows progress
// as `stage` when Next() is called.
class LoaderSource final : public ImageSource {
 public:
  LoaderSource(std::vector<ImageFile> files, const Preprocessing& preprocessing,
               const Options& options, std::optional<int64_t> limit);
  std::optional<InputImage> Next() override;

  const std::vector<SkippedImage>& skipped() const { return loader_.skipped(); }
  const std::vector<ImageFile>& used() const { return used_; }  // that Next() has handed out
  int64_t samples() const { return samples_; }                  // and in how many views

 private:
  const std::vector<ImageFile> files_;
  const int patch_;  // pixels, where every image has a grid of its own; else 0
  ImageLoader loader_;
  std::optional<LoadedImage> image_;  // whose views are being handed out
  size_t next_view_ = 0;
  int64_t samples_ = 0;
  std::vector<ImageFile> used_;
};

// The first `limit` of `files` that can be decoded; the others before that point are appended to
// `skipped`.
std::vector<ImageFile> ReadableImages(const Options& options, const Preprocessing& preprocessing,
                                      const std::vector<ImageFile>& files,
                                      std::optional<int64_t> limit,
                                      std::vector<SkippedImage>* skipped);

// As statistics and reports list them.
std::vector<ImageEntry> EntriesOf(const std::vector<ImageFile>& files);

// Calibration and evaluation images of the whole job.
struct ImagePlan {
  std::vector<ImageFile> calibration, evaluation;
  std::vector<SkippedImage> skipped;       // found while splitting
  std::optional<int64_t> max_calibration;  // still to be applied while loading
  Task task;                               // of the evaluation images
  std::string evaluated_on;                // ends the verdict's sentence
};

ImagePlan PlanImages(const Options& options, const Session& session,
                     const Preprocessing& preprocessing);

// The embeddings of --classes, as wide as the model's pooled output; none without the flag.
std::optional<ClassEmbeddings> OpenClasses(const Options& options, const Session& session);

// Accepted classes of `files` from --labels, else from class sub-folders: by name with `classes`
// (a folder that is no class throws Error), else as LabelsFromFolders() numbers them. Thresholds
// that the task cannot answer are refused here, before the work.
Task OpenTask(const Options& options, const Session& session, const std::vector<ImageFile>& files,
              std::optional<ClassEmbeddings> classes);

}  // namespace w8a8
