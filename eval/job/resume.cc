#include "eval/job/resume.h"

#include <fmt/format.h>

#include "eval/job/output_folder.h"
#include "eval/job/version.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

constexpr const char* kStats = "stats.h5";

// The marker's line: which inputs, and which bytes came of them.
std::string RecordOf(const std::filesystem::path& folder, const std::string& key) {
  return "calibration " + key + " " + Sha256HexOfFile(folder / kStats) + "\n";
}

}  // namespace

std::string CalibrationKey(const Session& session, const Preprocessing& preprocessing,
                           const Options& options, const std::vector<ImageFile>& images) {
  return Sha256Hex(fmt::format(
      "tool {}\nmodel {}\npreprocessing {}\nimages {}\nseed {}\nrows {}\nattention {}\nresidual "
      "{}\nkernels {} {}\n",
      ToolVersion(), session.weights->sha256(), preprocessing.sha256,
      ImageSetSha256(EntriesOf(images)), options.seed, kRowSampleSize, options.attention,
      ResidualName(session.graph), session.device, session.kernels));
}

void RecordCalibration(const std::filesystem::path& folder, const std::string& key) {
  WriteMarker(folder, RecordOf(folder, key));
}

bool HasCalibration(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kStats) &&
         ReadMarker(folder).find("calibration ") != std::string::npos;
}

std::optional<CalibrationStats> FinishedCalibration(const std::filesystem::path& folder,
                                                    const std::string& key) {
  if (!HasCalibration(folder)) return std::nullopt;
  if (ReadMarker(folder).find(RecordOf(folder, key)) == std::string::npos) return std::nullopt;
  return ReadStats(folder / kStats);
}

}  // namespace w8a8
