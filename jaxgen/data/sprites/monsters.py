"""Monsters: creatures seen from the front, most of them a body, a pair of eyes and a mouth."""

import numpy as np

from jaxgen.data.sprites.drawing import NOTHING, Kind, draw

BRIGHT = ("62c04a", "4aa8e0", "e05a6a", "b060d8", "f09a3c", "f2cc4a", "40c0a8", "f08ab8", "7a88a8")
BONE = ("ece4d0", "dcd8e4", "d8cca8", "b8c8b0")
HIDES = ("6ab04c", "4a9a7a", "8ab04a", "c06848", "7a9ad0", "a870b8")
FIENDS = ("d84848", "a84ac0", "e07838", "4a5ac8", "5a5668", "c83c78")


def rows(row: int, *texts: str) -> tuple[np.ndarray, ...]:
    """Return drawings that start on row `row`."""
    return tuple(draw(text, row=row) for text in texts)


def eyes(row: int) -> tuple[np.ndarray, ...]:
    """Return pairs of eyes on rows `row` and `row` + 1."""
    return rows(
        row,
        """
        .....e..
        .....e..
        """,
        """
        ....oo..
        ....oe..
        """,
        """
        ....#...
        ....o#..
        """,
        """
        ....oe..
        ....ee..
        """,
        """
        ....##..
        ....yy..
        """,
        """
        .....oo.
        .....oe.
        """,
    )


def mouths(row: int) -> tuple[np.ndarray, ...]:
    """Return mouths on rows `row` and `row` + 1."""
    return rows(
        row,
        """
        ......##
        """,
        """
        .....#..
        ......##
        """,
        """
        .....###
        ......rr
        """,
        """
        .....###
        .....o..
        """,
        """
        .....o#o
        """,
        """
        ......##
        .....#..
        """,
        """
        .....#oo
        ......##
        """,
    )


SLIME = draw(
    """
    ......##
    ....##bb
    ...#bb+b
    ..#b++bb
    ..#b+bbb
    .#bbbbbb
    .#bbbbbb
    #bbbbbbb
    #bbbbbbb
    #BbbbbbB
    .#BBBBBB
    ..######
    """,
    row=4,
)
DRIPPING_SLIME = draw(
    """
    .......#
    ......#b
    .....#b+
    .....#bb
    ....#bbb
    ...#b+bb
    ..#b+bbb
    ..#bbbbb
    .#bbbbbb
    #bbbbbbb
    #bbbbbbb
    #BbbbbbB
    .##BB##B
    ...##..#
    """,
    row=2,
)
FLAT_SLIME = draw(
    """
    ...#####
    ..#bb++b
    .#b++bbb
    #bb+bbbb
    #bbbbbbb
    #bbbbbbb
    #bbbbbbb
    #BbbBbbb
    #BBBBBBB
    .#######
    """,
    row=6,
)
SLIME_TOPS = (
    NOTHING,
    NOTHING,
    draw(
        """
        ....#.#.
        ....#y#y
        ....#yyy
        ....#YYY
        """,
        row=2,
    ),
    draw(
        """
        ..#.....
        ..##....
        ..#v#...
        ...#vv#.
        """,
        row=3,
    ),
    draw(
        """
        ....##..##......
        ...#gg##gg#.....
        ....#ggGg#......
        .....##G#.......
        """,
        row=2,
    ),
)

GHOST = draw(
    """
    .....###
    ...##bbb
    ..#b++bb
    ..#b+bbb
    .#bbbbbb
    .#bbbbbb
    .#bbbbbb
    .#bbbbbb
    .#bbbbbb
    .#bbbbbb
    .#bbbbbb
    .#Bbbbbb
    .#BbBbbB
    .#B#BB#B
    ..#.##.#
    """
)
WISP_GHOST = draw(
    """
    ......##
    ....##bb
    ...#b++b
    ..#bb+bb
    ..#bbbbb
    ..#bbbbb
    #.#bbbbb
    ##bbbbbb
    #bbbbbbb
    .##bbbbb
    ..#Bbbbb
    ...#Bbbb
    ....#BBb
    .....##B
    .......#
    """
)

SKULL = draw(
    """
    ....####
    ..##bb+b
    .#bb++bb
    .#b+bbbb
    #bbbbbbb
    #bb##bbb
    #b#xx#bb
    #B####b#
    #Bb##bb#
    .#Bbbbbb
    ..##b#b#
    ...#b#b#
    ...#B#B#
    ....####
    """,
    row=1,
)
CRACKED_SKULL = draw(
    """
    ....####
    ..##bb+b
    .#bb++bb
    .#b+bbbb
    .#bbbbbb
    .#b###bb
    .#b#x#bb
    .#B###b#
    .#Bbbbb#
    ..#Bbbbb
    ...#####
    ...#ob#b
    ...#BBBB
    ....####
    """,
    row=1,
)
SKULL_TOPS = (
    NOTHING,
    NOTHING,
    draw(
        """
        #.......
        #v#.....
        #vv##...
        .#vv#...
        ..##....
        """
    ),
    draw(
        """
        ...#..#.
        ...y##y#
        ...yyyyr
        ...YYYYY
        """
    ),
    draw(
        """
        ......x.
        ....x.xx
        ...xxxyx
        ....xyyy
        """
    ),
)

SPIDER = draw(
    """
    .#......
    .##..###
    ..###bb+
    #..#bb+b
    ####bbbb
    ..##bbbb
    ...#bbbb
    ..##bbbb
    ####bbbb
    #..#bbbb
    ..###BBB
    .##..###
    .#....o.
    """,
    row=2,
)
WAISTED_SPIDER = draw(
    """
    .....###
    .#.##bb+
    .###bb+b
    ..##bbbb
    #..#bbbb
    ####bbbb
    ..###BBB
    ....####
    ..###bbb
    ###.#bbb
    #..##bbb
    ..##.#BB
    .##...##
    .#....o.
    """,
    row=1,
)
SPIDER_MARKS = rows(
    4,
    """
    .......v
    .......v
    """,
    """
    ......vv
    .......v
    """,
    """
    .......v
    ......v.
    """,
    """
    ......v.
    .......v
    """,
)

BAT = draw(
    """
    .##..#..
    #bb#.b#.
    #bbb#bb#
    #Bbbbbb+
    #BBbbbbb
    #v#Bbbbb
    ##.#vbbb
    #...#vbb
    .....#BB
    ......##
    """,
    row=4,
)
GLIDING_BAT = draw(
    """
    .....#..
    .....b#.
    ..###bb#
    .#bbbbb+
    #bbbbbbb
    #bBbbbbb
    #B#Bbbbb
    #v#vBbbb
    ##.#v#BB
    #...#.##
    """,
    row=4,
)

BAT_EYES = rows(7, "......y.", "......o.\n......e.", "......e.\n......e.", "......r.", "......#.\n......y.")
BAT_MOUTHS = rows(10, ".......#", "......o.", "......o#", ".......#\n......o.")

EYEBALL = draw(
    """
    .....###
    ...##ooo
    ..#boooo
    .#boooxx
    .#booxxx
    .#boox##
    .#boox##
    .#booxxx
    .#bbooxx
    ..#bbooo
    ...#bbbb
    ..#b#bBb
    .#b#b#b#
    ..#.#b#B
    .....#.#
    """
)
LASHED_EYE = draw(
    """
    .#..#..#
    ..#.#.#b
    ...##bbb
    .##bbbbb
    ..#bb+bb
    .#bb####
    #bb#ooox
    #b#oooxx
    #bb#ooox
    #bbb####
    .#bbbbbb
    ..#Bbbbb
    ...##BBB
    .....###
    """,
    row=1,
)

TOADSTOOL = draw(
    """
    ....####
    ..##bb+b
    .#bo+bbb
    #bbbbboo
    #bbbbboo
    #bobbbbb
    #BBBBBBB
    .###vvvv
    ...#vvvv
    ...#vvvv
    ...#vvvv
    ..#vvvvv
    ..#VVvvv
    ...#####
    """,
    row=1,
)
TALL_TOADSTOOL = draw(
    """
    ......##
    ....##b+
    ...#bb+b
    ...#bobb
    ..#bbbbb
    .#bbbboo
    #bobbbbb
    #BBBBBBB
    .##vvvvv
    ..#vvvvv
    ..#vvvvv
    ..#vvvvv
    ..#VvvvV
    ..##VV##
    ....##..
    """
)

GOBLIN_HEAD = draw(
    """
    .....###
    ...##bbb
    ...#b+bb
    ##.#b+bb
    #b##bbbb
    #bbbbbbb
    .#Bbbbbb
    ..##bbbb
    ....####
    """
)
ORC_HEAD = draw(
    """
    ....####
    ...#bb+b
    ..#b++bb
    ..#bbbbb
    .#bbbbbb
    #bbbbbbb
    .#bbbbbb
    ..#Bbbbb
    ...#####
    """
)
GOBLIN_BODIES = (
    draw(
        """
        ...#####
        ..#bwwww
        ..#b#w+w
        .#b##www
        .#b##yyy
        ..##wwWw
        ...#bb#.
        ...####.
        """,
        row=8,
    ),
    draw(
        """
        ..######
        .#bbb+bb
        .#bB#bbb
        .#b##bvv
        .#b##www
        ..##wwww
        ...#bb##
        ..####..
        """,
        row=8,
    ),
    draw(
        """
        ..######
        .#mm#m+m
        .#Mm#mmm
        ..#b#MMM
        ..#b#www
        ...##mmm
        ...#bb#.
        ...####.
        """,
        row=8,
    ),
)
CLUB = draw(
    """
    .............###
    ............#+ww
    ............#www
    ............#wwW
    .............#w#
    .............#w#
    ............bbw#
    .............#w#
    ..............#.
    """,
    row=5,
)
SCIMITAR = draw(
    """
    .............##.
    ............#mm#
    .............#mm
    .............#+m
    .............#mM
    ............##M#
    ............yyy.
    ............bbw#
    .............##.
    """,
    row=4,
)
TRIDENT = draw(
    """
    ............#.#.
    ............m#m#
    ............mmm#
    .............m#.
    .............m#.
    .............m#.
    .............m#.
    ............bm#.
    .............m#.
    .............m#.
    """,
    row=4,
)

IMP_WINGS = draw(
    """
    .#......
    #v#.....
    #vv#....
    #vVv#...
    #v#vv...
    ##.#v...
    #...#...
    """,
    row=6,
)
IMP_HEAD = draw(
    """
    ..#.....
    .#y#.###
    .#yy#bbb
    ..#b++bb
    ..#b+bbb
    ..#bbbbb
    ..#bbbbb
    ..#Bbbbb
    ...#####
    """
)
IMP_BODY = draw(
    """
    ....####
    ...#bb+b
    ..#b#bvv
    ..#b#bvv
    ..#b#bbv
    ...##bBb
    ....#bb#
    ...####.
    """,
    row=8,
)

GOLEM = draw(
    """
    .....###
    ....#b+b
    ...#bbbb
    ...#bbbb
    .###bbbb
    #bb#####
    #b+bb#b+
    #bbb##bb
    #bB#.#bb
    .##..#bB
    #b+#.###
    #bb#.#b+
    #BB##bbb
    .##.#bB#
    ....####
    """,
    row=1,
)
LAVA_GOLEM = draw(
    """
    ......##
    ....##bb
    ....#b+b
    .##.#bbb
    #bb##bbb
    #b+bb#xx
    #bbxbb#b
    #bb#xbbb
    #bB##xbb
    #xB#.#xb
    #bb#.#bx
    #bB##bb#
    .##.#bx#
    ....#BB#
    ....####
    """,
    row=1,
)

OCTOPUS = draw(
    """
    ....####
    ...#bb+b
    ..#b++bb
    ..#b+bbb
    ..#bbbbb
    ..#bbbbb
    ..#bbbbb
    ...#bbbb
    .###bbbb
    #bb#bbbB
    .#bbbBbb
    ..###bb#
    .##b#b#b
    .#bb#B#B
    ..##.#.#
    """,
    row=1,
)
JELLYFISH = draw(
    """
    ....####
    ..##bb+b
    .#b++bbb
    .#b+bbbb
    #bbbbbbb
    #bbbbbbb
    #bbbbbbb
    #BBbBBbB
    .#######
    ..#b#.#b
    ..#b.#b#
    ...#b#b.
    ..#b#.#b
    ..#B..#B
    ...#...#
    """,
    row=1,
)

MIMIC = draw(
    """
    ..######
    .#ww+www
    #ww++www
    #yyyyyyy
    #wwwwwww
    #WWWWWWW
    #o#o#o#o
    #rrrrrrr
    #rrrrrrr
    #o#o#o#o
    #wwwwwyy
    #w+wwwy#
    #yyyyyyy
    #WWWWWWW
    .#######
    """,
    row=1,
)

CACTUS = draw(
    """
    .....###
    ....#bb+
    ....#b+b
    ....#bbb
    .##.#bbb
    #bb##bbb
    #b+#bbbb
    #bb#bbbb
    #Bbbbbbb
    .#BBbbbb
    ..###bbb
    ....#Bbb
    ...#####
    ...#www+
    ....#wwW
    ....####
    """
)
CACTUS_TOPS = (
    NOTHING,
    draw(
        """
        .....#v#
        .....vvy
        .....#v#
        """
    ),
    draw(
        """
        ........
        .....o..
        ......o.
        ....o...
        ........
        .o......
        ........
        o....o..
        ......o.
        ...o....
        """
    ),
)

DRAGON = draw(
    """
    ..#..###
    ..y##bbb
    ..#ybb+b
    ...#b+bb
    ...#bbbb
    #..#bbbb
    v#.#bbbb
    vv##Bbvv
    vvv##b#v
    vVvv#bbb
    v#vV#bvv
    #.#v#bvv
    ...##bvv
    ..#bBbvv
    ..#obbBB
    ..######
    """
)

HORNS = (
    NOTHING,
    NOTHING,
    draw(
        """
        ..#.....
        .#y#....
        ..#y#...
        """
    ),
    draw(
        """
        .....#.#
        .....v#v
        ....#vvv
        """
    ),
)

HEAD_EYES, HEAD_MOUTHS = eyes(4), mouths(6)

MONSTERS = (
    Kind(
        layers=((SLIME, SLIME, DRIPPING_SLIME, FLAT_SLIME), SLIME_TOPS, eyes(9), mouths(12)),
        colours={"b": BRIGHT, "v": BONE},
        weight=2.0,
    ),
    Kind(
        layers=((GHOST, WISP_GHOST), eyes(5), mouths(8)),
        colours={"b": ("e8ecf8", "c8d8f4", "d8c8f0", "c8ecd8", "f4d0dc", "a8b0c8")},
    ),
    Kind(
        layers=((SKULL, CRACKED_SKULL), SKULL_TOPS),
        colours={
            "b": BONE,
            "x": ("e04040", "50c8f0", "7ae04a", "f0a030", "d060f0"),
            "v": ("8a7a6a", "c8b898", "5a5260"),
        },
    ),
    Kind(
        layers=(
            (SPIDER, WAISTED_SPIDER),
            SPIDER_MARKS,
            eyes(9),
            (NOTHING, *rows(12, "......##", ".....o#o", "......rr")),
        ),
        colours={
            "b": ("5a5270", "8a4a4a", "4a6a4a", "7a5a3a", "7048a0", "3a5a8a"),
            "v": ("e04848", "f0c040", "60d0e0"),
        },
    ),
    Kind(
        layers=((BAT, GLIDING_BAT), BAT_EYES, BAT_MOUTHS),
        colours={
            "b": ("8a70c0", "b0705a", "5a80b8", "c85a70", "70a070", "6a6478"),
            "v": ("a888c8", "c89878", "88a0c8", "d87888"),
        },
    ),
    Kind(
        layers=((EYEBALL, LASHED_EYE),),
        colours={"b": BRIGHT, "x": ("4a90e0", "48b060", "e07030", "a050d0", "d83848", "c8a020")},
    ),
    Kind(
        layers=((TOADSTOOL, TALL_TOADSTOOL), eyes(9), mouths(11)),
        colours={
            "b": ("d84040", "4a78d8", "9a50c0", "e08a30", "3aa090", "a86a48"),
            "v": ("f0e0c0", "e0d0d8", "d8e0c0"),
        },
    ),
    Kind(
        layers=(
            GOBLIN_BODIES,
            (GOBLIN_HEAD, ORC_HEAD),
            HEAD_EYES,
            HEAD_MOUTHS,
            (NOTHING, CLUB, SCIMITAR),
        ),
        colours={"b": HIDES, "v": ("d8c89a", "c8d8a0")},
        weight=2.0,
    ),
    Kind(
        layers=(
            (NOTHING, IMP_WINGS, IMP_WINGS),
            (IMP_BODY,),
            (IMP_HEAD,),
            HEAD_EYES,
            HEAD_MOUTHS,
            (NOTHING, TRIDENT),
        ),
        colours={"b": FIENDS, "v": ("f0b070", "e08080", "5a4a6a", "e8d8a0")},
        weight=2.0,
    ),
    Kind(
        layers=((GOLEM, LAVA_GOLEM), rows(3, "....xx..", ".....x..", "....ex..", "....oo..", "....xxx.")),
        colours={
            "b": ("98949c", "a88a68", "7a8a7a", "6a6e88", "b0a078"),
            "x": ("f08030", "58d0f0", "90e050", "f0d040", "f05050"),
        },
    ),
    Kind(layers=((OCTOPUS, JELLYFISH), eyes(5), mouths(8)), colours={"b": BRIGHT}),
    Kind(
        layers=(
            (MIMIC,),
            rows(4, "...#o...", "...oo...\n...oe...", "....oo..\n....eo..", "....y...", "...##...\n....y#.."),
        ),
        colours={"w": ("a06a3a", "8a5030", "b84848", "4a6aa8", "5a8a4a", "7a5a9a")},
        weight=0.6,
    ),
    Kind(
        layers=((CACTUS,), CACTUS_TOPS, eyes(4), mouths(7)),
        colours={
            "b": ("5aa84a", "3c8a5a", "8ab04a"),
            "v": ("f070a0", "f0d050", "e05050", "f8f0f0"),
            "w": ("c87848", "a86040"),
        },
    ),
    Kind(
        layers=((DRAGON,), eyes(3), rows(7, "........", "......ee", ".....e..", ".....o.."), HORNS),
        colours={"b": FIENDS + HIDES, "v": ("f0d890", "e8a868", "f0f0d0", "a8c8e0")},
    ),
)
