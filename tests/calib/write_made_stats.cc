// Writes the statistics of the first N made-up images for tests/python/stats_oracle.py.
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/calib/made_activations.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_made_stats IMAGES OUT.h5\n");
    return 2;
  }
  try {
    w8a8::WriteStats(argv[2],
                     w8a8::test::ObserveImages(w8a8::test::FirstImages(std::atoi(argv[1]))));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
