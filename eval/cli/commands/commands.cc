#include "eval/cli/commands/commands.h"

#include <array>

#include "eval/cli/commands/bench.h"
#include "eval/cli/commands/diff.h"
#include "eval/cli/commands/encode.h"
#include "eval/cli/commands/evaluate_commands.h"
#include "eval/cli/commands/inspect.h"
#include "eval/cli/commands/linear.h"
#include "eval/cli/commands/merge.h"
#include "eval/cli/commands/preprocess.h"
#include "eval/cli/commands/stage_commands.h"

namespace w8a8 {

std::span<const Command> Commands() {
  static constexpr std::array kCommands{
      Command{"", Output::kFolder, RunWholeJob},
      Command{"bench", Output::kNothing, RunBenchmarks},
      Command{"calibrate", Output::kStatistics, RunCalibrate},
      Command{"compare", Output::kFolder, RunCompare},
      Command{"demo", Output::kFolder, RunDemo},
      Command{"diff", Output::kNothing, RunDiff},
      Command{"encode", Output::kFeatures, RunEncode},
      Command{"inspect", Output::kNothing, RunInspect},
      Command{"linear", Output::kLayer, RunLinear},
      Command{"merge", Output::kStatistics, RunMerge},
      Command{"plan", Output::kPlan, RunPlan},
      Command{"preprocess", Output::kFeatures, RunPreprocess},
      Command{"quantize", Output::kFolder, RunQuantize},
      Command{"report", Output::kItsOwnFolder, RunReport},
      Command{"sweep", Output::kFolder, RunSweep},
  };
  return kCommands;
}

}  // namespace w8a8
