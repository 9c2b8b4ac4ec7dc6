// Every barrier of a kernel taken away in turn: the model must see a race, or the result must
// differ.
#pragma once

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "runtime/cuda/block.h"
#include "tests/support/errors.h"

namespace w8a8::test {

// `run` launches one kernel and returns its results. The `spare` last barriers that a thread meets
// are those of a loop's last round, which order nothing.
template <class Run>
void ExpectEveryBarrierIsNeeded(const Run& run, int64_t spare = 0) {
  const auto right = run();
  const int64_t barriers = model::BarriersOfLastRun();
  ASSERT_GT(barriers, spare);
  for (int64_t i = 0; i + spare < barriers; ++i) {
    bool differs = false;
    model::Plant({.skipped_barrier = i});
    const std::string error = ErrorOf([&] { differs = run() != right; });
    model::Plant({});
    EXPECT_TRUE(differs || error != "no error was thrown") << "without barrier " << i;
  }
}

}  // namespace w8a8::test
