// Times of work on one core, in CPU seconds of the calling thread: another program on the same core
// does not count.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace w8a8 {

double ThreadCpuSeconds();

using Body = std::function<void()>;

// When sampling ends: at `seconds` of samples, but not before `least` nor after `most` of each; of
// samples that take ten times as long, three are enough.
struct SampleBudget {
  double seconds = 0.1;
  int least = 5;
  int most = 200;
};

// Seconds of each body, sample by sample: samples[b][i]. The bodies take turns, so that what the
// clock of the machine does meets all alike and samples i of two bodies are a pair. Each runs once
// before (page faults, caches); a sample of a short body is the mean over calls that last 1 ms
// together.
std::vector<std::vector<double>> SampleInTurn(std::span<const Body> bodies,
                                              const SampleBudget& budget);

// A body and what runs right after it in every turn, at the clock that the body left: on AMX it
// moves within a turn.
struct FollowedBody {
  Body body;
  Body then = {};  // the peak that the body is held against; empty: nothing
};
struct FollowedSamples {
  std::vector<double> body, then;  // no `then`: empty
};
// SampleInTurn() of all, each with its own figures.
std::vector<FollowedSamples> SampleFollowed(std::span<const FollowedBody> bodies,
                                            const SampleBudget& budget);

double Median(std::vector<double> values);
// The median over the pairs of numerator[i] / denominator[i].
double MedianRatio(std::span<const double> numerator, std::span<const double> denominator);

}  // namespace w8a8
