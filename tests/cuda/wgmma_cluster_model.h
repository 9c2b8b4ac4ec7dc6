// A model of a cluster that runs the sm_90a INT8 product: the kernel's own loops (Produce, Consume)
// for both blocks, warp by warp, in random order, against mbarriers, named barriers, TMA's
// transfers and wgmma's late reads. It finds what waits for ever, a stage overwritten while it is
// read, and products or epilogues that read what is not their own.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "runtime/cuda/wgmma_smem.h"

namespace w8a8::test {

enum class Act {
  kWaitEmpty,
  kLoad,
  kBeginTile,
  kWaitTurn,
  kWaitFull,
  kMultiply,
  kWaitAllButLast,
  kRelease,
  kGiveTurn,
  kWaitAll,
  kFinishTile,
};

struct Event {
  Act act;
  uint32_t stage = 0;
  uint32_t value = 0;  // parity, k, block of K or consumer
  TileOrigin origin{};
};

// Records what the loops ask of the GPU: it does not depend on data.
struct Recorder {
  std::vector<Event> events;
  void WaitEmpty(uint32_t stage, uint32_t parity) {
    events.push_back({Act::kWaitEmpty, stage, parity});
  }
  void Load(uint32_t stage, int32_t k, TileOrigin origin) {
    events.push_back({Act::kLoad, stage, static_cast<uint32_t>(k / kStageDepth), origin});
  }
  void BeginTile(TileOrigin origin) { events.push_back({Act::kBeginTile, 0, 0, origin}); }
  void WaitTurn(int of) { events.push_back({Act::kWaitTurn, 0, static_cast<uint32_t>(of)}); }
  void WaitFull(uint32_t stage, uint32_t parity) {
    events.push_back({Act::kWaitFull, stage, parity});
  }
  void Multiply(uint32_t stage, int32_t block) {
    events.push_back({Act::kMultiply, stage, static_cast<uint32_t>(block)});
  }
  void WaitAllButLast() { events.push_back({Act::kWaitAllButLast}); }
  void Release(uint32_t stage) { events.push_back({Act::kRelease, stage}); }
  void GiveTurn(int to) { events.push_back({Act::kGiveTurn, 0, static_cast<uint32_t>(to)}); }
  void WaitAll() { events.push_back({Act::kWaitAll}); }
  void FinishTile() { events.push_back({Act::kFinishTile}); }
};

template <WgmmaTiles kTiles>
std::vector<Event> Record(ClusterWork work, int consumer) {
  Recorder recorder;
  if (consumer < 0) {
    Produce<kTiles>(work, recorder);
  } else {
    Consume<kTiles>(work, consumer, recorder);
  }
  return recorder.events;
}

inline std::vector<Event> Record(WgmmaTiles tiles, ClusterWork work, int consumer) {
  switch (tiles) {
    case WgmmaTiles::kPingPong64x128:
      return Record<WgmmaTiles::kPingPong64x128>(work, consumer);
    case WgmmaTiles::kPingPong128x128:
      return Record<WgmmaTiles::kPingPong128x128>(work, consumer);
    case WgmmaTiles::kCooperative128x256:
      return Record<WgmmaTiles::kCooperative128x256>(work, consumer);
    case WgmmaTiles::kCooperative256x128:
      return Record<WgmmaTiles::kCooperative256x128>(work, consumer);
  }
  return {};
}

struct Barrier {
  int arrivals;  // that complete a phase
  int pending;
  int64_t bytes = 0;  // expected and not yet written; negative where they came first
  uint32_t phase = 0;
  void Complete() {
    if (pending > 0 || bytes != 0) return;
    phase ^= 1u;
    pending = arrivals;
  }
  void Arrive() {
    --pending;
    Complete();
  }
  bool Passed(uint32_t parity) const { return phase != parity; }
};

// What a test may make wrong.
struct Setting {
  WgmmaTiles tiles;
  ClusterWork work;
  uint32_t empty_arrivals;
  uint32_t stage_bytes;
  std::function<void(std::vector<Event>&, int consumer)> change = [](auto&, int) {};
};

constexpr int kWarps = kWgmmaConsumers * 4;  // of a block's consumers
constexpr int kParts = 3;  // of a stage: the operand of its own, two halves of the shared one

class Cluster {
 public:
  Cluster(const Setting& setting, uint32_t seed) : setting_(setting), random_(seed) {
    for (int rank = 0; rank < kWgmmaClusterSize; ++rank) {
      ClusterWork work = setting.work;
      work.rank = rank;
      for (int consumer = -1; consumer < kWgmmaConsumers; ++consumer) {
        std::vector<Event> events = Record(setting.tiles, work, consumer);
        setting.change(events, consumer);
        for (int warp = 0; warp < (consumer < 0 ? 1 : 4); ++warp) {
          agents_.push_back({rank, consumer, warp, events});
        }
      }
      Block& block = blocks_[rank];
      const auto stages = static_cast<size_t>(shape_.stages);
      const auto empty = static_cast<int>(setting.empty_arrivals);
      block.full.assign(stages, Barrier{1, 1});
      block.empty.assign(stages, Barrier{empty, empty});
      block.stages.resize(stages);
    }
  }

  // What went wrong; empty: nothing.
  std::string Run() {
    while (fault_.empty()) {
      // A random agent or transfer; if it cannot go on, the others in turn.
      const size_t count = agents_.size() + transfers_.size();
      const size_t first = random_() % count;
      bool moved = false;
      for (size_t i = 0; i < count && !moved; ++i) {
        const size_t chosen = (first + i) % count;
        moved = chosen < agents_.size() ? Step(agents_[chosen]) : Deliver(chosen - agents_.size());
      }
      if (!moved) break;
    }
    for (const Agent& agent : agents_) {
      if (fault_.empty() && agent.next < agent.events.size()) return "waits for ever";
    }
    return fault_;
  }

 private:
  struct Agent {
    int rank, consumer, warp;
    std::vector<Event> events;
    size_t next = 0;
    bool arrived = false;  // at the named barrier that it waits for
    int generation = 0;
    TileOrigin origin{};
    std::vector<Event> products{};  // issued, not known to be complete
  };
  // What a part of a stage holds, and how many warps have read it to the end.
  struct Part {
    TileOrigin origin{-1, -1};
    uint32_t block = 0;
    int readers = -1;  // -1: nothing was ever written
  };
  struct Stage {
    Part parts[kParts];
  };
  struct Named {
    int arrived = 0;
    int generation = 0;
  };
  struct Columns {
    TileOrigin of_warp[4];
    int reading = 0;
  };
  struct Block {
    std::vector<Barrier> full, empty;
    std::vector<Stage> stages;
    Named own[kWgmmaConsumers], turn[kWgmmaConsumers];
    Columns columns[kWgmmaConsumers];
  };
  struct Transfer {
    int rank, part;
    uint32_t stage, block;
    TileOrigin origin;
    int64_t bytes;
  };

  void Load(const Agent& agent, const Event& event) {
    Barrier& full = blocks_[agent.rank].full[event.stage];
    full.bytes += setting_.stage_bytes;
    full.Arrive();
    const int64_t x = int64_t{BoxRowsX(shape_)} * kStageDepth;
    const int64_t w = int64_t{BoxRowsW(shape_)} * kStageDepth;
    const auto send = [&](int to, int part, int64_t bytes) {
      transfers_.push_back({to, part, event.stage, event.value, event.origin, bytes});
    };
    send(agent.rank, 0, x);
    for (int to = 0; to < kWgmmaClusterSize; ++to) {
      send(to, 1 + agent.rank, w);
    }
  }

  bool Deliver(size_t index) {
    const Transfer transfer = transfers_[index];
    transfers_.erase(transfers_.begin() + static_cast<std::ptrdiff_t>(index));
    Block& block = blocks_[transfer.rank];
    Part& part = block.stages[transfer.stage].parts[transfer.part];
    const int readers = shape_.ping_pong ? 4 : kWarps;
    if (part.readers >= 0 && part.readers < readers) fault_ = "a stage is overwritten unread";
    part = {transfer.origin, transfer.block, 0};
    block.full[transfer.stage].bytes -= transfer.bytes;
    block.full[transfer.stage].Complete();
    return true;
  }

  // The oldest product reads its stage, at the latest when its warp waits for it.
  void Read(Agent& agent) {
    const Event product = agent.products.front();
    agent.products.erase(agent.products.begin());
    for (int i = 0; i < kParts; ++i) {
      Part& part = blocks_[agent.rank].stages[product.stage].parts[i];
      TileOrigin origin = agent.origin;  // the other block's half was loaded for the other's tile
      if (i > 0) origin.row += (i - 1 - agent.rank) * shape_.rows;
      const bool right = part.block == product.value && part.origin.row == origin.row &&
                         part.origin.column == origin.column && part.readers >= 0;
      if (!right) fault_ = "a product reads what is not its own";
      ++part.readers;
    }
  }

  bool PassNamed(Agent& agent, Named& named, int warps) {
    if (!agent.arrived) {
      agent.arrived = true;
      agent.generation = named.generation;
      ArriveNamed(named, warps);
      return true;
    }
    if (named.generation == agent.generation) return false;
    agent.arrived = false;
    ++agent.next;
    return true;
  }
  static void ArriveNamed(Named& named, int warps) {
    if (++named.arrived < warps) return;
    named.arrived = 0;
    ++named.generation;
  }

  bool Step(Agent& agent) {
    if (!agent.products.empty() && random_() % 4 == 0) {
      Read(agent);
      return true;
    }
    if (agent.next == agent.events.size()) return false;
    const Event& event = agent.events[agent.next];
    Block& block = blocks_[agent.rank];
    switch (event.act) {
      case Act::kWaitEmpty:
        return Pass(agent, block.empty[event.stage].Passed(event.value));
      case Act::kWaitFull:
        return Pass(agent, block.full[event.stage].Passed(event.value));
      case Act::kLoad:
        Load(agent, event);
        break;
      case Act::kMultiply:
        agent.products.push_back(event);
        break;
      case Act::kWaitAllButLast:
        while (agent.products.size() > 1) Read(agent);
        break;
      case Act::kWaitAll:
        while (!agent.products.empty()) Read(agent);
        break;
      case Act::kRelease:
        for (Block& to : blocks_) to.empty[event.stage].Arrive();
        break;
      case Act::kWaitTurn:
        return PassNamed(agent, block.turn[event.value], kWarps);
      case Act::kGiveTurn:
        ArriveNamed(block.turn[event.value], kWarps);
        break;
      case Act::kBeginTile:
        return BeginTile(agent, event);
      case Act::kFinishTile:
        return FinishTile(agent);
    }
    ++agent.next;
    return true;
  }
  static bool Pass(Agent& agent, bool passed) {
    if (passed) ++agent.next;
    return passed;
  }

  bool BeginTile(Agent& agent, const Event& event) {
    Block& block = blocks_[agent.rank];
    const size_t before = agent.next;
    if (!PassNamed(agent, block.own[agent.consumer], 4)) return false;
    if (agent.next == before) return true;
    Columns& columns = block.columns[agent.consumer];
    if (columns.reading > 0) fault_ = "columns are overwritten while they are read";
    columns.of_warp[agent.warp] = agent.origin = event.origin;
    return true;
  }
  bool FinishTile(Agent& agent) {
    Block& block = blocks_[agent.rank];
    Columns& columns = block.columns[agent.consumer];
    if (agent.generation < 0) {  // the epilogue, between two steps
      agent.generation = 0;
      --columns.reading;
      ++agent.next;
      return true;
    }
    const size_t before = agent.next;
    if (!PassNamed(agent, block.own[agent.consumer], 4)) return false;
    if (agent.next == before) return true;
    --agent.next;
    agent.generation = -1;
    ++columns.reading;
    for (const TileOrigin& origin : columns.of_warp) {
      if (origin.row != agent.origin.row || origin.column != agent.origin.column) {
        fault_ = "an epilogue reads another tile's columns";
      }
    }
    return true;
  }

  const Setting& setting_;
  const WgmmaTileShape shape_ = ShapeOf(setting_.tiles);
  std::mt19937 random_;
  std::vector<Agent> agents_;
  Block blocks_[kWgmmaClusterSize];
  std::vector<Transfer> transfers_;
  std::string fault_;
};

}  // namespace w8a8::test
