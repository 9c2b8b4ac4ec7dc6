// Stopping a run on SIGINT or SIGTERM: a flag that long loops look at, and the exception that
// unwinds them, so that temporary files go and finished ones stay.
#pragma once

#include <stdexcept>

namespace w8a8 {

// Says what was finished and how to go on. Caught in main(), exit 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// From now on the first SIGINT or SIGTERM sets the flag; the next one ends the process as usual.
void CatchInterrupts();
bool InterruptRequested();
// Throws Interrupted once the flag is set.
void ThrowIfInterrupted();

}  // namespace w8a8
