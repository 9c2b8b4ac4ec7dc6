#include "eval/job/session.h"

#include "datasets/preprocess_config.h"
#include "eval/job/embed_source.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {
namespace {

void ChooseDevice(const DeviceSettings& device, Session& session) {
  if (device.cuda_device) {
    // An unusable device is an error now, not after the images were read.
    const CudaDevice cuda = OpenCudaDevice(*device.cuda_device, device.kernels);
    session.device = fmt::format("cuda:{}", *device.cuda_device);
    session.kernels = cuda.kernels;
    session.float_products = cuda.products;
    session.attention = cuda.attention;
    session.make_backend = cuda.make_backend;
    return;
  }
  session.device = "cpu";
  const Kernels& kernels = Select(device.kernels);
  session.kernels = std::string(kernels.name);
  session.float_products = kernels.floats->half.name;
  for (size_t i = 0; i < session.attention.size(); ++i) {
    session.attention[i] = kernels.floats->attention[i]->name;
  }
  session.make_backend = [name = session.kernels] { return MakeCpuBackend(name); };
  if (device.make_backend) session.make_backend = device.make_backend;
}

// The size of the images decides the grid where the family resizes its position table, and the most
// patches of one where every image has a grid of its own. What does not fit is refused by what
// reads the images.
void FitTo(const PreparedImages& images, const std::filesystem::path& model,
           EncoderConfig& config) {
  const PreprocessConfig read = ReadPreprocessConfig(model, images.resampler);
  if (!config.variable_grid) {
    const ImageSize size = read.OutputSize();
    SetImageSize(size.height, size.width, &config);
  } else if (read.variable_size()) {
    SetMaxPatches(read.budget.max_patches, &config);
  }
}

void FitTo(const PixelFile& pixels, EncoderConfig& config) {
  const SafetensorsFile file(pixels.path);
  const std::vector<int64_t>& shape = file.Get("pixel_values").shape;
  if (config.variable_grid) {
    if (shape.size() == 3 && shape[1] > 0) SetMaxPatches(shape[1], &config);
  } else if (shape.size() == 4) {
    SetImageSize(shape[2], shape[3], &config);
  }
}

// Nothing in a model's files says how another number of channels is made of a photo.
void RequireRgb(const ModelSettings& model, const EncoderConfig& config) {
  constexpr int64_t kRgb = 3;
  if (config.channels == kRgb || !std::holds_alternative<PreparedImages>(model.input)) return;
  Fail(
      "{}: the encoder takes images of {} channel(s), but images are prepared in {}, red, green "
      "and "
      "blue. Only 'encode' can run it, given pixel_values [images, {}, height, width] in place of "
      "images.",
      model.folder.string(), config.channels, kRgb, config.channels);
}

void FitToInput(const ModelSettings& model, EncoderConfig& config) {
  RequireRgb(model, config);
  if (!config.variable_grid && config.position_resize == PositionResize::kNone) return;
  if (const auto* images = std::get_if<PreparedImages>(&model.input)) {
    FitTo(*images, model.folder, config);
  } else if (const auto* pixels = std::get_if<PixelFile>(&model.input)) {
    FitTo(*pixels, config);
  }
}

}  // namespace

RunnerOptions Session::Runner(const RunSettings& run) const {
  return {.threads = run.threads,
          .batch = run.batch,
          .memory_bytes = run.memory_bytes,
          .make_backend = make_backend,
          .progress = {}};
}

Session OpenSession(const ModelSettings& model, const DeviceSettings& device) {
  Session session;
  session.folder = model.folder;
  ChooseDevice(device, session);
  session.config = ReadEncoderConfig(model.folder, model.prefix);
  FitToInput(model, session.config);
  if (!model.name.empty()) session.config.name = model.name;
  const auto* embeds = std::get_if<EmbedFile>(&model.input);
  session.graph =
      embeds == nullptr
          ? BuildGraph(session.config, model.residual)
          : BuildGraphFromEmbeds(session.config, EmbeddedTokens(embeds->path, session.config),
                                 model.residual);
  session.weights = std::make_unique<EncoderWeights>(model.folder, session.config, model.prefix);
  return session;
}

const char* ResidualName(const Graph& graph) {
  const Slot& stream = graph.slot(graph.stream);
  return stream.storage == SlotStorage::kFloat ? "fp32" : "fp16";
}

}  // namespace w8a8
