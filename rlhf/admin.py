"""The administration of projects, prompts, people and runs. What was decided or measured is shown, and not edited."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from rlhf import prompts, runs
from rlhf.admin_forms import ProjectAdminForm, PromptImportForm
from rlhf.errors import Refusal
from rlhf.models import (
    DatasetSnapshot,
    Estimate,
    Evaluation,
    Judge,
    Membership,
    ModelVersion,
    Project,
    ProjectToken,
    Promotion,
    Prompt,
    ReportCard,
    Run,
)

STATES = {
    Run.State.QUEUED: "info",
    Run.State.RUNNING: "warning",
    Run.State.SUCCEEDED: "success",
    Run.State.FAILED: "danger",
}

admin.site.unregister(User)
admin.site.unregister(Group)


def _brief(value: object) -> str:
    return f"{len(value)} rows" if isinstance(value, list) and len(value) > 10 else str(value)


class ReadOnly(ModelAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    pass


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Project)
class ProjectAdmin(ModelAdmin):
    form = ProjectAdminForm
    list_display = ("name", "state", "base_model", "created_at")
    list_filter = ("state",)
    search_fields = ("name", "slug")
    readonly_fields = ("salt", "created_at")
    inlines = (MembershipInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the wizard makes projects: with prompts, protocols and people, or not at all


@admin.register(Prompt)
class PromptAdmin(ModelAdmin):
    list_display = ("id", "__str__", "project", "category", "target", "split", "source")
    list_filter = ("project", "split", "source")
    search_fields = ("messages", "category")
    readonly_fields = ("project", "messages", "sha256", "split", "source", "author", "created_at")
    actions_list = ("import_prompts",)
    list_before_template = "rlhf/admin/actions_on_phones.html"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # prompts come by import, by REST and from labelers, where their hash and split are made

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("rlhf.add_prompt")

    def get_urls(self) -> list[URLPattern]:
        own = path("import/", self.admin_site.admin_view(self.import_page), name="rlhf_prompt_import")
        return [own, *super().get_urls()]

    @action(description="Import from JSONL or CSV", permissions=("import",))
    def import_prompts(self, request: HttpRequest) -> HttpResponse:
        return self.import_page(request)

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """Good rows land; bad ones are named by line on the same page."""
        if not self.has_import_permission(request):
            return HttpResponse("expected the permission to add prompts", status=403)
        form = PromptImportForm(request.POST or None, request.FILES or None)
        context: dict[str, Any] = {**self.admin_site.each_context(request), "title": "Import prompts", "form": form}
        if request.method == "POST" and form.is_valid():
            parsed = form.cleaned_data["file"]
            author = cast(User, request.user)
            context["added"] = prompts.add(
                project=form.cleaned_data["project"], prompts=parsed.prompts, source="import", author=author
            )
            context["bad_rows"] = parsed.bad_rows
        context["action_url"] = reverse("admin:rlhf_prompt_import")
        context |= {"noun": "prompt", "list_url": reverse("admin:rlhf_prompt_changelist")}
        return render(request, "rlhf/admin/import_rows.html", context)


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ("id", "kind", "project", "purpose", "iteration", "show_state", "bar", "attempt", "created_at")
    list_display_links = ("id", "kind")
    list_filter = ("project", "kind", "state")
    list_select_related = ("project",)
    ordering = ("-id",)
    actions = ("cancel_runs", "retry_runs")
    exclude = ("selection",)
    readonly_fields = ("selected",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        rows: QuerySet[Run] = super().get_queryset(request)
        return rows.defer("log", "selection")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("rlhf.change_run")

    @display(description="State", label=STATES)
    def show_state(self, run: Run) -> str:
        return run.state

    @display(description="Progress")
    def bar(self, run: Run) -> SafeString | str:
        if not run.total_steps:
            return "–"
        words = '<progress value="{}" max="{}" aria-label="steps"></progress> {} of {}'
        return format_html(words, run.step, run.total_steps, run.step, run.total_steps)

    @display(description="Selection")
    def selected(self, run: Run) -> str:
        """Thousands of row ids are a number here; the run folder and the REST interface have them all."""
        return "; ".join(f"{name}: {_brief(value)}" for name, value in run.selection.items()) or "–"

    @admin.action(description="Cancel", permissions=("steer",))
    def cancel_runs(self, request: HttpRequest, rows: QuerySet[Run]) -> None:
        now = timezone.now()
        self._each(request, rows, lambda run: runs.request_cancel(run=run, now=now), "cancelled")

    @admin.action(description="Retry", permissions=("steer",))
    def retry_runs(self, request: HttpRequest, rows: QuerySet[Run]) -> None:
        self._each(request, rows, lambda run: runs.retry(run=run), "queued again")

    def _each(self, request: HttpRequest, rows: QuerySet[Run], steer: Any, done: str) -> None:
        num_done = 0
        for run in rows:
            try:
                steer(run)
                num_done += 1
            except Refusal as error:
                messages.error(request, error.message)
        if num_done:
            messages.success(request, f"{num_done} {done}")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly):
    list_display = ("name", "kind", "project", "iteration", "parent", "is_current", "weights_sha256", "created_at")
    list_filter = ("project", "kind", "is_current")
    list_select_related = ("project", "parent")


@admin.register(ReportCard)
class ReportCardAdmin(ReadOnly):
    list_display = ("version", "project", "sha256", "created_at")
    list_filter = ("project",)
    list_select_related = ("version", "project")


@admin.register(DatasetSnapshot)
class DatasetSnapshotAdmin(ReadOnly):
    list_display = ("configuration", "project", "iteration", "num_rows", "sha256", "created_at")
    list_filter = ("project", "configuration")
    list_select_related = ("project",)


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = ("candidate", "baseline", "project", "iteration", "created_at")
    list_filter = ("project",)
    list_select_related = ("candidate", "baseline", "project")


@admin.register(Estimate)
class EstimateAdmin(ReadOnly):
    list_display = ("evaluation", "judge", "split", "win_rate", "low", "high", "num_prompts", "run")
    list_filter = ("project", "split")
    list_select_related = ("evaluation__candidate", "evaluation__baseline", "judge", "run")


@admin.register(Promotion)
class PromotionAdmin(ReadOnly):
    list_display = ("candidate", "baseline", "promoted", "reason", "decided_at")
    list_filter = ("project", "promoted")
    list_select_related = ("candidate", "baseline")


@admin.register(Judge)
class JudgeAdmin(ReadOnly):
    list_display = ("name", "kind", "project", "identity")
    list_filter = ("project", "kind")
    list_select_related = ("project",)


@admin.register(ProjectToken)
class ProjectTokenAdmin(ReadOnly):
    """Who holds tokens, and the way to revoke one that leaked; its text is nowhere."""

    list_display = ("token_key", "user", "project", "scope", "name", "created", "expiry")
    list_filter = ("project", "scope")
    list_select_related = ("user", "project")
    exclude = ("digest",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("rlhf.delete_projecttoken")
