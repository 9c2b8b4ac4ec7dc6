// The flags that several commands take, in groups; and what a single flag is made of.
#pragma once

#include <functional>
#include <string>

#include "eval/cli/options.h"

namespace CLI {
class App;
}

namespace w8a8 {

// One flag with a text value. CLI11 only splits the command line; what a value may be is checked by
// the setters, so that every message names flag, value and what it takes.
void AddValue(CLI::App& app, const std::string& flag, const std::string& help, const char* type,
              const std::function<void(const std::string& text)>& set);
// One whose value is any text but an empty one.
void AddText(CLI::App& app, const std::string& flag, std::string& target, const char* type,
             const std::string& help);

// One without a value.
void AddSwitch(CLI::App& app, const std::string& flag, bool& target, const std::string& help);

// A command takes the flags that it acts on and no others, so that none is ignored.
void AddCommon(CLI::App& app, Options& o);      // --json, --quiet
void AddModel(CLI::App& app, Options& o);       // --model, --model-prefix
void AddImages(CLI::App& app, Options& o);      // --images, --max-images, --resampler
void AddSeed(CLI::App& app, Options& o);        // --seed
void AddRun(CLI::App& app, Options& o);         // --batch, --threads, --memory: bounds, kept by all
void AddDevice(CLI::App& app, Options& o);      // --device, --kernels
void AddKernels(CLI::App& app, Options& o);     // --kernels
void AddResidual(CLI::App& app, Options& o);    // --residual
void AddPlan(CLI::App& app, Options& o);        // --plan
void AddQuantizer(CLI::App& app, Options& o);   // --granularity, --clip-range
void AddScheme(CLI::App& app, Options& o);      // --scheme
void AddFake(CLI::App& app, Options& o);        // --fake, --weight-bits
void AddWeights(CLI::App& app, Options& o);     // --weight-bits, --weight-convention
void AddConvention(CLI::App& app, Options& o);  // --weight-convention
void AddAttention(CLI::App& app, Options& o);   // --attention
void AddArm(CLI::App& app, Options& o);         // --plan, --granularity, … and --residual
void AddScope(CLI::App& app, Options& o);       // --tower-only
void AddSweep(CLI::App& app, Options& o);       // --granularities, --clip-ranges, --schemes
void AddSchemes(CLI::App& app, Options& o);     // --schemes
void AddExpertMinimum(CLI::App& app, Options& o);  // --min-expert-tokens
void AddEvaluation(CLI::App& app, Options& o);     // --eval-images, --labels, --classes, --min-…

}  // namespace w8a8
