// The demo that comes with the tool: a small trained encoder, its class embeddings and its images.
#pragma once

#include <filesystem>

namespace w8a8 {

// <folder>/model/, <folder>/class_embeddings.safetensors, <folder>/images/{calib,eval}/<class>/.
struct DemoData {
  std::filesystem::path folder;
  std::filesystem::path model() const { return folder / "model"; }
  std::filesystem::path classes() const { return folder / "class_embeddings.safetensors"; }
  std::filesystem::path calibration_images() const { return folder / "images/calib"; }
  std::filesystem::path evaluation_images() const { return folder / "images/eval"; }
};

// W8A8_DEMO_DIR if that is set; else ../share/w8a8-calib/demo beside the executable's folder (an
// installed tool), else demo in the executable's folder (a build tree). Does not depend on the
// working directory. Throws Error with the places looked at if none is whole.
DemoData FindDemo();

// Copies model/, images/ and class_embeddings.safetensors into `folder`, which exists.
void CopyDemo(const std::filesystem::path& folder);
// The same without the model.
void CopyDemoImages(const std::filesystem::path& folder);

}  // namespace w8a8
