"""Protocols in the administration: begun from a preset, revised without code, and given tasks to work on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.forms import Form, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from annotate import batches, protocols
from annotate.models import Protocol, ProtocolRevision
from annotate.protocol_forms import (
    OTHER_LANGUAGES,
    AddProtocolForm,
    GoldImportForm,
    PromptTasksForm,
    ProtocolAdminForm,
    translated,
)

JUDGED = (Protocol.Kind.RANK, Protocol.Kind.COMPARE)
ANSWER = ("reason_min_characters", "categories", "skip_reasons")
COMPLETIONS = (
    "num_completions", "allow_ties", "allow_all_bad", "strength", "rate_completions", "flags", "aspects",
    "ask_pair_safety", "edit_best",
)  # fmt: skip
PEOPLE = ("overlap", "lease_minutes", "daily_limit")
QUALITY = ("gold_percent", "qualification_size", "qualification_percent", "auto_pause")


class RevisionInline(TabularInline):
    model = ProtocolRevision
    verbose_name_plural = "Revisions"
    fields = readonly_fields = ("revision", "guideline_revision", "created_at", "what_changed")
    ordering = ("-revision",)
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="What changed")
    def what_changed(self, row: ProtocolRevision) -> str:
        return protocols.changes(revision=row)


@admin.register(Protocol)
class ProtocolAdmin(ModelAdmin):
    form = ProtocolAdminForm
    list_display = ("name", "kind", "project", "show_default", "overlap", "lease_minutes", "revision")
    list_filter = ("project", "kind")
    list_select_related = ("project",)
    readonly_fields = ("project", "kind", "is_default", "revision")
    actions = ("use_by_default",)
    actions_detail = ("import_gold", "open_prompt_tasks")
    change_form_before_template = "rlhf/admin/actions_on_phones.html"
    inlines = (RevisionInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_steer_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("annotate.change_protocol")

    def has_gold_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._can_open(request, object_id, JUDGED)

    def has_prompts_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._can_open(request, object_id, (Protocol.Kind.PROMPT,))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            return super().get_form(request, obj, change, form=AddProtocolForm, **kwargs)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("project", "preset", "name")})]
        is_judged = obj.kind in JUDGED
        guidelines = ("guidelines", *(translated(code) for code, _ in OTHER_LANGUAGES))
        return [
            (None, {"fields": ("name", *self.readonly_fields)}),
            ("What is shown", {"fields": (*guidelines, "confirm_guidelines", "content_warning")}),
            ("What is asked", {"fields": (*COMPLETIONS, *ANSWER) if is_judged else ANSWER}),
            ("Who and how many", {"fields": PEOPLE}),
            ("Quality", {"fields": QUALITY if is_judged else ("auto_pause",)}),
        ]

    def save_model(self, request: HttpRequest, obj: Protocol, form: ModelForm[Protocol], change: bool) -> None:
        if isinstance(form, ProtocolAdminForm):
            protocols.revise(protocol=obj, **form.asked)
            return
        assert isinstance(form, AddProtocolForm)
        made = protocols.create(project=obj.project, kind=form.kind, name=obj.name, **form.asks)
        obj.__dict__.update(made.__dict__)

    def response_add(self, request: HttpRequest, obj: Protocol, post_url_continue: str | None = None) -> HttpResponse:
        self.message_user(request, f"{obj.name} is there. Change here what you like.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:annotate_protocol_change", args=[obj.pk]))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("<int:pk>/gold/", view(self.gold_page), name="annotate_protocol_gold"),
            path("<int:pk>/prompts/", view(self.prompts_page), name="annotate_protocol_prompts"),
        ]
        return [*own, *super().get_urls()]

    @display(description="Default", boolean=True)
    def show_default(self, protocol: Protocol) -> bool:
        return protocol.is_default

    @admin.action(description="Use for new tasks of this kind", permissions=("steer",))
    def use_by_default(self, request: HttpRequest, rows: QuerySet[Protocol]) -> None:
        chosen = list(rows)
        if len({(row.project_id, row.kind) for row in chosen}) < len(chosen):
            messages.error(request, "Expected one protocol of a kind and project, found several.")
            return
        for protocol in chosen:
            protocols.use_by_default(protocol=protocol)
            messages.success(request, f"New tasks of {protocol.project} to {protocol.kind}: {protocol.name}.")

    @action(description="Import gold or qualification tasks", permissions=("gold",))
    def import_gold(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect("admin:annotate_protocol_gold", pk=object_id)

    @action(description="Open tasks to write prompts", permissions=("prompts",))
    def open_prompt_tasks(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect("admin:annotate_protocol_prompts", pk=object_id)

    def gold_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Good rows land; bad ones are named by line on the same page."""
        if not self.has_gold_permission(request, pk):
            return HttpResponse("expected the permission to change a protocol that shows answers", status=403)
        protocol = get_object_or_404(Protocol, pk=pk)
        form = GoldImportForm(request.POST or None, request.FILES or None, protocol=protocol)
        context: dict[str, Any] = {"title": f"Import tasks with known answers: {protocol.name}"}
        if request.method == "POST" and form.is_valid():
            parsed, purpose = form.cleaned_data["file"], form.cleaned_data["purpose"]
            num_added = batches.open_gold(
                project=protocol.project, protocol=protocol, rows=parsed.tasks, purpose=purpose, now=timezone.now()
            )
            num_duplicates = len(parsed.tasks) - num_added
            context |= {"added": {"num_added": num_added, "num_duplicates": num_duplicates}}
            context |= {"bad_rows": parsed.bad_rows}
        return self._page(request, form, protocol, reverse("admin:annotate_protocol_gold", args=[pk]), context)

    def prompts_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_prompts_permission(request, pk):
            return HttpResponse("expected the permission to change a protocol to write prompts", status=403)
        protocol = get_object_or_404(Protocol, pk=pk)
        form = PromptTasksForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            num = batches.open_prompts(project=protocol.project, protocol=protocol, num=form.cleaned_data["num"])
            messages.success(request, f"{num} tasks to write a prompt are open.")
            return redirect("admin:annotate_protocol_change", pk)
        title = f"Open tasks to write prompts: {protocol.name}"
        context = {"title": title, "button": "Open"}
        return self._page(request, form, protocol, reverse("admin:annotate_protocol_prompts", args=[pk]), context)

    def _can_open(self, request: HttpRequest, object_id: Any, kinds: tuple[str, ...]) -> bool:
        return self.has_steer_permission(request) and Protocol.objects.filter(pk=object_id, kind__in=kinds).exists()

    def _page(
        self, request: HttpRequest, form: Form, protocol: Protocol, action_url: str, context: dict[str, Any]
    ) -> HttpResponse:
        tasks = f"{reverse('admin:annotate_task_changelist')}?protocol__id__exact={protocol.pk}"
        shown = {
            **self.admin_site.each_context(request), "form": form, "noun": "task", "list_url": tasks,
            "action_url": action_url, **context,
        }  # fmt: skip
        return render(request, "rlhf/admin/import_rows.html", shown)
