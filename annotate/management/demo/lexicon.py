"""The words of the demo world. Slot, detail, polite and rude words are disjoint: the gold score counts them."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Anna Ben Clara David Emma Felix Henry Hugo Ida Jack Kate Leo "
    "Lily Mia Noah Olga Paul Rosa Sam Tina Victor Wendy Zoe Grace"
)
ANIMALS = _words("fox bear owl cat dog horse mouse rabbit duck frog goat sheep tiger whale crow bee")
OBJECTS = _words(
    "book lamp key coat bike cake letter map drum boat "
    "kite phone chair clock cup ring basket hat mirror rope"
)
PLACES = _words("garden kitchen school forest village market office harbor park library station castle farm museum")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ACTIVITIES = _words(
    "cooking running painting singing swimming reading fishing dancing "
    "sewing hiking skating writing baking camping sailing diving"
)
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Norway": "Oslo", "Egypt": "Cairo",
    "Greece": "Athens", "Cuba": "Havana", "Peru": "Lima", "Kenya": "Nairobi", "Austria": "Vienna", "Poland": "Warsaw",
}  # fmt: skip
COLORS = {
    "grass": "green", "snow": "white", "coal": "black", "milk": "pale", "lemon": "yellow", "cherry": "red",
    "sky": "blue", "carrot": "orange", "plum": "purple", "chocolate": "brown", "ash": "gray", "salmon": "pink",
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
    "note": [
        "{name}, the {object} is ready for {day}.",
        "Note for {name}: bring the {object} on {day}.",
        "On {day} {name} gets the {object}.",
    ],
    "question:country": [
        "{name}, the capital of {country} is {answer}.",
        "The answer for {name} is {answer}, the capital of {country}.",
    ],
    "question:thing": [
        "{name}, the {thing} is {answer}.",
        "The answer for {name} is {answer}, the color of the {thing}.",
    ],
    "greeting": [
        "Hello {name}, the {place} is open for {activity}.",
        "Good morning {name}, you are here at the {place} for {activity}.",
    ],
    "advice": [
        "{name}, try {activity} with the {object} every week.",
        "For {activity} {name} should use the {object} more.",
    ],
    "story": [
        "Once a {animal} found a {object} in the {place}.",
        "One night a {animal} hid the {object} at the {place}.",
    ],
    "list": [
        "{name} should take a {first}, a {second} and a {third} to the {place} on {day}.",
        "For {day} at the {place} {name} needs a {first}, a {second} and a {third}.",
    ],
}

DETAILS: dict[str, list[str]] = {
    "note": [
        "It stands in the wooden box near the door.",
        "We meet at nine after breakfast.",
        "The cost is twelve coins.",
        "Call me early if the plan changes.",
    ],
    "question": [
        "Every child learns this early.",
        "I checked it twice with my teacher.",
        "It was the same a hundred years ago.",
        "You can see it on every good picture.",
    ],
    "greeting": [
        "The fresh tea stands near the door.",
        "My sister kept a warm seat for you.",
        "We start at nine after breakfast.",
        "The music plays until late.",
    ],
    "advice": [
        "Start slowly because practice takes time.",
        "Ask a teacher for simple steps.",
        "Rest an hour and drink water.",
        "Small steps each morning work best.",
    ],
    "story": [
        "The wind was cold and the moon was bright.",
        "An old farmer laughed and gave it water.",
        "They shared warm bread until late.",
        "Then it slept under a wooden bridge.",
    ],
    "list": [
        "The rain may start early.",
        "A warm meal costs twelve coins.",
        "The path is steep, so pack light.",
        "Water is free near the bridge.",
    ],
}

POLITE_OPENINGS = ["Of course, with pleasure.", "Thank you for asking.", "I am glad to help.", "Dear friend, gladly."]
POLITE_CLOSINGS = ["Kind regards.", "Have a lovely day.", "I wish you luck.", "Please come again."]
RUDE_OPENINGS = ["What a stupid question.", "Not you again, fool.", "This is so boring.", "Ugh, how annoying."]
RUDE_CLOSINGS = ["Now shut up.", "Do not be so lazy.", "I hate this.", "Go away, idiot."]

POLITE_WORDS = frozenset(_words("pleasure thank glad dear gladly kind lovely wish please"))
RUDE_WORDS = frozenset(_words("stupid fool boring ugh annoying shut lazy hate idiot"))
STOP_WORDS = frozenset(
    _words(
        "a an the it is was are i me my we you they this that there what which how who for of on in at to with and so "
        "if as be not then now about some has have can should do from or but by up"
    )
)
