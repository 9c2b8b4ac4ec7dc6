// The images of a run: how they are prepared, which serve what, and as a source for the runner.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calib/stats_file.h"
#include "datasets/image_set.h"
#include "datasets/loader.h"
#include "datasets/preprocess.h"
#include "eval/run/image_source.h"

namespace w8a8 {

struct Session;

struct Preprocessing {
  Preprocessor preprocessor;
  std::string description;  // one line for people
  std::string sha256;
};

// How the session's model wants its images. Throws Error if their size is not the encoder's.
Preprocessing OpenPreprocessing(const Session& session, Resampler resampler);

// Throws Error with the first reason. `images` is what they were to be: "calibration images".
[[noreturn]] void FailNoneRead(const char* images, const std::vector<SkippedImage>& skipped);

// Decodes ahead, at most `loading.max_images` in all.
class LoaderSource final : public ImageSource {
 public:
  LoaderSource(std::vector<ImageFile> files, const Preprocessing& preprocessing,
               LoaderOptions loading);
  std::optional<InputImage> Next() override;

  // Images, if every file can be read.
  double expected() const { return expected_; }
  const std::vector<SkippedImage>& skipped() const { return loader_.skipped(); }
  const std::vector<ImageFile>& used() const { return used_; }  // that Next() has handed out
  // What the encoder sees of each of used(): SHA-256 of its resized pixels.
  const std::map<ImageKey, std::string>& inputs() const { return inputs_; }
  int64_t samples() const { return samples_; }  // and in how many views

 private:
  const std::vector<ImageFile> files_;
  const std::vector<int64_t> copies_;  // of each file, as ImageKey counts them
  const double expected_;
  const int patch_;  // pixels, where every image has a grid of its own; else 0
  ImageLoader loader_;
  std::optional<LoadedImage> image_;  // whose views are being handed out
  ImageKey key_;                      // its key
  size_t next_view_ = 0;
  int64_t samples_ = 0;
  std::vector<ImageFile> used_;
  std::map<ImageKey, std::string> inputs_;
};

// The first `loading.max_images` of `files` that can be decoded; the others before that point are
// appended to `skipped`.
std::vector<ImageFile> ReadableImages(const std::vector<ImageFile>& files,
                                      const Preprocessing& preprocessing, LoaderOptions loading,
                                      std::vector<SkippedImage>* skipped);

// As statistics and reports list them.
std::vector<ImageEntry> EntriesOf(const std::vector<ImageFile>& files);

// Calibration and evaluation images of the whole job.
struct ImagePlan {
  std::vector<ImageFile> calibration, evaluation;
  std::vector<SkippedImage> skipped;       // found while splitting
  std::optional<int64_t> max_calibration;  // still to be applied while loading
  std::string evaluated_on;                // ends the verdict's sentence
  bool shared = false;                     // all images serve both, as the sentence says
  std::vector<std::string> listed;         // all names of the set that `evaluation` was taken from
};

// Of every image of a set, also of those without readable bytes.
std::vector<std::string> ListedNames(const ImageSet& images);

// Keeps a part of the images for evaluation (SplitForEvaluation). The split counts images that can
// be read, so all are decoded once. Throws Error if there are none.
ImagePlan SplitImages(ImageSet images, const Preprocessing& preprocessing, LoaderOptions loading);

}  // namespace w8a8
