"""The administration of labeling: tasks, answers and people are watched; protocols are in protocol_admin.py."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Avg, Count, Exists, Max, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import action, display

from annotate import batches, imports
from annotate.forms import DemonstrationImportForm
from annotate.models import Assignment, Demonstration, Labeler, Ranking, Submission, Task, TaskCompletion
from annotate.protocol_admin import ProtocolAdmin
from rlhf.admin import ReadOnly

__all__ = ("ProtocolAdmin",)  # registers itself

TASK_STATES = {Task.State.OPEN: "info", Task.State.DONE: "success", Task.State.CLOSED: "warning"}
ASSIGNMENT_STATES = {
    Assignment.State.LEASED: "info",
    Assignment.State.SUBMITTED: "success",
    Assignment.State.SKIPPED: "warning",
    Assignment.State.SURPLUS: "warning",
}


class TaskCompletionInline(TabularInline):
    model = TaskCompletion
    fields = readonly_fields = ("index", "text", "version")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskCompletion]:
        return super().get_queryset(request).select_related("completion__version")

    @display(description="Answer")
    def text(self, row: TaskCompletion) -> str:
        return row.completion.text

    @display(description="Version")
    def version(self, row: TaskCompletion) -> str:
        return str(row.completion.version)


class AssignmentInline(TabularInline):
    model = Assignment
    fields = readonly_fields = ("labeler", "slot", "state", "lease_expires_at", "skip_reason")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Task)
class TaskAdmin(ReadOnly):
    list_display = ("id", "kind", "project", "batch", "prompt", "show_state", "answers", "priority")
    list_display_links = ("id", "kind")
    list_filter = ("project", "kind", "purpose", "state", "iteration", "protocol")
    list_select_related = ("project", "prompt")
    search_fields = ("=id", "batch")
    inlines = (TaskCompletionInline, AssignmentInline)
    actions = ("close_tasks",)
    show_full_result_count = False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("annotate.change_task")

    @display(description="State", label=TASK_STATES)
    def show_state(self, task: Task) -> str:
        return task.state

    @display(description="Answers")
    def answers(self, task: Task) -> str:
        return f"{task.num_submitted} of {task.overlap}"

    @admin.action(description="Close (hand out no more)", permissions=("steer",))
    def close_tasks(self, request: HttpRequest, rows: QuerySet[Task]) -> None:
        messages.success(request, f"{batches.close_tasks(tasks=rows)} closed")


@admin.register(Assignment)
class AssignmentAdmin(ReadOnly):
    list_display = ("id", "task", "labeler", "slot", "show_state", "lease_expires_at", "skip_reason")
    list_filter = ("task__project", "state", "task__kind")
    list_select_related = ("task", "labeler")
    search_fields = ("labeler__username", "=task__id")
    show_full_result_count = False

    @display(description="State", label=ASSIGNMENT_STATES)
    def show_state(self, assignment: Assignment) -> str:
        return assignment.state


@admin.register(Ranking)
class RankingAdmin(ReadOnly):
    list_display = ("id", "task", "prompt", "ranks", "labeler", "counts", "created_at")
    list_filter = ("project", "counts", "task__kind", "task__iteration")
    list_select_related = ("task", "prompt", "submission__labeler")
    search_fields = ("=task__id", "submission__labeler__username")
    show_full_result_count = False

    @display(description="Labeler")
    def labeler(self, ranking: Ranking) -> User:
        return ranking.submission.labeler


@admin.register(Demonstration)
class DemonstrationAdmin(ReadOnly):
    list_display = ("id", "prompt", "text", "source", "counts", "created_at")
    list_filter = ("project", "source", "counts", "prompt__split")
    list_select_related = ("prompt",)
    search_fields = ("text",)
    actions_list = ("import_demonstrations",)
    list_before_template = "rlhf/admin/actions_on_phones.html"
    show_full_result_count = False

    def get_urls(self) -> list[URLPattern]:
        own = path("import/", self.admin_site.admin_view(self.import_page), name="annotate_demonstration_import")
        return [own, *super().get_urls()]

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("annotate.add_demonstration")

    @action(description="Import from JSONL", permissions=("import",))
    def import_demonstrations(self, request: HttpRequest) -> HttpResponse:
        return self.import_page(request)

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """Good rows land; bad ones are named by line on the same page."""
        if not self.has_import_permission(request):
            return HttpResponse("expected the permission to add demonstrations", status=403)
        form = DemonstrationImportForm(request.POST or None, request.FILES or None)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request), "title": "Import demonstrations", "form": form,
            "noun": "demonstration", "action_url": reverse("admin:annotate_demonstration_import"),
            "list_url": reverse("admin:annotate_demonstration_changelist"),
        }  # fmt: skip
        if request.method == "POST" and form.is_valid():
            parsed = form.cleaned_data["file"]
            context["added"] = imports.add(project=form.cleaned_data["project"], demonstrations=parsed.demonstrations)
            context["bad_rows"] = parsed.bad_rows
        return render(request, "rlhf/admin/import_rows.html", context)


@admin.register(Labeler)
class LabelerAdmin(ReadOnly):
    """Who has done how much, and how: one row per person and project."""

    list_display = (
        "pseudonym", "user", "project", "submitted", "skipped", "lapsed", "surplus", "mean_s", "last_at", "quality",
    )  # fmt: skip
    list_filter = ("project",)
    list_select_related = ("user", "project")
    search_fields = ("pseudonym", "user__username")
    ordering = ("project", "pseudonym")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Labeler]:
        states = Assignment.State
        own = Submission.objects.filter(project=OuterRef("project"), labeler=OuterRef("user"))
        answers = own.order_by().values("labeler")
        return (
            super()
            .get_queryset(request)
            .filter(Exists(Assignment.objects.filter(labeler=OuterRef("user"), task__project=OuterRef("project"))))
            .annotate(
                num_submitted=_num(states.SUBMITTED),
                num_skipped=_num(states.SKIPPED),
                num_lapsed=_num(states.EXPIRED),
                num_surplus=_num(states.SURPLUS),
                mean_active_s=Subquery(answers.annotate(mean=Avg("active_s")).values("mean")),
                last_answer_at=Subquery(answers.annotate(last=Max("created_at")).values("last")),
            )
        )

    @display(description="Quality")
    def quality(self, row: Labeler) -> str:
        return format_html('<a href="{}">Signals</a>', reverse("labeler", args=[row.project.slug, row.user_id]))

    @display(description="Submitted", ordering="num_submitted")
    def submitted(self, row: Any) -> int:
        return row.num_submitted

    @display(description="Skipped", ordering="num_skipped")
    def skipped(self, row: Any) -> int:
        return row.num_skipped

    @display(description="Lapsed", ordering="num_lapsed")
    def lapsed(self, row: Any) -> int:
        return row.num_lapsed

    @display(description="Surplus", ordering="num_surplus")
    def surplus(self, row: Any) -> int:
        return row.num_surplus

    @display(description="Active seconds per answer", ordering="mean_active_s")
    def mean_s(self, row: Any) -> str:
        return "–" if row.mean_active_s is None else f"{row.mean_active_s:.1f}"

    @display(description="Last answer", ordering="last_answer_at")
    def last_at(self, row: Any) -> Any:
        return row.last_answer_at


def _num(state: str) -> Coalesce:
    own = Assignment.objects.filter(labeler=OuterRef("user"), task__project=OuterRef("project"), state=state)
    return Coalesce(Subquery(own.order_by().values("labeler").annotate(num=Count("pk")).values("num")), 0)
