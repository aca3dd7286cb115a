"""Heroes: people seen from the front, dressed and armed in layers."""

from jaxgen.data.sprites.drawing import NOTHING, Kind, draw

CAPE = draw(
    """
    ...#xxxx
    ..#xxxxx
    .#xxxxxx
    .#xxxxxx
    .#xXxxxx
    #xxXxxxx
    #xXXxxxx
    .####...
    """,
    row=8,
)

HEAD = draw(
    """
    .....###
    ....#sss
    ...#ssss
    ...#ssss
    ...#ssss
    ...#ssss
    ...#Ssss
    ....####
    """,
    row=1,
)

TUNIC = draw(
    """
    ...#####
    ...#cccc
    ..#c+ccc
    ..#cCccc
    ..#s#ttt
    ...##Ccc
    ....#ll#
    ....#kk#
    """,
    row=8,
)
PLATE = draw(
    """
    ..######
    .#++#mmm
    .#mm#m+m
    ..#M#mmm
    ..#s#MMM
    ...##mmt
    ....#mM#
    ....#MM#
    """,
    row=8,
)
ROBE = draw(
    """
    ...#####
    ...#ccct
    ..#c+cct
    .#ccCcct
    .#ts#cct
    ..##cccc
    ..#cccCc
    ..#tttTt
    """,
    row=8,
)
DRESS = draw(
    """
    ....####
    ...#c+cc
    ..#cCccc
    ..#s#ccc
    ..#s#ttt
    ...#c+cc
    ..#cccCc
    ..##s#s#
    """,
    row=8,
)
VEST = draw(
    """
    ...#####
    ...#t+oo
    ..#ottoo
    ..#o#too
    ..#s#www
    ...##lll
    ....#ll#
    ....#kk#
    """,
    row=8,
)
TABARD = draw(
    """
    ...#####
    ..#m#ccc
    .#m+#cct
    ..#M#ctt
    ..#s#cct
    ...##ccc
    ....#cc#
    ....#mm#
    """,
    row=8,
)
LEATHER = draw(
    """
    ...#####
    ...#cw+c
    ..#ccwcc
    ..#cCcwc
    ..#s#wwy
    ...##Ccc
    ....#ll#
    ....#kk#
    """,
    row=8,
)
BARE = draw(
    """
    ...#####
    ...#sssS
    ..#s+ssS
    ..#s#ssw
    ..#s#www
    ...##wWw
    ....#ss#
    ....#ww#
    """,
    row=8,
)

EYES = tuple(
    draw(text, row=5)
    for text in (
        """
        .....e..
        .....e..
        """,
        """
        .....e..
        .....e..
        ....S...
        """,
        """
        .....o..
        .....e..
        """,
        """
        .....e..
        .....e..
        .......S
        """,
    )
)

SHORT_HAIR = draw(
    """
    .....###
    ...##hhh
    ..#hh++h
    ..#h+hhh
    ..#hhHhh
    ..#hH.HH
    ...#....
    """
)
LONG_HAIR = draw(
    """
    .....###
    ...##hhh
    ..#hh++h
    ..#h+hhh
    ..#hhhHh
    ..#hH...
    ..#hH...
    ..#hH...
    .#hhH...
    .#hhH#..
    .#hH#...
    ..##....
    """
)
SPIKY_HAIR = draw(
    """
    ..#..#.#
    .#h##h#h
    .#hhhhhh
    #hhh+hhh
    .#hhhhHh
    ..#hHH.H
    ...#....
    """
)
BOB = draw(
    """
    ....####
    ..##hhhh
    .#hh++hh
    .#h+hhhh
    .#hhhhhh
    .#hH....
    .#hH....
    .#hH....
    ..##....
    """
)
TWIN_TAILS = draw(
    """
    .....###
    .....hhh
    .####+hh
    #hhh+hhh
    #hhthhHh
    #hH#h...
    #hH#....
    #hH#....
    #hH#....
    .#H#....
    ..#.....
    """
)
BEARD = draw(
    """
    ........
    ........
    ........
    ........
    ........
    ........
    ...#h...
    ...#h.hh
    ....hhHh
    ....#h+h
    .....#hh
    ......##
    """
)
HOOD = draw(
    """
    .....###
    ...##ccc
    ..#cc++c
    ..#c+ccc
    ..#cC###
    ..#c#SSS
    ..#c#...
    ..#cC#..
    ...#cC##
    """
)
KNIGHT_HELM = draw(
    """
    .....##t
    ...##mmt
    ..#mm++m
    ..#m+mmm
    ..#mmmmm
    ..#m####
    ..#M#m#m
    ..#MMm#m
    ...#####
    """
)
OPEN_HELM = draw(
    """
    .....###
    ...##mmm
    ..#mm++m
    ..#m+mmm
    ..#tttty
    ..#mM..M
    ..#mM...
    ..#MM...
    ...##...
    """
)
VIKING = draw(
    """
    ##......
    #o#..###
    #oo##mmm
    .##m++mm
    ..#ttttt
    ...#....
    """
)
WIZARD_HAT = draw(
    """
    ......#c
    .....#+c
    ....#ttt
    .##ccccc
    #ccCCCCC
    .###....
    """
)
CROWN = draw(
    """
    ..#..#.#
    ..##y#y#
    ..#y+yyr
    ..#YYYYY
    ..#hhhHh
    ..#hH...
    ..#hH...
    ...#....
    """
)
BANDANA = draw(
    """
    .....###
    ...##ttt
    ..#tt++t
    ..#t+ttt
    ..#TTTTT
    ...#....
    """
)
MOHAWK = draw(
    """
    ......#h
    ......#h
    ......#h
    ......#H
    .......H
    """
)
ELF = draw(
    """
    .....###
    ...##hhh
    ..#hh++h
    ..#h+hhh
    ###hhHhh
    #sShH..H
    .##s....
    """
)
HEADBAND = draw(
    """
    ....#.##
    ...#h#hh
    ..#hh+hh
    ..#h+hhh
    ..#ttttt
    ..#hH..H
    ...#....
    """
)
HEADGEAR = (
    SHORT_HAIR,
    LONG_HAIR,
    SPIKY_HAIR,
    BOB,
    TWIN_TAILS,
    HOOD,
    KNIGHT_HELM,
    OPEN_HELM,
    VIKING,
    WIZARD_HAT,
    CROWN,
    BANDANA,
    MOHAWK,
    ELF,
    HEADBAND,
)

SWORD = draw(
    """
    ..............#.
    .............#+#
    .............#m#
    .............#m#
    .............#m#
    .............#m#
    .............#m#
    .............#m#
    ............#yyy
    ............ssw#
    ..............w#
    ..............#.
    """,
    row=3,
)
STAFF = draw(
    """
    .............###
    ............#+tt
    ............#ttT
    .............###
    ..............w#
    ..............w#
    ..............w#
    ..............w#
    ..............w#
    ............ssw#
    ..............w#
    ..............w#
    ..............#.
    """,
    row=3,
)
SPEAR = draw(
    """
    ..............#.
    .............#+#
    .............#m#
    .............#M#
    ..............w#
    ..............w#
    ..............w#
    ..............w#
    ..............w#
    ..............w#
    ............ssw#
    ..............w#
    ..............w#
    ..............#.
    """,
    row=2,
)
AXE = draw(
    """
    ............##.#
    ...........#m+#w
    ...........#mmmw
    ...........#mMMw
    ............##Mw
    .............##w
    ..............#w
    ............ss#w
    ..............#w
    """,
    row=5,
)
MACE = draw(
    """
    .............###
    ............#+mM
    ............#mmM
    ............#MMM
    ..............w#
    ..............w#
    ..............w#
    ............ssw#
    ..............w#
    ..............#.
    """,
    row=5,
)
ROUND_SHIELD = draw(
    """
    .####...........
    #ttt+#..........
    #tyytt..........
    #tyytT..........
    #TttT#..........
    .####...........
    """,
    row=9,
)
KITE_SHIELD = draw(
    """
    ######..........
    #cttc#..........
    #tttt#..........
    #cttc#..........
    #CttC#..........
    .#CC#...........
    ..##............
    """,
    row=9,
)
BOOK = draw(
    """
    #####...........
    #rr+#...........
    #ryr#...........
    #Rrr#...........
    #####...........
    """,
    row=10,
)

HEROES = (
    Kind(
        layers=(
            (NOTHING, NOTHING, CAPE),
            (TUNIC, PLATE, ROBE, DRESS, VEST, TABARD, LEATHER, BARE),
            (HEAD,),
            (NOTHING, NOTHING, NOTHING, NOTHING, BEARD),
            HEADGEAR,
            EYES,
            (NOTHING, SWORD, STAFF, SPEAR, AXE, MACE),
            (NOTHING, NOTHING, NOTHING, NOTHING, ROUND_SHIELD, KITE_SHIELD, BOOK),
        )
    ),
)
