#include "eval/cli/commands/commands.h"

#include <array>

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
      Command{"", RunWholeJob},
      Command{"calibrate", RunCalibrate},
      Command{"compare", RunCompare},
      Command{"demo", RunDemo},
      Command{"diff", RunDiff},
      Command{"encode", RunEncode},
      Command{"inspect", RunInspect},
      Command{"linear", RunLinear},
      Command{"merge", RunMerge},
      Command{"plan", RunPlan},
      Command{"preprocess", RunPreprocess},
      Command{"quantize", RunQuantize},
      Command{"report", RunReport},
      Command{"sweep", RunSweep},
  };
  return kCommands;
}

}  // namespace w8a8
