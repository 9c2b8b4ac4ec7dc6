// One linear layer as a graph of its own, so that it runs by the same lowering and steps as the
// layers of a whole encoder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// The graph of `site` alone, whose weights go by the same name; the rows are one image's. Its slots
// are Lowering::kLayerIn and kLayerOut, the latter stored as `out`.
Graph SingleLayerGraph(const std::string& site, int64_t rows, int64_t k, int64_t n,
                       SlotStorage out = SlotStorage::kHalf);

// The weights of such a graph, where they are no checkpoint's.
class SingleLayerWeights final : public Weights {
 public:
  explicit SingleLayerWeights(LinearParameters parameters) : parameters_(std::move(parameters)) {}

  LinearParameters Linear(const std::string&) const override { return parameters_; }
  std::vector<float> Vector(const std::string&, const char*) const override { return {}; }
  const EncoderWeights& checkpoint() const override;  // there is none: never called

 private:
  LinearParameters parameters_;
};

}  // namespace w8a8
