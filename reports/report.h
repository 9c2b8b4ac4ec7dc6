// One value with everything that a comparison found out. Three writers (json_writer.h,
// hdf5_writer.h, html_writer.h) show the same numbers; none computes any. What the fields of a
// record are called and how they are shown is said once, in describe.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reports/estimate.h"
#include "reports/facts.h"
#include "reports/site_card.h"
#include "reports/words.h"

namespace w8a8 {

struct Verdict {
  Ship ship = Ship::kUndecided;
  std::optional<ArmRef> arm;       // the arm it is about
  std::string text;                // one sentence with the threshold and the interval
  std::vector<std::string> notes;  // what it and the figures stand on, sentences
};

struct ArmReport {
  std::string name;  // "int8/per-token/inf", "fake/plan"
  Precision precision = Precision::kFp16;
  std::optional<std::string> flavour;       // of a fake arm
  std::optional<InputScaling> granularity;  // none for fp16
  std::optional<double> clip_range;         // none: no clip, or not one number for all sites
  bool chosen = false;                      // computes the plan that the report is about
  std::optional<PlanPart> part;             // computes this part of that plan
  // One way of quantizing every site, by its name ("w4a8-g128"); empty: no scheme, or more than
  // one. What compressed-tensors and vLLM call it; empty: as little known.
  std::string scheme, compressed_tensors, vllm;
  std::string label;  // what people call this arm, "CLIP_RANGE = 5"; named arms head the page
  std::map<std::string, OutputErrors> outputs;
  std::optional<Estimate> top1, top5, agreement;  // fractions
  std::optional<uint64_t> weight_bytes;           // what the encoder's weights take on disk
  // Of all tokens in blocks with experts, the fraction whose set of experts is not the reference's;
  // none: there are no experts, or it is the reference.
  std::optional<double> routing_changed = {};
};

// The error of one linear layer's output in one arm.
struct SiteReport {
  SiteRef site;
  ArmRef arm;
  View view = View::kTeacherForced;
  std::optional<int64_t> block;  // for the axis of the plot; sites without one stand in order
  double sqnr_db = kUndefined;
  bool exact = false;
  double relative_l2 = kUndefined;
  double cosine = kUndefined;
  double max_abs = kUndefined;
  double mean_error = kUndefined;
  double saturation = kUndefined;     // fraction of the input's elements
  double input_sqnr_db = kUndefined;  // of the input as quantized
  // Noise power of the layer's output where its weights alone are quantized, as a share of the
  // arm's: near 1 the weights cost the error, near 0 the activations do. Errors may cancel, so it
  // can pass 1. None: no arm of the report tells, or there is no error.
  std::optional<double> weight_share = {};
  uint64_t nonfinite = 0;  // elements left out because they are NaN or infinite
};

// The error of attention's output in one arm: of a block, or of the pooling head.
struct AttentionReport {
  std::optional<int64_t> block;  // none: the pooling head
  ArmRef arm;
  View view = View::kTeacherForced;
  double sqnr_db = kUndefined;
  bool exact = false;
  double relative_l2 = kUndefined;
  double cosine = kUndefined;
  double max_abs = kUndefined;
  double mean_error = kUndefined;
  uint64_t nonfinite = 0;  // elements left out because they are NaN or infinite
};

// How many codes are 0, 1, and 2 or more apart.
struct CodeDifferences {
  uint64_t none = 0, one = 0, more = 0;
};

// Numbers compared between the runtime and its emulation. The mismatches must be 0 and the numbers
// compared must not be. Float products (weight-only) have no defined bits: their outputs are
// compared apart, and a mismatch is one further off than two such products can be.
struct CheckCounts {
  uint64_t int32_compared = 0, int32_mismatches = 0;
  uint64_t codes_compared = 0, code_mismatches = 0;
  CodeDifferences code_differences;
  uint64_t outputs_compared = 0, output_mismatches = 0;
  uint64_t float_outputs_compared = 0, float_output_mismatches = 0;
  uint64_t nonfinite = 0;

  uint64_t mismatches() const {
    return int32_mismatches + code_mismatches + output_mismatches + float_output_mismatches;
  }
  bool Passed() const {
    const bool exact = int32_compared > 0 && codes_compared > 0 && outputs_compared > 0;
    return (exact || float_outputs_compared > 0) && mismatches() == 0;
  }
};

struct CheckedSite {
  SiteRef site;
  CheckCounts counts;
};

// What one check ran over; the totals and sites of ChecksReport are the sums over the passes.
struct CheckPass {
  std::string name;  // "int8/plan against emulated/plan"
  uint64_t images = 0;
  CheckCounts counts;
};

struct ChecksReport {
  CheckCounts total;
  std::vector<CheckedSite> sites;
  std::vector<CheckPass> passes;
};

// What an expert gets of the evaluation images, by the reference's router.
struct ExpertReport {
  int64_t block = 0, expert = 0;
  uint64_t tokens = 0;
  double share = kUndefined;  // tokens / all tokens; the shares of a block sum to the experts that
                              // run for a token
  uint64_t images = 0;        // that send it a token
  std::optional<uint64_t> calibration_tokens =
      {};                      // of the calibration images; none: there are none
  bool below_minimum = false;  // either count is below the number asked for
};

// The tokens of a block whose set of experts in an arm is not the reference's.
struct RoutingReport {
  ArmRef arm;
  int64_t block = 0;
  uint64_t tokens = 0;
  double routing_changed = kUndefined;  // fraction of them
};

struct SkippedFile {
  std::string file;
  std::string reason;
};

// How the chosen plan treats a site and what else was tried for it.
struct PlanCandidate {
  std::string rule;  // "abs-max", "percentile 99.99", "mse", "kl"
  double clip_range = kUndefined;
  double sqnr_db = kUndefined;  // teacher-forced
};

// A site that no row came to while calibrating, so that it has no static scale.
constexpr const char* kNoRows = "no rows";

struct PlanChoice {
  SiteRef site;
  InputScaling granularity = InputScaling::kFp16;
  std::string rule;  // one of the candidates, "no clip", or kNoRows of a site that stays FP16
  std::optional<double> clip_range;
  std::optional<double> scale;         // static scales only
  std::optional<double> zero_point;    // beside them, where there is one
  std::optional<double> output_scale;  // where the layer's outputs are quantized
  std::string layer;  // all of it: "weights 4 bits per-group 128; input per-token"; empty: FP16
  std::vector<PlanCandidate> candidates;
};

// Something about the reference, the data or the plan that a reader must know. `site` may be empty.
struct HealthNote {
  std::string level;  // "note", "warning"
  std::string site;
  std::string text;
};

struct Report {
  std::string title;  // the model's name
  Verdict verdict;
  Facts facts;           // tool, model, images, preprocessing, plan_sha256, ...
  SiteNames site_names;  // those of `sites` first, so that a SiteRef is a row of the page's table
  std::vector<ArmReport> arms;
  std::vector<SiteReport> sites;
  // Of the chosen arms, where their attention is not the reference's FP32; by arm, view and block.
  std::vector<AttentionReport> attention;
  ChecksReport checks;
  std::vector<ExpertReport> experts;   // by block and expert; empty: none has experts
  std::vector<RoutingReport> routing;  // of all arms but the reference, by arm and block
  uint64_t min_expert_tokens = 0;      // that an expert was asked to get; 0: there are none
  std::vector<SkippedFile> skipped_images;
  std::vector<PlanChoice> plan_choices;
  std::vector<HealthNote> health;
  std::vector<SiteCard> cards;           // in the order of the encoder
  std::vector<WorstImage> worst_images;  // worst first

  const ArmReport& operator[](ArmRef arm) const { return arms.at(arm.index); }
  const std::string& operator[](SiteRef site) const { return site_names[site]; }
};

struct StageTime {
  std::string name;
  double seconds = 0;
  double reference_forwards = 0;  // seconds as a multiple of one reference pass over the images
};

struct LatencyFigures {
  double ms_per_image = 0;
};

// What a site's layer takes in the reference and in the chosen INT8 arm, quantizing of its inputs
// included.
struct SiteLatency {
  std::string site;
  double fp16_ms = 0, int8_ms = 0;  // per image, on one thread
};

// A layer whose INT8 product saves less than a tenth of its time buys an error for nothing.
inline bool IsWorthQuantizing(const SiteLatency& latency) {
  return latency.int8_ms < 0.9 * latency.fp16_ms;
}

// What depends on the run. It stands in run.json, report.h5:/run and one marked section of the
// page, and nowhere else.
struct RunInfo {
  std::string command, host, device, kernels;
  // What of the kernel set multiplies FP16 values, runs the reference's attention and that of the
  // quantized arms: "FP32 FMA".
  std::string float_products, reference_attention, attention;
  int threads = 0;
  std::string started;  // ISO 8601 with the zone
  std::vector<StageTime> stages;
  uint64_t peak_memory_bytes = 0;
  // By precision ("fp16", "int8"), schemes and parts of the plan by their arm: "int8/w8a16".
  std::map<std::string, LatencyFigures> latency;
  std::vector<SiteLatency> site_latency;  // of the sites that the chosen arm quantizes
};

// Arms of one precision and granularity that differ in the clip range: one curve of the sweep.
struct SweepCurve {
  Precision precision;
  InputScaling granularity;
  std::vector<ArmRef> arms;  // by clip range, "no clip" last
};

// Those that have points, in a fixed order: int8 before fake, per-token before per-tensor.
std::vector<SweepCurve> SweepCurves(const Report& report);

// Whether an arm is one clip range, or none, for all its sites.
bool IsSweepPoint(const ArmReport& arm);

// Whether an arm is a point of the sweep that was asked for by a scheme's name.
bool IsSchemePoint(const ArmReport& arm);

// The output that figures about "the" error are read from: logits, else image_embeds, else pooled,
// else tokens; empty if no arm has any.
std::string MainOutput(const Report& report);

// The errors of an output of an arm; null where it has none, as the reference.
const OutputErrors* ErrorsOf(const ArmReport& arm, const std::string& output);

// The arm that is marked as chosen and has this precision.
std::optional<ArmRef> ChosenArm(const Report& report, Precision precision);
// The INT8 arm that has only this part of the chosen plan.
std::optional<ArmRef> PartArm(const Report& report, PlanPart part);
// "weights" or "activations": what makes most of the noise of a site; empty where that is unknown.
std::string_view CulpritOf(const SiteReport& site);

// Indices of the rows of `arm` and `view` in Report::sites, least SQNR first, at most `count`.
// Exact ones are no culprits.
std::vector<size_t> WorstSites(const Report& report, ArmRef arm, View view, size_t count);

}  // namespace w8a8
