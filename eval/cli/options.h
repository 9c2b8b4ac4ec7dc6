// The command line as a value. Filled in eval/cli/command_line.cc, read by the commands.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "calib/scheme.h"
#include "datasets/resample.h"
#include "eval/cli/bench_flags.h"
#include "eval/cli/linear_flags.h"
#include "eval/cli/thresholds.h"
#include "quant/spec.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

class Backend;

// Flags keep their names from the command line; an empty string or nullopt is "not given".
struct Options {
  std::string command;  // "" is the whole job
  std::string typed;    // the command line as given, for run.json
  std::string images, model, model_prefix, eval_images, labels, classes, out;
  std::optional<int64_t> max_images;
  Resampler resampler = Resampler::kPillow13;
  uint64_t seed = 0;
  std::optional<int64_t> batch;
  std::optional<int> threads;
  uint64_t memory_bytes = uint64_t{2} << 30;
  std::string device = "auto";
  std::string kernels;  // "" lets W8A8_CPU_ISA and then the best usable set decide
  std::string plan;
  std::optional<Granularity> granularity;
  std::optional<float> clip_range;
  FakeFlavour fake = FakeFlavour::kIdeal;
  bool fake_given = false;
  int weight_bits = 8;
  bool weight_bits_given = false;
  std::optional<WeightConvention> weight_convention;  // of arms
  std::optional<Scheme> scheme;                       // of the plan
  AttentionPrecision attention = AttentionPrecision::kFp32;
  SlotStorage residual = SlotStorage::kHalf;
  std::vector<Granularity> granularities = {Granularity::kToken, Granularity::kTensor};
  std::vector<float> clip_ranges = {2, 3, 4, 5, 6, 8, 10, 15, 20, kNoClip};
  std::vector<Scheme> schemes;
  std::optional<Precision> precision;  // encode, linear
  std::string pixels;                  // encode
  std::string embeds;                  // encode: inputs_embeds instead of pixels
  bool attentions = false;             // encode
  std::string layers = "all";          // encode: all | none | i,j
  std::vector<std::string> taps;       // encode
  std::string in;                      // linear
  LinearFlags linear;
  BenchFlags bench;
  std::string stats;                // plan, sweep, compare: a stats.h5 of calibrate
  std::vector<std::string> inputs;  // merge, report: positional files
  Thresholds thresholds;            // exit 3 below
  uint64_t min_expert_tokens = 1;   // experts that got fewer are named
  bool outputs = false;             // calibrate: observe outputs too
  bool tower_only = false;          // quantize, the whole job: without the rest of the model
  bool random = false;              // demo: a model of random weights
  bool moe = false;                 // demo: a model with experts
  bool demo_model = false;          // --model was not given: the embedded demo's
  bool demo_images = false;         // all images are the demo's
  bool demo_classes = false;        // --classes was not given: the demo's
  bool json = false;
  bool quiet = false;
  bool ignore_run = false;
  // A device that no flag names, in place of --device; empty: none.
  std::function<std::unique_ptr<Backend>()> make_backend = {};

  // Of --scheme and --schemes.
  std::vector<Scheme> AllSchemes() const;
  bool HasWeightBits() const { return weight_bits_given || weight_bits != 8; }
  int ThreadCount() const;  // --threads, else the CPUs this process may use
};

}  // namespace w8a8
