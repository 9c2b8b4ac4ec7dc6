// The proof that the INT8 runtime computes what its specification says: codes, accumulators and
// outputs of every site, and every output of the encoder, of int8 against its emulated twin. Sites
// whose product is one of floats (weight-only, FP16 weights) have no defined bits: their outputs
// are compared and counted apart, and what follows them is no proof either way.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "eval/measure/experiment.h"
#include "eval/measure/result_table.h"
#include "eval/run/tap.h"

namespace w8a8 {

struct SiteChecks {
  uint64_t codes_compared = 0;
  std::array<uint64_t, 3> code_differences{};                // 0, 1, 2 or more apart
  uint64_t code_sums_compared = 0, code_sum_mismatches = 0;  // of the weights
  uint64_t scales_compared = 0, scale_mismatches = 0;        // and zero points
  uint64_t transformed_compared = 0, transformed_mismatches = 0;
  uint64_t int32_compared = 0, int32_mismatches = 0;
  uint64_t outputs_compared = 0, output_mismatches = 0;
  // Of float products: further apart than two such products may be (FloatsAgree).
  uint64_t float_outputs_compared = 0, float_output_mismatches = 0;
  uint64_t nonfinite = 0;  // outputs of the int8 arm that are not finite

  uint64_t code_mismatches() const { return code_differences[1] + code_differences[2]; }
  uint64_t mismatches() const {
    return code_mismatches() + code_sum_mismatches + scale_mismatches + transformed_mismatches +
           int32_mismatches + output_mismatches + float_output_mismatches;
  }

  friend bool operator==(const SiteChecks&, const SiteChecks&) = default;
  friend constexpr auto ColumnsOf(const SiteChecks*) {
    using C = SiteChecks;
    return std::tuple(Column("codes_compared", &C::codes_compared),
                      Column("code_differences", &C::code_differences),
                      Column("code_sums_compared", &C::code_sums_compared),
                      Column("code_sum_mismatches", &C::code_sum_mismatches),
                      Column("scales_compared", &C::scales_compared),
                      Column("scale_mismatches", &C::scale_mismatches),
                      Column("transformed_compared", &C::transformed_compared),
                      Column("transformed_mismatches", &C::transformed_mismatches),
                      Column("int32_compared", &C::int32_compared),
                      Column("int32_mismatches", &C::int32_mismatches),
                      Column("outputs_compared", &C::outputs_compared),
                      Column("output_mismatches", &C::output_mismatches),
                      Column("float_outputs_compared", &C::float_outputs_compared),
                      Column("float_output_mismatches", &C::float_output_mismatches),
                      Column("nonfinite", &C::nonfinite));
  }
};

// True if two float products of the same FP16 rows and INT8 weights, each rounded once to FP16, can
// be these: two FP16 units apart at most, of the value or of its row's root mean square, whichever
// is larger. Each is within half a unit of its binary32 sum, and sums in other orders differ by a
// small part of a unit of the row's mean (2^-24 sqrt(K) against 2^-11), which is what a value that
// cancelled has of it. Both not finite: the same infinity, or NaN.
bool FloatsAgree(float first, float second, float row_mean);

// By emulated run and site; "attention" stands for that of all blocks, "outputs" for the encoder's
// own outputs, which are no one's to compare where a site's product is one of floats.
using Checks = std::map<RunPlace, SiteChecks>;

// Sites are compared on equal inputs: where the emulated arm's input differs from what int8 had, or
// an expert got other tokens (a fault further up), int8's layer is run again on the emulated arm's
// input. So a fault is counted at the site that has it and nowhere else; its effect shows in the
// encoder's outputs. Attention with INT8 products is checked so too, on the emulated arm's queries,
// keys and values; with others the arms run one kernel, and there is nothing to prove.
class CheckTap final : public Tap {
 public:
  // The arms are the runs of the experiment.
  CheckTap(const Experiment& experiment, int workers);

  bool WantsLinear(int arm, const std::string& site) const override;
  bool WantsTrace(int arm) const override;
  bool WantsAttention(int arm) const override;
  void OnLinear(LinearEvent& event) override;
  void OnAttention(AttentionEvent& event) override;
  void OnOutputs(const OutputEvent& event) override;

  Checks Take() const;  // over all images

 private:
  // What an int8 arm left at a site, until its twin comes by.
  struct Seen {
    std::vector<Half> input, output;
    std::vector<RowOwner> owners;
    std::shared_ptr<const LinearTrace> trace;
  };
  struct Worker {
    SamplePtr batch;                                          // its first sample
    std::map<std::pair<int, std::string>, Seen> seen;         // of it, by int8 arm and site
    std::map<int, std::array<std::vector<Half>, 4>> outputs;  // by int8 arm
    Checks checks;
  };

  int Int8TwinOf(int arm) const;  // of an emulated arm; -1 if it is none
  bool IsChecked(int arm) const;
  bool HasFloatProducts(int arm) const;

  const Experiment& experiment_;
  std::vector<Worker> workers_;
};

}  // namespace w8a8
