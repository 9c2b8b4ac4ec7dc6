// An opened model on a chosen device: what every command that runs an encoder starts from.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "datasets/resample.h"
#include "eval/job/progress.h"
#include "eval/run/runner.h"
#include "runtime/encoder/config.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// How a run uses the machine, and what it shows meanwhile. No result depends on any of it but the
// seed.
struct RunSettings {
  int threads = 1;
  int64_t batch = 1;                          // images a worker runs at once
  uint64_t memory_bytes = uint64_t{2} << 30;  // of all arms' streams and two stages' weights
  uint64_t seed = 0;                          // of samples and bootstraps
  ProgressLines progress = ProgressLines::kShown;
};

// What goes into the encoder, as far as its size decides the graph.
struct PreparedImages {
  Resampler resampler = Resampler::kPillow13;
};
struct PixelFile {
  std::filesystem::path path;
};
struct EmbedFile {
  std::filesystem::path path;
};
// None: nothing is run, or only at the size that the checkpoint was trained with.
using EncoderInput = std::variant<std::monostate, PreparedImages, PixelFile, EmbedFile>;

struct ModelSettings {
  std::filesystem::path folder = {};
  std::string prefix = {};  // of the tower's keys; empty: there is one tower
  std::string name = {};    // what reports call it; empty: as its checkpoint does
  SlotStorage residual = SlotStorage::kHalf;
  EncoderInput input = {};
};

struct DeviceSettings {
  std::optional<int> cuda_device;  // none: the CPU
  std::string kernels;             // a forced set; empty: as Select() chooses
  // In place of both; empty: none.
  std::function<std::unique_ptr<Backend>()> make_backend = {};
};

struct Session {
  std::filesystem::path folder;  // of the model
  EncoderConfig config;
  Graph graph;
  std::unique_ptr<EncoderWeights> weights;
  std::function<std::unique_ptr<Backend>()> make_backend;
  std::string device;   // "cpu", "cuda:0"
  std::string kernels;  // the kernel set in use
  // What multiplies FP16 values, and attention by AttentionPrecision, in that set's words; empty
  // where the set has none.
  std::string float_products;
  std::array<std::string, kAttentionPrecisions> attention;

  RunnerOptions Runner(const RunSettings& run) const;
};

// Throws Error for everything that does not fit.
Session OpenSession(const ModelSettings& model, const DeviceSettings& device);

// "fp16" or "fp32": how the residual stream of `graph` is stored.
const char* ResidualName(const Graph& graph);

}  // namespace w8a8
