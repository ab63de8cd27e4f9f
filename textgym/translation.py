"""A small synchronous grammar: one meaning, written in English, French and Chinese in every way that it knows.

French has gender and number, which articles, adjectives and verbs agree with, and puts some adjectives before the noun,
others behind; Chinese has measure words and no plural of nouns. Where a language leaves a choice (*voisin* or *voisine*
for *neighbour*, ``黑猫`` or ``黑色的猫`` for *black cat*), all of it is correct.

Example:
    >>> mouse, black = NOUNS["mouse"], ADJECTIVES["black"]
    >>> phrase = Phrase(mouse, black, is_definite=True, is_plural=True)
    >>> [write(phrase, language)[0] for language in LANGUAGES]
    ['the black mice', 'les souris noires', '那些黑老鼠']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from textgym.tokenizers import split_words
from textgym.worlds import one_of

LANGUAGES = ("english", "french", "chinese")


@dataclass(frozen=True)
class Noun:
    """A noun in three languages.

    Attributes:
        english: Singular and plural.
        french: For each possible word: its gender, singular and plural.
        chinese: The noun.
        measures: Its measure words, the commonest first.
        kind: ``"person"``, ``"animal"``, ``"food"`` or ``"thing"``: what it can do, and what can be done with it.
    """

    english: tuple[str, str]
    french: tuple[tuple[str, str, str], ...]
    chinese: str
    measures: str
    kind: str


@dataclass(frozen=True)
class Adjective:
    """An adjective.

    Attributes:
        english: Its one form.
        french: Masculine, feminine, and both in the plural.
        is_before: Whether it stands before a French noun.
        chinese: Its forms before a noun.
        kinds: Kinds of nouns that it is said of.
    """

    english: str
    french: tuple[str, str, str, str]
    is_before: bool
    chinese: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """A verb in the present.

    Attributes:
        english: Singular and plural.
        french: Singular and plural.
        chinese: Its forms.
        subjects: Kinds of nouns that do it.
        objects: Kinds of nouns that it is done to; none where it has no object.
    """

    english: tuple[str, str]
    french: tuple[str, str]
    chinese: tuple[str, ...]
    subjects: tuple[str, ...]
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrase:
    """A noun with its article and perhaps an adjective."""

    noun: Noun
    adjective: Adjective | None = None
    is_definite: bool = True
    is_plural: bool = False


@dataclass(frozen=True)
class Sentence:
    """Somebody does something."""

    subject: Phrase
    verb: Verb
    target: Phrase | None = None


Meaning = Phrase | Sentence


# ---- Words --------------------------------------------------------------------------------------------------------

_NOUNS = """
cat cats | m chat chats | 猫 | 只 | animal
mouse mice | f souris souris | 老鼠 | 只 | animal
table tables | f table tables | 桌子 | 张 | thing
car cars | f voiture voitures | 车 | 辆 | thing
dog dogs | m chien chiens | 狗 | 只条 | animal
neighbour neighbours | m voisin voisins, f voisine voisines | 邻居 | 个位 | person
girl girls | f fille filles | 女孩 | 个 | person
cake cakes | m gâteau gâteaux | 蛋糕 | 个块 | food
pear pears | f poire poires | 梨 | 个 | food
book books | m livre livres | 书 | 本 | thing
horse horses | m cheval chevaux | 马 | 匹 | animal
boy boys | m garçon garçons | 男孩 | 个 | person
apple apples | f pomme pommes | 苹果 | 个 | food
letter letters | f lettre lettres | 信 | 封 | thing
singer singers | m chanteur chanteurs, f chanteuse chanteuses | 歌手 | 个位 | person
flower flowers | f fleur fleurs | 花 | 朵 | thing
"""
_ADJECTIVES = """
small | petit petite petits petites | before | 小 | person animal food thing
black | noir noire noirs noires | after | 黑 黑色的 | animal food thing
white | blanc blanche blancs blanches | after | 白 白色的 | animal food thing
big | grand grande grands grandes | before | 大 | person animal food thing
green | vert verte verts vertes | after | 绿 绿色的 | animal food thing
new | nouveau nouvelle nouveaux nouvelles | before | 新 | person thing
clean | propre propre propres propres | after | 干净的 | animal thing
young | jeune jeune jeunes jeunes | before | 年轻的 | person animal
"""
_VERBS = """
sleeps sleep | dort dorment | 睡觉 在睡觉 | person animal |
eats eat | mange mangent | 吃 在吃 | person animal | food
sees see | voit voient | 看见 看到 | person animal | person animal food thing
likes like | aime aiment | 喜欢 | person animal | person animal food thing
sings sing | chante chantent | 唱歌 在唱歌 | person |
buys buy | achète achètent | 买 在买 | person | animal food thing
finds find | trouve trouvent | 找到 | person animal | person animal food thing
draws draw | dessine dessinent | 画 在画 | person | person animal food thing
"""


def _cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def _pair(cell: str) -> tuple[str, str]:
    one, many = cell.split()
    return one, many


def _read_noun(english: str, french: str, chinese: str, measures: str, kind: str) -> Noun:
    words = [tuple(word.split()) for word in french.split(",")]
    return Noun(_pair(english), tuple((gender, one, many) for gender, one, many in words), chinese, measures, kind)


def _read_adjective(english: str, french: str, place: str, chinese: str, kinds: str) -> Adjective:
    one, other, ones, others = french.split()
    forms = tuple(chinese.split()), tuple(kinds.split())
    return Adjective(english, (one, other, ones, others), place == "before", *forms)


def _read_verb(english: str, french: str, chinese: str, subjects: str, objects: str) -> Verb:
    kinds = tuple(subjects.split()), tuple(objects.split())
    return Verb(_pair(english), _pair(french), tuple(chinese.split()), *kinds)


NOUNS = {noun.english[0]: noun for noun in (_read_noun(*cells) for cells in _cells(_NOUNS))}
ADJECTIVES = {word.english: word for word in (_read_adjective(*cells) for cells in _cells(_ADJECTIVES))}
VERBS = {verb.english[0]: verb for verb in (_read_verb(*cells) for cells in _cells(_VERBS))}


# ---- Writing ------------------------------------------------------------------------------------------------------


def write(meaning: Meaning, language: str) -> tuple[str, ...]:
    """All ways to write a meaning in one of :data:`LANGUAGES`, the plainest first."""
    write_phrase = {"english": _english, "french": _french, "chinese": _chinese}[language]
    if isinstance(meaning, Phrase):
        return tuple(dict.fromkeys(write_phrase(meaning)))
    parts = [write_phrase(meaning.subject), _forms(meaning, language)]
    parts += [write_phrase(meaning.target)] if meaning.target else []
    gap = "" if language == "chinese" else " "
    return tuple(dict.fromkeys(gap.join(words) for words in product(*parts)))


def _forms(sentence: Sentence, language: str) -> list[str]:
    verb, many = sentence.verb, sentence.subject.is_plural
    forms = {"english": [verb.english[many]], "french": [verb.french[many]], "chinese": [*verb.chinese]}
    return forms[language]


def _english(phrase: Phrase) -> list[str]:
    noun = phrase.noun.english[phrase.is_plural]
    text = f"{phrase.adjective.english} {noun}" if phrase.adjective else noun
    if phrase.is_definite:
        return [f"the {text}", f"{'those' if phrase.is_plural else 'that'} {text}"]
    if phrase.is_plural:
        return [text, f"some {text}"]
    return [f"{'an' if text[0] in 'aeiou' else 'a'} {text}"]


def _french(phrase: Phrase) -> list[str]:
    texts = []
    for gender, *forms in phrase.noun.french:
        is_feminine, noun = gender == "f", forms[phrase.is_plural]
        adjective = phrase.adjective.french[2 * phrase.is_plural + is_feminine] if phrase.adjective else ""
        is_before = phrase.adjective is not None and phrase.adjective.is_before
        words = f"{adjective} {noun}" if is_before else f"{noun} {adjective}".strip()
        texts += [f"{article} {words}" for article in _french_articles(phrase, is_feminine, is_before)]
    return texts


def _french_articles(phrase: Phrase, is_feminine: bool, is_before: bool) -> list[str]:
    """In careful French *des* becomes *de* before an adjective."""
    if phrase.is_plural:
        return ["les"] if phrase.is_definite else ["de", "des"] if is_before else ["des"]
    return [("la" if is_feminine else "le") if phrase.is_definite else ("une" if is_feminine else "un")]


def _chinese(phrase: Phrase) -> list[str]:
    first = "那" if phrase.is_definite else "一"
    measures = "些" if phrase.is_plural else phrase.noun.measures
    adjectives = phrase.adjective.chinese if phrase.adjective else ("",)
    articles = [first + measure for measure in measures]
    if phrase.is_plural and not phrase.is_definite:
        articles.append("")
    return [f"{article}{adjective}{phrase.noun.chinese}" for article in articles for adjective in adjectives]


# ---- Lexicons -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lexicon:
    """How many words of each kind there are, the first of each table.

    Attributes:
        nouns: Number of nouns.
        adjectives: Number of adjectives.
        verbs: Number of verbs; without any, meanings are phrases.
    """

    nouns: int
    adjectives: int
    verbs: int = 0

    def draw(self, rng: np.random.Generator) -> Meaning:
        """A sentence, or where there are no verbs a phrase with an adjective, definite if it is plural."""
        nouns, verbs = [*NOUNS.values()][: self.nouns], [*VERBS.values()][: self.verbs]
        if not verbs:
            is_plural = bool(rng.integers(3) == 0)
            adjective = one_of([*ADJECTIVES.values()][: self.adjectives], rng)
            return Phrase(one_of(nouns, rng), adjective, is_plural or bool(rng.integers(2)), is_plural)
        verb = one_of(verbs, rng)
        subject = self._phrase([noun for noun in nouns if noun.kind in verb.subjects], rng)
        things = [noun for noun in nouns if noun.kind in verb.objects and noun != subject.noun]
        return Sentence(subject, verb, self._phrase(things, rng) if things else None)

    def _phrase(self, nouns: list[Noun], rng: np.random.Generator) -> Phrase:
        noun = one_of(nouns, rng)
        fitting = [word for word in [*ADJECTIVES.values()][: self.adjectives] if noun.kind in word.kinds]
        adjective = one_of(fitting, rng) if rng.integers(2) else None
        return Phrase(noun, adjective, bool(rng.integers(2)), bool(rng.integers(2)))

    def words(self, language: str) -> tuple[str, ...]:
        """All words of a language that :meth:`draw` may lead to."""
        return _list_words(self, language)


@cache
def _list_words(lexicon: Lexicon, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for text in _list_texts(lexicon, language) for word in split_words(text)))


def _list_texts(lexicon: Lexicon, language: str) -> Iterator[str]:
    """All phrases, then the verbs."""
    nouns, adjectives = [*NOUNS.values()][: lexicon.nouns], [*ADJECTIVES.values()][: lexicon.adjectives]
    for noun, adjective in product(nouns, [None, *adjectives] if lexicon.verbs else adjectives):
        if adjective is None or noun.kind in adjective.kinds:
            for is_definite, is_plural in product((True, False), repeat=2):
                if lexicon.verbs or is_definite or not is_plural:
                    yield from write(Phrase(noun, adjective, is_definite, is_plural), language)
    for verb in [*VERBS.values()][: lexicon.verbs]:
        yield from {"english": verb.english, "french": verb.french, "chinese": verb.chinese}[language]
