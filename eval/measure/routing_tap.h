// Where the routers of a mixture of experts send tokens: how many the reference gives to each
// expert, and for how many an arm chooses other experts.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "eval/measure/result_table.h"
#include "eval/run/tap.h"

namespace w8a8 {

// A run of an experiment in a block.
struct RunBlock {
  size_t run = 0;
  int64_t block = 0;
  friend auto operator<=>(const RunBlock&, const RunBlock&) = default;
  friend constexpr auto ColumnsOf(const RunBlock*) {
    return std::tuple(Column("run", &RunBlock::run), Column("block", &RunBlock::block));
  }
};

// An image in a block.
struct ImageBlock {
  int64_t block = 0;
  ImageKey image;
  friend auto operator<=>(const ImageBlock&, const ImageBlock&) = default;
  friend constexpr auto ColumnsOf(const ImageBlock*) {
    return std::tuple(Column("block", &ImageBlock::block), Column("image", &ImageBlock::image));
  }
};

// Tokens, padding left out.
struct RoutingChange {
  uint64_t tokens = 0;
  uint64_t changed = 0;  // whose set of experts is not the reference's

  friend bool operator==(const RoutingChange&, const RoutingChange&) = default;
  friend constexpr auto ColumnsOf(const RoutingChange*) {
    return std::tuple(Column("tokens", &RoutingChange::tokens),
                      Column("changed", &RoutingChange::changed));
  }
  friend std::string ProblemOf(const RoutingChange& change) {
    return change.changed <= change.tokens ? "" : "has more changed tokens than tokens";
  }
};

// Of an image, or of all views of one, in a block of the reference.
struct RoutedTokens {
  uint64_t tokens = 0;              // padding left out
  std::vector<uint64_t> of_expert;  // that each expert gets

  void Merge(const RoutedTokens& other);
  friend bool operator==(const RoutedTokens&, const RoutedTokens&) = default;
  friend constexpr auto ColumnsOf(const RoutedTokens*) {
    return std::tuple(Column("tokens", &RoutedTokens::tokens),
                      Column("of_expert", &RoutedTokens::of_expert));
  }
};

// What an expert gets from the reference's router, over all images.
struct ExpertCoverage {
  uint64_t tokens = 0, all_tokens = 0;
  uint64_t images = 0;  // that send it a token
};

class RoutingTap final : public Tap {
 public:
  // Watches every run against run 0.
  explicit RoutingTap(int workers);

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  void OnRouting(const RoutingEvent& event) override;

  struct Result {
    std::map<RunBlock, RoutingChange> changes;  // of all runs but the reference
    std::map<ImageBlock, RoutedTokens> images;

    friend bool operator==(const Result&, const Result&) = default;
    friend constexpr auto ColumnsOf(const Result*) {
      return std::tuple(Column("changes", &Result::changes), Column("images", &Result::images));
    }
  };
  // Empty for an encoder without experts.
  Result Take();

 private:
  struct Worker {
    std::vector<float> reference;  // the weights of the batch and block at hand
    Result result;
  };
  std::vector<Worker> workers_;
};

// By block and expert, those without a token too.
std::map<int64_t, std::vector<ExpertCoverage>> CoverageOf(const RoutingTap::Result& routing);

}  // namespace w8a8
