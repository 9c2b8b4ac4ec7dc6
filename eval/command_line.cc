#include "eval/command_line.h"

#include <cstdio>
#include <functional>
#include <utility>

#include <CLI/CLI.hpp>

#include "eval/flag_values.h"
#include "eval/suggestion.h"
#include "eval/version.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/cpu/kernels.h"
#include "runtime/encoder/checkpoint.h"

namespace w8a8 {

int Options::ThreadCount() const { return threads.value_or(AvailableCpus()); }

namespace {

using Setter = std::function<void(const std::string& text)>;

// One flag with a text value. CLI11 only splits the command line; what a value may be is checked by
// the setters, so that every message names flag, value and what it takes.
void AddValue(CLI::App& app, const std::string& flag, const std::string& help, const char* type,
              Setter set) {
  app.add_option_function<std::string>(flag, std::move(set), help)->type_name(type);
}

void AddText(CLI::App& app, const std::string& flag, std::string& target, const char* type,
             const std::string& help) {
  AddValue(app, flag, help, type, [&target, flag](const std::string& text) {
    if (text.empty()) FailUsage("{}: an empty value.", flag);
    target = text;
  });
}

// Flags of capabilities that come in later versions: known and refused, not among the help's flags.
void AddLater(CLI::App& app, const std::string& flag, const char* what) {
  const auto refuse = [flag, what](const std::string&) {
    FailUsage("{}: not in this version ({}).", flag, what);
  };
  app.add_option_function<std::string>(flag, refuse)->group("");
}

void AddCommon(CLI::App& app, Options& o) {
  app.add_flag("--json", o.json, "Print results for machines (JSON) on stdout");
  app.add_flag("--quiet", o.quiet, "No progress and no summary");
}

void AddModel(CLI::App& app, Options& o) {
  AddText(app, "--model", o.model, "DIR",
          "Hugging Face or timm folder of the vision encoder, or a quantized/ folder of ours "
          "(default: the embedded demo model)");
  AddText(app, "--model-prefix", o.model_prefix, "P",
          "Key prefix of the tower, where a checkpoint holds several");
}

void AddImages(CLI::App& app, Options& o) {
  AddText(app, "--images", o.images, "PATH",
          "A folder (recursive), one image, or a list file with one path a line (without --model: "
          "the demo's)");
  AddValue(app, "--max-images", "The first N of --images that can be decoded", "N",
           [&o](const std::string& text) { o.max_images = ParseCount("--max-images", text, 1); });
  AddValue(app, "--resampler", "Order of the resize passes (default pillow13)",
           "pillow13|pillow12|torchvision", [&o](const std::string& text) {
             RequireOneOf("--resampler", text, "pillow13|pillow12|torchvision");
             o.resampler = text;
           });
}

void AddRun(CLI::App& app, Options& o) {
  AddValue(app, "--seed", "Seed of samples and bootstraps (default 0)", "N",
           [&o](const std::string& text) {
             o.seed = static_cast<uint64_t>(ParseCount("--seed", text, 0));
           });
  AddValue(app, "--batch", "Images a worker runs at once; no result depends on it (default 1)", "N",
           [&o](const std::string& text) { o.batch = ParseCount("--batch", text, 1); });
  AddValue(app, "--threads", "Worker threads (default: the CPUs this process may use)", "N",
           [&o](const std::string& text) {
             const int64_t count = ParseCount("--threads", text, 1);
             if (count > 4096) FailUsage("--threads '{}': takes at most 4096.", text);
             o.threads = static_cast<int>(count);
           });
  AddValue(app, "--memory", "Room for the residual streams of all arms (default 2GiB)", "SIZE",
           [&o](const std::string& text) { o.memory_bytes = ParseSize("--memory", text); });
}

void AddDevice(CLI::App& app, Options& o) {
  AddValue(app, "--device", "Where to run (default auto)", "auto|cpu|cuda[:i]",
           [&o](const std::string& text) {
             const bool cuda_index = text.rfind("cuda:", 0) == 0;
             if (cuda_index) ParseCount("--device cuda:", text.substr(5), 0);
             if (!cuda_index) RequireOneOf("--device", text, "auto|cpu|cuda");
             o.device = text;
           });
  AddValue(app, "--kernels", "Force a CPU kernel set; unusable is an error (also W8A8_CPU_ISA)",
           "SET", [&o](const std::string& text) { o.kernels = Select(text).name; });
}

void AddArm(CLI::App& app, Options& o) {
  AddText(app, "--plan", o.plan, "FILE",
          "A plan.json; without it every site is per-token, no clip");
  AddValue(
      app, "--granularity", "Granularity of activation scales", "per-token|per-tensor",
      [&o](const std::string& text) { o.granularity = ParseGranularity("--granularity", text); });
  AddValue(app, "--clip-range", "Largest magnitude that still gets its own code; inf: no clip", "R",
           [&o](const std::string& text) { o.clip_range = ParseClipRange("--clip-range", text); });
  AddValue(app, "--fake", "Flavour of the fake arm (default ideal)", "ideal|llm-awq|vllm-static",
           [&o](const std::string& text) {
             o.fake = ParseFakeFlavour("--fake", text);
             o.fake_given = true;
           });
  AddValue(app, "--weight-bits", "Bits of the fake arm's weights, 2 to 8 (default 8)", "B",
           [&o](const std::string& text) {
             const int64_t bits = ParseCount("--weight-bits", text, 2);
             if (bits > 8) FailUsage("--weight-bits '{}': takes 2 to 8.", text);
             o.weight_bits = static_cast<int>(bits);
           });
  AddValue(app, "--attention", "Arithmetic of attention in the quantized arms", "fp32",
           [&o](const std::string& text) {
             RequireOneOf("--attention", text, "fp32|bf16|int8");
             if (text != "fp32") {
               FailUsage("--attention {}: not in this version; only fp32 is.", text);
             }
             o.attention = text;
           });
  AddValue(app, "--residual",
           "Storage of the residual stream (default fp16); fp32 for one beyond 65,504", "fp16|fp32",
           [&o](const std::string& text) {
             RequireOneOf("--residual", text, "fp16|fp32");
             o.residual = text == "fp32" ? SlotStorage::kFloat : SlotStorage::kHalf;
           });
}

void AddSweep(CLI::App& app, Options& o) {
  AddValue(app, "--granularities", "Granularities of the sweep (default per-token,per-tensor)",
           "LIST", [&o](const std::string& text) {
             o.granularities.clear();
             for (const std::string& part : ParseList("--granularities", text)) {
               o.granularities.push_back(ParseGranularity("--granularities", part));
             }
           });
  AddValue(app, "--clip-ranges", "Clip ranges of the sweep (default 2,3,4,5,6,8,10,15,20,inf)",
           "LIST", [&o](const std::string& text) {
             o.clip_ranges.clear();
             for (const std::string& part : ParseList("--clip-ranges", text)) {
               o.clip_ranges.push_back(ParseClipRange("--clip-ranges", part));
             }
           });
}

void AddEvaluation(CLI::App& app, Options& o) {
  AddText(
      app, "--eval-images", o.eval_images, "PATH",
      "Images to judge on; without it the whole job keeps a part of --images for that, the other "
      "commands judge on all of --images");
  AddText(app, "--labels", o.labels, "FILE",
          "TSV with a header: file name, and accepted class indices");
  AddText(app, "--classes", o.classes, "FILE",
          "Class embeddings (safetensors: class_embeddings [classes, width], metadata classes: a "
          "JSON list of names): zero-shot top-1 by cosine of the pooled output; class sub-folders "
          "are then matched by name");
  AddValue(app, "--min-sqnr-db",
           "Exit 3 if the main output of the chosen INT8 arm has less SQNR than X dB. This and the "
           "next two judge the measured value, not its interval",
           "X",
           [&o](const std::string& text) { o.min_sqnr_db = ParseNumber("--min-sqnr-db", text); });
  AddValue(app, "--max-drop", "Exit 3 if its top-1 is more than X below fp16's (0..1)", "X",
           [&o](const std::string& text) { o.max_drop = ParseFraction("--max-drop", text); });
  AddValue(app, "--min-agreement",
           "Exit 3 if it has fp16's top-1 on a smaller part of the images than X (0..1); also what "
           "the verdict asks for (default there: 0.98)",
           "X", [&o](const std::string& text) {
             o.min_agreement = ParseFraction("--min-agreement", text);
           });
  AddLater(app, "--target", "exporting for another runtime");
  AddLater(app, "--deploy-as", "predicting another runtime's kernels");
}

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

void AddCommands(CLI::App& app, Options& o) {
  CLI::App* c = AddCommand(app, o, "preprocess", "Images to encoder input (safetensors)");
  AddGroups(*c, o, {AddModel, AddImages, AddRun});
  AddOut(*c, o, "FILE", "A safetensors file");

  c = AddCommand(app, o, "encode", "Run one arm and write its features (safetensors)");
  AddGroups(*c, o, {AddModel, AddImages, AddRun, AddDevice, AddArm});
  AddText(*c, "--pixels", o.pixels, "FILE", "pixel_values F32 [B, 3, H, W] instead of --images");
  AddText(*c, "--embeds", o.embeds, "FILE",
          "inputs_embeds [B, S, D], what enters block 0, and optionally attention_mask [B, S] "
          "(1 = attend) instead of --images");
  c->add_flag("--attentions", o.attentions, "Attention probabilities of every block");
  AddValue(*c, "--precision", "The arm", "fp16|fake|emulated|int8",
           [&o](const std::string& text) { o.precision = ParsePrecision("--precision", text); });
  AddText(*c, "--layers", o.layers, "all|none|i,j", "Hidden states to write (default all)");
  AddValue(*c, "--taps", "Sites whose input, codes, accumulators and output to write", "SITE,…",
           [&o](const std::string& text) { o.taps = ParseList("--taps", text); });
  AddOut(*c, o, "FILE", "A safetensors file");

  c = AddCommand(app, o, "linear", "One quantized linear layer on given tensors (safetensors)");
  AddGroups(*c, o, {AddRun, AddDevice, AddArm});
  AddText(*c, "--in", o.in, "FILE", "x F16 [M, K]; weight [N, K]; weight_scale with I8; bias");
  AddValue(*c, "--precision", "The arm", "fp16|fake|emulated|int8",
           [&o](const std::string& text) { o.precision = ParsePrecision("--precision", text); });
  AddValue(*c, "--input-scale", "Static input scale; implies per-tensor", "S",
           [&o](const std::string& text) { o.input_scale = ParseFloat("--input-scale", text); });
  AddOut(*c, o, "FILE", "A safetensors file");

  c = AddCommand(app, o, "calibrate", "Activation statistics of all of --images (stats.h5)");
  AddGroups(*c, o, {AddModel, AddImages, AddRun, AddDevice});
  AddOut(*c, o, "FILE", "stats.h5");

  c = AddCommand(app, o, "merge", "Statistics of several runs as one (stats.h5)");
  c->add_option("files", o.inputs, "stats.h5 files")->type_name("FILE…");
  AddOut(*c, o, "FILE", "stats.h5");

  c = AddCommand(app, o, "plan", "Statistics to a plan (plan.json)");
  AddGroups(*c, o, {AddModel, AddRun, AddDevice, AddArm});
  AddText(*c, "--stats", o.stats, "FILE", "stats.h5 of calibrate");
  AddOut(*c, o, "FILE", "plan.json");

  c = AddCommand(app, o, "sweep", "Every clip range and granularity, fake and int8, on --images");
  AddGroups(*c, o, {AddModel, AddImages, AddRun, AddDevice, AddSweep});
  AddGroups(*c, o, {AddEvaluation});
  AddText(*c, "--stats", o.stats, "FILE", "stats.h5 of calibrate");
  AddOut(*c, o, "DIR", "A folder for the report");

  c = AddCommand(app, o, "compare", "fp16, fake, emulated and int8 under one plan, on --images");
  AddGroups(*c, o, {AddModel, AddImages, AddRun, AddDevice, AddArm});
  AddGroups(*c, o, {AddEvaluation});
  AddText(*c, "--stats", o.stats, "FILE", "stats.h5 of calibrate");
  AddOut(*c, o, "DIR", "A folder for the report");

  c = AddCommand(app, o, "quantize", "Write the quantized/ folder of a model under a plan");
  AddGroups(*c, o, {AddModel, AddArm});
  AddOut(*c, o, "DIR", "A folder");

  c = AddCommand(app, o, "report",
                 "Write the report's page and HDF5 file anew from its JSON files");
  c->add_option("folder", o.inputs, "A folder with report.json, run.json and report.h5")
      ->type_name("DIR");
  AddOut(*c, o, "DIR", "Where to write (default: the same folder)");

  c = AddCommand(app, o, "demo",
                 "Copy the embedded demo: model/, class_embeddings.safetensors, images/");
  AddOut(*c, o, "DIR", "A folder");
  c->add_flag("--random", o.random,
              "A model of random weights with planted outlier channels and other drawn images "
              "instead; --seed chooses them");
  AddGroups(*c, o, {AddRun});

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

  c = app.add_subcommand("bench")->group("");
  c->allow_extras();
  c->callback([] { FailUsage("bench: this command is not in this version."); });
}

// What the first argument that was not understood may have meant: " Did you mean --images?", or "".
std::string Suggestion(const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (unknown.empty()) return "";
  const auto chosen = app.get_subcommands();
  const CLI::App& active = chosen.empty() ? app : *chosen.front();
  std::vector<std::string> names;
  for (const CLI::Option* option : active.get_options()) names.push_back(option->get_name());
  if (chosen.empty()) {
    for (const CLI::App* command : app.get_subcommands(nullptr))
      names.push_back(command->get_name());
  }
  const std::string nearest = Nearest(unknown.front().substr(0, unknown.front().find('=')), names);
  return nearest.empty() ? "" : fmt::format(" Did you mean {}?", nearest);
}

// CLI11's messages for unknown flags and missing values, in this tool's form.
[[noreturn]] void Refuse(const CLI::App& app, const CLI::ParseError& error) {
  FailUsage(
      "{}{}\n       w8a8-calib --help lists the flags; w8a8-calib COMMAND --help those of one "
      "command.",
      error.what(), Suggestion(app));
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
  app.require_subcommand(0, 1);
  app.footer(
      "Exit: 0 done, 1 error, 2 bad command line, 3 below a threshold asked for (diff: "
      "different),\n"
      "130 interrupted.\n"
      "Results go to stdout, progress and errors to stderr.");
  bool version = false;
  app.add_flag("--version", version, "Version, kernel sets built and usable, device");
  AddCommon(app, options);
  AddGroups(app, options, {AddModel, AddImages, AddEvaluation});
  AddOut(app, options, "DIR", "Output folder (default ./w8a8-<model name>)");
  AddGroups(app, options, {AddRun, AddDevice, AddArm, AddSweep});
  AddCommands(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    std::fputs((chosen.empty() ? app.help() : chosen.front()->help()).c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    Refuse(app, error);
  }
  if (version) {
    std::fputs(VersionText(options.json).c_str(), stdout);
    return std::nullopt;
  }
  if (!options.model.empty()) options.model = TowerFolder(options.model).string();
  return options;
}

}  // namespace w8a8
