#include "eval/job/resume.h"

#include <string>
#include <utility>

#include "eval/job/calibration.h"
#include "eval/job/output_folder.h"
#include "eval/job/version.h"
#include "runtime/base/sha256.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

constexpr const char* kStats = "stats.h5";
constexpr const char* kRecord = "calibration ";

// SHA-256 over everything that stats.h5 depends on: tool version, model, preprocessing, the images
// in use, what is observed, seed, arithmetic and kernels.
std::string CalibrationKey(const Session& session, const Preprocessing& preprocessing,
                           uint64_t seed, Observed observed, const std::vector<ImageFile>& images) {
  return Sha256Hex(fmt::format(
      "tool {}\nmodel {}\npreprocessing {}\nimages {}\nseed {}\nrows {}\nattention fp32\nresidual "
      "{}\nkernels {} {}\n{}",
      ToolVersion(), session.weights->sha256(), preprocessing.sha256,
      ImageSetSha256(EntriesOf(images)), seed, kRowSampleSize, ResidualName(session.graph),
      session.device, session.kernels, observed == Observed::kInputs ? "" : "outputs\n"));
}

// The line in the folder's marker file: which inputs, and which bytes came of them.
std::string RecordOf(const std::filesystem::path& folder, const std::string& key) {
  return kRecord + key + " " + Sha256HexOfFile(folder / kStats) + "\n";
}

bool HasCalibration(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kStats) &&
         ReadMarker(folder).find(kRecord) != std::string::npos;
}

}  // namespace

CalibrationStats CalibrateOrResume(const Session& session, const Preprocessing& preprocessing,
                                   const RunSettings& run, const std::filesystem::path& folder,
                                   ImagePlan& images, Observed observed) {
  const LoaderOptions loading{.threads = run.threads, .max_images = images.max_calibration};
  if (HasCalibration(folder)) {
    std::vector<SkippedImage> unreadable;
    const std::vector<ImageFile> readable =
        ReadableImages(images.calibration, preprocessing, loading, &unreadable);
    const std::string key = CalibrationKey(session, preprocessing, run.seed, observed, readable);
    if (ReadMarker(folder).find(RecordOf(folder, key)) != std::string::npos) {
      images.skipped.insert(images.skipped.end(), unreadable.begin(), unreadable.end());
      if (run.progress == ProgressLines::kShown) {
        Tell(
            "calibrate  taken from {}: same model, preprocessing, images and seed; remove "
            "it to calibrate again\n",
            (folder / kStats).string());
      }
      return ReadStats(folder / kStats);
    }
  }
  LoaderSource source(images.calibration, preprocessing, loading);
  CalibrationStats stats = Calibrate(session, source, preprocessing, run, observed);
  WriteStats(folder / kStats, stats);
  const std::string key = CalibrationKey(session, preprocessing, run.seed, observed, source.used());
  WriteMarker(folder, RecordOf(folder, key));
  images.skipped.insert(images.skipped.end(), source.skipped().begin(), source.skipped().end());
  return stats;
}

}  // namespace w8a8
