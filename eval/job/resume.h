// Going on after an interruption: the whole job, run again with the same --out and unchanged
// inputs, takes the calibration that it finished before.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calib/stats_file.h"
#include "eval/cli/options.h"
#include "eval/job/image_run.h"
#include "eval/job/session.h"

namespace w8a8 {

// SHA-256 over everything that stats.h5 depends on: tool version, model, preprocessing, the images
// in use, seed, arithmetic and kernels.
std::string CalibrationKey(const Session& session, const Preprocessing& preprocessing,
                           const Options& options, const std::vector<ImageFile>& images);

// Notes in the folder's marker file that its stats.h5 belongs to `key`.
void RecordCalibration(const std::filesystem::path& folder, const std::string& key);
// True if a calibration of any key was recorded.
bool HasCalibration(const std::filesystem::path& folder);
// The statistics in the folder if they were recorded under `key` and stats.h5 is the file of then.
std::optional<CalibrationStats> FinishedCalibration(const std::filesystem::path& folder,
                                                    const std::string& key);

}  // namespace w8a8
