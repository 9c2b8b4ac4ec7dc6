#include "eval/run/shared_stages.h"

#include <string>

namespace w8a8 {
namespace {

// How an arm quantizes a site; nullptr: it stays FP16.
const SitePlan* PlanOf(const Arm& arm, const std::string& site) {
  if (arm.precision == Precision::kFp16) return nullptr;
  const auto found = arm.plan.sites.find(site);
  return found == arm.plan.sites.end() ? nullptr : &found->second;
}

class Sharing {
 public:
  Sharing(const Graph& graph, std::span<const Arm> arms, const std::vector<bool>& traced)
      : graph_(graph), arms_(arms), traced_(traced) {}

  // `before`: the leaders of the stage before; of the first stage all follow arm 0.
  Leaders Next(const Stage& stage, const Leaders& before) const {
    Leaders leaders;
    for (size_t arm = 0; arm < arms_.size(); ++arm) {
      size_t leader = before[arm];
      while (leader < arm && !(leaders[leader] == leader && before[leader] == before[arm] &&
                               SameSteps(stage, leader, arm))) {
        ++leader;
      }
      leaders.push_back(leader);
    }
    return leaders;
  }

 private:
  // Whether the two arms lower to the same steps in `stage`.
  bool SameSteps(const Stage& stage, size_t first, size_t second) const {
    for (int32_t n = stage.first_node; n < stage.last_node; ++n) {
      const Node& node = graph_.nodes[static_cast<size_t>(n)];
      const bool attends = node.kind == NodeKind::kAttention;
      if (attends && !SameAttention(arms_[first], arms_[second])) return false;
      const std::string& site = node.site;
      if (site.empty()) continue;
      const SitePlan* const a = PlanOf(arms_[first], site);
      const SitePlan* const b = PlanOf(arms_[second], site);
      if (a == nullptr && b == nullptr) continue;
      if (a == nullptr || b == nullptr) return false;
      if (!SameArithmetic(arms_[first], arms_[second])) return false;
      if (!(AsRun(arms_[first], *a) == AsRun(arms_[second], *b))) return false;
      if (traced_[first] != traced_[second]) return false;
    }
    return true;
  }

  const Graph& graph_;
  const std::span<const Arm> arms_;
  const std::vector<bool>& traced_;
};

}  // namespace

std::vector<Leaders> LeadersOfStages(const Graph& graph, std::span<const Arm> arms,
                                     const std::vector<bool>& traced) {
  const Sharing sharing(graph, arms, traced);
  std::vector<Leaders> stages;
  for (const Stage& stage : graph.stages) {
    stages.push_back(sharing.Next(stage, stages.empty() ? Leaders(arms.size(), 0) : stages.back()));
  }
  return stages;
}

size_t CountLeaders(const Leaders& leaders) {
  size_t count = 0;
  for (size_t arm = 0; arm < leaders.size(); ++arm) count += leaders[arm] == arm ? 1 : 0;
  return count;
}

}  // namespace w8a8
