// The one runner: advances all arms of a chunk of images through a stage before it touches the
// next.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eval/run/arm.h"
#include "eval/run/image_source.h"
#include "eval/run/tap.h"
#include "runtime/backend.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

struct RunnerOptions {
  int threads = 1;
  int64_t batch = 1;  // images a worker runs at once
  // Sizes the chunk: streams of all arms, pixels, and the weights of two stages.
  uint64_t memory_bytes = uint64_t{2} << 30;
  std::function<std::unique_ptr<Backend>()> make_backend;
  // The arms whose site_seconds are asked for. Their steps are run one by one, where a device could
  // run a stage that no tap looks into at once.
  std::vector<size_t> site_seconds_of = {};
  // Called on the calling thread, after every batch that it runs itself: the images done so far,
  // those in work as the part of their multiply-adds that is done.
  std::function<void(double images_done)> progress;
};

struct RunnerResult {
  int64_t images = 0;               // a tiled one counts once
  int64_t samples = 0;              // all that the encoder saw
  std::vector<double> arm_seconds;  // thread time in each arm's steps, shared or not, without taps
  double seconds = 0;               // of all steps that were run
  // By arm: of arm_seconds, in the layer of a site, quantizing of its inputs included. Empty for
  // arms that were not asked for.
  std::vector<std::map<std::string, double>> site_seconds;
  double lowering_seconds = 0;  // mapping, quantizing and packing weights, beside images or not
  int64_t chunks = 0;
  int64_t stages_run =
      0;  // over all arms and samples; an encoder forward is as many as the graph has
};

// Runs `arms` over all images of `source` and shows them to `taps`. Weights of one stage are
// mapped, quantized and packed once per chunk for all arms, while images run through the stage
// before; only the residual stream is alive
// between stages; arms share stages and streams for as long as their steps are equal
// (shared_stages.h). arms[0] should be the reference. Every result is independent of batch, threads
// and chunk size.
RunnerResult RunArms(const Graph& graph, const Weights& weights, std::span<const Arm> arms,
                     ImageSource& source, std::span<Tap* const> taps, const RunnerOptions& options);

}  // namespace w8a8
