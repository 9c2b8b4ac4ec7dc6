// What depends on the run and not on its results: stage times, host, peak memory.
#pragma once

#include <chrono>
#include <string>

#include "eval/job/session.h"
#include "reports/report.h"

namespace w8a8 {

class RunClock {
 public:
  // `command` as typed, for run.json.
  explicit RunClock(std::string command);

  // Ends the stage that runs, if any, and starts `name`.
  void Stage(const std::string& name);
  // The record so far. `reference_seconds` is the thread time of one FP16 pass over the evaluation
  // images; 0 leaves the multiples out. `attention` is that of the quantized arms.
  RunInfo Info(const Session& session, AttentionPrecision attention, int threads,
               double reference_seconds);

 private:
  using Clock = std::chrono::steady_clock;
  void EndStage();

  const std::string command_;
  const std::string started_;
  std::vector<StageTime> stages_;
  std::string current_;
  Clock::time_point stage_start_;
};

}  // namespace w8a8
