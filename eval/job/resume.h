// The calibration of the whole job, which goes on after an interruption: run again into the same
// folder with unchanged inputs, it takes the statistics that it finished before.
#pragma once

#include <filesystem>

#include "calib/stats_file.h"
#include "eval/job/image_run.h"
#include "eval/job/session.h"
#include "eval/measure/statistics_tap.h"

namespace w8a8 {

// The statistics of images.calibration, in folder/stats.h5 too: those that a run before finished
// there, which stderr says unless progress is hidden, or new ones. What could not be read is
// appended to images.skipped.
CalibrationStats CalibrateOrResume(const Session& session, const Preprocessing& preprocessing,
                                   const RunSettings& run, const std::filesystem::path& folder,
                                   ImagePlan& images, Observed observed = Observed::kInputs);

}  // namespace w8a8
