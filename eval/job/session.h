// An opened model on a chosen device: what every command that runs an encoder starts from.
#pragma once

#include <memory>
#include <string>

#include "eval/cli/options.h"
#include "eval/run/runner.h"
#include "runtime/encoder/config.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

struct Session {
  EncoderConfig config;
  Graph graph;
  std::unique_ptr<EncoderWeights> weights;
  std::function<std::unique_ptr<Backend>()> make_backend;
  std::string device;   // "cpu", "cuda:0"
  std::string kernels;  // the kernel set in use

  RunnerOptions Runner(const Options& options) const;
};

// Opens --model on --device with --kernels. Throws UsageError without --model, Error for everything
// that does not fit. Says on stderr what `auto` took, unless --quiet.
Session OpenSession(const Options& options);

// "fp16" or "fp32": how the residual stream of `graph` is stored, as --residual spells it.
const char* ResidualName(const Graph& graph);

// Throws UsageError naming the flag and the command unless `value` was given.
void RequireFlag(const std::string& value, const char* flag, const char* command);

}  // namespace w8a8
