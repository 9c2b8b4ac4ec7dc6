// The kernel's own loops against the model of a cluster; each planted fault is found.
#include <map>

#include <gtest/gtest.h>

#include "tests/cuda/wgmma_cluster_model.h"

namespace w8a8 {
namespace {

using test::Act;
using test::Cluster;
using test::Event;
using test::Record;
using test::Setting;

Setting SettingOf(WgmmaTiles tiles, int32_t local_tiles, int32_t k_blocks) {
  const WgmmaTileShape shape = ShapeOf(tiles);
  // The second of three clusters, which has so many tiles of one column of cluster tiles.
  const WgmmaGrid grid = {3 * local_tiles - 1, 1, k_blocks};
  return {tiles, {grid, 0, 1, 3}, EmptyArrivals(shape), StageBytes(shape)};
}

// The first fault in `runs` random orders.
std::string FirstFault(const Setting& setting, uint32_t runs) {
  for (uint32_t seed = 0; seed < runs; ++seed) {
    const std::string fault = Cluster(setting, seed).Run();
    if (!fault.empty()) return fault;
  }
  return "";
}

constexpr uint32_t kRuns = 12;

class WgmmaPipeline : public testing::TestWithParam<int> {
 protected:
  WgmmaTiles Tiles() const { return static_cast<WgmmaTiles>(GetParam()); }
  bool PingPong() const { return ShapeOf(Tiles()).ping_pong; }
  void ExpectFault(const std::function<void(Setting&)>& plant) {
    Setting setting = SettingOf(Tiles(), 5, 11);
    plant(setting);
    EXPECT_NE(FirstFault(setting, kRuns), "");
  }
};

TEST_P(WgmmaPipeline, NeitherStopsNorOverwritesNorReadsAhead) {
  for (const int32_t local_tiles : {1, 2, 5}) {
    for (const int32_t k_blocks : {1, 2, 3, 5, 9, 34}) {
      const Setting setting = SettingOf(Tiles(), local_tiles, k_blocks);
      EXPECT_EQ(FirstFault(setting, kRuns), "") << local_tiles << " tiles, " << k_blocks;
    }
  }
}

TEST_P(WgmmaPipeline, LoadsAndReadsEverySliceOfEveryTileOnce) {
  const Setting setting = SettingOf(Tiles(), 5, 11);
  std::map<std::pair<int32_t, uint32_t>, int> loads, products;
  for (const Event& event : Record(Tiles(), setting.work, -1)) {
    if (event.act == Act::kLoad) ++loads[{event.origin.row, event.value}];
  }
  for (int consumer = 0; consumer < kWgmmaConsumers; ++consumer) {
    int32_t row = 0;
    for (const Event& event : Record(Tiles(), setting.work, consumer)) {
      if (event.act == Act::kBeginTile) row = event.origin.row;
      if (event.act == Act::kMultiply) ++products[{row, event.value}];
    }
  }
  EXPECT_EQ(loads.size(), 5u * 11u);
  for (const auto& [slice, count] : loads) {
    EXPECT_EQ(count, 1);
    EXPECT_EQ(products[slice], PingPong() ? 1 : kWgmmaConsumers) << "each consumer its own rows";
  }
  EXPECT_EQ(products.size(), loads.size());
}

TEST_P(WgmmaPipeline, FaultsInTheCountsAreFound) {
  ExpectFault([](Setting& s) { --s.empty_arrivals; });
  ExpectFault([](Setting& s) { ++s.empty_arrivals; });
  ExpectFault([](Setting& s) { s.empty_arrivals /= kWgmmaClusterSize; });
  ExpectFault([](Setting& s) { s.stage_bytes -= kStageDepth; });
  ExpectFault([](Setting& s) { s.stage_bytes += kStageDepth; });
}

TEST_P(WgmmaPipeline, FaultsInThePhasesAreFound) {
  for (const Act act : {Act::kWaitEmpty, Act::kWaitFull}) {
    ExpectFault([&](Setting& s) {
      s.change = [act](std::vector<Event>& events, int) {
        for (Event& event : events) event.value ^= event.act == act ? 1u : 0u;
      };
    });
  }
}

TEST_P(WgmmaPipeline, AStageGivenBackTooEarlyIsFound) {
  ExpectFault([](Setting& s) {
    s.change = [](std::vector<Event>& events, int) {
      for (size_t i = 1; i < events.size(); ++i) {  // before the wait for its products
        const bool waits = events[i - 1].act == Act::kWaitAllButLast;
        if (waits && events[i].act == Act::kRelease) std::swap(events[i - 1], events[i]);
      }
    };
  });
}

TEST_P(WgmmaPipeline, MissingWaitsAreFound) {
  for (const Act act : {Act::kWaitEmpty, Act::kWaitFull, Act::kWaitTurn}) {
    if (act == Act::kWaitTurn && !PingPong()) continue;
    ExpectFault([act](Setting& s) {
      s.change = [act](std::vector<Event>& events, int) {
        std::erase_if(events, [act](const Event& event) { return event.act == act; });
      };
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, WgmmaPipeline, testing::Range(0, kWgmmaTileKinds));

}  // namespace
}  // namespace w8a8
