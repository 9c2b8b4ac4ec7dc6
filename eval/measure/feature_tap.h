// Collects what `encode` writes: hidden states, outputs, pixels and what passes single sites.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/run/arm.h"
#include "eval/run/tap.h"
#include "runtime/base/safetensors.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Tensors that grow by sample: the i-th of them fills element i of the first dimension.
// Thread-safe.
class FeatureStore {
 public:
  // Gives the sample its element, in the order of the calls.
  void AddSample(const SampleKey& sample);
  // A tensor that holds zeros of every sample that none are put for. `shape` is one sample's.
  void Declare(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape);
  // `values` has as many elements as `shape`, or fewer and zeros follow (an image of fewer tokens
  // than others). The sample was added.
  template <class T>
  void Put(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape,
           const SampleKey& sample, std::span<const T> values) {
    PutBytes(name, dtype, shape, sample, std::as_bytes(values));
  }
  // A value that all images share, as a tensor of one element.
  template <class T>
  void PutShared(const std::string& name, Dtype dtype, const T& value) {
    PutSharedBytes(name, dtype, std::as_bytes(std::span(&value, 1)));
  }

  // The tensors; the store must outlive writer.Write().
  void AddTo(SafetensorsWriter& writer) const;
  size_t tensors() const { return tensors_.size() + shared_.size(); }

 private:
  struct Tensor {
    Dtype dtype;
    std::vector<int64_t> shape;
    size_t sample_bytes = 0;
    std::vector<std::byte> bytes = {};  // of all samples that were added
  };
  Tensor& Declared(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape);
  void PutBytes(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape,
                const SampleKey& sample, std::span<const std::byte> bytes);

  void PutSharedBytes(const std::string& name, Dtype dtype, std::span<const std::byte> bytes);

  std::mutex mutex_;
  std::map<SampleKey, size_t> elements_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, Tensor> shared_;
};

// What to collect beside the outputs, which are always collected.
struct FeatureSelection {
  std::set<int64_t> layers;  // hidden_states.{i}: 0 enters block 0, i leaves block i - 1
  // taps.{site}.*: input, output, and what the arm has of codes, input_scale, input_zero_point,
  // acc [images, tokens, N] (with groups [images, groups, tokens, N]), transformed, output_codes,
  // and of each image's first row second_codes, second_input_scale, second_acc. Of an expert all
  // tokens too, zeros where it did not run.
  std::set<std::string> sites;
  bool attentions = false;  // attentions.{i}: probabilities of block i
  // Always, of a block with experts: routing.{i}.experts [images, tokens, chosen], ascending, and
  // their routing.{i}.weights; -1 and 0 for padding.
};

// Watches arm 0.
class FeatureTap final : public Tap {
 public:
  // `graph` and `store` outlive the tap; `arm` is the one that runs.
  FeatureTap(const Graph& graph, const Arm& arm, FeatureSelection selection, FeatureStore* store);

  bool WantsLinear(int /*arm*/, const std::string& site) const override {
    return selection_.sites.contains(site);
  }
  bool WantsTrace(int /*arm*/) const override { return !selection_.sites.empty(); }
  bool WantsProbabilities(int /*arm*/) const override { return selection_.attentions; }
  void OnLinear(LinearEvent& event) override;
  void OnStream(const StreamEvent& event) override;
  void OnAttention(AttentionEvent& event) override;
  void OnRouting(const RoutingEvent& event) override;
  void OnOutputs(const OutputEvent& event) override;

  // Values that are not finite, by the hidden state that they were met in.
  std::map<int64_t, uint64_t> nonfinite() const { return nonfinite_; }

 private:
  // Zeros of what the arm would show of an expert, should no token come to it.
  void DeclareExpert(const Node& node, const Arm& arm);
  void DeclareTrace(const std::string& prefix, const SitePlan& plan, const Arm& arm, int64_t k,
                    int64_t n);
  void DeclareScales(const std::string& prefix, const Quantizer& input, int64_t k);
  void PutTrace(const LinearEvent& event, const LinearTrace& trace, const std::string& prefix);
  void PutScales(const LinearEvent& event, const RowScales& scales, const std::string& prefix);
  void PutSecondCodes(const LinearEvent& event, const LinearTrace& trace,
                      const std::string& prefix);
  void PutGroups(const LinearEvent& event, const std::string& name, MatView<const int32_t> view,
                 int64_t groups);
  template <class T>
  void PutStream(const StreamEvent& event, MatView<const T> stream, Dtype dtype);
  // Each row at the place of its token, zeros where there is none.
  template <class T>
  void PutRows(const LinearEvent& event, const std::string& name, Dtype dtype,
               MatView<const T> view, std::vector<int64_t> row_shape);

  const Graph& graph_;
  const FeatureSelection selection_;
  FeatureStore* const store_;
  std::mutex mutex_;
  std::map<int64_t, uint64_t> nonfinite_;
};

}  // namespace w8a8
