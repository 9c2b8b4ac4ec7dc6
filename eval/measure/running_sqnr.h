// The running figure of a live line: the SQNR so far of one arm, where it was last measured.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "eval/measure/error_meter.h"

namespace w8a8 {

// Fed by the taps of many workers; thread-safe. For people only: its sums depend on the order.
class RunningSqnr {
 public:
  // `run` is the arm's index, `arm` what people call it.
  RunningSqnr(size_t run, std::string arm) : run_(run), arm_(std::move(arm)) {}

  // What image by image a meter adds at `place` (a site, an output); other runs are left out.
  void Add(size_t run, const std::string& place, const ImageError& error);
  // "int8/plan 31.2 dB at blocks.5.mlp.fc2"; empty before anything was measured.
  std::string Text() const;

 private:
  struct Sums {
    double expected_sq = 0, error_sq = 0;
  };
  const size_t run_;
  const std::string arm_;
  mutable std::mutex mutex_;
  std::map<std::string, Sums> sums_;
  std::string last_place_;
};

}  // namespace w8a8
