"""What the synthetic voices say: our own sentences, put together from parts, in six languages.

A sentence is subject, verb and rest. The parts of the train, validation and test sentences are
different words (articles and a few prepositions apart), so that recognising words does not give
the language or the voice away.
"""

from __future__ import annotations

from itertools import product

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The ten commands that NOSS's keyword task has beside silence and unknown."""

_SUBJECTS = {
    "en": ("the teacher, my sister, the doctor, our neighbour, the singer, the farmer",
           "the baker, my brother, the pilot", "the painter, a friend, the nurse"),
    "de": ("der Lehrer, meine Schwester, der Arzt, unser Nachbar, die Sängerin, der Bauer",
           "der Bäcker, mein Bruder, der Pilot", "die Malerin, ein Freund, die Krankenschwester"),
    "es": ("el profesor, mi hermana, el médico, nuestro vecino, la cantante, el campesino",
           "el panadero, mi hermano, el piloto", "la pintora, un amigo, la enfermera"),
    "fr": ("le professeur, ma sœur, le médecin, notre voisin, la chanteuse, le fermier",
           "le boulanger, mon frère, le pilote", "l'artiste, un ami, l'infirmière"),
    "it": ("il professore, mia sorella, il medico, il nostro vicino, la cantante, il contadino",
           "il panettiere, mio fratello, il pilota", "la pittrice, un amico, l'infermiera"),
    "ru": ("учитель, моя сестра, врач, наш сосед, певица, крестьянин",
           "пекарь, мой брат, пилот", "художница, один друг, медсестра"),
}
_VERBS = {
    "en": ("sings, works", "travels", "laughs"),
    "de": ("singt, arbeitet", "reist", "lacht"),
    "es": ("canta, trabaja", "viaja", "se ríe"),
    "fr": ("chante, travaille", "voyage", "rit"),
    "it": ("canta, lavora", "viaggia", "ride"),
    "ru": ("поёт, работает", "путешествует", "смеётся"),
}
_RESTS = {
    "en": ("in the garden, at home, in the evening, near the river, every morning, without a word",
           "on Sundays, among the hills, very often", "behind the house, after dinner, with pleasure"),
    "de": ("im Garten, zu Hause, am Abend, beim Fluss, jeden Morgen, ohne ein Wort",
           "sonntags, in den Bergen, sehr oft", "hinter dem Zaun, nach dem Essen, mit Freude"),
    "es": ("en el jardín, en casa, por la noche, cerca del río, cada mañana, sin decir nada",
           "los domingos, entre las colinas, muy a menudo", "detrás del muro, después de comer, con gusto"),
    "fr": ("dans le jardin, à la maison, le soir, près de la rivière, chaque matin, sans un mot",
           "le dimanche, en ville, très souvent", "derrière le mur, après manger, avec plaisir"),
    "it": ("nel giardino, a casa, di sera, vicino al fiume, ogni mattina, senza una parola",
           "la domenica, in città, molto spesso", "dietro il muro, dopo cena, con piacere"),
    "ru": ("в саду, дома, вечером, у реки, каждое утро, без слов",
           "по воскресеньям, в городе, очень часто", "за домом, после ужина, с удовольствием"),
}

LANGUAGES = tuple(sorted(_SUBJECTS))
"""Two-letter codes; the six languages of NOSS's VoxForge."""

_PARTS = {"train": 0, "validation": 1, "test": 2}


def sentences(language: str, split: str) -> list[str]:
    """List every sentence of a language in a split.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    split : {"train", "validation", "test"}

    Returns
    -------
    list of str
        72 for train, 9 for the others; none is in two splits.

    Examples
    --------
    >>> sentences("en", "test")[0]
    'The painter laughs behind the house.'
    """
    parts = [table[language][_PARTS[split]].split(", ") for table in (_SUBJECTS, _VERBS, _RESTS)]
    return [f"{who[0].upper()}{who[1:]} {does} {rest}." for who, does, rest in product(*parts)]
