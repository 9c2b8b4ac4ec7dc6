// Threads of one block as fibers: each runs until a barrier, and is resumed once all that the
// barrier waits for have come.
#include <algorithm>
#include <bit>
#include <cmath>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/cuda/block.h"
#include "tests/cuda/model_memory.h"

namespace w8a8::model {
namespace {

namespace context = boost::context;

// One call at a time, of whatever threads: a kernel has the device to itself.
std::mutex& TheLock() {
  static std::mutex lock;
  return lock;
}

Memory& TheMemory() {
  static Memory memory;
  return memory;
}

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Thread {
  Position here;
  Moment now;
  State state = State::kReady;
  const char* operation = "";  // of its warp
  int64_t barriers = 0;        // of any kind, skipped ones too
  uint32_t exchanges = 0;
  context::fiber fiber;  // this thread's, while it waits
  context::fiber* caller = nullptr;
};

// What the lanes of a warp left, twice: a lane may reach the next operation while another still
// reads this one's.
struct WarpState {
  std::array<std::array<Exchanged, 32>, 2> left{};
};

Thread* running = nullptr;
Faults planted;
int64_t most_barriers = 0;
uint32_t launches = 0;
std::byte* shared = nullptr;
std::vector<WarpState>* warps = nullptr;

void Wait(State state, const char* operation) {
  running->state = state;
  running->operation = operation;
  *running->caller = std::move(*running->caller).resume();
}

[[noreturn]] void Fault(const std::string& what) { Fail("{}", what); }

class Block {
 public:
  Block(const Position& at, int threads, std::mt19937& random, const std::function<void()>& kernel)
      : threads_(static_cast<size_t>(threads)), kernel_(kernel), random_(random) {
    for (int t = 0; t < threads; ++t) {
      Thread& thread = threads_[static_cast<size_t>(t)];
      thread.here = at;
      thread.here.thread = t;
      thread.now = {.launch = launches,
                    .block = static_cast<uint32_t>(at.block_y * at.blocks + at.block),
                    .thread = t};
      thread.fiber = Fiber(thread);
    }
  }

  void Run() {
    std::vector<size_t> order(threads_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random_);
    while (std::ranges::any_of(threads_, [](const Thread& t) { return t.state != State::kDone; })) {
      bool moved = false;
      for (const size_t t : order) {
        if (threads_[t].state != State::kReady) continue;
        moved = true;
        Resume(threads_[t]);
        if (error_ != nullptr) std::rethrow_exception(error_);
      }
      if (!ReleaseWarps() && !ReleaseBlock() && !moved) Fault(Deadlock());
    }
    for (const Thread& thread : threads_) most_barriers = std::max(most_barriers, thread.barriers);
  }

 private:
  context::fiber Fiber(Thread& thread) {
    return context::fiber(std::allocator_arg, context::fixedsize_stack(kStackBytes),
                          [this, &thread](context::fiber&& caller) {
                            context::fiber to = std::move(caller);
                            thread.caller = &to;
                            try {
                              kernel_();
                            } catch (const Error&) {
                              error_ = std::current_exception();
                            }
                            thread.state = State::kDone;
                            return to;
                          });
  }

  void Resume(Thread& thread) {
    running = &thread;
    thread.fiber = std::move(thread.fiber).resume();
    running = nullptr;
  }

  bool ReleaseWarps() {
    bool released = false;
    for (size_t first = 0; first < threads_.size(); first += 32) {
      const std::span<Thread> lanes = std::span(threads_).subspan(first, 32);
      if (!std::ranges::all_of(lanes, [](const Thread& t) { return t.state == State::kInWarp; })) {
        continue;
      }
      for (Thread& lane : lanes) {
        if (lane.operation != std::string(lanes[0].operation)) {
          Fault(fmt::format("thread {} is at {}, thread {} of its warp at {}", lanes[0].here.thread,
                            lanes[0].operation, lane.here.thread, lane.operation));
        }
        lane.state = State::kReady;
      }
      released = true;
    }
    return released;
  }

  bool ReleaseBlock() {
    const auto waits = [](const Thread& t) { return t.state == State::kAtBarrier; };
    if (!std::ranges::all_of(threads_, waits)) return false;
    for (Thread& thread : threads_) {
      thread.state = State::kReady;
      ++thread.now.barriers;
      thread.now.warp_barriers = 0;
    }
    return true;
  }

  std::string Deadlock() const {
    std::string text = "some threads wait for others that never come:";
    const char* names[] = {"runs", "waits at SyncThreads()", "waits at ", "has ended"};
    State last = State::kReady;
    for (const Thread& thread : threads_) {
      if (thread.state == last) continue;
      last = thread.state;
      text += fmt::format(" thread {} {}{};", thread.here.thread, names[static_cast<int>(last)],
                          last == State::kInWarp ? thread.operation : "");
    }
    return text;
  }

  static constexpr size_t kStackBytes = 64 * 1024;
  std::vector<Thread> threads_;
  const std::function<void()>& kernel_;
  std::mt19937& random_;
  std::exception_ptr error_;
};

// True if the fault that was planted takes this barrier away.
bool IsSkipped() { return running->barriers++ == planted.skipped_barrier; }

}  // namespace

std::byte* Allocate(size_t bytes) {
  const std::lock_guard lock(TheLock());
  return TheMemory().Add(bytes);
}
void Release(std::byte* memory) {
  const std::lock_guard lock(TheLock());
  TheMemory().Remove(memory);
}

void Write(std::byte* to, const void* from, size_t bytes) {
  const std::lock_guard lock(TheLock());
  const std::string wrong = TheMemory().Access(to, bytes, 1, true, Moment());
  if (!wrong.empty()) Fault(wrong);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Read(const std::byte* from, void* to, size_t bytes) {
  const std::lock_guard lock(TheLock());
  const std::string wrong = TheMemory().Access(from, bytes, 1, false, Moment());
  if (!wrong.empty()) Fault(wrong);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Plant(const Faults& faults) { planted = faults; }
int64_t BarriersOfLastRun() { return most_barriers; }

const Position& Here() { return running->here; }

void CheckAccess(const void* memory, size_t bytes, size_t alignment, bool write) {
  const std::string wrong = TheMemory().Access(memory, bytes, alignment, write, running->now);
  if (!wrong.empty()) Fault(wrong);
}

void Barrier() {
  if (IsSkipped()) return;
  Wait(State::kAtBarrier, "SyncThreads()");
}

void WarpBarrier() {
  if (IsSkipped()) return;
  Wait(State::kInWarp, "SyncWarp()");
  ++running->now.warp_barriers;
}

std::byte* SharedMemory() { return shared; }

const std::array<Exchanged, 32>& ExchangeInWarp(const char* name, const Exchanged& own) {
  WarpState& warp = (*warps)[static_cast<size_t>(running->here.thread) / 32];
  auto& left = warp.left[running->exchanges++ % 2];
  left[static_cast<size_t>(running->here.thread) % 32] = own;
  Wait(State::kInWarp, name);
  return left;
}

void Run(int64_t blocks, int64_t blocks_y, int threads, size_t shared_bytes,
         const std::function<void()>& kernel) {
  const std::lock_guard lock(TheLock());
  W8A8_CHECK(blocks >= 0 && blocks_y >= 0 && running == nullptr);
  if (threads < 32 || threads > 1024 || threads % 32 != 0) {
    Fail("{} threads: a block has whole warps, at most 1,024 threads", threads);
  }
  // The most that an sm_80 gives a block (163 KiB), the least of what we run on.
  if (shared_bytes > 163 * 1024) Fail("{} bytes of shared memory for one block", shared_bytes);
  ++launches;
  most_barriers = 0;
  std::mt19937 random(launches);
  std::vector<int64_t> order(static_cast<size_t>(blocks * blocks_y));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<WarpState> all_warps(static_cast<size_t>(threads / 32));
  std::byte* const memory = TheMemory().Add(shared_bytes);
  const auto remove = [](std::byte* piece) { TheMemory().Remove(piece); };
  const std::unique_ptr<std::byte, decltype(remove)> removed(memory, remove);
  shared = memory;
  warps = &all_warps;
  for (const int64_t index : order) {
    TheMemory().Poison(memory);
    Block block(
        {.block = index % blocks, .block_y = index / blocks, .blocks = blocks, .threads = threads},
        threads, random, kernel);
    block.Run();
  }
}

}  // namespace w8a8::model

namespace w8a8 {

namespace {

// c + a b of a warp. A's row r: lanes 4 (r mod 8) + q, registers r / 8 and r / 8 + 2, the bytes
// from 4 q on of the first and second 16 of a row. B's column n: lanes 4 n + q, registers 0 and 1,
// the same bytes. `add` adds the products of the elements of two times four words.
using FourWords = std::array<uint32_t, 4>;
template <class Acc, class Add>
void Multiply(const char* name, Acc (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              const Add& add) {
  const auto& all = model::ExchangeInWarp(name, {a[0], a[1], a[2], a[3], b[0], b[1]});
  const int group = Lane() / 4, pair = Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + 8 * (i / 2), col = 2 * pair + i % 2;
    for (int high = 0; high < 2; ++high) {
      FourWords x{}, y{};
      for (size_t quad = 0; quad < 4; ++quad) {
        x[quad] =
            all[static_cast<size_t>(4 * (row % 8)) + quad][static_cast<size_t>(row / 8 + 2 * high)];
        y[quad] = all[static_cast<size_t>(4 * col) + quad][static_cast<size_t>(4 + high)];
      }
      c[i] = add(c[i], x, y);
    }
  }
}

}  // namespace

void MmaS8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Multiply("mma.sync of int8", c, a, b, [](int32_t sum, const FourWords& x, const FourWords& y) {
    for (size_t word = 0; word < 4; ++word) sum = Dp4a(x[word], y[word], sum);
    return sum;
  });
}

void MmaU8S8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const auto add = [](int32_t sum, const FourWords& x, const FourWords& y) {
    for (size_t i = 0; i < 16; ++i) {
      sum += int32_t{static_cast<uint8_t>(x[i / 4] >> (8 * (i % 4)))} *
             int32_t{static_cast<int8_t>(y[i / 4] >> (8 * (i % 4)))};
    }
    return sum;
  };
  Multiply("mma.sync of uint8 and int8", c, a, b, add);
}

namespace {

// A sum as tensor cores add: what is added is aligned with the largest, cut off one bit behind
// binary32's, added without rounding, and cut off again. So Fasi et al. measured it on A100, eight
// products at a time (2021, doi 10.7717/peerjcs.330); later ones add more at once and keep a bit
// more. Errors point towards 0 and add up: what is as good as a plain loop here is so there.
float AddCutOff(const std::array<double, 9>& addends) {
  double largest = 0, sum = 0;
  for (const double addend : addends) {
    largest = std::max(largest, std::fabs(addend));
    sum += addend;
  }
  if (!std::isfinite(sum) || largest == 0) return static_cast<float>(sum);
  // By the exponents' bits.
  constexpr uint64_t kExponentOfOne = 1023;
  const uint64_t exponent = (std::bit_cast<uint64_t>(largest) >> 52) - 24;
  const auto unit = std::bit_cast<double>(exponent << 52);
  const auto inverse = std::bit_cast<double>((2 * kExponentOfOne - exponent) << 52);
  int64_t units = 0;
  for (const double addend : addends) units += static_cast<int64_t>(addend * inverse);
  const double exact = static_cast<double>(units) * unit;
  const auto nearest = static_cast<float>(exact);
  return std::fabs(double{nearest}) > std::fabs(exact) ? std::nextafter(nearest, 0.0f) : nearest;
}

template <class Value>
float AddEight(float sum, const FourWords& x, const FourWords& y) {
  std::array<double, 9> addends{sum};
  for (size_t i = 0; i < 8; ++i) {
    const auto value = [i](const FourWords& words) {
      return double{ToFloat(Value{static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)))})};
    };
    addends[i + 1] = value(x) * value(y);
  }
  return AddCutOff(addends);
}

}  // namespace

void MmaHalf(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Multiply("mma.sync of FP16", c, a, b, AddEight<Half>);
}

void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Multiply("mma.sync of BF16", c, a, b, AddEight<BFloat16>);
}

void AtomicAdd(uint64_t* to, uint64_t value) {
  const std::string wrong = model::TheMemory().Add(to, sizeof(*to), model::running->now);
  if (!wrong.empty()) Fail("{}", wrong);
  *to += value;
}

}  // namespace w8a8
