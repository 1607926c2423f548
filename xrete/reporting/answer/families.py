"""Families of the tasks' languages: which languages with numbers are nearest to one without.

Each line is a branch, from the family down, and its languages. Creoles stand with the language that most of their
words come from. The branches are those of the handbooks (Ethnologue, Glottolog); only how much of a branch two
languages share is used.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from xrete import languages

_BRANCHES = """
Indo-European Germanic West Anglic: en ang tpi
Indo-European Germanic West High-German: de gsw swg lb yi
Indo-European Germanic West Low-Franconian: nl af li
Indo-European Germanic West Low-German: nds
Indo-European Germanic West Frisian: fy
Indo-European Germanic North East: da sv nb no
Indo-European Germanic North West: is fo nn
Indo-European Italic Latin: la
Indo-European Italic Romance Ibero: es pt gl ast cbk pap kea
Indo-European Italic Romance Occitano: ca oc
Indo-European Italic Romance Gallo: fr ht
Indo-European Italic Romance Gallo-Italic: lij lmo pms vec
Indo-European Italic Romance Rhaetian: fur
Indo-European Italic Romance Italo-Dalmatian: it scn
Indo-European Italic Romance Sardinian: sc
Indo-European Italic Romance East: ro
Indo-European Celtic Brythonic: cy br kw
Indo-European Celtic Goidelic: ga gd
Indo-European Balto-Slavic Slavic East: ru uk be orv
Indo-European Balto-Slavic Slavic West Lechitic: pl csb szl
Indo-European Balto-Slavic Slavic West Czech-Slovak: cs sk
Indo-European Balto-Slavic Slavic West Sorbian: hsb dsb
Indo-European Balto-Slavic Slavic South West: sr hr bs sl
Indo-European Balto-Slavic Slavic South East: bg mk
Indo-European Balto-Slavic Baltic: lt lv ltg
Indo-European Greek: el
Indo-European Albanian: sq
Indo-European Armenian: hy
Indo-European Indo-Iranian Iranian Southwest: fa tg
Indo-European Indo-Iranian Iranian Northwest: ku ckb
Indo-European Indo-Iranian Iranian East: ps pbt
Indo-European Indo-Iranian Indo-Aryan Central: hi ur awa hne
Indo-European Indo-Iranian Indo-Aryan East Bihari: bho mag mai
Indo-European Indo-Iranian Indo-Aryan East Bengali-Assamese: bn as
Indo-European Indo-Iranian Indo-Aryan East Odia: or
Indo-European Indo-Iranian Indo-Aryan Northwest: pa sd ks
Indo-European Indo-Iranian Indo-Aryan West: gu
Indo-European Indo-Iranian Indo-Aryan South: mr
Indo-European Indo-Iranian Indo-Aryan North: ne
Indo-European Indo-Iranian Indo-Aryan Insular: si
Indo-European Indo-Iranian Indo-Aryan Old: sa
Constructed: eo io ia ie nov lfn tzl
Uralic Finnic: fi et
Uralic Mari: chm
Uralic Ugric: hu
Turkic Oghuz: tr az azb tk
Turkic Kipchak: kk ky tt ba crh
Turkic Karluk: uz ug
Mongolic: mn
Koreanic: ko
Japonic: ja
Basque: eu
Kartvelian: ka
Dravidian South: ta ml
Dravidian South Kannada: kn
Dravidian South-Central: te
Sino-Tibetan Sinitic: zh wuu yue
Sino-Tibetan Tibeto-Burman Tibetic: bo dz
Sino-Tibetan Tibeto-Burman Burmish: my
Sino-Tibetan Tibeto-Burman Kuki-Chin: lus mni
Sino-Tibetan Tibeto-Burman Jingpho: kac
Kra-Dai Tai Southwest: th lo shn
Austroasiatic Vietic: vi
Austroasiatic Khmeric: km
Austroasiatic Munda: sat
Austronesian Malayo-Polynesian Malayic: id ms min bjn max
Austronesian Malayo-Polynesian Chamic: ace
Austronesian Malayo-Polynesian Javanese: jv
Austronesian Malayo-Polynesian Sundanese: su
Austronesian Malayo-Polynesian Balinese: ban
Austronesian Malayo-Polynesian Sulawesi: bug
Austronesian Malayo-Polynesian Philippine Central: fil ceb war
Austronesian Malayo-Polynesian Philippine North: ilo pam pag
Austronesian Malayo-Polynesian Bornean: dtp
Austronesian Malayo-Polynesian Barito: mg
Austronesian Malayo-Polynesian Chamorro: ch
Austronesian Malayo-Polynesian Oceanic: mi sm fj
Niger-Congo Benue-Congo Bantu Nguni: xh zu ss
Niger-Congo Benue-Congo Bantu Sotho-Tswana: st nso tn
Niger-Congo Benue-Congo Bantu Tsonga: ts
Niger-Congo Benue-Congo Bantu Shona: sn
Niger-Congo Benue-Congo Bantu Great-Lakes: rw rn lg
Niger-Congo Benue-Congo Bantu Thagiicu: ki kam
Niger-Congo Benue-Congo Bantu Sabaki: sw
Niger-Congo Benue-Congo Bantu Nyasa: ny tum
Niger-Congo Benue-Congo Bantu Sabi: bem
Niger-Congo Benue-Congo Bantu West: kg kmb umb cjk
Niger-Congo Benue-Congo Bantu Luba: lua
Niger-Congo Benue-Congo Bantu Bangi: ln
Niger-Congo Volta-Niger Yoruboid: yo
Niger-Congo Volta-Niger Igboid: ig
Niger-Congo Volta-Niger Gbe: ee fon
Niger-Congo Kwa Akan: ak
Niger-Congo Gur: mos kbp
Niger-Congo Atlantic: wo fuv ff
Niger-Congo Mande: bm dyu
Niger-Congo Ubangian: sg
Nilo-Saharan Nilotic West: din luo nus
Nilo-Saharan Saharan: kr
Afro-Asiatic Semitic Arabic: ar acm acq aeb ajp apc arq ars ary arz mt
Afro-Asiatic Semitic Canaanite: he
Afro-Asiatic Semitic Ethiopic: am ti
Afro-Asiatic Berber: kab taq tzm ber
Afro-Asiatic Cushitic: so om
Afro-Asiatic Chadic: ha
Quechuan: qu quy
Aymaran: ay
Tupian: gn
Uto-Aztecan: nah hch tar
Otomanguean: oto
Panoan: shp
Arawakan: cni
Chibchan: bzd
"""


def branch(code: str) -> tuple[str, ...]:
    """Returns the branch of a language, from its family down; empty where the table has none.

    Args:
        code: A code as a user or a task writes it.
    """
    return _branches().get(languages.standard(code), ())


def nearest(code: str, known: Collection[str], most: int = 3) -> list[str]:
    """Returns the languages that share the longest part of their branch with one, the nearest first.

    Args:
        code: The language.
        known: Languages to choose from.
        most: How many.

    Returns:
        Up to `most` of `known`, in the standard spelling; empty where none is of the family.
    """
    own = branch(code)
    others = sorted({languages.standard(x) for x in known} - {languages.standard(code)})
    shared = {x: _shared(own, branch(x)) for x in others}
    return sorted((x for x in others if shared[x]), key=lambda x: (-shared[x], x))[:most]


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Returns how many steps two branches have in common, with one more where they are the same."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            return same
        same += 1
    return same + (first == second)


@cache
def _branches() -> dict[str, tuple[str, ...]]:
    table = {}
    for line in _BRANCHES.strip().splitlines():
        names, _, codes = line.partition(":")
        table.update(dict.fromkeys(codes.split(), tuple(names.split())))
    return table
