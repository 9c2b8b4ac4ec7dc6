#include "eval/commands/commands.h"

#include <array>

#include "eval/commands/diff.h"
#include "eval/commands/encode.h"
#include "eval/commands/evaluate_commands.h"
#include "eval/commands/inspect.h"
#include "eval/commands/linear.h"
#include "eval/commands/merge.h"
#include "eval/commands/preprocess.h"
#include "eval/commands/stage_commands.h"

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
