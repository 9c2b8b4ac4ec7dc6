// The demo with experts: the demo's own encoder, "upcycled" as Komatsuzaki et al. (2022) do it:
// every other feed-forward step becomes a router and experts that began as copies of it.
#pragma once

#include <filesystem>

namespace w8a8 {

// Writes into `folder`, which exists, what CopyDemo() does, but blocks 1, 3 and 5 of the model have
// kDemoExperts experts of which a token goes to kDemoChosen, weights renormalized: each fc1 and fc2
// is the trained one with every weight scaled by 1 + u / 16, the router random. The experts stay
// so close to the step that they came from that the model does its task as before; it is not
// trained again. Equal bytes on every machine.
void WriteMixtureDemo(const std::filesystem::path& folder);
constexpr int kDemoExperts = 4, kDemoChosen = 2;

}  // namespace w8a8
