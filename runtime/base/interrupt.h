// Stopping a run on a signal: a flag that long loops look at, and the exception that unwinds them,
// so that temporary files go and finished ones stay.
#pragma once

#include <stdexcept>

namespace w8a8 {

// Says how to go on, if there is more to say than that the run was interrupted. Caught in main(),
// which adds what was written before; exit 130.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(const std::string& way_on = "") : std::runtime_error(way_on) {}
};

// From now on the first SIGINT, SIGTERM, SIGHUP or SIGXCPU sets the flag; the next one removes all
// temporary files and ends the process as usual. A SIGHUP that is ignored (nohup) stays ignored.
// SIGXFSZ and SIGPIPE are ignored: writing beyond a limit or to nobody is an error of the write.
void CatchSignals();
// Whether a SIGPIPE would have ended the process before CatchSignals().
bool PipeSignalWasDefault();
bool InterruptRequested();
// Throws Interrupted once the flag is set.
void ThrowIfInterrupted();

}  // namespace w8a8
