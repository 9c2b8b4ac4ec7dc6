#include "eval/cli/command_flags.h"

#include <utility>

#include <CLI/CLI.hpp>

#include "eval/cli/error_text.h"
#include "eval/cli/flag_values.h"
#include "eval/cli/usage_error.h"

namespace w8a8 {
namespace {

constexpr int64_t kMostDevices = 1024;  // far beyond what a machine has; an int holds it

// Flags of capabilities that come in later versions: known and refused, not among the help's flags.
void AddLater(CLI::App& app, const std::string& flag, const char* what) {
  const auto refuse = [flag, what](const std::string&) {
    FailUsage("{}: not in this version ({}).", flag, what);
  };
  app.add_option_function<std::string>(flag, refuse)->group("");
}

void AddWeightBits(CLI::App& app, Options& o) {
  AddValue(app, "--weight-bits", "Bits of the quantized weights, 2 to 8 (default 8)", "B",
           [&o](const std::string& text) {
             o.weight_bits = static_cast<int>(ParseCount("--weight-bits", text, 2, 8));
             o.weight_bits_given = true;
           });
}

}  // namespace

void AddValue(CLI::App& app, const std::string& flag, const std::string& help, const char* type,
              const std::function<void(const std::string& text)>& set) {
  app.add_option_function<std::string>(flag, set, help)->type_name(type);
}

void AddText(CLI::App& app, const std::string& flag, std::string& target, const char* type,
             const std::string& help) {
  AddValue(app, flag, help, type, [&target, flag](const std::string& text) {
    if (text.empty()) FailUsage("{}: an empty value.", flag);
    target = text;
  });
}

void AddSwitch(CLI::App& app, const std::string& flag, bool& target, const std::string& help) {
  app.add_flag(flag, target, help);
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
             o.resampler = From("--resampler ", [&] { return ResamplerFromName(text); });
           });
}

void AddSeed(CLI::App& app, Options& o) {
  AddValue(app, "--seed", "Seed of samples and bootstraps (default 0)", "N",
           [&o](const std::string& text) {
             o.seed = static_cast<uint64_t>(ParseCount("--seed", text, 0));
           });
}

void AddRun(CLI::App& app, Options& o) {
  AddValue(app, "--batch", "Images a worker runs at once; no result depends on it (default 1)", "N",
           [&o](const std::string& text) { o.batch = ParseCount("--batch", text, 1); });
  AddValue(app, "--threads", "Worker threads (default: the CPUs this process may use)", "N",
           [&o](const std::string& text) {
             o.threads = static_cast<int>(ParseCount("--threads", text, 1, 4096));
           });
  AddValue(app, "--memory",
           "Room for the residual streams of all arms and the weights of two stages (default 2GiB)",
           "SIZE", [&o](const std::string& text) { o.memory_bytes = ParseSize("--memory", text); });
}

void AddDevice(CLI::App& app, Options& o) {
  AddValue(app, "--device", "Where to run (default auto)", "auto|cpu|cuda[:i]",
           [&o](const std::string& text) {
             const bool cuda_index = text.rfind("cuda:", 0) == 0;
             if (cuda_index) ParseCount("--device cuda:", text.substr(5), 0, kMostDevices);
             if (!cuda_index) RequireOneOf("--device", text, {"auto", "cpu", "cuda"});
             o.device = text;
           });
  AddKernels(app, o);
}

void AddKernels(CLI::App& app, Options& o) {
  AddValue(app, "--kernels",
           "Force a kernel set; unusable is an error (also W8A8_CPU_ISA, W8A8_CUDA_KERNELS)", "SET",
           [&o](const std::string& text) { o.kernels = text; });
}

void AddResidual(CLI::App& app, Options& o) {
  AddValue(app, "--residual",
           "Storage of the residual stream (default fp16); fp32 for one beyond 65,504", "fp16|fp32",
           [&o](const std::string& text) {
             RequireOneOf("--residual", text, {"fp16", "fp32"});
             o.residual = text == "fp32" ? SlotStorage::kFloat : SlotStorage::kHalf;
           });
}

void AddPlan(CLI::App& app, Options& o) {
  AddText(app, "--plan", o.plan, "FILE",
          "A plan.json; without it every site is per-token, no clip");
}

void AddQuantizer(CLI::App& app, Options& o) {
  AddValue(
      app, "--granularity", "Granularity of activation scales", "per-token|per-tensor",
      [&o](const std::string& text) { o.granularity = ParseGranularity("--granularity", text); });
  AddValue(app, "--clip-range", "Largest magnitude that still gets its own code; inf: no clip", "R",
           [&o](const std::string& text) { o.clip_range = ParseClipRange("--clip-range", text); });
}

void AddScheme(CLI::App& app, Options& o) {
  AddValue(app, "--scheme", "A plan by its name, as --schemes of w8a8-calib sweep has them", "NAME",
           [&o](const std::string& text) { o.scheme = ParseSchemeOf("--scheme", text); });
}

void AddFake(CLI::App& app, Options& o) {
  AddValue(app, "--fake", "Flavour of the fake arm (default ideal)",
           "ideal|llm-awq|vllm-static|vllm-static-bf16", [&o](const std::string& text) {
             o.fake = ParseFakeFlavour("--fake", text);
             o.fake_given = true;
           });
  AddWeightBits(app, o);
}

void AddConvention(CLI::App& app, Options& o) {
  AddValue(app, "--weight-convention",
           "How codes are made from weights: native (binary32), or as vLLM's online int8 does, in "
           "the checkpoint's dtype (8 bits, one scale a row)",
           "native|vllm", [&o](const std::string& text) {
             o.weight_convention = ParseWeightConvention("--weight-convention", text);
           });
}

void AddWeights(CLI::App& app, Options& o) {
  AddWeightBits(app, o);
  AddConvention(app, o);
}

void AddAttention(CLI::App& app, Options& o) {
  AddValue(app, "--attention",
           "Arithmetic of attention's products in the fake, emulated and int8 arms (default fp32, "
           "always the reference's)",
           "fp32|bf16|int8",
           [&o](const std::string& text) { o.attention = ParseAttention("--attention", text); });
}

void AddArm(CLI::App& app, Options& o) {
  for (const auto add :
       {AddPlan, AddQuantizer, AddScheme, AddFake, AddConvention, AddAttention, AddResidual}) {
    add(app, o);
  }
}

void AddScope(CLI::App& app, Options& o) {
  app.add_flag("--tower-only", o.tower_only,
               "Write the vision tower of a larger model alone, as a checkpoint of its own class");
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
  AddSchemes(app, o);
}

void AddSchemes(CLI::App& app, Options& o) {
  AddValue(
      app, "--schemes",
      "Ways of quantizing every site, each as fake and as int8 beside the rest: "
      "w{2..8}a{8|16}[o8][-g{G}][-token[-g{G}]|-token-asym|-tensor|-tensor-asym]"
      "[-vllm], for example "
      "w8a8-token, w8a8-tensor, w8a16 (weight-only), w4a8-g128 (weights in groups of 128), "
      "w8a8o8 (INT8 outputs), w8a8-token-g32 (inputs in groups), w8a8-token-vllm (weight codes "
      "as vLLM's online INT8 makes them)",
      "LIST", [&o](const std::string& text) { o.schemes = ParseSchemes("--schemes", text); });
}

void AddExpertMinimum(CLI::App& app, Options& o) {
  AddValue(app, "--min-expert-tokens",
           "Of a mixture of experts: name those that got fewer than N tokens (default 1)", "N",
           [&o](const std::string& text) {
             o.min_expert_tokens =
                 static_cast<uint64_t>(ParseCount("--min-expert-tokens", text, 1));
           });
}

void AddEvaluation(CLI::App& app, Options& o) {
  AddText(
      app, "--eval-images", o.eval_images, "PATH",
      "Images to judge on; without it the whole job keeps a part of --images for that, the other "
      "commands judge on all of --images");
  AddText(
      app, "--labels", o.labels, "FILE",
      "TSV with a header: file name first, comma-separated class indices or names in the column "
      "'accepted' or the third");
  AddText(
      app, "--classes", o.classes, "FILE",
      "Class embeddings (safetensors: class_embeddings [classes, width], metadata classes: a "
      "JSON list of names): zero-shot top-1 by cosine of the image embedding; class sub-folders "
      "are then matched by name");
  AddValue(app, "--min-sqnr-db",
           "Exit 3 if the main output of the chosen INT8 arm has less SQNR than X dB. This and the "
           "next two judge the measured value, not its interval",
           "X", [&o](const std::string& text) {
             o.thresholds.min_sqnr_db = ParseNumber("--min-sqnr-db", text);
           });
  AddValue(
      app, "--max-drop", "Exit 3 if its top-1 is more than X below fp16's (0..1)", "X",
      [&o](const std::string& text) { o.thresholds.max_drop = ParseFraction("--max-drop", text); });
  AddValue(app, "--min-agreement",
           "Exit 3 if it has fp16's top-1 on a smaller part of the images than X (0..1); also what "
           "the verdict asks for (default there: 0.98)",
           "X", [&o](const std::string& text) {
             o.thresholds.min_agreement = ParseFraction("--min-agreement", text);
           });
  AddExpertMinimum(app, o);
  AddLater(app, "--target", "exporting for another runtime");
  AddLater(app, "--deploy-as", "predicting another runtime's kernels");
}

}  // namespace w8a8
