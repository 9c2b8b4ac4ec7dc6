"""Goldens of tile grids and NaFlex sizes: what transformers 5.23.0 chooses for a table of image sizes.

  python tiling_goldens.py     writes tests/golden/datasets/tile_grids.tsv and naflex_sizes.tsv

Sizes: every shape around a tie between two grids, exact ties on both sides of the area rule, extreme
aspects, and 150 drawn at random.
"""

import random
import sys

from resample_goldens import require, write

TILES = [(448, 1, 12), (448, 1, 6), (448, 2, 12), (384, 1, 12), (448, 1, 40), (448, 1, 1), (448, 3, 3)]
BUDGETS = [(16, 256), (16, 64), (14, 729), (16, 1024), (16, 1)]
PLANNED = [
    (1, 1), (447, 448), (448, 448), (896, 448), (1344, 448), (1, 5000), (5000, 1), (8192, 8),
    # aspect 1: 1x1, 2x2, 3x3 tie and the area decides: 448^2 * 0.5 * 4 = 633.57^2, * 9 = 950.35^2
    (633, 633), (634, 634), (950, 950), (951, 951), (3000, 3000),
    # aspect 2: 2x1 and 4x2; aspect 1/2, 3, 1/3 likewise
    (896, 448), (1266, 633), (1268, 634), (634, 1268), (300, 900), (900, 300), (1900, 633),
    # half way between two grids: 1.25 (3/2 and 1, 4/3 nearer), 2.25, 2.75, 3.5, 0.375, 7/6
    (500, 400), (900, 400), (1100, 400), (1400, 400), (300, 800), (700, 600), (750, 1000),
]


def sizes():
    chance = random.Random(5)
    drawn = [(chance.randint(1, 3000), chance.randint(1, 3000)) for _ in range(150)]
    return PLANNED + drawn


def write_naflex():
    from transformers.models.siglip2 import image_processing_pil_siglip2 as pil
    from transformers.models.siglip2 import image_processing_siglip2 as fast

    lines = ["patch\tmax_patches\twidth\theight\tout_width\tout_height"]
    for patch, most in BUDGETS:
        for width, height in sizes():
            request = (height, width, patch, most)
            size = pil.get_image_size_for_max_num_patches(*request)
            if size != fast.get_image_size_for_max_num_patches(*request):
                sys.exit(f"{request}: the two processors differ")
            lines.append("\t".join(map(str, (patch, most, width, height, size[1], size[0]))))
    write("sizes", lines, prefix="naflex")


def main():
    require("transformers", "5.23.0")
    from transformers.models.got_ocr2 import image_processing_got_ocr2 as fast
    from transformers.models.got_ocr2 import image_processing_pil_got_ocr2 as pil

    lines = ["tile\tmin_tiles\tmax_tiles\twidth\theight\tcolumns\trows"]
    for side, least, most in TILES:
        for width, height in sizes():
            request = ((height, width), (side, side), least, most)
            grid = pil.get_optimal_tiled_canvas(*request)
            if grid != fast.get_optimal_tiled_canvas(*request):
                sys.exit(f"{request}: the two processors differ")
            lines.append("\t".join(map(str, (side, least, most, width, height, *grid))))
    write("grids", lines, prefix="tile")
    write_naflex()


if __name__ == "__main__":
    main()
