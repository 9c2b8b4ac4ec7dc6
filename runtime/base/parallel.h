// The one parallel loop of the project.
#pragma once

#include <cstdint>
#include <functional>

namespace w8a8 {

// Calls body(index, worker) once for every index in [0, count), on up to `threads` threads; worker
// is in [0, threads) and no two calls with one worker overlap. Indices are handed out dynamically
// in ascending order, so results must not depend on which worker runs an index. The calling thread
// is worker 0. If bodies throw, the exception of the lowest index that threw is rethrown here after
// all workers have stopped; indices not yet handed out are skipped.
void ParallelFor(int64_t count, int threads,
                 const std::function<void(int64_t index, int worker)>& body);

// The number of CPUs this process may run on (its affinity mask), at least 1.
int AvailableCpus();

}  // namespace w8a8
