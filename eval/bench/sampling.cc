#include "eval/bench/sampling.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

constexpr double kShortestSample = 1e-3;

double SecondsOf(const Body& body, int64_t calls) {
  const double start = ThreadCpuSeconds();
  for (int64_t i = 0; i < calls; ++i) body();
  return (ThreadCpuSeconds() - start) / static_cast<double>(calls);
}

int64_t CallsOfSample(const Body& body) {
  body();
  const double seconds = std::max(SecondsOf(body, 1), 1e-9);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(kShortestSample / seconds)));
}

bool GoesOn(const SampleBudget& budget, int samples, double spent) {
  constexpr int kFewest = 3;
  if (samples < std::min(kFewest, budget.least)) return true;
  if (samples < budget.least) return spent < 10 * budget.seconds;
  return samples < budget.most && spent < budget.seconds;
}

}  // namespace

double ThreadCpuSeconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::vector<std::vector<double>> SampleInTurn(std::span<const Body> bodies,
                                              const SampleBudget& budget) {
  std::vector<int64_t> calls;
  for (const Body& body : bodies) calls.push_back(CallsOfSample(body));
  std::vector<std::vector<double>> samples(bodies.size());
  double spent = 0;
  for (int i = 0; GoesOn(budget, i, spent); ++i) {
    ThrowIfInterrupted();
    for (size_t b = 0; b < bodies.size(); ++b) {
      samples[b].push_back(SecondsOf(bodies[b], calls[b]));
      spent += samples[b].back() * static_cast<double>(calls[b]);
    }
  }
  return samples;
}

std::vector<FollowedSamples> SampleFollowed(std::span<const FollowedBody> bodies,
                                            const SampleBudget& budget) {
  std::vector<Body> turn;
  for (const FollowedBody& followed : bodies) {
    turn.push_back(followed.body);
    if (followed.then) turn.push_back(followed.then);
  }
  std::vector<std::vector<double>> samples = SampleInTurn(turn, budget);
  std::vector<FollowedSamples> taken;
  auto next = samples.begin();
  for (const FollowedBody& followed : bodies) {
    FollowedSamples& own = taken.emplace_back();
    own.body = std::move(*next++);
    if (followed.then) own.then = std::move(*next++);
  }
  return taken;
}

double Median(std::vector<double> values) {
  W8A8_CHECK(!values.empty());
  const size_t middle = values.size() / 2;
  std::ranges::sort(values);
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double MedianRatio(std::span<const double> numerator, std::span<const double> denominator) {
  W8A8_CHECK(numerator.size() == denominator.size());
  std::vector<double> ratios;
  for (size_t i = 0; i < numerator.size(); ++i) ratios.push_back(numerator[i] / denominator[i]);
  return Median(std::move(ratios));
}

}  // namespace w8a8
