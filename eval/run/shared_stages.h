// Which arms compute the same numbers up to a stage, so that one of them runs it for all.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "eval/run/arm.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// Of one stage, per arm: the first arm whose steps are equal in this stage and in all before it,
// often the arm itself. That arm, the leader, runs the stage; its residual stream is that of all
// who follow it.
using Leaders = std::vector<size_t>;

// By stage. `traced` says per arm whether its codes and accumulators are read back: those steps
// take longer, so an arm whose time is to mean something does not follow one that is read.
std::vector<Leaders> LeadersOfStages(const Graph& graph, std::span<const Arm> arms,
                                     const std::vector<bool>& traced);

// How many arms run a stage.
size_t CountLeaders(const Leaders& leaders);

}  // namespace w8a8
