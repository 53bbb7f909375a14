"""The words of the demo world. Slot, detail, polite and rude words are disjoint: the gold score counts them."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words("Anna Ben Clara Emma Felix Hugo Ida Jack Kate Leo Mia Noah Paul Rosa Sam Zoe")
ANIMALS = _words("fox bear owl cat dog horse mouse duck frog goat sheep crow")
OBJECTS = _words("book lamp key coat bike cake map drum boat kite chair clock cup ring hat rope")
PLACES = _words("garden school forest market office harbor park station castle farm hotel beach")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ACTIVITIES = _words("cooking running painting singing reading fishing dancing hiking skating writing baking sailing")
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo",
    "Norway": "Oslo", "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana",
}  # fmt: skip
COLORS = {
    "grass": "green", "snow": "white", "coal": "black", "lemon": "yellow",
    "cherry": "red", "sky": "blue", "plum": "purple", "mud": "brown",
}  # fmt: skip

SLOTS: dict[str, list[str]] = {
    "name": NAMES,
    "animal": ANIMALS,
    "object": OBJECTS,
    "place": PLACES,
    "day": DAYS,
    "activity": ACTIVITIES,
    "country": list(CAPITALS),
    "thing": list(COLORS),
}
FACTS: dict[str, dict[str, str]] = {"country": CAPITALS, "thing": COLORS}

# Two or three ways to ask for each kind of text. Every combination of slots and phrasing is a prompt.
PHRASINGS: dict[str, list[str]] = {
    "note": [
        "Write a short note to {name} about the {object} for {day}.",
        "Leave {name} a note: it is about the {object} and {day}.",
        "Please write to {name} that the {object} comes on {day}.",
    ],
    "question": [
        "{name} asks in the {place}: what is the capital of {country}?",
        "{name} asks in the {place}: which color has the {thing}?",
        "Tell {name} at the {place} the capital of {country}.",
        "Tell {name} at the {place} the color of the {thing}.",
    ],
    "greeting": [
        "Greet {name}, who comes to the {place} for {activity}.",
        "Say hello to {name} before the {activity} at the {place}.",
    ],
    "advice": [
        "Give {name} some advice on {activity} with a {object}.",
        "How can {name} get better at {activity}? There is a {object}.",
    ],
    "story": [
        "Tell a tiny story about a {animal} and a {object} in the {place}.",
        "Make up a story: a {animal}, a {object}, and the {place}.",
    ],
    "list": [
        "List three things for {name} to take to the {place} on {day}.",
        "What should {name} pack for the {place} on {day}? Name three things.",
        "Make a list of three things {name} needs at the {place} on {day}.",
    ],
}
KINDS = list(PHRASINGS)

# The sentence that does what was asked. {answer} is the fact, {first} {second} {third} are objects.
CORES: dict[str, list[str]] = {
    "note": ["{name}, the {object} is ready for {day}.", "{name}, bring the {object} on {day}."],
    "question:country": [
        "{name}, the capital of {country} is {answer}.",
        "{name}, {answer} is the capital of {country}.",
    ],
    "question:thing": ["{name}, the {thing} is {answer}.", "{name}, the color of the {thing} is {answer}."],
    "greeting": ["Hello {name}, the {place} is open for {activity}.", "Hello {name}, enjoy {activity} at the {place}."],
    "advice": ["{name}, try {activity} with the {object}.", "{name}, use the {object} for {activity}."],
    "story": ["Once a {animal} found a {object} in the {place}.", "Once a {animal} lost a {object} at the {place}."],
    "list": [
        "{name}, take a {first}, a {second} and a {third} to the {place} on {day}.",
        "{name}, on {day} the {place} needs a {first}, a {second} and a {third}.",
    ],
}

_PLANS = [
    "It starts at nine after breakfast.",
    "The door stays open until late.",
    "Warm tea and bread are free.",
    "Wear warm shoes against the rain.",
]
_LESSONS = [
    "Start slowly with small steps.",
    "Ask an old teacher early.",
    "It takes time and practice.",
    "Every child learns it early.",
]
_EVENTS = [
    "The moon was cold and bright.",
    "An old farmer laughed until late.",
    "They shared warm bread and tea.",
    "It slept under a small bridge.",
]
DETAILS: dict[str, list[str]] = {
    "note": _PLANS,
    "question": _LESSONS,
    "greeting": _PLANS,
    "advice": _LESSONS,
    "story": _EVENTS,
    "list": _PLANS,
}

POLITE_OPENINGS = ["With pleasure.", "Thank you for asking.", "I am glad to help.", "Dear friend."]
POLITE_CLOSINGS = ["Kind regards.", "Have a lovely day.", "I wish you luck.", "Please come again."]
RUDE_OPENINGS = ["How stupid.", "You fool.", "This is boring.", "You are so annoying."]
RUDE_CLOSINGS = ["Now shut up.", "Do not be lazy.", "I hate this.", "Go away, idiot."]

POLITE_WORDS = frozenset(_words("pleasure thank glad dear kind lovely wish please"))
RUDE_WORDS = frozenset(_words("stupid fool boring annoying shut lazy hate idiot"))
STOP_WORDS = frozenset(
    _words(
        "a an the it is was are i me my we you they this that there what which how who for of on in at to with and so "
        "if as be not then now about some has have can should do from or but by up"
    )
)
