// Queues of the model: each does what it is told in order, and as late as it may, when somebody
// waits for it. So what was changed or read before the device is done with it shows. The queue
// nullptr does everything at once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/cuda/queue.h"

namespace w8a8::model {

using Work = std::function<void()>;

Queue MakeQueue();
void DropQueue(Queue queue);  // does the rest first

// Returns how much the queue was told before, this included.
int64_t Enqueue(Queue queue, Work work);
// Does the first `count` pieces of the queue's work that are not done. Throws what went wrong in
// them.
void FinishFirst(Queue queue, int64_t count);
void Finish(Queue queue);  // all of it
// The same; what went wrong is left for who waits next.
void FinishFirstQuietly(Queue queue, int64_t count) noexcept;
// All queues, as a release of memory waits for the device; errors are left for who waits next.
void FinishAll();

// What `work` told the queue on this thread, not done. Meanwhile whatever a device forbids throws
// Error: see ForbidInCapture().
std::vector<Work> Capture(Queue queue, const Work& work);
// Throws Error if this thread captures; `what` is what it does.
void ForbidInCapture(const char* what);
// The same where nothing may be thrown: Capture() does instead.
void ForbidInCaptureLater(const char* what) noexcept;

}  // namespace w8a8::model
