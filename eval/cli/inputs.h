// What a command line names, opened: errors begin with the flag, and stderr says what was chosen.
#pragma once

#include <string>
#include <vector>

#include "eval/cli/options.h"
#include "eval/job/image_run.h"
#include "eval/job/open_task.h"
#include "eval/job/session.h"
#include "reports/report.h"

namespace w8a8 {

// --model on --device with --kernels. Says on stderr what `auto` took, unless --quiet.
Session OpenSession(const Options& options);

// The images at `path`, which `flag` gave; --threads of them are read at once.
ImageSet ListImagesOf(const Options& options, const char* flag, const std::string& path);

// Calibration and evaluation images of the whole job.
ImagePlan PlanImages(const Options& options, const Preprocessing& preprocessing);

// The task of evaluation images, by --labels and --classes; `listed` are the names of all images of
// their set. Thresholds that it cannot answer are refused here, before the work.
OpenedTask OpenTaskOf(const Options& options, const Session& session,
                      const std::vector<ImageFile>& files, std::vector<std::string> listed);

// What CheckReference() finds over the first of `files` that can be read, with the flags that mend
// it; printed on stderr as well, unless --quiet, because everything is measured against the
// reference.
std::vector<HealthNote> WarnOfReference(const Session& session, const Preprocessing& preprocessing,
                                        const Options& options,
                                        const std::vector<ImageFile>& files);

// On stderr.
void PrintSkipped(const std::vector<SkippedImage>& skipped);

}  // namespace w8a8
