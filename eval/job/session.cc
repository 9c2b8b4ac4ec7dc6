#include "eval/job/session.h"

#include <cstdio>

#include "datasets/preprocess_config.h"
#include "eval/cli/flag_values.h"
#include "eval/job/embed_source.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

void ChooseDevice(const Options& options, Session& session) {
  if (options.device.rfind("cuda", 0) == 0) {
    const int index =
        options.device == "cuda"
            ? 0
            : static_cast<int>(ParseCount("--device cuda:", options.device.substr(5), 0));
    session.device = fmt::format("cuda:{}", index);
    session.kernels = "cuda";
    session.make_backend = [index] { return MakeCudaBackend(index); };
    session.make_backend();  // an unusable device is an error now, not after the images were read
    return;
  }
  const Kernels& kernels = Select(options.kernels);
  session.device = "cpu";
  session.kernels = std::string(kernels.name);
  session.make_backend = [name = session.kernels] { return MakeCpuBackend(name); };
  if (options.device == "auto" && !options.quiet) {
    std::fprintf(stderr, "device     cpu (%s), %s\n", session.kernels.c_str(),
                 CudaUnavailableReason().c_str());
  }
}

// The most patches of an image: what the processor allows, or what the file's rows have room for.
void FitToPatches(const Options& options, EncoderConfig* config) {
  if (!options.pixels.empty()) {
    const SafetensorsFile file(options.pixels);
    const std::vector<int64_t>& shape = file.Get("pixel_values").shape;
    if (shape.size() == 3 && shape[1] > 0) SetMaxPatches(shape[1], config);  // else PixelSource
  } else if (!options.images.empty()) {
    const PreprocessConfig read =
        ReadPreprocessConfig(options.model, ResamplerFromName(options.resampler));
    if (read.variable_size()) SetMaxPatches(read.budget.max_patches, config);
  }
}

// The images of this run decide the grid where the family resizes its position table.
void FitToImages(const Options& options, EncoderConfig* config) {
  if (config->variable_grid) return FitToPatches(options, config);
  if (config->position_resize == PositionResize::kNone) return;
  if (!options.pixels.empty()) {
    const SafetensorsFile file(options.pixels);
    const std::vector<int64_t>& shape = file.Get("pixel_values").shape;
    if (shape.size() == 4) SetImageSize(shape[2], shape[3], config);  // else PixelSource says so
  } else if (!options.images.empty()) {
    const ImageSize size =
        ReadPreprocessConfig(options.model, ResamplerFromName(options.resampler)).OutputSize();
    SetImageSize(size.height, size.width, config);
  }
}

}  // namespace

void RequireFlag(const std::string& value, const char* flag, const char* command) {
  if (!value.empty()) return;
  const std::string name = std::string("w8a8-calib") + (*command == '\0' ? "" : " ") + command;
  FailUsage("{0}: {1} is missing. {0} --help shows what it takes.", name, flag);
}

RunnerOptions Session::Runner(const Options& options) const {
  return {.threads = options.ThreadCount(),
          .batch = options.batch.value_or(1),
          .memory_bytes = options.memory_bytes,
          .make_backend = make_backend,
          .progress = {}};
}

Session OpenSession(const Options& options) {
  RequireFlag(options.model, "--model", options.command.c_str());
  Session session;
  ChooseDevice(options, session);
  session.config = ReadEncoderConfig(options.model);
  FitToImages(options, &session.config);
  if (options.demo_model) session.config.name = "demo";
  session.graph =
      options.embeds.empty()
          ? BuildGraph(session.config, options.residual)
          : BuildGraphFromEmbeds(session.config, EmbeddedTokens(options.embeds, session.config),
                                 options.residual);
  session.weights =
      std::make_unique<EncoderWeights>(options.model, session.config, options.model_prefix);
  return session;
}

const char* ResidualName(const Graph& graph) {
  const Slot& stream = graph.slots[static_cast<size_t>(graph.stream)];
  return stream.storage == SlotStorage::kFloat ? "fp32" : "fp16";
}

}  // namespace w8a8
