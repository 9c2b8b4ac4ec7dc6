// The calibration pass: every site's input, observed by its SiteStatistics.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "calib/site_statistics.h"
#include "eval/run/tap.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Of a linear layer: outputs cost as much memory again, and only static output scales need them.
enum class Observed { kInputs, kInputsAndOutputs };

// Watches arms[0]. Each worker fills statistics of its own while it is in one stage and then adds
// them to those of all: a worker costs the memory of one stage, whatever the number of stages. The
// values are the same for any split of the images.
class StatisticsTap final : public Tap {
 public:
  StatisticsTap(const Graph& graph, int workers, uint64_t seed,
                Observed observed = Observed::kInputs);

  bool WantsLinear(int arm, const std::string& /*site*/) const override { return arm == 0; }
  bool CountsOnDevice() const override { return true; }
  void OnLinear(LinearEvent& event) override;

  // Of every site; one that got no row (an expert that no token chose) has zeros.
  std::map<std::string, SiteStatistics> Take();

  // For a live line: the largest magnitude so far and its site, "abs-max 570 at blocks.9.mlp.fc2".
  std::string LargestText() const;

 private:
  struct Extent {
    int64_t channels = 0;
    int64_t tokens = 0;
  };
  struct Worker {
    int stage = 0;
    std::map<std::string, SiteStatistics> sites;  // of that stage
  };

  RowKeys KeysOf(const Sample& sample, const Extent& extent) const;
  void Observe(const LinearEvent& event, const Extent& extent, SiteStatistics* statistics) const;
  // The same where the device counts.
  void ObserveCounts(const LinearEvent& event, const Extent& extent,
                     SiteStatistics* statistics) const;
  void NoteLargest(const std::string& site, const SiteStatistics& statistics);
  void Flush(Worker& worker);

  const uint64_t seed_;
  const Observed observed_;
  std::map<std::string, Extent> extents_;  // by site
  std::vector<Worker> workers_;
  mutable std::mutex mutex_;  // of the three below
  std::map<std::string, SiteStatistics> all_;
  float largest_ = 0;
  std::string largest_site_;
};

}  // namespace w8a8
