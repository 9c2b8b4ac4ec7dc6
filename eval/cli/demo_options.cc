#include "eval/cli/demo_options.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "eval/cli/usage_error.h"
#include "eval/job/demo_data.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

// Commands that open a model; the first group also reads images.
constexpr std::array<std::string_view, 6> kImageCommands{"",       "calibrate",  "compare",
                                                         "encode", "preprocess", "sweep"};
constexpr std::array<std::string_view, 2> kModelCommands{"plan", "quantize"};

template <size_t n>
bool IsAmong(const std::array<std::string_view, n>& commands, std::string_view command) {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

bool TakesImages(const Options& options) {
  return IsAmong(kImageCommands, options.command) && options.pixels.empty() &&
         options.embeds.empty();
}

// The whole job calibrates on one set and judges on the other; a single stage needs one.
void FillImages(const DemoData& demo, Options& options) {
  if (options.command.empty()) {
    if (!options.images.empty()) return;
    options.images = demo.calibration_images();
    if (options.eval_images.empty()) options.eval_images = demo.evaluation_images();
  } else if (options.command == "calibrate") {
    if (options.images.empty()) options.images = demo.calibration_images();
  } else if (options.images.empty() && options.eval_images.empty()) {
    options.images = demo.evaluation_images();
  }
}

}  // namespace

Options WithDemo(Options options) {
  const bool takes_images = TakesImages(options);
  if (!takes_images && !IsAmong(kModelCommands, options.command)) {
    const bool encodes_tensors = !options.pixels.empty() || !options.embeds.empty();
    if (!encodes_tensors) return options;  // encode --pixels opens a model
  }
  if (!options.model.empty()) {
    if (takes_images && options.images.empty() && options.eval_images.empty()) {
      FailUsage(
          "--model {}: --images PATH is missing. The demo's own images serve the demo model only: "
          "scales found on drawings would be wrong for this one. Some 64 images of the kind that "
          "it will see are enough to begin with.",
          options.model);
    }
    return options;
  }
  const DemoData demo = FindDemo();
  const bool own_images = !options.images.empty() || !options.eval_images.empty();
  options.demo_model = true;
  options.model = demo.model();
  if (takes_images) {
    FillImages(demo, options);
    options.demo_images = !own_images;
    options.demo_classes = options.classes.empty();
    if (options.demo_classes) options.classes = demo.classes();
  }
  if (!options.quiet) {
    Tell("demo       no --model given: the embedded demo model{} ({})\n",
         options.demo_images ? " and its images" : "", demo.folder.string());
  }
  return options;
}

}  // namespace w8a8
