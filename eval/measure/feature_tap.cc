#include "eval/measure/feature_tap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Rows [image * rows, (image + 1) * rows) of a view whose rows lie without gaps.
template <class T>
std::span<const T> RowsOfImage(MatView<const T> view, size_t image, int64_t rows) {
  W8A8_CHECK(view.stride == view.cols);
  return {view.row(static_cast<int64_t>(image) * rows), static_cast<size_t>(rows * view.cols)};
}

std::vector<float> Widened(std::span<const Half> values) {
  std::vector<float> floats(values.size());
  ToFloat(values, floats);
  return floats;
}

}  // namespace

void FeatureStore::AddSample(const SampleKey& sample) {
  const std::lock_guard lock(mutex_);
  W8A8_CHECK(elements_.try_emplace(sample, elements_.size()).second);
  for (auto& [name, tensor] : tensors_) {
    tensor.bytes.resize(elements_.size() * tensor.sample_bytes);
  }
}

FeatureStore::Tensor& FeatureStore::Declared(const std::string& name, Dtype dtype,
                                             const std::vector<int64_t>& shape) {
  const auto [place, is_new] = tensors_.try_emplace(name, Tensor{dtype, shape});
  Tensor& tensor = place->second;
  W8A8_CHECK(tensor.dtype == dtype && tensor.shape == shape);
  if (!is_new) return tensor;
  tensor.sample_bytes = static_cast<size_t>(DtypeBits(dtype)) / 8;
  for (const int64_t side : shape) tensor.sample_bytes *= static_cast<size_t>(side);
  tensor.bytes.resize(elements_.size() * tensor.sample_bytes);
  return tensor;
}

void FeatureStore::Declare(const std::string& name, Dtype dtype,
                           const std::vector<int64_t>& shape) {
  const std::lock_guard lock(mutex_);
  Declared(name, dtype, shape);
}

void FeatureStore::PutBytes(const std::string& name, Dtype dtype, const std::vector<int64_t>& shape,
                            const SampleKey& sample, std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  Tensor& tensor = Declared(name, dtype, shape);
  W8A8_CHECK(bytes.size() <= tensor.sample_bytes);
  std::ranges::copy(bytes, tensor.bytes.data() + elements_.at(sample) * tensor.sample_bytes);
}

void FeatureStore::PutSharedBytes(const std::string& name, Dtype dtype,
                                  std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  shared_[name] = {dtype, {}, bytes.size(), {bytes.begin(), bytes.end()}};
}

void FeatureStore::AddTo(SafetensorsWriter& writer) const {
  for (const auto& [name, tensor] : tensors_) {
    std::vector<int64_t> shape = {std::ssize(elements_)};
    shape.insert(shape.end(), tensor.shape.begin(), tensor.shape.end());
    writer.Add(name, tensor.dtype, std::move(shape), std::span<const std::byte>(tensor.bytes));
  }
  for (const auto& [name, value] : shared_) {
    writer.Add(name, value.dtype, {1}, std::span<const std::byte>(value.bytes));
  }
}

FeatureTap::FeatureTap(const Graph& graph, const Arm& arm, FeatureSelection selection,
                       FeatureStore* store)
    : graph_(graph), selection_(std::move(selection)), store_(store) {
  for (const Node& node : graph.nodes) {
    if (selection_.sites.contains(node.site) && graph.IsRouted(node.site)) DeclareExpert(node, arm);
  }
}

void FeatureTap::DeclareExpert(const Node& node, const Arm& arm) {
  const int64_t k = graph_.slot(node.in).cols, n = graph_.slot(node.out).cols;
  const int64_t rows = graph_.slot(graph_.stream).rows;
  const std::string prefix = fmt::format("taps.{}.", node.site);
  store_->Declare(prefix + "input", Dtype::kF16, {rows, k});
  store_->Declare(prefix + "output", Dtype::kF16, {rows, n});
  const auto plan = arm.plan.sites.find(node.site);
  if (arm.precision == Precision::kFp16 || plan == arm.plan.sites.end()) return;
  DeclareTrace(prefix, Normalized(plan->second, k), arm, k, n);
}

void FeatureTap::DeclareTrace(const std::string& prefix, const SitePlan& plan, const Arm& arm,
                              int64_t k, int64_t n) {
  const int64_t rows = graph_.slot(graph_.stream).rows;
  if (plan.output) store_->Declare(prefix + "output_codes", Dtype::kI8, {rows, n});
  if (!plan.smoothing.empty() || plan.rotation) {
    store_->Declare(prefix + "transformed", Dtype::kF32, {rows, k});
  }
  // vllm-static leaves sides alone and rounds scales: only its own rows tell.
  const bool fake = arm.precision == Precision::kFake;
  if (!plan.input || !plan.weight || (fake && IsVllmStatic(arm.flavour))) return;
  store_->Declare(prefix + "codes", Dtype::kI8, {rows, k});
  if (!fake) {
    const int64_t group = ProductGroup(plan, k), groups = (k + group - 1) / group;
    store_->Declare(prefix + "acc", Dtype::kI32,
                    groups > 1 ? std::vector{groups, rows, n} : std::vector{rows, n});
  }
  DeclareScales(prefix, *plan.input, k);
}

void FeatureTap::DeclareScales(const std::string& prefix, const Quantizer& input, int64_t k) {
  if (input.is_static()) {
    store_->PutShared<float>(prefix + "input_scale", Dtype::kF32, input.scale);
    if (input.symmetric) return;
    return store_->PutShared<int32_t>(prefix + "input_zero_point", Dtype::kI32, input.zero_point);
  }
  const int64_t rows = graph_.slot(graph_.stream).rows, groups = input.GroupsOf(k);
  store_->Declare(prefix + "input_scale", Dtype::kF32,
                  groups > 1 ? std::vector{rows, groups} : std::vector{rows});
  if (!input.symmetric) store_->Declare(prefix + "input_zero_point", Dtype::kI32, {rows});
}

void FeatureTap::OnStream(const StreamEvent& event) {
  if (event.floats.rows > 0) return PutStream(event, event.floats, Dtype::kF32);
  PutStream(event, event.half, Dtype::kF16);
}

template <class T>
void FeatureTap::PutStream(const StreamEvent& event, MatView<const T> stream, Dtype dtype) {
  const int64_t most_rows = graph_.slot(graph_.stream).rows;
  const int64_t rows = stream.rows / static_cast<int64_t>(event.samples.size());
  uint64_t nonfinite = 0;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const std::span<const T> values = RowsOfImage(stream, i, rows);
    nonfinite += static_cast<uint64_t>(
        std::count_if(values.begin(), values.end(), [](T value) { return !IsFinite(value); }));
    if (selection_.layers.contains(event.stage)) {
      store_->Put(fmt::format("hidden_states.{}", event.stage), dtype, {most_rows, stream.cols},
                  *event.samples[i].key, values);
    }
  }
  if (nonfinite == 0) return;
  const std::lock_guard lock(mutex_);
  nonfinite_[event.stage] += nonfinite;
}

// Of images on grids of their own the rest is zeros: nobody attends there.
void FeatureTap::OnAttention(AttentionEvent& event) {
  const int64_t heads = graph_.config.heads, keys = event.probabilities.cols;
  const int64_t most = graph_.slot(graph_.stream).rows;
  const int64_t rows = event.probabilities.rows / static_cast<int64_t>(event.samples.size());
  const int64_t queries = rows / heads;
  std::vector<float> padded(static_cast<size_t>(heads * most * most), 0.0f);
  for (size_t i = 0; i < event.samples.size(); ++i) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = event.probabilities.row(static_cast<int64_t>(i) * rows + row);
      const int64_t to = (row / queries * most + row % queries) * most;
      std::copy_n(from, keys, padded.data() + to);
    }
    store_->Put(fmt::format("attentions.{}", event.block), Dtype::kF32, {heads, most, most},
                *event.samples[i].key, std::span<const float>(padded));
  }
}

void FeatureTap::OnOutputs(const OutputEvent& event) {
  const int64_t most_rows = graph_.slot(graph_.tokens).rows;
  const int64_t rows = event.tokens.rows / static_cast<int64_t>(event.samples.size());
  const auto put_row = [&](const char* name, MatView<const Half> view, size_t i) {
    if (view.rows == 0) return;
    store_->Put(name, Dtype::kF32, {view.cols}, *event.samples[i].key,
                std::span<const float>(Widened(RowsOfImage(view, i, 1))));
  };
  for (size_t i = 0; i < event.samples.size(); ++i) {
    store_->Put("last_hidden_state", Dtype::kF16, {most_rows, event.tokens.cols},
                *event.samples[i].key, RowsOfImage(event.tokens, i, rows));
    put_row("pooler_output", event.pooled, i);
    put_row("image_embeds", event.image_embeds, i);
    put_row("logits", event.logits, i);
  }
}

void FeatureTap::OnRouting(const RoutingEvent& event) {
  const int64_t most_rows = graph_.slot(graph_.stream).rows;
  const int64_t chosen = graph_.config.mixture.chosen;
  const int64_t rows = event.weights.rows / static_cast<int64_t>(event.samples.size());
  for (size_t i = 0; i < event.samples.size(); ++i) {
    std::vector<int32_t> experts(static_cast<size_t>(most_rows * chosen), -1);
    std::vector<float> weights(experts.size(), 0.0f);
    for (int64_t token = 0; token < rows; ++token) {
      const float* row = event.weights.row(static_cast<int64_t>(i) * rows + token);
      auto place = static_cast<size_t>(token * chosen);
      for (int64_t e = 0; e < event.weights.cols; ++e) {
        if (row[e] == kNotRouted) continue;
        experts[place] = static_cast<int32_t>(e);
        weights[place++] = row[e];
      }
    }
    const SampleKey& sample = *event.samples[i].key;
    const std::string prefix = fmt::format("routing.{}.", event.block);
    store_->Put(prefix + "experts", Dtype::kI32, {most_rows, chosen}, sample,
                std::span<const int32_t>(experts));
    store_->Put(prefix + "weights", Dtype::kF32, {most_rows, chosen}, sample,
                std::span<const float>(weights));
  }
}

void FeatureTap::OnLinear(LinearEvent& event) {
  const std::string prefix = fmt::format("taps.{}.", *event.site);
  PutRows(event, prefix + "input", Dtype::kF16, event.input, {event.input.cols});
  PutRows(event, prefix + "output", Dtype::kF16, event.output, {event.output.cols});
  if (event.trace) PutTrace(event, *event.trace, prefix);
}

void FeatureTap::PutTrace(const LinearEvent& event, const LinearTrace& trace,
                          const std::string& prefix) {
  const auto put = [&]<class T>(const char* name, Dtype dtype, MatView<T> view) {
    if (view.rows > 0) {
      PutRows(event, prefix + name, dtype, MatView<const T>(view), {view.cols});
    }
  };
  put("codes", Dtype::kI8, trace.codes.view());
  put("transformed", Dtype::kF32, trace.transformed.view());
  put("output_codes", Dtype::kI8, trace.output_codes.view());
  const MatView<const int32_t> acc = trace.acc.view();
  const int64_t groups = acc.rows / std::max<int64_t>(1, trace.codes.view().rows);
  if (groups > 1) {
    PutGroups(event, prefix + "acc", acc, groups);
  } else {
    put("acc", Dtype::kI32, trace.acc.view());
  }
  PutScales(event, trace.input_scale, prefix);
  if (!trace.input_scale.second_values.empty()) PutSecondCodes(event, trace, prefix);
}

void FeatureTap::PutScales(const LinearEvent& event, const RowScales& scales,
                           const std::string& prefix) {
  if (scales.shared) {
    store_->PutShared<float>(prefix + "input_scale", Dtype::kF32, scales.values.front());
    if (scales.zero_points.empty()) return;
    return store_->PutShared<int32_t>(prefix + "input_zero_point", Dtype::kI32,
                                      scales.zero_points.front());
  }
  if (scales.values.empty()) return;
  const int64_t groups = scales.groups;
  const std::vector<int64_t> shape = groups > 1 ? std::vector{groups} : std::vector<int64_t>();
  PutRows(event, prefix + "input_scale", Dtype::kF32,
          MatView<const float>{scales.values.data(), scales.count() / groups, groups, groups},
          shape);
  if (scales.zero_points.empty()) return;
  PutRows(event, prefix + "input_zero_point", Dtype::kI32,
          MatView<const int32_t>{scales.zero_points.data(), std::ssize(scales.zero_points), 1, 1},
          {});
}

// Of each image's first row; they stand after all rows.
void FeatureTap::PutSecondCodes(const LinearEvent& event, const LinearTrace& trace,
                                const std::string& prefix) {
  const std::vector<float>& scales = trace.input_scale.second_values;
  const MatView<const int8_t> codes = trace.codes.view();
  const MatView<const int32_t> acc = trace.acc.view();
  for (size_t i = 0; i < scales.size(); ++i) {
    const SampleKey& sample = *event.samples[i].key;
    const int64_t row = event.input.rows + static_cast<int64_t>(i);
    store_->Put(prefix + "second_input_scale", Dtype::kF32, {}, sample,
                std::span(scales).subspan(i, 1));
    store_->Put(prefix + "second_codes", Dtype::kI8, {codes.cols}, sample, codes.row_span(row));
    if (acc.rows == 0) continue;
    store_->Put(prefix + "second_acc", Dtype::kI32, {acc.cols}, sample, acc.row_span(row));
  }
}

// [groups * rows, cols], group by group, as [groups, tokens, cols] of each sample.
void FeatureTap::PutGroups(const LinearEvent& event, const std::string& name,
                           MatView<const int32_t> view, int64_t groups) {
  const int64_t most_rows = graph_.slot(graph_.stream).rows;
  const int64_t rows_of_group = view.rows / groups;
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SampleRows rows = RowsOf(event, i);
    std::vector<int32_t> placed(static_cast<size_t>(groups * most_rows * view.cols));
    for (int64_t row = 0; row < groups * rows.count; ++row) {
      const int64_t group = row / rows.count, own = row % rows.count;
      const int64_t token =
          rows.tokens.empty() ? own : int64_t{rows.tokens[static_cast<size_t>(own)]};
      std::copy_n(view.row(group * rows_of_group + rows.first + own), view.cols,
                  placed.data() + (group * most_rows + token) * view.cols);
    }
    store_->Put(name, Dtype::kI32, {groups, most_rows, view.cols}, *event.samples[i].key,
                std::span<const int32_t>(placed));
  }
}

template <class T>
void FeatureTap::PutRows(const LinearEvent& event, const std::string& name, Dtype dtype,
                         MatView<const T> view, std::vector<int64_t> row_shape) {
  W8A8_CHECK(view.stride == view.cols);
  const int64_t most_rows = graph_.slot(graph_.stream).rows;
  std::vector<int64_t> shape = {most_rows};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  for (size_t i = 0; i < event.samples.size(); ++i) {
    const SampleRows rows = RowsOf(event, i);
    const auto size = [&](int64_t count) { return static_cast<size_t>(count * view.cols); };
    if (rows.tokens.empty()) {
      store_->Put(name, dtype, shape, *event.samples[i].key,
                  std::span<const T>(view.row(rows.first), size(rows.count)));
      continue;
    }
    std::vector<T> placed(size(most_rows));
    for (size_t r = 0; r < rows.tokens.size(); ++r) {
      std::copy_n(view.row(rows.first + static_cast<int64_t>(r)), view.cols,
                  placed.data() + size(rows.tokens[r]));
    }
    store_->Put(name, dtype, shape, *event.samples[i].key, std::span<const T>(placed));
  }
}

}  // namespace w8a8
