// Points of a sweep on a folder whose weights are codes already.
#include <gtest/gtest.h>

#include "eval/measure/experiment.h"
#include "eval/run/stored_plan.h"

namespace w8a8::test {
namespace {

const WeightSpec kGroups{.granularity = Granularity::kGroup, .num_bits = 4, .group_size = 32};

Plan StoredFc1() {
  Plan stored;
  stored.sites["fc1"].weight = kGroups;
  stored.sites["fc1"].input = std::nullopt;
  return stored;
}

TEST(StoredPoints, RunWithTheWeightsOfTheFolderAndTheirOwnInputs) {
  const SweepPoints points{.granularities = {Granularity::kToken},
                           .clip_ranges = {5.0f, kNoClip},
                           .stored = StoredFc1()};
  const Experiment experiment =
      SweepExperiment({"fc1", "fc2"}, {}, points, FakeFlavour::kIdeal, {});
  for (const char* name : {"fake/per-token/5", "int8/per-token/5", "int8/per-token/inf"}) {
    const Plan& plan = experiment.runs[experiment.RunOf(name)].plan;
    EXPECT_EQ(plan.sites.at("fc1").weight, kGroups) << name;
    EXPECT_TRUE(plan.sites.at("fc1").input.has_value()) << name;
    EXPECT_EQ(plan.sites.at("fc2").weight, WeightSpec()) << name;
  }
}

TEST(StoredPoints, WhatAPlanSaysOfItsWeightsStays) {
  SitePlan narrow;
  narrow.weight->num_bits = 3;
  EXPECT_EQ(WithStoredWeights(narrow, "fc1", StoredFc1()), narrow);
  SitePlan fp16;
  fp16.weight = std::nullopt;
  fp16.input = std::nullopt;
  EXPECT_EQ(WithStoredWeights(fp16, "fc1", StoredFc1()), fp16);
}

}  // namespace
}  // namespace w8a8::test
