#include "runtime/base/interrupt.h"

#include <atomic>
#include <csignal>

#include "runtime/base/temporary_paths.h"

namespace w8a8 {
namespace {

std::atomic<bool> interrupt_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

bool pipe_signal_was_default = false;

void OnSignal(int signal) {
  if (!interrupt_requested.exchange(true)) {
    if (signal == SIGXCPU) std::signal(signal, SIG_IGN);  // it comes again every second
    return;
  }
  RemoveTemporaryFiles();
  std::signal(signal, SIG_DFL);
  std::raise(signal);  // delivered when this handler returns
}

// What stood there before.
struct sigaction SetHandler(int signal, void (*handler)(int)) {
  struct sigaction action {
  }, before{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, &before);
  return before;
}

}  // namespace

void CatchSignals() {
  for (const int signal : {SIGINT, SIGTERM, SIGXCPU}) SetHandler(signal, OnSignal);
  if (SetHandler(SIGHUP, OnSignal).sa_handler == SIG_IGN) SetHandler(SIGHUP, SIG_IGN);
  SetHandler(SIGXFSZ, SIG_IGN);
  pipe_signal_was_default = SetHandler(SIGPIPE, SIG_IGN).sa_handler == SIG_DFL;
}

bool PipeSignalWasDefault() { return pipe_signal_was_default; }

bool InterruptRequested() { return interrupt_requested.load(std::memory_order_relaxed); }

void ThrowIfInterrupted() {
  if (InterruptRequested()) throw Interrupted();
}

}  // namespace w8a8
