#include "eval/cli/command_line.h"

#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/ranges.h>

#include "eval/cli/command_flags.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "eval/cli/version_text.h"
#include "runtime/base/names.h"
#include "runtime/base/parallel.h"
#include "runtime/base/standard_streams.h"
#include "runtime/encoder/checkpoint.h"

namespace w8a8 {

int Options::ThreadCount() const { return threads.value_or(AvailableCpus()); }

std::vector<Scheme> Options::AllSchemes() const {
  std::vector<Scheme> all = schemes;
  if (scheme) all.push_back(*scheme);
  return all;
}

namespace {

void AddOut(CLI::App& app, Options& o, const char* type, const char* help) {
  AddText(app, "--out", o.out, type, help);
}

using Group = void (*)(CLI::App&, Options&);

void AddGroups(CLI::App& app, Options& o, std::initializer_list<Group> groups) {
  for (const Group add : groups) add(app, o);
}

CLI::App* AddCommand(CLI::App& app, Options& o, const char* name, const char* help) {
  CLI::App* command = app.add_subcommand(name, help);
  AddCommon(*command, o);
  command->callback([&o, name] { o.command = name; });
  return command;
}

void AddPrecision(CLI::App& app, Options& o) {
  AddValue(app, "--precision", "The arm", "fp16|fake|emulated|int8",
           [&o](const std::string& text) { o.precision = ParsePrecision("--precision", text); });
}

void AddStats(CLI::App& app, Options& o) {
  AddText(app, "--stats", o.stats, "FILE", "stats.h5 of calibrate");
}

// Commands that write tensors.
void AddPreprocess(CLI::App& app, Options& o) {
  CLI::App* c = AddCommand(app, o, "preprocess", "Images to encoder input (safetensors)");
  AddText(*c, "--model", o.model, "DIR",
          "Hugging Face or timm folder with a preprocessing config (default: the demo's)");
  AddGroups(*c, o, {AddImages, AddRun});
  AddOut(*c, o, "FILE", "A safetensors file");
}

void AddEncode(CLI::App& app, Options& o) {
  CLI::App* c = AddCommand(app, o, "encode", "Run one arm and write its features (safetensors)");
  AddGroups(*c, o, {AddModel, AddImages, AddRun, AddDevice, AddArm, AddPrecision});
  AddText(*c, "--pixels", o.pixels, "FILE", "pixel_values F32 [B, C, H, W] instead of --images");
  AddText(*c, "--embeds", o.embeds, "FILE",
          "inputs_embeds [B, S, D], what enters block 0, and optionally attention_mask [B, S] "
          "(1 = attend) instead of --images");
  c->add_flag("--attentions", o.attentions, "Attention probabilities of every block");
  AddText(*c, "--layers", o.layers, "all|none|i,j", "Hidden states to write (default all)");
  AddValue(*c, "--taps", "Sites whose input, codes, accumulators and output to write", "SITE,…",
           [&o](const std::string& text) { o.taps = ParseList("--taps", text); });
  AddOut(*c, o, "FILE", "A safetensors file");
}

void AddLinear(CLI::App& app, Options& o) {
  CLI::App* c =
      AddCommand(app, o, "linear", "One quantized linear layer on given tensors (safetensors)");
  AddGroups(*c, o, {AddRun, AddDevice, AddQuantizer, AddFake, AddPrecision});
  AddText(*c, "--in", o.in, "FILE",
          "x F16 [M, K]; weight [N, K], or weight_packed and weight_shape; weight_scale, "
          "weight_zero_point, bias, smoothing");
  AddLinearFlags(*c, o);
  AddOut(*c, o, "FILE", "A safetensors file");
}

// The stages of the whole job that come before any comparison, and quantize.
void AddStages(CLI::App& app, Options& o) {
  CLI::App* c =
      AddCommand(app, o, "calibrate", "Activation statistics of all of --images (stats.h5)");
  AddGroups(*c, o,
            {AddModel, AddImages, AddSeed, AddRun, AddDevice, AddResidual, AddExpertMinimum});
  c->add_flag("--outputs", o.outputs,
              "Observe the layers' outputs too, for schemes with static output scales (w8a8o8)");
  AddOut(*c, o, "FILE", "stats.h5");

  c = AddCommand(app, o, "merge", "Statistics of several runs as one (stats.h5)");
  c->add_option("files", o.inputs, "stats.h5 files")->type_name("FILE…");
  AddOut(*c, o, "FILE", "stats.h5");

  c = AddCommand(app, o, "plan", "Statistics to a plan (plan.json)");
  AddGroups(*c, o, {AddModel, AddRun, AddDevice, AddPlan, AddQuantizer, AddScheme});
  AddGroups(*c, o, {AddAttention, AddResidual, AddStats});
  AddOut(*c, o, "FILE", "plan.json");
}

void AddComparisons(CLI::App& app, Options& o) {
  constexpr const char* kOut = "A folder for the report (default ./w8a8-<model name>)";
  CLI::App* c = AddCommand(
      app, o, "sweep", "Every clip range and granularity, and schemes, fake and int8, on --images");
  AddGroups(*c, o, {AddModel, AddImages, AddSeed, AddRun, AddDevice, AddResidual, AddSweep});
  AddGroups(*c, o, {AddWeights, AddAttention, AddEvaluation, AddStats});
  AddOut(*c, o, "DIR", kOut);

  c = AddCommand(app, o, "compare", "fp16, fake, emulated and int8 under one plan, on --images");
  AddGroups(*c, o, {AddModel, AddImages, AddSeed, AddRun, AddDevice, AddArm, AddEvaluation});
  AddGroups(*c, o, {AddSchemes, AddStats});
  AddOut(*c, o, "DIR", kOut);

  c = AddCommand(app, o, "quantize", "Write the quantized/ folder of a model under a plan");
  AddGroups(*c, o, {AddModel, AddRun, AddPlan, AddQuantizer, AddScheme, AddConvention});
  AddGroups(*c, o, {AddAttention, AddScope});
  AddOut(*c, o, "DIR", "A folder");
}

// Commands on files that are there already, and the demo's.
void AddFileCommands(CLI::App& app, Options& o) {
  CLI::App* c = AddCommand(app, o, "report",
                           "Write the report's page and HDF5 file anew from its JSON files");
  c->add_option("folder", o.inputs, "A folder with report.json, run.json and report.h5")
      ->type_name("DIR");
  AddOut(*c, o, "DIR", "Where to write (default: the same folder)");

  c = AddCommand(app, o, "demo",
                 "Copy the embedded demo: model/, class_embeddings.safetensors, images/");
  AddOut(*c, o, "DIR", "A folder");
  c->add_flag("--moe", o.moe,
              "The demo's model with experts in blocks 1, 3 and 5, made from its own layers");
  c->add_flag("--random", o.random,
              "A model of random weights with planted outlier channels and other drawn images "
              "instead; --seed chooses them");
  AddGroups(*c, o, {AddSeed, AddRun});

  c = AddCommand(app, o, "inspect",
                 "What a checkpoint, quantized/ folder, report, stats.h5 or plan.json holds");
  c->add_option("path", o.inputs, "A file or folder that this tool reads or writes")
      ->type_name("PATH");
  AddText(*c, "--model", o.model, "DIR", "The same for a model folder");
  AddText(*c, "--model-prefix", o.model_prefix, "P",
          "Key prefix of the tower, where a checkpoint holds several");

  c = AddCommand(app, o, "diff",
                 "What differs between two reports, stats files, plans or quantized folders");
  c->add_option("paths", o.inputs, "Two of a kind")->type_name("A B");
  c->add_flag("--ignore-run", o.ignore_run, "Without what depends on the run: times, host, memory");
}

// Not AddCommon(): its results go to a file, and tables to stdout.
void AddBench(CLI::App& app, Options& o) {
  CLI::App* c = app.add_subcommand(
      "bench", "What kernels, forwards and stages of the job take on this machine");
  AddBenchFlags(*c, o);
  c->callback([&o] { o.command = "bench"; });
}

// What the first argument that was not understood may have meant: " Did you mean '--images'?", or
// "".
std::string Suggestion(const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (unknown.empty()) return "";
  const auto chosen = app.get_subcommands();
  const CLI::App& active = chosen.empty() ? app : *chosen.front();
  std::vector<std::string> names;
  for (const CLI::Option* option : active.get_options()) names.push_back(option->get_name());
  if (chosen.empty()) {
    for (const CLI::App* command : app.get_subcommands(nullptr)) {
      names.push_back(command->get_name());
    }
  }
  return DidYouMean(unknown.front().substr(0, unknown.front().find('=')), names);
}

// CLI11's messages for unknown flags and missing values, in this tool's form. CLI11 itself lists
// what it did not expect last first.
[[noreturn]] void Refuse(const CLI::App& app, const CLI::ParseError& error) {
  std::string what = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
    what = fmt::format("Not expected: {}", fmt::join(unknown, " "));
  }
  FailUsage(
      "{}.{}\n       w8a8-calib --help lists the flags; w8a8-calib COMMAND --help those of one "
      "command.",
      what, Suggestion(app));
}

// The whole job's flags, every command's, and the help around them.
void AddAllFlags(CLI::App& app, Options& o) {
  app.require_subcommand(0, 1);
  app.footer(
      "Exit: 0 done, 1 error, 2 bad command line, 3 below a threshold asked for (diff: "
      "different),\n"
      "130 interrupted.\n"
      "Results go to stdout, progress and errors to stderr.");
  AddGroups(app, o, {AddCommon, AddModel, AddImages, AddEvaluation, AddSeed});
  AddOut(app, o, "DIR", "Output folder (default ./w8a8-<model name>)");
  AddGroups(app, o, {AddRun, AddDevice, AddArm, AddScope, AddSweep});
  AddGroups(app, o, {AddPreprocess, AddEncode, AddLinear, AddStages, AddComparisons});
  AddGroups(app, o, {AddFileCommands, AddBench});
}

}  // namespace

std::optional<Options> ParseCommandLine(int argc, const char* const* argv) {
  Options options;
  for (int i = 0; i < argc; ++i) options.typed += (i == 0 ? "" : " ") + std::string(argv[i]);
  CLI::App app(
      "Runs a vision encoder in FP16, fake-quant, emulated and real INT8 side by side over\n"
      "calibration images; reports the error of every layer; writes deployable INT8 weights.\n\n"
      "  w8a8-calib                                        the embedded demo, out of the box\n"
      "  w8a8-calib --model siglip/ --images photos/       your model on your images\n"
      "  w8a8-calib … --classes names.safetensors --min-agreement 0.98   a gate for CI\n\n"
      "Without a command this is the whole job: calibrate, plan, sweep, check, report, "
      "quantized/.\n"
      "The stages are commands of their own.",
      "w8a8-calib");
  bool version = false;
  app.add_flag("--version", version, "Version, kernel sets built and usable, device");
  AddAllFlags(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    PrintText(chosen.empty() ? app.help() : chosen.front()->help());
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    Refuse(app, error);
  }
  if (version) {
    PrintText(options.json ? VersionJson() : VersionText());
    return std::nullopt;
  }
  CheckKernels(options);  // not when it is read: which sets there are is the device's
  if (!options.model.empty()) options.model = TowerFolder(options.model).string();
  return options;
}

}  // namespace w8a8
