#include "eval/cli/bench_flags.h"

#include "eval/cli/command_flags.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/options.h"

namespace w8a8 {

void AddBenchFlags(CLI::App& app, Options& o) {
  AddSwitch(app, "--kernels-only", o.bench.kernels_only,
            "The kernels: neither forwards nor stages");
  AddSwitch(app, "--forward", o.bench.forward, "Whole forwards: neither kernels nor stages");
  AddSwitch(app, "--full", o.bench.full,
            "All blocks of the wide encoders (so400m, InternViT), not 4 of them: gigabytes of "
            "memory and minutes more");
  AddSwitch(app, "--small", o.bench.small,
            "One shape and one encoder that take milliseconds: to see that all of it runs");
  AddText(app, "--model", o.model, "DIR",
          "The forwards and stages of this model, and its layers among the kernels, in place of "
          "made encoders");
  AddText(app, "--model-prefix", o.model_prefix, "P",
          "Key prefix of the tower, where a checkpoint holds several");
  AddValue(app, "--encoder", "One of the made encoders (default: the first three)",
           "vit-ti|base|so400m|internvit-300m|internvit-6b", [&o](const std::string& text) {
             RequireOneOf("--encoder", text,
                          {"vit-ti", "base", "so400m", "internvit-300m", "internvit-6b"});
             o.bench.encoder = text;
           });
  AddValue(app, "--threads", "Forwards on one thread and then on N at once (default 1)", "N",
           [&o](const std::string& text) {
             o.threads = static_cast<int>(ParseCount("--threads", text, 1, 4096));
           });
  AddDevice(app, o);
  AddText(app, "--json", o.bench.json_file, "FILE", "Everything that was measured, for programs");
  AddSwitch(app, "--quiet", o.quiet, "No progress");
}

}  // namespace w8a8
