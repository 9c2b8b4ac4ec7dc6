// Writes the statistics of the first N made-up images for tests/python/stats_oracle.py.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "tests/calib/made_activations.h"

int main(int argc, char** argv) {
  const bool outputs = argc == 4 && std::strcmp(argv[3], "outputs") == 0;
  if (argc != 3 && !outputs) {
    std::fprintf(stderr, "usage: write_made_stats IMAGES OUT.h5 [outputs]\n");
    return 2;
  }
  try {
    const std::vector<int> images = w8a8::test::FirstImages(std::atoi(argv[1]));
    w8a8::WriteStats(argv[2], outputs ? w8a8::test::ObserveOutputsToo(images)
                                      : w8a8::test::ObserveImages(images));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
