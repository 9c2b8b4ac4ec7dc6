// The stages of the whole job that write one file or folder each.
#pragma once

#include "eval/cli/options.h"

namespace w8a8 {

int RunCalibrate(const Options& options);  // images to stats.h5
int RunPlan(const Options& options);       // stats.h5 to plan.json
int RunQuantize(const Options& options);   // model and plan to quantized/
int RunReport(const Options& options);     // report.json and run.json to all report files
int RunDemo(const Options& options);       // the demo's model/, images/ and classes

}  // namespace w8a8
