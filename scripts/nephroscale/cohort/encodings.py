"""The encoding of a table that is not UTF-8, from how likely its cells are in each of a few encodings.

Detectors for whole texts fail on tables of a few short cells. Here each character of a cell has a probability: high for
the characters of diagnoses, names and places, lower for other common ones of the language, and low for rare ones.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

#: Difference of log likelihoods from which one encoding is taken rather than another.
CERTAIN = math.log(100)
#: Fractions of the characters that are frequent, and that are frequent or common, below which no encoding is taken.
MIN_FREQUENT, MIN_COMMON = 0.25, 0.7
#: Fraction of the characters of Latin cells that may have accents: more is another alphabet.
MOST_ACCENTED = 0.5
#: Shares of frequent, other common, and rare characters, and of those without a meaning (private use).
SHARES = (0.70, 0.28, 0.02, 1e-5)
#: Shares of accented letters in Latin text, of each ASCII character, and of CJK characters beside a small letter.
ACCENTED, ASCII, BESIDE_LATIN = 0.05, 1 / 40, 0.05
#: As many different cells are looked at.
SAMPLE = 1000

_SIMPLIFIED = (
    "男女岁肾病膜性系增生局灶节段硬化微小变狼疮炎轻中重度无有未知患者姓名诊断医院北京上海广州南方第一二三四五人民大学附属区科穿刺"
    "活检免疫荧光电镜型期年月日左右家族甲乙丙丁东西张王李刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于"
    "蒋蔡余杜叶程苏魏吕任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付白邹孟熊秦江尹薛段雷侯龙史陶黎贺顾毛龚万钱严武戴莫孔向汤备注说明待查"
    "不典阴阳毛细血管内新月体管糖尿高压综合征急慢肝乙移植省市县村红蓝正常异原发继其他的和是否及与或部分样本图像文件路径编号描仪"
)
_TRADITIONAL = (
    "男女歲腎病膜性系增生局灶節段硬化微小變狼瘡炎輕中重度無有未知患者姓名診斷醫院台臺北中南高雄新竹第一二三四五人民大學附屬區科穿"
    "刺活檢免疫螢光電鏡型期年月日左右家族甲乙丙丁東西張王李劉陳楊黃趙吳周徐孫馬朱胡郭何林羅鄭梁謝宋唐許韓馮鄧曹彭曾蕭田董袁潘于"
    "蔣蔡余杜葉程蘇魏呂任沈姚盧姜崔鍾譚陸汪范金石廖賈夏白孟熊秦江尹段雷侯龍史陶黎賀顧毛龔萬錢嚴武戴莫孔湯備註說明待查不典陰陽毛"
    "細血管內新月體糖尿壓綜合徵症急慢肝移植總榮民長庚香港縣市紅藍正常異原發繼其他的和是否及與或部分樣本圖像檔案路徑編號絲球腎臟"
)
_JAPANESE = (
    "男女性歳才腎症病膜増殖巣状分節硬化微小変ループス炎軽中重度無有不明患者氏名診断医院東京大阪名古屋福岡札幌仙台第一二三四五大学附"
    "属病院科生検免疫蛍光電顕型期年月日左右家族陽陰正常糖尿高血圧原発続他番号備考検体施設佐藤鈴木高橋田中伊渡辺山本村小林加吉佐々"
    "口松井上清水斎野原川島池橋阿部森石内青西南北半半月体管毛細血紫斑群急慢進行"
    "のにるたとはしいをでてがなれからさっりすあもこまうくよきんめおけそつだやえどわちみせじば"
    "ーンス・ルトリイアラックドシレジタフロカテマィグバムプオコデニウメサビナブャエュチキズダパミ"
)
_KOREAN = (
    "남여성자환신장증병막사구체염분절경화미세변루푸스낭창경중등도무유양음정상없있음불명이름진단원서울대학교부산구광주전인천제"
    "일차사오가족김이박최정강조윤장임한오서신권황안송류전홍고문손양배백허유노하심원곽천우민나지엄채성면역형광현미경기년월일좌"
    "우소견비고검당뇨고혈압의은는을를에서와과로다요하된않시도군동북좌측우측급만특발속"
)
_WESTERN = "äöüÄÖÜßéèêëàâçîïôùûœáíóúñÉÈÀÇãõåæøÅÆØµ°"


@dataclass(frozen=True)
class Language:
    """The characters of an encoding.

    Parameters
    ----------
    name
        As shown in messages.
    frequent
        Frequent characters.
    common
        Ranges of the codes (first and last) of the other common characters.
    lowest
        Lowest last byte of these.
    sizes
        Numbers of frequent, other common, rare, and private characters.
    """

    name: str
    frequent: frozenset[str]
    common: tuple[tuple[int, int], ...]
    lowest: int
    sizes: tuple[int, int, int, int]


def _language(  # noqa: PLR0917
    name: str, frequent: str, common: tuple[tuple[int, int], ...], lowest: int, others: int, rare: int
) -> Language:
    return Language(name, frozenset(frequent), common, lowest, (len(set(frequent)), others, rare, 1900))


#: Codec to its language. The common characters are the first level of each standard (for Korean the syllables).
LANGUAGES = {
    "cp1252": _language("Windows-1252, Western European", _WESTERN, ((0xB0, 0xB5), (0x91, 0x97)), 0, 13, 80),
    "gb18030": _language("simplified Chinese", _SIMPLIFIED, ((0xA1A1, 0xA3FE), (0xB0A1, 0xD7FE)), 0xA1, 3755, 20000),
    "cp950": _language("Big5", _TRADITIONAL, ((0xA140, 0xA3BF), (0xA440, 0xC67E)), 0x40, 5401, 8000),
    "cp932": _language("Shift-JIS", _JAPANESE, ((0x8140, 0x8396), (0x889F, 0x9872)), 0x40, 3200, 3700),
    "cp949": _language("EUC-KR", _KOREAN, ((0xA1A1, 0xA3FE), (0xB0A1, 0xC8FE)), 0xA1, 2350, 14000),
}


@dataclass(frozen=True)
class Guess:
    """What the cells of a table that is not UTF-8 may be.

    Attributes
    ----------
    readings
        Codec to the cells with characters beyond ASCII, for codecs that can decode all; the most likely first.
    codec
        The one to take; None where this is in doubt.
    """

    readings: dict[str, list[str]]
    codec: str | None

    def show(self, codec: str, most: int = 3) -> str:
        """Write a codec, its name and the first cells as they read in it."""
        cells = ", ".join(repr(cell) for cell in self.readings[codec][:most])
        return f"{codec} ({LANGUAGES[codec].name}): {cells}"


def guess_encoding(content: bytes, known: Collection[str] = ()) -> Guess:
    """Guess the encoding of a table that is not UTF-8.

    Parameters
    ----------
    content
        Bytes of a CSV file.
    known
        Texts that its cells may have; an encoding in which a cell is such a text is taken if it is the only one.
    """
    # No second byte of a character is a separator, a quotation mark or a line end in any of these encodings.
    cells = dict.fromkeys(cell.strip() for cell in re.split(rb'[,;\t\r\n"]+', content) if not cell.isascii())
    sample = list(cells)[:SAMPLE]
    readings: dict[str, list[str]] = {}
    for codec in LANGUAGES:
        try:
            content.decode(codec)
            readings[codec] = [cell.decode(codec) for cell in sample]
        except UnicodeDecodeError:
            continue
    likelihood = {codec: sum(_likelihood(cell, codec) for cell in read) for codec, read in readings.items()}
    order = sorted(readings, key=lambda codec: -likelihood[codec])
    readings = {codec: readings[codec] for codec in order}
    with_known = [codec for codec in order if any(cell in known for cell in readings[codec])]
    if len(with_known) == 1:
        return Guess(readings, with_known[0])
    certain = (
        bool(order)
        and _is_plausible(readings[order[0]], order[0])
        and (len(order) == 1 or likelihood[order[0]] - likelihood[order[1]] >= CERTAIN)
    )
    return Guess(readings, order[0] if certain else None)


def _class_of(character: str, codec: str) -> int:
    """Whether a character is frequent (0), another common one (1), rare (2) or without a meaning (3)."""
    language = LANGUAGES[codec]
    if character in language.frequent:
        return 0
    if unicodedata.category(character) in {"Co", "Cn", "Cc"}:
        return 3
    code = int.from_bytes(character.encode(codec))
    return 1 if code & 0xFF >= language.lowest and any(low <= code <= high for low, high in language.common) else 2


def _likelihood(cell: str, codec: str) -> float:
    """Log likelihood of a cell's characters."""
    total = 0.0
    for place, character in enumerate(cell):
        if character.isascii():
            total += math.log(ASCII)
            continue
        group = _class_of(character, codec)
        total += math.log(SHARES[group] / LANGUAGES[codec].sizes[group])
        if codec == "cp1252":
            total += math.log(ACCENTED)
        else:
            beside = cell[max(0, place - 1) : place] + cell[place + 1 : place + 2]
            total += sum(math.log(BESIDE_LATIN) for other in beside if other.isascii() and other.islower())
    return total


def _is_plausible(cells: list[str], codec: str) -> bool:
    """Whether enough characters beyond ASCII are frequent and common: the right encoding may be none of these."""
    classes = [_class_of(character, codec) for cell in cells for character in cell if not character.isascii()]
    if codec == "cp1252" and len(classes) > MOST_ACCENTED * sum(map(len, cells)):
        return False
    frequent, common = (sum(group <= most for group in classes) / len(classes) for most in (0, 1))
    return frequent >= MIN_FREQUENT and common >= MIN_COMMON
