#include "eval/job/reference_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "eval/run/tap.h"

namespace w8a8 {
namespace {

constexpr size_t kSitesNamedAtMost = 8;

// Inputs of a layer, by sample and token.
using RowsOfTokens = std::map<std::pair<SampleKey, int64_t>, std::vector<Half>>;

// What one pass of the reference showed.
struct Observation {
  std::map<std::string, uint64_t> nonfinite_outputs;  // by site
  std::map<int, uint64_t> nonfinite_stream;           // by stage
  std::map<std::string, RowsOfTokens> rows;           // by site; none where no row was sampled
};

template <class T>
uint64_t CountNonFinite(MatView<const T> values) {
  uint64_t count = 0;
  for (int64_t row = 0; row < values.rows; ++row) {
    const T* first = values.row(row);
    count += static_cast<uint64_t>(
        std::count_if(first, first + values.cols, [](T value) { return !IsFinite(value); }));
  }
  return count;
}

// Of `tokens`, whether this one is among `sampled` that lie evenly.
bool IsSampled(int64_t token, int64_t tokens, int64_t sampled) {
  return (token * sampled + tokens - 1) / tokens * tokens / sampled == token;
}

class ReferenceTap final : public Tap {
 public:
  explicit ReferenceTap(const Graph& graph) : graph_(graph) {}

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return true; }

  void OnLinear(LinearEvent& event) override {
    const uint64_t nonfinite = CountNonFinite(event.output);
    const std::lock_guard lock(mutex_);
    if (nonfinite > 0) seen_.nonfinite_outputs[*event.site] += nonfinite;
    for (size_t i = 0; i < event.samples.size(); ++i) {
      const SampleRows own = RowsOf(event, i);
      for (int64_t r = 0; r < own.count; ++r) {
        const int64_t token = own.tokens.empty() ? r : own.tokens[static_cast<size_t>(r)];
        if (!Wants(event, own, token)) continue;
        const std::span<const Half> row = event.input.row_span(own.first + r);
        seen_.rows[*event.site][{*event.samples[i].key, token}].assign(row.begin(), row.end());
      }
    }
  }

  void OnStream(const StreamEvent& event) override {
    const uint64_t nonfinite = CountNonFinite(event.half) + CountNonFinite(event.floats);
    const std::lock_guard lock(mutex_);
    if (nonfinite > 0) seen_.nonfinite_stream[event.stage] += nonfinite;
  }

  Observation Take() { return std::move(seen_); }

 private:
  // Of an expert as many rows as of any layer, where all experts get as many; the same tokens in
  // each pass, whichever others come to it.
  bool Wants(const LinearEvent& event, const SampleRows& own, int64_t token) const {
    const MixtureConfig& mixture = graph_.config.mixture;
    const bool routed = !event.owners.empty();
    const int64_t tokens = routed ? graph_.slot(graph_.stream).rows : own.count;
    const int64_t sampled =
        routed ? kReferenceRows * mixture.experts / mixture.chosen : kReferenceRows;
    return IsSampled(token, tokens, std::min(sampled, tokens));
  }

  const Graph& graph_;
  std::mutex mutex_;
  Observation seen_;
};

// The same few images for both passes.
class HeldImages final : public ImageSource {
 public:
  explicit HeldImages(const std::vector<InputImage>& images) : images_(images) {}
  std::optional<InputImage> Next() override {
    if (next_ == images_.size()) return std::nullopt;
    return images_[next_++];
  }

 private:
  const std::vector<InputImage>& images_;
  size_t next_ = 0;
};

Observation Observe(const Session& session, const Graph& graph,
                    const std::vector<InputImage>& images, const RunnerOptions& runner) {
  HeldImages source(images);
  ReferenceTap tap(graph);
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&tap};
  RunArms(graph, *session.weights, {&reference, 1}, source, taps, runner);
  return tap.Take();
}

const Remedy kWiderResidual{Setting::kResidual, "fp32"};

ReferenceNote StreamOverflow(const Graph& graph, int stage, uint64_t count) {
  const bool half = graph.slot(graph.stream).storage == SlotStorage::kHalf;
  const bool read = stage < graph.config.blocks;
  ReferenceNote overflow;
  overflow.note = {
      .level = "warning",
      .site = read ? SiteName(stage, "attn.qkv") : "",
      .text = fmt::format("{} values of the residual stream {} are not finite: {}", count,
                          read ? "that enters this block" : "behind the last block",
                          half ? "it passes FP16's 65,504."
                               : "not even a binary32 residual holds this "
                                 "checkpoint.")};
  if (half) overflow.remedy = kWiderResidual;
  return overflow;
}

// The first place where a value stops being finite; everything behind it follows from it.
std::vector<ReferenceNote> Overflows(const Graph& graph, const Observation& seen) {
  const auto stream = seen.nonfinite_stream.begin();
  const int stream_stage =
      stream == seen.nonfinite_stream.end() ? static_cast<int>(graph.stages.size()) : stream->first;
  const std::map<std::string, int> stages = graph.StagesOfSites();
  for (const std::string& site : graph.Sites()) {
    const auto found = seen.nonfinite_outputs.find(site);
    if (found == seen.nonfinite_outputs.end() || stages.at(site) > stream_stage) continue;
    return {{.note = {.level = "warning",
                      .site = site,
                      .text = fmt::format("{} of its FP16 outputs are not finite: the layer itself "
                                          "passes 65,504, which a binary32 residual does not mend.",
                                          found->second)},
             .remedy = std::nullopt}};
  }
  if (stream == seen.nonfinite_stream.end()) return {};
  return {StreamOverflow(graph, stream->first, stream->second)};
}

// Relative L2 of the sampled rows that both have; elements that are not finite in either are left
// out.
double Disagreement(const RowsOfTokens& half, const RowsOfTokens& wide) {
  double error = 0;
  double size = 0;
  for (const auto& [token, expected] : wide) {
    const auto found = half.find(token);
    if (found == half.end()) continue;
    const std::vector<Half>& actual = found->second;
    for (size_t i = 0; i < expected.size(); ++i) {
      if (!IsFinite(expected[i]) || !IsFinite(actual[i])) continue;
      const double a = ToFloat(actual[i]);
      const double e = ToFloat(expected[i]);
      error += (a - e) * (a - e);
      size += e * e;
    }
  }
  return size > 0 ? std::sqrt(error / size) : 0;
}

std::vector<ReferenceNote> LostDigits(const Graph& graph, Observation& half, Observation& wide) {
  std::vector<std::pair<double, std::string>> above;
  const std::vector<std::string> sites = graph.Sites();
  for (const std::string& site : sites) {
    const double difference = Disagreement(half.rows[site], wide.rows[site]);
    if (difference > kReferenceLimit) above.emplace_back(difference, site);
  }
  std::stable_sort(above.begin(), above.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<ReferenceNote> notes;
  for (size_t i = 0; i < std::min(above.size(), kSitesNamedAtMost); ++i) {
    notes.push_back(
        {.note = {.level = "warning",
                  .site = above[i].second,
                  .text = fmt::format("its FP16 input differs by {:.1f} % from that of a binary32 "
                                      "residual ({} of {} sites differ by more than {:.0f} %).",
                                      100 * above[i].first, above.size(), sites.size(),
                                      100 * kReferenceLimit)},
         .remedy = kWiderResidual});
  }
  return notes;
}

// What of the arithmetic makes the reference unsound, over `images`.
std::vector<ReferenceNote> NotesOf(const Session& session, const std::vector<InputImage>& images,
                                   const RunnerOptions& runner) {
  const Graph& graph = session.graph;
  Observation seen = Observe(session, graph, images, runner);
  std::vector<ReferenceNote> notes = Overflows(graph, seen);
  const Slot& stream = graph.slot(graph.stream);
  if (stream.storage == SlotStorage::kFloat || !notes.empty()) return notes;
  const Graph wide = BuildGraph(session.config, SlotStorage::kFloat);
  Observation wide_seen = Observe(session, wide, images, runner);
  return LostDigits(graph, seen, wide_seen);
}

}  // namespace

std::vector<ReferenceNote> CheckReference(const Session& session, ImageSource& images,
                                          const RunnerOptions& runner) {
  std::vector<InputImage> held;
  while (static_cast<int64_t>(held.size()) < kReferenceImages) {
    std::optional<InputImage> image = images.Next();
    if (!image) break;
    held.push_back(std::move(*image));
  }
  std::vector<ReferenceNote> notes;
  if (!held.empty()) notes = NotesOf(session, held, runner);
  if (session.weights->quantized()) {
    notes.push_back(
        {.note = {.level = "note",
                  .site = "",
                  .text = "this checkpoint is INT8 already: the FP16 reference computes with its "
                          "dequantized weights, so no figure shows what quantizing them cost. "
                          "Give the original checkpoint to see it."},
         .remedy = std::nullopt});
  }
  return notes;
}

}  // namespace w8a8
