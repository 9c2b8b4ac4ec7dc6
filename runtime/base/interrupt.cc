#include "runtime/base/interrupt.h"

#include <atomic>
#include <csignal>

namespace w8a8 {
namespace {

std::atomic<bool> interrupt_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

void OnSignal(int /*signal*/) { interrupt_requested.store(true); }

}  // namespace

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool InterruptRequested() { return interrupt_requested.load(std::memory_order_relaxed); }

void ThrowIfInterrupted() {
  if (InterruptRequested()) throw Interrupted("interrupted: nothing was written.");
}

}  // namespace w8a8
