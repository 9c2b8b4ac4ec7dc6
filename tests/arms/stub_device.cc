#include "tests/arms/stub_device.h"

#include <algorithm>
#include <utility>

namespace w8a8::test {
namespace {

constexpr std::byte kPartOfNan{0xff};  // of an FP16 and of an FP32 NaN

class StubArena final : public Arena {
 public:
  StubArena(std::unique_ptr<Arena> device, Traffic* traffic)
      : device_(std::move(device)), traffic_(traffic) {}

  StepResult Run(const Step& step, const Wanted& wanted) override {
    EndViews();
    ++traffic_->steps;
    seconds_ += 1;
    return device_->Run(step, wanted);
  }

  void RunAll(const Program& program, std::span<const SlotId> kept) override {
    ++traffic_->whole_programs;
    Arena::RunAll(program, kept);
  }

  double Seconds() const override { return seconds_; }

  void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) override {
    EndViews();
    traffic_->uploaded_bytes += rows.size();
    device_->Upload(id, first_row, rows);
  }

  std::span<const std::byte> HostView(SlotId id) override {
    const std::span<const std::byte> values = device_->HostView(id);
    traffic_->downloaded_bytes += values.size();
    views_[id].assign(values.begin(), values.end());
    return views_[id];
  }

 private:
  void Reserve() override {
    EndViews();
    device_->Prepare(slots(), inputs());
  }

  void EndViews() {
    for (auto& [id, view] : views_) std::ranges::fill(view, kPartOfNan);
  }

  const std::unique_ptr<Arena> device_;
  Traffic* const traffic_;
  std::map<SlotId, std::vector<std::byte>> views_;
  double seconds_ = 0;
};

}  // namespace

std::unique_ptr<Arena> StubBackend::MakeArena() {
  return std::make_unique<StubArena>(cpu_.MakeArena(), traffic_);
}

}  // namespace w8a8::test
