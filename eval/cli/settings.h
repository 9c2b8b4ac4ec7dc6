// The command line taken apart: small values for the folders below, which know no flag.
#pragma once

#include <optional>
#include <string>

#include "datasets/loader.h"
#include "eval/cli/options.h"
#include "eval/export/exported_scope.h"
#include "eval/job/calibration.h"
#include "eval/job/comparison.h"
#include "eval/job/session.h"
#include "eval/job/verdict.h"
#include "eval/run/arm.h"

namespace w8a8 {

RunSettings RunOf(const Options& options);
LoaderOptions LoadingOf(const Options& options, std::optional<int64_t> max_images);
ModelSettings ModelOf(const Options& options);
// Throws for a forced kernel set that the device asked for does not have (UsageError), or that this
// CPU cannot run (Error), with those that it may be. What a CUDA device can run is known once it is
// opened.
void CheckKernels(const Options& options);
// The kernel set of the CPU that was forced; empty: none, or one of a CUDA device.
std::string CpuKernelsOf(const Options& options);
DeviceSettings DeviceOf(const Options& options);
WeightSettings WeightsOf(const Options& options);
VerdictThresholds VerdictOf(const Options& options);
ExportScope ScopeOf(const Options& options);

// Whether there are, or will be, statistics to take static scales from.
enum class Statistics { kNone, kGiven };

// Throws UsageError for flags that contradict each other, and for scales that nothing tells.
PlanSettings PlanOf(const Options& options, Statistics statistics);

// Throws UsageError for attention of another arithmetic than the default in a command that runs no
// arm: a plan says nothing of it.
void RefuseAttention(const Options& options);

// Throws UsageError naming the flag and the command unless `value` was given.
void RequireFlag(const std::string& value, const char* flag, const std::string& command);

}  // namespace w8a8
