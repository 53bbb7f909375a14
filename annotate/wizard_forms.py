"""What the wizard asks, checked: nothing is made before all of it is good."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib.auth.models import User

from rlhf import projects
from rlhf.errors import Refusal
from rlhf.forms import parsed_prompts
from rlhf.prompt_files import PromptFile

START = (
    ("demonstrations", "people write ideal answers first (SFT)"),
    ("rankings", "people rank answers of the base model at once: it follows instructions already"),
)
POLICY_TRAININGS = (
    ("ppo", "best-of-N, then PPO, against a reward model"),
    ("grpo", "best-of-N, then GRPO: no value model, less memory"),
    ("best_of_n", "best-of-N alone: the model learns the best of its own answers"),
    ("dpo", "DPO: straight from the rankings"),
)
SIZES = (("cpu", "small: a tiny model on this computer's processor"), ("gpu", "usual: a model on a GPU"))


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=100, label="Name")
    description = forms.CharField(max_length=2_000, required=False, label="What it is about")
    base_model = forms.CharField(
        max_length=500, label="Base model", help_text="a name, such as org/model, or a directory on the server"
    )
    prompts = forms.FileField(
        label="Prompts file",
        allow_empty_file=True,  # refused below, with what was expected
        help_text="JSONL or CSV with prompt or messages for every row, at most 20 MB",
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.csv"}),
    )
    start = forms.ChoiceField(choices=START, label="First", initial="demonstrations")
    num_completions = forms.IntegerField(min_value=2, max_value=9, initial=4, label="Answers per ranking")
    allow_ties = forms.BooleanField(required=False, initial=True, label="Answers may tie")
    guidelines = forms.CharField(
        max_length=20_000, required=False, label="Guidelines", widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Markdown, shown beside every task; ours are used where this is empty",
    )  # fmt: skip
    policy_training = forms.ChoiceField(choices=POLICY_TRAININGS, label="Training of a round", initial="ppo")
    size = forms.ChoiceField(choices=SIZES, label="Size", initial="cpu")
    people = forms.CharField(
        required=False, label="Labelers", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="user names, one a line; you can label too, and add people later",
    )  # fmt: skip

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["base_model"].initial = settings.BASE_MODEL

    def clean_base_model(self) -> str:
        try:
            return projects.checked_base_model(value=self.cleaned_data["base_model"])
        except Refusal as error:
            raise forms.ValidationError(error.message) from error

    def clean_prompts(self) -> PromptFile:
        return parsed_prompts(self.cleaned_data["prompts"])

    def clean_people(self) -> list[User]:
        names = list(dict.fromkeys(filter(None, (line.strip() for line in self.cleaned_data["people"].splitlines()))))
        users = {user.get_username(): user for user in User.objects.filter(username__in=names, is_active=True)}
        if missing := [name for name in names if name not in users]:
            raise forms.ValidationError(f"expected users of this server, found nobody named {', '.join(missing[:10])}")
        return [users[name] for name in names]
